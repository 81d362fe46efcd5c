/** What a row of the kernel table is. */
import type * as tf from "../../tensor/tf.ts";
import type { KernelContext } from "./context.ts";

/** A kernel's tensors by name; the engine gives what the operation says. */
export type Inputs = Readonly<Record<string, tf.TensorInfo>>;

/** A kernel's other arguments by name. */
export type Attributes = Readonly<Record<string, unknown>>;

/** A kernel: new tensors, or undefined where the inputs are left to tfjs' own kernel. */
export type Kernel = (
  context: KernelContext,
  inputs: Inputs,
  attributes: Attributes,
) => tf.TensorInfo | tf.TensorInfo[] | undefined;

/** Kernels by their tfjs names. */
export type KernelRows = Readonly<Record<string, Kernel>>;
