/** The kernels that replace or add entries of tfjs' registry: a row each, by families. */
import { binaryKernels } from "./binary.ts";
import { withComplexKernels } from "./complex.ts";
import { copyKernels } from "./copy.ts";
import { einsumKernels } from "./einsum.ts";
import { gemmKernels } from "./gemm.ts";
import { withHostKernels } from "./host.ts";
import type { KernelRows } from "./kernel.ts";
import { reduceKernels } from "./reduce.ts";
import { segmentKernels } from "./segment.ts";
import { softmaxKernels } from "./softmax.ts";
import { unaryKernels } from "./unary.ts";

/** Every kernel, by its tfjs name. */
export const kernels: KernelRows = withHostKernels(withComplexKernels({
  ...binaryKernels,
  ...copyKernels,
  ...einsumKernels,
  ...gemmKernels,
  ...reduceKernels,
  ...segmentKernels,
  ...softmaxKernels,
  ...unaryKernels,
}));
