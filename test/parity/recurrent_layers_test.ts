/** Recurrent layers of tfjs-layers, trained on wasm as on the cpu backend. */
import * as tf from "../../src/tensor/tf.ts";
import { type Family, testFamilies } from "../support/layers.ts";

type Cells = Parameters<typeof tf.layers.stackedRNNCells>[0]["cells"];
type Wrapped = Parameters<typeof tf.layers.bidirectional>[0]["layer"];

const inputShape = [4, 3];
const units = 4;
const sequences = { units, returnSequences: true };
const movie = { inputShape: [3, 6, 5, 2], filters: 2, kernelSize: 3 };

const FAMILIES: readonly Family[] = [
  ["simpleRNN", () => [tf.layers.simpleRNN({ units, inputShape })]],
  ["simpleRNN, stacked, relu", () => [
    tf.layers.simpleRNN({ ...sequences, inputShape, activation: "relu" }),
    tf.layers.simpleRNN({ units, useBias: false, goBackwards: true }),
  ]],
  ["simpleRNN, dropped", () => [
    tf.layers.simpleRNN({ units, inputShape, dropout: 0.3, recurrentDropout: 0.2 }),
  ]],
  ["lstm", () => [tf.layers.lstm({ units, inputShape })]],
  ["lstm, stacked", () => [
    tf.layers.lstm({ ...sequences, inputShape, unitForgetBias: false }),
    tf.layers.lstm({ ...sequences, goBackwards: true }),
    tf.layers.lstm({ units, useBias: false, recurrentActivation: "sigmoid" }),
  ]],
  ["lstm, dropped", () => [
    tf.layers.lstm({ ...sequences, inputShape, dropout: 0.3, recurrentDropout: 0.2 }),
  ]],
  ["lstm, implementation 2", () => [
    tf.layers.lstm({ units, inputShape, implementation: 2 }),
  ]],
  ["lstm, stateful", () => [
    tf.layers.lstm({ units, batchInputShape: [4, ...inputShape], stateful: true }),
  ]],
  ["gru", () => [tf.layers.gru({ units, inputShape })]],
  ["gru, stacked", () => [
    tf.layers.gru({ ...sequences, inputShape }),
    tf.layers.gru({ units, useBias: false, recurrentActivation: "sigmoid", goBackwards: true }),
  ]],
  ["gru, dropped", () => [
    tf.layers.gru({ ...sequences, inputShape, dropout: 0.3, recurrentDropout: 0.2 }),
  ]],
  ["gru, implementation 1", () => [tf.layers.gru({ units, inputShape, implementation: 1 })]],
  ["lstm, masked", () => [
    tf.layers.masking({ inputShape, maskValue: 0 }),
    tf.layers.lstm({ units }),
  ], withZeroSteps],
  ["gru, masked, sequences", () => [
    tf.layers.masking({ inputShape }),
    tf.layers.gru({ ...sequences }),
    tf.layers.timeDistributed({ layer: tf.layers.dense({ units: 2 }) }),
    tf.layers.gru({ units }),
  ], withZeroSteps],
  ...(["concat", "sum", "mul", "ave"] as const).map((mergeMode): Family => [
    `bidirectional, ${mergeMode}`,
    () => [
      tf.layers.bidirectional({
        layer: tf.layers.gru(sequences) as Wrapped,
        mergeMode,
        inputShape,
      }),
      ...mergeMode === "concat"
        ? [tf.layers.bidirectional({ layer: tf.layers.lstm({ units: 2 }) as Wrapped, mergeMode })]
        : [],
    ],
  ]),
  ["timeDistributed", () => [
    tf.layers.timeDistributed({
      layer: tf.layers.conv1d({ filters: 2, kernelSize: 3, activation: "tanh" }),
      inputShape: [3, 6, 2],
    }),
    tf.layers.timeDistributed({ layer: tf.layers.dense({ units, activation: "relu" }) }),
  ]],
  ["stackedRNNCells", () => [
    tf.layers.rnn({
      cell: tf.layers.stackedRNNCells({
        cells: [
          tf.layers.lstmCell({ units }),
          tf.layers.gruCell({ units: 3 }),
          tf.layers.simpleRNNCell({ units: 2 }),
        ] as Cells,
      }),
      returnSequences: true,
      inputShape,
    }),
  ]],
  ["rnn of a list of cells", () => [
    tf.layers.rnn({
      cell: [tf.layers.gruCell({ units }), tf.layers.lstmCell({ units: 3 })] as Cells,
      inputShape,
    }),
  ]],
  ["convLstm2d", () => [tf.layers.convLstm2d(movie)]],
  ["convLstm2d, stacked, same, strides", () => [
    tf.layers.convLstm2d({ ...movie, padding: "same", returnSequences: true }),
    tf.layers.convLstm2d({ filters: 3, kernelSize: 2, strides: 2, useBias: false }),
  ]],
  ["convLstm2d, dilated, dropped", () => [
    tf.layers.convLstm2d({ ...movie, dilationRate: 2, dropout: 0.3, recurrentDropout: 0.2 }),
  ]],
  ["convLstm2d, channels first", () => [
    tf.layers.convLstm2d({ ...movie, inputShape: [3, 2, 6, 5], dataFormat: "channelsFirst" }),
  ]],
  ["conv2d over time, then convLstm2d", () => [
    tf.layers.timeDistributed({
      layer: tf.layers.conv2d({ filters: 2, kernelSize: 2, padding: "same" }),
      inputShape: movie.inputShape,
    }),
    tf.layers.convLstm2d({ filters: 2, kernelSize: 3, activation: "relu" }),
  ]],
];

testFamilies(FAMILIES);

/** The last step of every sequence is zero, and the last two of the first. */
function withZeroSteps(x: tf.Tensor): tf.Tensor {
  const [batch, time] = x.shape;
  const kept = Array.from({ length: batch * time }, (_, i) => {
    const [b, t] = [Math.floor(i / time), i % time];
    return t < time - (b === 0 ? 2 : 1) ? 1 : 0;
  });
  return tf.mul(x, tf.tensor(kept, [batch, time, 1]));
}
