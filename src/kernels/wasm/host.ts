/**
 * Rare kernels and tensors of strings, computed by tfjs' cpu kernels on copies of the data.
 *
 * The heap has no strings, and what nobody trains with (ragged tensors, regular expressions) is not
 * worth a kernel. tfjs' cpu module is imported when a wasm backend is chosen; kernels are synchronous
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
  const copies = Object.entries(inputs).map(([key, x]) =>
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
