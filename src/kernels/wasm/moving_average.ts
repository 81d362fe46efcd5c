/** Centred moving averages over time and their gradient, on as/moving_average.ts: see src/nn. */
import type { KernelContext } from "./context.ts";
import type { Kernel, KernelRows } from "./kernel.ts";
import type { KernelExports } from "./module.ts";

type Loop = KernelExports["f32_moving_average"];

/** The rows of the kernel table. */
export const movingAverageKernels: KernelRows = {
  DownhillMovingAverage: average(({ exports }) => exports.f32_moving_average),
  DownhillMovingAverageGrad: average(({ exports }) => exports.f32_moving_average_grad),
};

function average(loop: (context: KernelContext) => Loop): Kernel {
  return (context, { x }, { half }) => {
    const [batch, time, channels] = x.shape;
    const y = context.output(x.shape, "float32");
    if (x.shape.includes(0)) return y;
    const sizes = [batch, time, channels, half as number] as const;
    const bytes = context.exports.f32_moving_average_scratch(time, channels, half as number);
    const [from, to] = [context.address(x), context.address(y)];
    loop(context)(...sizes, from, to, context.scratch(bytes));
    return y;
  };
}
