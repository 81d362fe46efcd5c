/** Calling a registered kernel, ours or tfjs', from inside another one. */
import * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";
import type { Attributes, Inputs } from "./kernel.ts";

/** What the wasm kernel `name` answers; the caller disposes it. */
export function callKernel(
  { backend }: KernelContext,
  name: string,
  inputs: Inputs | readonly tf.TensorInfo[],
  attributes: Attributes = {},
): tf.TensorInfo {
  return tf.getKernel(name, "wasm").kernelFunc({
    inputs: inputs as tf.NamedTensorInfoMap,
    attrs: attributes as tf.NamedAttrMap,
    backend,
  }) as tf.TensorInfo;
}
