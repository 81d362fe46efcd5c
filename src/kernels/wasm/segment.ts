/**
 * Rows by index, on as/segment.ts: gather, its gradient `UnsortedSegmentSum` (what trains an
 * embedding), and scatter, which adds at indices of several axes.
 */
import * as tf from "../../tensor/tf.ts";
import { callKernel } from "./call.ts";
import type { KernelContext } from "./context.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import { stridesOf } from "./strides.ts";

/** The rows of the kernel table. */
export const segmentKernels: KernelRows = {
  // tfjs' kernel counts bins, but gives tensors of other ranks than 1 a wrong shape.
  Bincount: (context, { x, weights }, attributes) => {
    if (x.shape.length === 1) return undefined;
    const flat = { ...x, shape: [tf.util.sizeFromShape(x.shape)] };
    return callKernel(context, "Bincount", { x: flat, weights }, attributes);
  },
  // The next four are tfjs' own kernels where the indices are inside; they do not look.
  CropAndResize: (context, { image, boxInd }) => {
    flatIndices(context, "CropAndResize", boxInd, 1, image.shape);
    return undefined;
  },
  GatherNd: (context, { params, indices }) => {
    flatIndices(context, "GatherNd", indices, indices.shape.at(-1) ?? 1, params.shape);
    return undefined;
  },
  SparseToDense: (context, { sparseIndices }, { outputShape }) => {
    const rank = sparseIndices.shape.length > 1 ? sparseIndices.shape.at(-1)! : 1;
    flatIndices(context, "SparseToDense", sparseIndices, rank, outputShape as number[]);
    return undefined;
  },
  TensorScatterUpdate: (context, { tensor, indices }) => {
    const rank = indices.shape.length > 1 ? indices.shape.at(-1)! : 1;
    flatIndices(context, "TensorScatterUpdate", indices, rank, tensor.shape);
    return undefined;
  },
  GatherV2: gather,
  ScatterNd: scatter,
  UnsortedSegmentSum: (context, { x, segmentIds }, { numSegments }) => {
    if (segmentIds.shape.length !== 1) return undefined;
    const shape = [numSegments as number, ...x.shape.slice(1)];
    return segmentSum(context, x, x.shape[0], segmentIds, shape);
  },
};

function gather(
  context: KernelContext,
  { x, indices }: Parameters<Kernel>[1],
  { axis, batchDims }: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  if (indices.dtype !== "int32" || x.dtype === "complex64") return undefined;
  const along = tf.util.parseAxisParam(axis as number, x.shape)[0];
  const { batchSize, outerSize, dimSize, sliceSize, outputShape } = tf.backend_util.segment_util
    .collectGatherOpShapeInfo(x as tf.Tensor, indices as tf.Tensor, along, batchDims as number);
  const y = context.output(outputShape, x.dtype);
  const count = tf.util.sizeFromShape(indices.shape) / batchSize;
  // Without elements there is no row, but the indices are checked all the same.
  const isEmpty = tf.util.sizeFromShape(outputShape) === 0;
  const bad = batchSize * count === 0 ? -1 : context.exports.gather_rows(
    batchSize,
    isEmpty ? 0 : outerSize,
    dimSize,
    count,
    sliceSize * tf.util.bytesPerElement(x.dtype),
    context.address(x),
    context.address(indices),
    context.address(y),
  );
  if (bad >= 0) {
    const { buffer } = context.backend.wasm.HEAPU8;
    const [value] = new Int32Array(buffer, context.address(indices) + 4 * bad, 1);
    context.backend.disposeData(y.dataId);
    throw new Error(`GatherV2: the index value ${value} is not in [0, ${dimSize - 1}]`);
  }
  return y;
}

/** result[indices[i]] += updates[i]: segments numbered by the leading axes that indices name. */
function scatter(
  context: KernelContext,
  { indices, updates }: Parameters<Kernel>[1],
  attributes: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  const shape = attributes.shape as number[];
  const { sliceRank, numUpdates } = tf.backend_util.calculateShapes(
    updates as tf.Tensor,
    indices as tf.Tensor,
    shape,
  );
  if (indices.dtype !== "int32") return undefined;
  const ids = flatIndices(context, "ScatterNd", indices, sliceRank, shape);
  if (updates.dtype !== "float32" && updates.dtype !== "int32") return undefined;
  const flat = context.output([numUpdates], "int32");
  new Int32Array(context.backend.wasm.HEAPU8.buffer, context.address(flat), numUpdates).set(ids);
  const result = segmentSum(context, updates, numUpdates, flat, shape, sliceRank);
  context.backend.disposeData(flat.dataId);
  return result;
}

/** Indices of the leading `rank` axes of `shape`, each as one number; an error where one is outside. */
function flatIndices(
  context: KernelContext,
  kernel: string,
  indices: tf.TensorInfo,
  rank: number,
  shape: readonly number[],
): Int32Array {
  const count = rank === 0 ? 0 : tf.util.sizeFromShape(indices.shape) / rank;
  const { buffer } = context.backend.wasm.HEAPU8;
  const at = new Int32Array(buffer, context.address(indices), count * rank);
  const limits = shape.slice(0, rank);
  const strides = stridesOf(limits);
  const ids = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    for (let d = 0; d < rank; d++) {
      const index = at[i * rank + d];
      if (!(index >= 0 && index < limits[d])) {
        const last = (limits[d] ?? 0) - 1;
        throw new Error(
          `${kernel}: index ${index} on axis ${d} is not in [0, ${last}] of shape [${shape}]`,
        );
      }
      ids[i] += index * strides[d];
    }
  }
  return ids;
}

/** Sums of the `rows` rows of x by id: the first `rank` axes of `shape` count the segments. */
function segmentSum(
  context: KernelContext,
  x: tf.TensorInfo,
  rows: number,
  ids: tf.TensorInfo,
  shape: number[],
  rank = 1,
): ReturnType<Kernel> {
  if (x.dtype !== "float32" && x.dtype !== "int32" || ids.dtype !== "int32") return undefined;
  const y = context.output(shape, x.dtype);
  const size = tf.util.sizeFromShape(shape);
  if (size === 0) return y;
  const segments = tf.util.sizeFromShape(shape.slice(0, rank));
  const sizes = [rows, size / segments, segments] as const;
  const { exports } = context;
  const addresses = [context.address(x), context.address(ids), context.address(y)] as const;
  if (x.dtype === "int32") {
    exports.i32_segment_sum(...sizes, ...addresses);
  } else {
    const scratch = context.scratch(exports.f32_segment_sum_scratch(rows, segments));
    exports.f32_segment_sum(...sizes, ...addresses, scratch);
  }
  return y;
}
