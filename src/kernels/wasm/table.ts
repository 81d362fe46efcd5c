/** The kernels that replace or add entries of tfjs' registry: a row each, by families. */
import { binaryKernels } from "./binary.ts";
import { blockKernels } from "./blocks.ts";
import { convKernels } from "./conv.ts";
import { copyKernels } from "./copy.ts";
import { depthwiseKernels } from "./depthwise.ts";
import { gemmKernels } from "./gemm.ts";
import type { KernelRows } from "./kernel.ts";
import { poolKernels } from "./pool.ts";
import { reduceKernels } from "./reduce.ts";
import { softmaxKernels } from "./softmax.ts";
import { unaryKernels } from "./unary.ts";

/** Every kernel, by its tfjs name. */
export const kernels: KernelRows = {
  ...binaryKernels,
  ...blockKernels,
  ...convKernels,
  ...copyKernels,
  ...depthwiseKernels,
  ...gemmKernels,
  ...poolKernels,
  ...reduceKernels,
  ...softmaxKernels,
  ...unaryKernels,
};
