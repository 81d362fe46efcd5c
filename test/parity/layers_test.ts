/** Layers of tfjs-layers without convolution or recurrence, trained on wasm as on the cpu backend. */
import * as tf from "../../src/tensor/tf.ts";
import { type Family, testFamilies } from "../support/layers.ts";

type Activation = NonNullable<Parameters<typeof tf.layers.dense>[0]["activation"]>;
type Input = tf.SymbolicTensor;

const ACTIVATIONS = [
  ..."elu selu relu relu6 linear sigmoid hardSigmoid softplus softsign tanh".split(" "),
  ..."softmax logSoftmax gelu gelu_new mish swish".split(" "),
] as Activation[];

/** Two dense layers around others. */
const between = (...layers: unknown[]): unknown[] => [
  tf.layers.dense({ units: 5, inputShape: [4] }),
  ...layers,
  tf.layers.dense({ units: 3, activation: "tanh" }),
];

/** Dense layers of one input as branches, and what joins them. */
function joined(join: (branches: Input[]) => unknown, inputShape = [3]): tf.LayersModel {
  const x = tf.input({ shape: inputShape });
  const branches = ["linear", "tanh", "elu"].map((activation) =>
    tf.layers.dense({ units: 4, activation: activation as Activation }).apply(x) as Input
  );
  const all = join(branches) as Input;
  const flat = all.shape.length > 2 ? tf.layers.flatten().apply(all) : all;
  return tf.model({
    inputs: x,
    outputs: tf.layers.dense({ units: 2 }).apply(flat as Input) as Input,
  });
}

/** Integers below `count`. */
const ids = (count: number) => (x: tf.Tensor): tf.Tensor =>
  tf.floor(tf.mul(tf.add(x, 1), count / 2));

