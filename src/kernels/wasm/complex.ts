/**
 * Complex numbers, which tfjs' wasm backend lacks, and Fourier transforms.
 *
 * A complex tensor is a container of two float32 tensors that other tensors may share: taking parts
 * and putting them together copies nothing. Kernels that treat every element alike, or only move
 * elements, run on the parts.
 */
import * as tf from "../../tensor/tf.ts";
import { callKernel as run } from "./call.ts";
import type { KernelContext, WasmBackend, WasmData } from "./context.ts";
import { fourier } from "./fourier.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";

/** Kernels f with f(x + iy) = f(x) + i f(y). */
const LINEAR = [
  ..."Add AddN BatchToSpaceND BroadcastTo Concat Cumsum ExpandDims FlipLeftRight GatherNd".split(
    " ",
  ),
  ..."GatherV2 Mean MirrorPad Neg Pack PadV2 Reverse ScatterNd Select Slice".split(" "),
  ..."SpaceToBatchND SplitV StridedSlice Sub Sum Tile Transpose Unpack UnsortedSegmentSum".split(
    " ",
  ),
  "ZerosLike",
];

/** `rows`, and kernels of complex tensors over them. */
export function withComplexKernels(rows: KernelRows): KernelRows {
  const complex: Record<string, Kernel> = { ...COMPLEX };
  for (const name of LINEAR) complex[name] = (...call) => onParts(name, ...call);
  const result: Record<string, Kernel> = { ...rows, ...ALWAYS };
  for (const [name, kernel] of Object.entries(complex)) {
    result[name] = (context, inputs, attributes) =>
      Object.values(inputs).some((x) => x?.dtype === "complex64")
        ? kernel(context, inputs, attributes)
        : rows[name]?.(context, inputs, attributes);
  }
  const cast = result.Cast;
  result.Cast = (context, inputs, attributes) =>
    attributes.dtype === "complex64" && inputs.x.dtype !== "complex64"
      ? toComplex(context, inputs.x)
      : cast(context, inputs, attributes);
  return result;
}

/** Kernels whose inputs or results are complex by their nature. */
const ALWAYS: KernelRows = {
  Complex: (context, { real, imag }) =>
    makeComplex(context, context.share(real, real.shape), context.share(imag, imag.shape)),
  ComplexAbs: (context, { x }) => {
    const { real, imag } = partsOf(context, x);
    const y = context.output(x.shape, "float32");
    const [a, b, to] = [real, imag, y].map((part) => floats(context, part));
    // In double precision, where no square of a float32 overflows or vanishes.
    for (let i = 0; i < to.length; i++) to[i] = Math.sqrt(a[i] * a[i] + b[i] * b[i]);
    return y;
  },
  FFT: (context, { input }) => transform(context, input, false),
  IFFT: (context, { input }) => transform(context, input, true),
  Imag: (context, { input }) => context.share(partsOf(context, input).imag, input.shape),
  Real: (context, { input }) => context.share(partsOf(context, input).real, input.shape),
};

/** Kernels of their own rule for complex tensors. */
const COMPLEX: KernelRows = {
  Cast: (context, { x }, { dtype }) => {
    if (dtype === "complex64") return context.share(x, x.shape);
    const { real } = partsOf(context, x);
    return run(context, "Cast", { x: { ...real, shape: x.shape } }, { dtype });
  },
  Multiply: (context, { a, b }) => {
    const [x, y] = [partsOf(context, a), partsOf(context, b)];
    const combine = (
      name: "Add" | "Sub",
      [p, q]: readonly [tf.TensorInfo, tf.TensorInfo],
      [r, s]: readonly [tf.TensorInfo, tf.TensorInfo],
    ): tf.TensorInfo => {
      const left = run(context, "Multiply", { a: p, b: q }, {});
      const right = run(context, "Multiply", { a: r, b: s }, {});
      const result = run(context, name, { a: left, b: right }, {});
      for (const { dataId } of [left, right]) context.backend.disposeData(dataId);
      return result;
    };
    return makeComplex(
      context,
      combine("Sub", [x.real, y.real], [x.imag, y.imag]),
      combine("Add", [x.real, y.imag], [x.imag, y.real]),
    );
  },
  OnesLike: (context, { x }) => {
    const { real, imag } = partsOf(context, x);
    return makeComplex(
      context,
      run(context, "OnesLike", { x: real }, {}),
      run(context, "ZerosLike", { x: imag }, {}),
    );
  },
};

