/** Dropout from counter-based random numbers, on as/dropout.ts: see src/nn. */
import * as tf from "../../tensor/tf.ts";
import type { KernelRows } from "./kernel.ts";

/** The rows of the kernel table. */
export const dropoutKernels: KernelRows = {
  DownhillDropout: (context, { x }, attributes) => {
    const { key, position, rate } = attributes as {
      key: readonly [number, number];
      position: number;
      rate: number;
    };
    const y = context.output(x.shape, "float32");
    context.exports.f32_dropout(
      ...[tf.util.sizeFromShape(x.shape), context.address(x), ...key, position] as Five,
      ...[Math.ceil(rate * 0x1000000), 1 / (1 - rate), context.address(y)] as const,
    );
    return y;
  },
};

type Five = [number, number, number, number, number];
