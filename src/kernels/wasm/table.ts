/** The kernels that replace or add entries of tfjs' registry: a row each, by families. */
import { gemmKernels } from "./gemm.ts";
import type { KernelRows } from "./kernel.ts";
import { unaryKernels } from "./unary.ts";

/** Every kernel, by its tfjs name. */
export const kernels: KernelRows = {
  ...gemmKernels,
  ...unaryKernels,
};