/** The container of two parts, whose references it takes. */
export function makeComplex(
  { backend }: KernelContext,
  real: tf.TensorInfo,
  imag: tf.TensorInfo,
): tf.TensorInfo {
  teachComplex(backend);
  const result = backend.makeOutput(real.shape, "complex64", 0);
  backend.dataIdMap.get(result.dataId).complexTensorInfos = { real, imag };
  return result;
}

/** The parts in the shape that the container has now; still owned by it. */
function partsOf(
  { backend }: KernelContext,
  { dataId, shape }: tf.TensorInfo,
): NonNullable<WasmData["complexTensorInfos"]> {
  const { real, imag } = backend.dataIdMap.get(dataId).complexTensorInfos!;
  return { real: { ...real, shape }, imag: { ...imag, shape } };
}

const taught = new WeakSet<WasmBackend>();

/** Makes the backend read, free and receive from other backends the parts of complex tensors. */
function teachComplex(backend: WasmBackend): void {
  if (taught.has(backend)) return;
  taught.add(backend);
  const { readSync, disposeData } = backend;
  // tfjs passes a range of elements to its own method.
  backend.readSync = (dataId: object, ...range: number[]): tf.backend_util.BackendValues => {
    const read = (id: object, ...rest: number[]): tf.backend_util.BackendValues =>
      readSync.call(backend, id, ...rest as []);
    const parts = backend.dataIdMap.get(dataId).complexTensorInfos;
    if (parts === undefined) return read(dataId, ...range);
    const [real, imag] = [parts.real, parts.imag].map((part) => read(part.dataId) as Float32Array);
    return tf.backend_util.mergeRealAndImagArrays(real, imag);
  };
  backend.disposeData = (dataId, force): boolean => {
    const parts = backend.refCount(dataId) > 0
      ? backend.dataIdMap.get(dataId).complexTensorInfos
      : undefined;
    const isGone = disposeData.call(backend, dataId, force);
    if (isGone && parts !== undefined) {
      for (const part of [parts.real, parts.imag]) backend.disposeData(part.dataId);
    }
    return isGone;
  };
}

function toComplex(context: KernelContext, x: tf.TensorInfo): tf.TensorInfo {
  const real = run(context, "Cast", { x }, { dtype: "float32" });
  const imag = context.output(x.shape, "float32");
  floats(context, imag).fill(0);
  return makeComplex(context, real, imag);
}

/** A linear kernel on the real parts, then on the imaginary parts; real inputs go to both. */
function onParts(
  name: string,
  context: KernelContext,
  inputs: Inputs,
  attributes: Attributes,
): tf.TensorInfo | tf.TensorInfo[] {
  // A constant around the elements is a real number.
  const ofImag = "constantValue" in attributes ? { ...attributes, constantValue: 0 } : attributes;
  const results = (["real", "imag"] as const).map((part) => {
    const of = (x: tf.TensorInfo): tf.TensorInfo =>
      x?.dtype === "complex64" ? partsOf(context, x)[part] : x;
    const parts = Array.isArray(inputs)
      ? inputs.map(of)
      : Object.fromEntries(Object.entries(inputs).map(([key, x]) => [key, of(x)]));
    const result: tf.TensorInfo | tf.TensorInfo[] = run(
      context,
      name,
      parts,
      part === "imag" ? ofImag : attributes,
    );
    return result;
  });
  const [real, imag] = results.map((result) => [result].flat());
  const made = real.map((x, i) => makeComplex(context, x, imag[i]));
  return Array.isArray(results[0]) ? made : made[0];
}

/** The discrete Fourier transform of every row, see fourier.ts. */
function transform(context: KernelContext, x: tf.TensorInfo, isInverse: boolean): tf.TensorInfo {
  const { real, imag } = partsOf(context, x);
  const parts = [context.output(x.shape, "float32"), context.output(x.shape, "float32")] as const;
  const [re, im, toRe, toIm] = [real, imag, ...parts].map((part) => floats(context, part));
  fourier(x.shape[x.shape.length - 1], isInverse, re, im, toRe, toIm);
  return makeComplex(context, ...parts);
}

function floats(context: KernelContext, x: tf.TensorInfo): Float32Array {
  const { buffer } = context.backend.wasm.HEAPU8;
  return new Float32Array(buffer, context.address(x), tf.util.sizeFromShape(x.shape));
}
