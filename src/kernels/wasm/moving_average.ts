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

/** Scratch memory that is used where a longer or wider tensor can be cut into pieces. */
const FLOATS = 2 ** 22;

function average(loop: (context: KernelContext) => Loop): Kernel {
  return (context, { x }, attributes) => {
    const [batch, time, channels] = x.shape;
    const half = attributes.half as number;
    const y = context.output(x.shape, "float32");
    if (x.shape.includes(0)) return y;
    const [steps, width] = pieceOf(time, channels, half);
    const scratch = context.scratch(4 * (3 * steps + 4 * half) * width);
    const [from, to] = [context.address(x), context.address(y)];
    loop(context)(batch, time, channels, half, steps, width, from, to, scratch);
    return y;
  };
}

/** Steps and channels of a piece: at least two windows long, then as wide as fits, then longer. */
function pieceOf(time: number, channels: number, half: number): [steps: number, width: number] {
  const least = Math.min(time, 4 * half);
  const fitting = Math.floor(FLOATS / (3 * least + 4 * half));
  const width = Math.min(channels, fitting > 16 ? fitting - fitting % 16 : Math.max(1, fitting));
  return [Math.max(least, Math.min(time, Math.floor((FLOATS / width - 4 * half) / 3))), width];
}
