/** The tensors of a loop. */
import { unreachable } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { Leaf } from "./loop.ts";

/** What an update works on; all tensors have the size of the parameter. */
export interface Operands {
  readonly param: tf.Variable;
  readonly gradient: tf.Tensor;
  /** Multiplies the gradient before anything else. @default 1 */
  readonly scale?: number | tf.Scalar;
  readonly slots: Readonly<Record<string, tf.Variable>>;
  /** Host numbers in double precision; a scalar tensor stays on the device. */
  readonly scalars: Readonly<Record<string, number | tf.Scalar>>;
  /** The update happens only if every element of this tensor is finite. */
  readonly guard?: tf.Tensor;
}

/** The float32 tensor of `leaf`; a gradient of another type is converted. Call inside tidy. */
export function tensorOf(leaf: Leaf, operands: Operands): tf.Tensor {
  const { param, gradient, slots } = operands;
  const tensor = leaf.kind === "slot"
    ? slots[leaf.name] ?? unreachable(`no state slot '${leaf.name}'`)
    : leaf.kind === "param"
    ? param
    : gradient;
  if (tensor.size !== param.size) {
    unreachable(`${param.size} elements, ${tensor.size} in ${leaf.kind}`);
  }
  return tensor.dtype === "float32" ? tensor : tf.cast(tensor, "float32");
}

/** Gives `variable` a copy of its data. Call inside tidy. */
export function unshare(variable: tf.Variable): void {
  variable.assign(tf.mul(variable, 1));
}