const FAMILIES: readonly Family[] = [
  ...ACTIVATIONS.map((activation): Family => [
    `dense, ${activation}`,
    () => [
      tf.layers.dense({ units: 7, inputShape: [5], activation }),
      tf.layers.dense({ units: 3, activation, useBias: false }),
    ],
  ]),
  ["dense on sequences, regularized, constrained", () => [
    tf.layers.dense({
      ...{ units: 3, inputShape: [4, 5], activation: "relu" },
      kernelRegularizer: tf.regularizers.l1l2(),
      biasRegularizer: tf.regularizers.l2(),
      kernelConstraint: tf.constraints.maxNorm({ maxValue: 0.7 }),
    }),
  ]],
  ["activation", () => between(tf.layers.activation({ activation: "swish" }))],
  ["elu", () => between(tf.layers.elu({}))],
  ["reLU", () => between(tf.layers.reLU({ maxValue: 0.4 }))],
  ["leakyReLU", () => between(tf.layers.leakyReLU({ alpha: 0.1 }))],
  ["thresholdedReLU", () => between(tf.layers.thresholdedReLU({ theta: 0.2 }))],
  ["softmax", () => between(tf.layers.softmax({ axis: -1 }))],
  ["prelu", () => between(tf.layers.prelu({}))],
  ["prelu, shared axes", () => [
    tf.layers.conv2d({ inputShape: [6, 5, 2], filters: 3, kernelSize: 2 }),
    tf.layers.prelu({ sharedAxes: [1, 2] }),
  ]],
  ["embedding", () => [
    tf.layers.embedding({ inputDim: 6, outputDim: 3, inputLength: 5 }),
  ], ids(6)],
  ["embedding, mask zero", () => [
    tf.layers.embedding({ inputDim: 4, outputDim: 3, inputLength: 5, maskZero: true }),
    tf.layers.lstm({ units: 3 }),
  ], ids(4)],
  ...([[6], [5, 3], [4, 5, 3], [3, 4, 2, 3]] as const).map((shape): Family => [
    `batchNormalization of rank ${shape.length + 1}`,
    () => [
      tf.layers.batchNormalization({ inputShape: [...shape] }),
      tf.layers.dense({ units: 3, activation: "tanh" }),
      tf.layers.batchNormalization({ momentum: 0.9, epsilon: 0.01 }),
    ],
  ]),
  ...[1, 2].map((axis): Family => [
    `batchNormalization, axis ${axis} of 4`,
    () => [
      tf.layers.conv2d({ inputShape: [6, 5, 2], filters: 3, kernelSize: 2, useBias: false }),
      tf.layers.batchNormalization({ axis }),
    ],
  ]),
  ...[1, 2, 4].map((axis): Family => [
    `batchNormalization, axis ${axis} of 5`,
    () => [
      tf.layers.conv3d({ inputShape: [4, 3, 5, 2], filters: 3, kernelSize: 2, useBias: false }),
      tf.layers.batchNormalization({ axis }),
    ],
  ]),
  ["batchNormalization without scale and center", () => [
    tf.layers.dense({ units: 4, inputShape: [3], useBias: false }),
    tf.layers.batchNormalization({ scale: false, center: false }),
  ]],
  ["batchNormalization without center", () => [
    tf.layers.dense({ units: 4, inputShape: [3], useBias: false }),
    tf.layers.batchNormalization({ center: false }),
  ]],
  ["layerNormalization", () => between(tf.layers.layerNormalization())],
  ["layerNormalization, two axes", () => [
    tf.layers.dense({ units: 4, inputShape: [3, 5] }),
    tf.layers.layerNormalization({ axis: [1, 2], epsilon: 0.01 }),
  ]],
  ["layerNormalization without scale and center", () => [
    tf.layers.dense({ units: 4, inputShape: [3, 5] }),
    tf.layers.layerNormalization({ scale: false, center: false }),
  ]],
  ["dropout", () => between(tf.layers.dropout({ rate: 0.4, seed: 3 }))],
  ["dropout, noise shape", () => [
    tf.layers.dense({ units: 3, inputShape: [4, 5] }),
    tf.layers.dropout({ rate: 0.4, seed: 3, noiseShape: [4, 1, 3] }),
  ]],
  ["spatialDropout1d", () => [
    tf.layers.dense({ units: 3, inputShape: [4, 5] }),
    tf.layers.spatialDropout1d({ rate: 0.4, seed: 3 }),
  ]],
  ["gaussianNoise", () => between(tf.layers.gaussianNoise({ stddev: 0.2 }))],
  ["gaussianDropout", () => between(tf.layers.gaussianDropout({ rate: 0.3 }))],
  ["alphaDropout", () => between(tf.layers.alphaDropout({ rate: 0.3 }))],
  ["reshape and permute", () => [
    tf.layers.dense({ units: 12, inputShape: [4] }),
    tf.layers.reshape({ targetShape: [2, 2, 3] }),
    tf.layers.permute({ dims: [3, 1, 2] }),
    tf.layers.dense({ units: 2, activation: "tanh" }),
  ]],
  ["repeatVector and flatten", () => [
    tf.layers.dense({ units: 3, inputShape: [4] }),
    tf.layers.repeatVector({ n: 4 }),
    tf.layers.dense({ units: 2, activation: "tanh" }),
    tf.layers.flatten(),
  ]],
  ["masking", () => [
    tf.layers.masking({ inputShape: [5, 3], maskValue: 0 }),
    tf.layers.dense({ units: 2, activation: "tanh" }),
  ], (x) => tf.relu(tf.sub(x, 0.7))],
  ["rescaling", () => between(tf.layers.rescaling({ scale: 0.3, offset: 1 }))],
  ...(["add", "multiply", "average", "maximum", "minimum", "concatenate"] as const).flatMap(
    (kind): Family[] => [
      [kind, () => joined((branches) => tf.layers[kind]().apply(branches))],
      [
        `${kind} of sequences`,
        () => joined((branches) => tf.layers[kind]().apply(branches), [3, 5]),
      ],
    ],
  ),
  [
    "concatenate, axis 1",
    () => joined((branches) => tf.layers.concatenate({ axis: 1 }).apply(branches), [3, 5]),
  ],
  ["add, ranks that differ", () =>
    joined(([a, b, c]) => {
      const rows = tf.layers.repeatVector({ n: 3 }).apply(a);
      return tf.layers.add().apply([rows as Input, b, c]);
    })],
  ["dot", () => joined(([a, b]) => tf.layers.dot({ axes: -1 }).apply([a, b]))],
  [
    "dot, normalized",
    () => joined(([a, b]) => tf.layers.dot({ axes: 1, normalize: true }).apply([a, b])),
  ],
  [
    "dot of sequences",
    () => joined(([a, b]) => tf.layers.dot({ axes: [2, 2] }).apply([a, b]), [3, 5]),
  ],
];

testFamilies(FAMILIES);
