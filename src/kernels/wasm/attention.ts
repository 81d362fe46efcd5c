/** Scaled dot-product attention and its gradient, on as/attention.ts: see src/nn. */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Inputs, KernelRows } from "./kernel.ts";
import { broadcastStrides, forEachOffset, stridesOf } from "./strides.ts";

/**
 * The rows of the kernel table. Query, key and value have the same leading axes; a mask is of dtype
 * bool and broadcasts. The first answers the output and what the second wants: two numbers a query
 * and, if `keep`, the weights.
 */
export const attentionKernels: KernelRows = {
  DownhillAttention: attention,
  DownhillAttentionGrad: attentionGrad,
};

/** The largest weights that are kept: to read them again is faster than to compute them again. */
const KEEP = 64 * 2 ** 20;

/** Sizes, and the calls: one for all heads, or with a mask one a head. */
function planOf({ query, value, mask }: Inputs, { isCausal, scale }: Attributes) {
  const batch = query.shape.slice(0, -2);
  const [queries, d] = query.shape.slice(-2);
  const [keys, e] = value.shape.slice(-2);
  const heads = tf.util.sizeFromShape(batch);
  const strides = mask && broadcastStrides(mask.shape, [...batch, queries, keys]);
  const [maskRow, maskColumn] = strides?.slice(-2) ?? [0, 0];
  const sizes = { heads: mask ? 1 : heads, queries, keys, d, e };
  /** Calls `visit` with the index of a head and the mask's offset for it. */
  const each = (visit: (head: number, offset: number) => void): void => {
    if (!strides) return visit(0, 0);
    const all = [stridesOf(batch), strides.slice(0, -2)];
    forEachOffset(batch, all, ([head, offset]) => visit(head, offset));
  };
  const rule = [scale as number, isCausal ? 1 : 0] as const;
  return {
    ...sizes,
    isEmpty: heads * queries * keys * d * e === 0,
    maskRow,
    maskColumn,
    each,
    rule,
  };
}

function zeros(context: KernelContext, shape: number[]): tf.TensorInfo {
  const x = context.output(shape, "float32");
  context.exports.b32_fill(tf.util.sizeFromShape(shape), context.address(x), 0);
  return x;
}

function attention(
  context: KernelContext,
  inputs: Inputs,
  attributes: Attributes,
): tf.TensorInfo[] {
  const { query, key, value, mask } = inputs;
  const plan = planOf(inputs, attributes);
  const { heads, queries, keys, d, e, maskRow, maskColumn } = plan;
  const shape = [...query.shape.slice(0, -1), e];
  const statsShape = [...query.shape.slice(0, -1), 2];
  if (plan.isEmpty) return [zeros(context, shape), zeros(context, statsShape)];
  const { exports, tile } = context;
  const out = context.output(shape, "float32");
  const stats = context.output(statsShape, "float32");
  const all = tf.util.sizeFromShape(query.shape.slice(0, -2));
  const bytes = exports.f32_attention_weights(all, queries, keys);
  const isKept = attributes.keep === true && bytes <= KEEP;
  const weights = isKept ? [context.output([bytes / 4], "float32")] : [];
  const w = isKept ? context.address(weights[0]) : 0;
  const wStep = isKept ? bytes / all : 0;
  const [q, k, v, o, s] = [query, key, value, out, stats].map((x) => context.address(x));
  const hidden = mask ? context.address(mask) : 0;
  const scratch = context.scratch(exports.f32_attention_scratch(keys, d, e, 0));
  plan.each((head, offset) => {
    const [row, at] = [4 * head * queries, 4 * head * keys];
    exports.f32_attention(
      ...[tile, heads, queries, keys, d, e, q + row * d, k + at * d, v + at * e] as const,
      ...[...plan.rule, hidden + offset, maskRow, maskColumn] as const,
      ...[o + row * e, s + row * 2, w + head * wStep, scratch] as const,
    );
  });
  return [out, stats, ...weights];
}

function attentionGrad(
  context: KernelContext,
  inputs: Inputs,
  attributes: Attributes,
): tf.TensorInfo[] {
  const { query, key, value, mask, out, stats, weights, dy } = inputs;
  const plan = planOf(inputs, attributes);
  const { heads, queries, keys, d, e, maskRow, maskColumn } = plan;
  if (plan.isEmpty) return [query, key, value].map((x) => zeros(context, x.shape));
  const results = [query, key, value].map((x) => context.output(x.shape, "float32"));
  const { exports, tile } = context;
  const [q, k, v, o, s, dO] = [query, key, value, out, stats, dy].map((x) => context.address(x));
  const [dQ, dK, dV] = results.map((x) => context.address(x));
  const hidden = mask ? context.address(mask) : 0;
  const w = weights ? context.address(weights) : 0;
  const wStep = weights
    ? 4 * weights.shape[0] / tf.util.sizeFromShape(query.shape.slice(0, -2))
    : 0;
  const scratch = context.scratch(exports.f32_attention_scratch(keys, d, e, 1));
  plan.each((head, offset) => {
    const [row, at] = [4 * head * queries, 4 * head * keys];
    exports.f32_attention_grad(
      ...[tile, heads, queries, keys, d, e, q + row * d, k + at * d, v + at * e] as const,
      ...[...plan.rule, hidden + offset, maskRow, maskColumn] as const,
      ...[o + row * e, s + row * 2, w + head * wStep, dO + row * e] as const,
      ...[dQ + row * d, dK + at * d, dV + at * e, scratch] as const,
    );
  });
  return results;
}
