/** `Softmax` over the last axis, on as/softmax.ts. */
import * as tf from "../../tensor/tf.ts";
import type { KernelRows } from "./kernel.ts";

/** The rows of the kernel table. */
export const softmaxKernels: KernelRows = {
  Softmax: (context, { logits }, { dim }) => {
    const { shape, dtype } = logits;
    if (dtype !== "float32" || dim !== shape.length - 1) return undefined;
    const y = context.output(shape, dtype);
    const [size, columns] = [tf.util.sizeFromShape(shape), shape[shape.length - 1]];
    if (size === 0) return y;
    const [from, to] = [context.address(logits), context.address(y)];
    context.exports.f32_softmax(size / columns, columns, from, to);
    return y;
  },
};
