/** The kernels that replace or add entries of tfjs' registry: a row each, by families. */
import { batchNormKernels } from "./batch_norm.ts";
import { binaryKernels } from "./binary.ts";
import { blockKernels } from "./blocks.ts";
import { convKernels } from "./conv.ts";
import { copyKernels } from "./copy.ts";
import { depthwiseKernels } from "./depthwise.ts";
import { einsumKernels } from "./einsum.ts";
import { withComplexKernels } from "./complex.ts";
import { gemmKernels } from "./gemm.ts";
import { withHostKernels } from "./host.ts";
import type { KernelRows } from "./kernel.ts";
import { layoutKernels } from "./layout.ts";
import { poolKernels } from "./pool.ts";
import { reduceKernels } from "./reduce.ts";
import { scanKernels } from "./scan.ts";
import { segmentKernels } from "./segment.ts";
import { softmaxKernels } from "./softmax.ts";
import { unaryKernels } from "./unary.ts";

/** Every kernel, by its tfjs name. */
export const kernels: KernelRows = withHostKernels(withComplexKernels({
  ...batchNormKernels,
  ...binaryKernels,
  ...blockKernels,
  ...convKernels,
  ...copyKernels,
  ...depthwiseKernels,
  ...einsumKernels,
  ...gemmKernels,
  ...layoutKernels,
  ...poolKernels,
  ...reduceKernels,
  ...scanKernels,
  ...segmentKernels,
  ...softmaxKernels,
  ...unaryKernels,
}));
