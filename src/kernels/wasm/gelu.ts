/** The exact GELU and its gradient, on as/unary.ts and as/gelu.ts: see src/nn. */
import * as tf from "../../tensor/tf.ts";
import type { KernelRows } from "./kernel.ts";

/** The rows of the kernel table. */
export const geluKernels: KernelRows = {
  DownhillGelu: (context, { x }) => {
    const y = context.output(x.shape, "float32");
    const size = tf.util.sizeFromShape(x.shape);
    context.exports.f32_gelu(size, context.address(x), context.address(y), 0);
    return y;
  },
  DownhillGeluGrad: (context, { x, dy }) => {
    const dx = context.output(x.shape, "float32");
    const [from, d, to] = [x, dy, dx].map((t) => context.address(t));
    context.exports.f32_gelu_grad(tf.util.sizeFromShape(x.shape), from, d, to);
    return dx;
  },
};
