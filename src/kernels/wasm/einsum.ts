/**
 * `Einsum` of one or two tensors, as a matrix product.
 *
 * Labels of one operand alone that the result lacks are summed first. The rest makes one operand
 * [batch, rows, inner] and the other [batch, inner, columns], or their transposes, which the product
 * takes as they are: an operand is copied only where its labels are in neither order.
 */
import * as tf from "../../tensor/tf.ts";
import { callKernel } from "./call.ts";
import type { KernelContext } from "./context.ts";
import { matMul } from "./gemm.ts";
import type { KernelRows } from "./kernel.ts";

/** A tensor with a label for each axis. */
interface Labelled {
  readonly x: tf.TensorInfo;
  readonly labels: readonly number[];
}

/** The rows of the kernel table. */
export const einsumKernels: KernelRows = {
  Einsum: (context, inputs, { equation }) => {
    const tensors = Object.values(inputs);
    const { allDims, summedDims, idDims } = tf.backend_util.decodeEinsumEquation(
      equation as string,
      tensors.length,
    );
    tf.backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as tf.Tensor[]);
    if (tensors.some(({ dtype }) => dtype !== tensors[0].dtype || dtype === "bool")) {
      return undefined;
    }
    // The result's labels come first.
    const wanted = allDims.slice(0, allDims.length - summedDims.length).map((_, label) => label);
    const work = new Work(context);
    const [a, b] = tensors.map((x, i) =>
      work.sum({ x, labels: idDims[i] }, (label) =>
        !wanted.includes(label) &&
        idDims.every((labels, other) => other === i || !labels.includes(label)))
    );
    return work.finish(work.order(b === undefined ? a : product(work, a, b, wanted), wanted).x);
  },
};

/** The product over the labels that both have, the wanted ones of them kept. */
function product(work: Work, a: Labelled, b: Labelled, wanted: readonly number[]): Labelled {
  const inA = (label: number): boolean => a.labels.includes(label);
  const inB = (label: number): boolean => b.labels.includes(label);
  const batch = wanted.filter((label) => inA(label) && inB(label));
  const rows = wanted.filter((label) => !inB(label));
  const columns = wanted.filter((label) => !inA(label));
  const inner = a.labels.filter((label) => inB(label) && !wanted.includes(label));
  // B^T A^T has the columns first.
  const isSwapped = columns.length > 0 && wanted.indexOf(columns[0]) < wanted.indexOf(rows[0]);
  if (isSwapped) return product(work, b, a, wanted);
  const size = (labels: readonly number[]): number =>
    labels.reduce((n, label) => n * work.sizeOf([a, b], label), 1);
  const shapeOf = (labels: readonly number[]): number[] =>
    labels.map((label) => work.sizeOf([a, b], label));
  const labels = [...batch, ...rows, ...columns];
  const [outer, m, n, k] = [batch, rows, columns, inner].map(size);
  if (inner.length === 0) {
    const left = work.reshape(work.order(a, [...batch, ...rows]).x, [outer, m, 1]);
    const right = work.reshape(work.order(b, [...batch, ...columns]).x, [outer, 1, n]);
    const x = work.call("Multiply", { a: left, b: right });
    return { x: work.reshape(x, shapeOf(labels)), labels };
  }
  const isTransposed = (x: Labelled, order: readonly number[]): boolean =>
    tf.util.arraysEqual(x.labels as number[], order as number[]);
  const transposeA = isTransposed(a, [...batch, ...inner, ...rows]);
  const transposeB = isTransposed(b, [...batch, ...columns, ...inner]);
  const left = transposeA ? a.x : work.order(a, [...batch, ...rows, ...inner]).x;
  const right = transposeB ? b.x : work.order(b, [...batch, ...inner, ...columns]).x;
  const x = matMul(
    work.context,
    work.reshape(left, transposeA ? [outer, k, m] : [outer, m, k]),
    work.reshape(right, transposeB ? [outer, n, k] : [outer, k, n]),
    transposeA,
    transposeB,
    {},
  )!;
  return { x: work.reshape(work.keep(x), shapeOf(labels)), labels };
}

/** Steps whose intermediate tensors are freed together. */
class Work {
  readonly context: KernelContext;
  readonly #made: tf.TensorInfo[] = [];

  constructor(context: KernelContext) {
    this.context = context;
  }

  keep(x: tf.TensorInfo): tf.TensorInfo {
    this.#made.push(x);
    return x;
  }

  call(name: string, inputs: Record<string, tf.TensorInfo>, attributes = {}): tf.TensorInfo {
    return this.keep(callKernel(this.context, name, inputs, attributes));
  }

  /** The size of a label's axis. */
  sizeOf(tensors: readonly Labelled[], label: number): number {
    const { x, labels } = tensors.find((tensor) => tensor.labels.includes(label))!;
    return x.shape[labels.indexOf(label)];
  }

  /** The same elements in another shape; a view, which needs no freeing. */
  reshape({ dataId, dtype }: tf.TensorInfo, shape: number[]): tf.TensorInfo {
    return { dataId, dtype, shape };
  }

  sum({ x, labels }: Labelled, isSummed: (label: number) => boolean): Labelled {
    const axis = [...labels.keys()].filter((i) => isSummed(labels[i]));
    if (axis.length === 0) return { x, labels };
    return {
      x: this.call("Sum", { x }, { axis, keepDims: false }),
      labels: labels.filter((label) => !isSummed(label)),
    };
  }

  order({ x, labels }: Labelled, order: readonly number[]): Labelled {
    const perm = order.map((label) => labels.indexOf(label));
    const isInOrder = perm.every((axis, i) => axis === i);
    return { x: isInOrder ? x : this.call("Transpose", { x }, { perm }), labels: order };
  }

  /** `x` with a reference of its own, and everything else freed. */
  finish(x: tf.TensorInfo): tf.TensorInfo {
    const result = this.context.share(x, x.shape);
    for (const { dataId } of this.#made) this.context.backend.disposeData(dataId);
    return result;
  }
}
