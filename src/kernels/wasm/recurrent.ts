/** LSTM and GRU over whole sequences and their gradients, on as/recurrent.ts: see src/nn. */
import type * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Inputs, KernelRows } from "./kernel.ts";

/**
 * The rows of the kernel table. The forward kernels answer their output (for the LSTM with the last
 * cell state as one more step) and what the gradients want.
 */
export const recurrentKernels: KernelRows = {
  DownhillLstm: lstm,
  DownhillLstmGrad: lstmGrad,
  DownhillGru: gru,
  DownhillGruGrad: gruGrad,
};

type Sizes = readonly [batch: number, time: number, inputs: number, hidden: number];

function sizesOf({ x, w_hh }: Inputs): Sizes {
  const [batch, time, inputs] = x.shape;
  return [batch, time, inputs, w_hh.shape[1]];
}

function scratch(context: KernelContext, [batch, , , hidden]: Sizes, gates: number): number {
  return context.scratch(
    context.exports.f32_recurrent_scratch(batch, hidden, gates * hidden),
  );
}

/** Addresses, 0 for what is not given. */
function addresses(
  context: KernelContext,
  tensors: readonly (tf.TensorInfo | undefined)[],
): number[] {
  return tensors.map((x) => x === undefined ? 0 : context.address(x));
}

function lstm(context: KernelContext, inputs: Inputs): tf.TensorInfo[] {
  const sizes = sizesOf(inputs);
  const [batch, time, , hidden] = sizes;
  const { x, w_ih, w_hh, b_ih, b_hh, h0, c0 } = inputs;
  const out = context.output([batch, time + 1, hidden], "float32");
  const gates = context.output([batch, time, 4 * hidden], "float32");
  const before = context.output([batch, time, hidden], "float32");
  const cells = context.output([batch, time, hidden], "float32");
  context.exports.f32_lstm(
    ...[context.tile, ...sizes] as const,
    ...addresses(context, [x, w_ih, w_hh, b_ih, b_hh, h0, c0]) as Seven,
    ...addresses(context, [out, gates, before, cells]) as Four,
    scratch(context, sizes, 4),
  );
  return [out, gates, before, cells];
}

function lstmGrad(context: KernelContext, inputs: Inputs): tf.TensorInfo[] {
  const sizes = sizesOf(inputs);
  const [batch, , , hidden] = sizes;
  const { x, w_ih, w_hh, gates, before, cells, dy } = inputs;
  const shapes = [x.shape, w_ih.shape, w_hh.shape, [4 * hidden], [batch, hidden], [batch, hidden]];
  const results = shapes.map((shape) => context.output(shape, "float32"));
  const dGates = context.output(gates.shape, "float32");
  context.exports.f32_lstm_grad(
    ...[context.tile, ...sizes] as const,
    ...addresses(context, [x, w_ih, w_hh, gates, before, cells, dy]) as Seven,
    ...addresses(context, [...results, dGates]) as Seven,
    scratch(context, sizes, 4),
  );
  context.backend.disposeData(dGates.dataId);
  return results;
}

function gru(context: KernelContext, inputs: Inputs): tf.TensorInfo[] {
  const sizes = sizesOf(inputs);
  const [batch, time, , hidden] = sizes;
  const { x, w_ih, w_hh, b_ih, b_hh, h0 } = inputs;
  const out = context.output([batch, time, hidden], "float32");
  const gates = context.output([batch, time, 3 * hidden], "float32");
  const before = context.output([batch, time, hidden], "float32");
  const products = context.output([batch, time, hidden], "float32");
  context.exports.f32_gru(
    ...[context.tile, ...sizes] as const,
    ...addresses(context, [x, w_ih, w_hh, b_ih, b_hh, h0, out]) as Seven,
    ...addresses(context, [gates, before, products]) as Three,
    scratch(context, sizes, 3),
  );
  return [out, gates, before, products];
}

function gruGrad(context: KernelContext, inputs: Inputs): tf.TensorInfo[] {
  const sizes = sizesOf(inputs);
  const [batch, , , hidden] = sizes;
  const { x, w_ih, w_hh, gates, before, products, dy } = inputs;
  const width = [3 * hidden];
  const shapes = [x.shape, w_ih.shape, w_hh.shape, width, width, [batch, hidden]];
  const results = shapes.map((shape) => context.output(shape, "float32"));
  const temporary = [gates, gates].map(({ shape }) => context.output(shape, "float32"));
  context.exports.f32_gru_grad(
    ...[context.tile, ...sizes] as const,
    ...addresses(context, [x, w_ih, w_hh, gates, before, products, dy]) as Seven,
    ...addresses(context, [...results, ...temporary]) as Eight,
    scratch(context, sizes, 3),
  );
  for (const { dataId } of temporary) context.backend.disposeData(dataId);
  return results;
}

type Three = [number, number, number];
type Four = [...Three, number];
type Seven = [...Four, ...Three];
type Eight = [...Seven, number];
