/**
 * Matrix products: `BatchMatMul` and `_FusedMatMul` on as/gemm.ts.
 *
 * Batches broadcast. A batch whose right matrix is shared, and whose left one is not transposed, is
 * one tall product.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import { broadcastStrides, forEachOffset } from "./strides.ts";

/** The numbers of as/epilogue.ts. */
const ACTIVATIONS: Readonly<Record<string, number>> = {
  linear: 0,
  relu: 1,
  relu6: 2,
  elu: 3,
  sigmoid: 4,
  leakyrelu: 5,
  prelu: 5,
  gelu: 6,
};

/** The number of an activation in as/epilogue.ts; undefined for one that it lacks. */
export function activationNumber(name: string): number | undefined {
  return ACTIVATIONS[name];
}

/** What happens to a product: see as/epilogue.ts. */
export interface Epilogue {
  readonly bias?: tf.TensorInfo;
  /** A key of ACTIVATIONS. */
  readonly activation?: string;
  /** The slopes of prelu. */
  readonly slopes?: tf.TensorInfo;
  /** The slope of leakyrelu. */
  readonly slope?: number;
}

/** The rows of the kernel table. */
export const gemmKernels: KernelRows = {
  BatchMatMul: (context, { a, b }, { transposeA, transposeB }) =>
    matMul(context, a, b, transposeA as boolean, transposeB as boolean, {}),
  _FusedMatMul: fusedMatMul,
};

function fusedMatMul(
  context: KernelContext,
  inputs: Parameters<Kernel>[1],
  attributes: Parameters<Kernel>[2],
): ReturnType<Kernel> {
  const { a, b, bias, preluActivationWeights } = inputs;
  const { transposeA, transposeB, activation, leakyreluAlpha } = attributes;
  if (activationNumber(activation as string ?? "linear") === undefined) return undefined;
  return matMul(context, a, b, transposeA as boolean, transposeB as boolean, {
    bias: bias as tf.TensorInfo | undefined,
    activation: activation as string | undefined,
    slopes: activation === "prelu" ? preluActivationWeights : undefined,
    slope: leakyreluAlpha as number | undefined,
  });
}

/** f(A B + bias) over batches; undefined for dtypes that have no product here. */
export function matMul(
  context: KernelContext,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
  epilogue: Epilogue,
): tf.TensorInfo | undefined {
  const { dtype } = a;
  const isFloat = dtype === "float32" && b.dtype === "float32";
  if (!isFloat && !(dtype === "int32" && b.dtype === "int32" && isPlain(epilogue))) {
    return undefined;
  }
  const sideA = matrixOf(a, transposeA);
  const sideB = matrixOf(b, transposeB);
  if (Math.min(a.shape.length, b.shape.length) < 2 || sideA.columns !== sideB.rows) {
    const [left, right] = [transposeA ? "^T" : "", transposeB ? "^T" : ""];
    throw new Error(`matMul: [${a.shape}]${left} and [${b.shape}]${right} have no product`);
  }
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(sideA.batch, sideB.batch);
  let [m, n, k] = [sideA.rows, sideB.columns, sideA.columns];
  const shape = [...batch, m, n];
  const out = context.output(shape, dtype);
  if (tf.util.sizeFromShape(shape) === 0) return out;

  const parts = [sideA.batch, sideB.batch].map((part) => broadcastStrides(part, batch));
  const stepsA = parts[0].map((s) => s * m * k);
  const stepsB = parts[1].map((s) => s * k * n);
  const stepsOut = broadcastStrides(batch, batch).map((s) => s * m * n);
  const [bias, slopes] = [epilogue.bias, epilogue.slopes].map((extra) =>
    extra === undefined ? shape.map(() => 0) : broadcastStrides(extra.shape, shape)
  );
  let dimensions = batch;
  const isTall = !transposeA && tf.util.arraysEqual(sideA.batch, batch) &&
    stepsB.every((s) => s === 0) &&
    [bias, slopes].every((s) => s.slice(0, -1).every((x) => x === 0));
  if (isTall) {
    m *= tf.util.sizeFromShape(batch);
    dimensions = [];
  }

  const [addressA, addressB, addressOut] = [a, b, out].map((x) => context.address(x));
  const { exports, tile } = context;
  if (!isFloat) {
    forEachOffset(dimensions, [stepsA, stepsB, stepsOut], ([atA, atB, atOut]) =>
      exports.i32_gemm(
        ...[m, n, k, addressA + 4 * atA, sideA.row, sideA.column] as const,
        ...[addressB + 4 * atB, sideB.row, sideB.column, addressOut + 4 * atOut] as const,
      ));
    return out;
  }
  const activation = activationNumber(epilogue.activation ?? "linear")!;
  const addressBias = epilogue.bias === undefined ? 0 : context.address(epilogue.bias);
  const addressSlopes = epilogue.slopes !== undefined
    ? context.address(epilogue.slopes)
    : context.list([float32Bits(epilogue.slope ?? 0)]);
  const scratch = context.scratch(exports.f32_gemm_scratch());
  const rank = batch.length;
  const [nextA, nextB] = [sideA, sideB].map((side) => evenStep(side, batch));
  if (k > 0 && isPlain(epilogue) && nextA !== undefined && nextB !== undefined) {
    exports.f32_gemm_batch(
      ...[tf.util.sizeFromShape(dimensions), nextA, nextB, tile, m, n, k] as const,
      ...[addressA, sideA.row, sideA.column, addressB, sideB.row, sideB.column] as const,
      ...[addressOut, scratch] as const,
    );
    return out;
  }
  forEachOffset(
    dimensions,
    [stepsA, stepsB, stepsOut, bias, slopes],
    ([atA, atB, atOut, atBias, atSlopes]) => {
      const c = addressOut + 4 * atOut;
      const after = [
        addressBias + 4 * atBias,
        bias[rank],
        bias[rank + 1],
        activation,
        addressSlopes + 4 * atSlopes,
        slopes[rank],
        slopes[rank + 1],
      ] as const;
      if (k === 0) {
        new Float32Array(context.backend.wasm.HEAPU8.buffer, c >>> 0, m * n).fill(0);
        exports.f32_epilogue(m, n, c, 4 * n, ...after);
      } else {
        exports.f32_gemm(
          ...[tile, m, n, k, addressA + 4 * atA, sideA.row, sideA.column] as const,
          ...[addressB + 4 * atB, sideB.row, sideB.column, c, scratch] as const,
          ...after,
        );
      }
    },
  );
  return out;
}

/** The matrices of a tensor: their batch, size and strides after the transpose. */
interface Side {
  readonly batch: number[];
  readonly rows: number;
  readonly columns: number;
  readonly row: number;
  readonly column: number;
}

function matrixOf({ shape }: tf.TensorInfo, isTransposed: boolean): Side {
  const [rows, columns] = shape.slice(-2);
  const batch = shape.slice(0, -2);
  return isTransposed
    ? { batch, rows: columns, columns: rows, row: 1, column: columns }
    : { batch, rows, columns, row: columns, column: 1 };
}

/** The floats between the matrices of one batch and the next if they are always as many. */
function evenStep({ batch, rows, columns }: Side, out: number[]): number | undefined {
  const size = tf.util.sizeFromShape(batch);
  if (size === tf.util.sizeFromShape(out)) return rows * columns;
  return size === 1 ? 0 : undefined;
}

function isPlain({ bias, activation = "linear" }: Epilogue): boolean {
  return bias === undefined && activation === "linear";
}

/** The float's bits, for a kernel that reads it from memory. */
export function float32Bits(value: number): number {
  return new Int32Array(Float32Array.of(value).buffer)[0];
}
