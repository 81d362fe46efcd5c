/**
 * Rare kernels and tensors of strings, computed by tfjs' cpu kernels on copies of the data.
 *
 * The heap has no strings, and what nobody trains with (ragged tensors, regular expressions, roots of
 * bool tensors) is not worth a kernel; of some of it tfjs' wasm kernels read or write memory that is
 * not theirs. tfjs' cpu module is imported when a wasm backend is chosen; kernels are synchronous
 * and cannot wait for it.
 */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Inputs, Kernel, KernelRows } from "./kernel.ts";

/** What is used of tfjs' cpu backend. */
interface HostBackend extends tf.KernelBackend {
  makeTensorInfo(
    shape: number[],
    dtype: tf.DataType,
    values: tf.backend_util.BackendValues,
  ): tf.TensorInfo;
}

/** Kernels that tfjs' wasm backend lacks and that are computed here. */
const RARE = ["RaggedGather", "RaggedRange", "RaggedTensorToTensor", "StaticRegexReplace"];

/** Kernels that take or give strings, of which tfjs' wasm kernels read addresses. */
const OF_STRINGS = [
  ..."Equal Fill GatherNd Greater GreaterEqual Less LessEqual NotEqual Pack".split(" "),
  ..."SparseToDense StridedSlice Tile Unique Unpack".split(" "),
];

type Test = (inputs: Inputs, attributes: Attributes) => boolean;

const isBool: Test = ({ x }) => x.dtype === "bool";
const isEmpty: Test = ({ x }) => tf.util.sizeFromShape(x.shape) === 0;
const isInteger: Test = ({ x }) => x.dtype === "int32" || x.dtype === "bool";
const isMixed: Test = (inputs) =>
  Object.values(inputs).some((x) => x?.dtype === "int32" || x?.dtype === "bool");

/** Of what our kernels leave to tfjs, the inputs with which its wasm kernels are wrong. */
const MISREAD: Readonly<Record<string, Test>> = {
  ...rowsOf("Abs Ceil Floor Neg Relu Relu6 Round Sign Square", isBool),
  ...rowsOf("Acos Acosh Asin Asinh Atan Atanh Cos Cosh Elu Erf Exp Expm1 LeakyRelu Log", isInteger),
  ...rowsOf("Log1p Reciprocal Rsqrt Selu Sigmoid Sin Sinh Softplus Sqrt Step Tan Tanh", isInteger),
  ...rowsOf("ArgMax ArgMin", isEmpty),
  ...rowsOf("ClipByValue IsFinite IsInf IsNan", isInteger),
  ...rowsOf("AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad BatchMatMul Dilation2D", isMixed),
  ...rowsOf("Dilation2DBackpropFilter Dilation2DBackpropInput FusedBatchNorm LRN LRNGrad", isMixed),
  ...rowsOf("MaxPool MaxPool3D MaxPool3DGrad MaxPoolGrad", isMixed),
  ...rowsOf("Atan2 FloorDiv Mod Prelu _FusedMatMul", isMixed),
  MaxPoolWithArgmax: () => true,
  ScatterNd: ({ updates }) => updates.dtype === "bool",
  Select: ({ t, e }) => t.dtype !== e.dtype,
  TopK: isBool,
};

/** Kernels that take every input for float32. */
const OF_FLOATS = [
  ..."Conv2D Conv2DBackpropFilter Conv2DBackpropInput Conv3D Conv3DBackpropFilterV2".split(" "),
  ..."Conv3DBackpropInputV2 DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter".split(" "),
  ..."DepthwiseConv2dNativeBackpropInput FusedConv2D FusedDepthwiseConv2D".split(" "),
];

function rowsOf(names: string, test: Test): Record<string, Test> {
  return Object.fromEntries(names.split(" ").map((name) => [name, test]));
}

let host: HostBackend | undefined;

/** Loads tfjs' cpu kernels, once; until then the kernels here are missing. */
export async function loadHostKernels(): Promise<void> {
  if (host !== undefined) return;
  const { MathBackendCPU } = await import("@tensorflow/tfjs-backend-cpu");
  const backend = new MathBackendCPU();
  // Or it prints a banner at its first tensor.
  (backend as unknown as { firstUse: boolean }).firstUse = false;
  host = backend;
}

/** `rows`, and kernels of strings and rare ones over them. */
export function withHostKernels(rows: KernelRows): KernelRows {
  const result: Record<string, Kernel> = { ...rows };
  for (const name of RARE) result[name] = (...call) => onHost(name, ...call);
  for (const name of OF_STRINGS) {
    result[name] = (context, inputs, attributes) =>
      hasStrings(inputs, attributes)
        ? onHost(name, context, inputs, attributes)
        : rows[name]?.(context, inputs, attributes);
  }
  for (const name of OF_FLOATS) {
    result[name] = (context, inputs, attributes) =>
      isMixed(inputs, attributes)
        ? onHost(name, context, inputs, attributes)
        : rows[name]?.(context, inputs, attributes);
  }
  for (const [name, isMisread] of Object.entries(MISREAD)) {
    result[name] = (context, inputs, attributes) =>
      rows[name]?.(context, inputs, attributes) ??
        (isMisread(inputs, attributes) ? onHost(name, context, inputs, attributes) : undefined);
  }
  return result;
}

function hasStrings(inputs: Inputs, { dtype, value }: Attributes): boolean {
  return dtype === "string" || typeof value === "string" ||
    Object.values(inputs).some((x) => x?.dtype === "string");
}

/** The result of tfjs' cpu kernel `name`; undefined where it is not loaded. */
function onHost(
  name: string,
  { backend }: KernelContext,
  inputs: Inputs,
  attributes: Attributes,
): ReturnType<Kernel> {
  const kernel = tf.getKernel(name, "cpu");
  if (host === undefined || kernel === undefined) return undefined;
  const cpu = host;
  const copies = Object.entries(inputs).filter(([, x]) => x != null).map(([key, x]) =>
    [
      key,
      Array.isArray(x) ? x.map((item) => copy(item as tf.TensorInfo)) : copy(x),
    ] as const
  );
  function copy({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
    return cpu.makeTensorInfo(shape, dtype, backend.readSync(dataId));
  }
  const given = Array.isArray(inputs)
    ? copies.map(([, copied]) => copied)
    : Object.fromEntries(copies);
  let made: tf.TensorInfo[] = [];
  try {
    const result = kernel.kernelFunc({
      inputs: given as tf.NamedTensorInfoMap,
      attrs: attributes as tf.NamedAttrMap,
      backend: cpu,
    });
    made = [result].flat();
    const moved = made.map(({ dataId, shape, dtype }) => ({
      dataId: backend.write(typed(cpu.readSync(dataId), dtype), shape, dtype),
      shape,
      dtype,
    }));
    return Array.isArray(result) ? moved : moved[0];
  } finally {
    for (const { dataId } of [...made, ...copies.flatMap(([, copied]) => copied)]) {
      cpu.disposeData(dataId);
    }
  }
}

/** The values in the kind of array that the heap holds. */
function typed(
  values: tf.backend_util.BackendValues,
  dtype: tf.DataType,
): tf.backend_util.BackendValues {
  return dtype === "string"
    ? values
    : tf.util.toTypedArray(values as Float32Array, dtype) as tf.backend_util.BackendValues;
}
