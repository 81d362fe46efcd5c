/** Running sums and products over any axis, on as/scan.ts. */
import * as tf from "../../tensor/tf.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import type { KernelExports } from "./module.ts";

/** One function of the module. */
type Loop = KernelExports["f32_cumsum"] | KernelExports["i32_cumsum"];

/** The rows of the kernel table. */
export const scanKernels: KernelRows = {
  Cumprod: scan((e) => e.f32_cumprod, (e) => e.i32_cumprod),
  Cumsum: scan((e) => e.f32_cumsum, (e) => e.i32_cumsum),
};

function scan(float: (e: KernelExports) => Loop, int: (e: KernelExports) => Loop): Kernel {
  return (context, { x }, { axis, exclusive, reverse }) => {
    const { shape, dtype } = x;
    if (dtype !== "float32" && dtype !== "int32") return undefined;
    const y = context.output(shape, dtype);
    if (tf.util.sizeFromShape(shape) === 0) return y;
    const along = tf.util.parseAxisParam(axis as number, shape)[0];
    (dtype === "float32" ? float : int)(context.exports)(
      tf.util.sizeFromShape(shape.slice(0, along)),
      shape[along] ?? 1,
      tf.util.sizeFromShape(shape.slice(along + 1)),
      exclusive ? 1 : 0,
      reverse ? 1 : 0,
      context.address(x),
      context.address(y),
      context.scratch(context.exports.f32_scan_scratch()),
    );
    return y;
  };
}
