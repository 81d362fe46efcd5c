/**
 * Functions that a backend may have as one kernel under a name of ours (`Downhill...`); the wasm
 * backend has all of them (src/kernels), and elsewhere the functions are composed of tfjs' ops.
 *
 * A kernel brings its first derivative. Inside a gradient of a gradient the composition takes its
 * place, so that higher derivatives are those of tfjs' ops, but where a kernel's gradient is made of
 * kernels that have gradients themselves.
 */
import * as tf from "../tensor/tf.ts";

/** Whether the backend has the kernel `name`, and the tensors are what it takes. */
export function hasKernel(name: string, ...tensors: (tf.Tensor | undefined)[]): boolean {
  return tf.getKernel(name, tf.getBackend()) !== undefined &&
    tensors.every((x) => x === undefined || x.dtype === "float32");
}

/** Whether a function whose kernel has a first derivative alone is to run as that kernel. */
export function isFused(name: string, ...tensors: (tf.Tensor | undefined)[]): boolean {
  return hasKernel(name, ...tensors) && tf.engine().state.gradientDepth < 2;
}

/** Runs a kernel; inputs that are undefined are left out. */
export function runKernel(
  name: string,
  inputs: Readonly<Record<string, tf.Tensor | undefined>>,
  attributes: Readonly<Record<string, unknown>> = {},
): tf.Tensor[] {
  const given = Object.entries(inputs).filter(([, x]) => x !== undefined);
  const result = tf.engine().runKernel(
    name,
    Object.fromEntries(given) as tf.NamedTensorMap,
    attributes as tf.NamedAttrMap,
  );
  return Array.isArray(result) ? result : [result as tf.Tensor];
}

/**
 * An op with its own gradient: `forward` answers the value and then the tensors that `backward` is
 * given after the value's gradient; `backward` answers a gradient an input.
 */
export function differentiable(
  inputs: readonly tf.Tensor[],
  forward: () => tf.Tensor[],
  backward: (dy: tf.Tensor, ...saved: tf.Tensor[]) => tf.Tensor[],
): tf.Tensor {
  return tf.customGrad((...args) => {
    const save = args[args.length - 1] as (tensors: tf.Tensor[]) => void;
    const [value, ...needed] = forward();
    save(needed);
    return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => backward(dy, ...saved) };
  })(...inputs);
}
