/** The kernels that replace or add entries of tfjs' registry: a row each, by families. */
import { attentionKernels } from "./attention.ts";
import { batchNormKernels } from "./batch_norm.ts";
import { binaryKernels } from "./binary.ts";
import { blockKernels } from "./blocks.ts";
import { convKernels } from "./conv.ts";
import { copyKernels } from "./copy.ts";
import { crossEntropyKernels } from "./cross_entropy.ts";
import { depthwiseKernels } from "./depthwise.ts";
import { dilationKernels } from "./dilation.ts";
import { dropoutKernels } from "./dropout.ts";
import { einsumKernels } from "./einsum.ts";
import { embeddingKernels } from "./embedding.ts";
import { geluKernels } from "./gelu.ts";
import { withComplexKernels } from "./complex.ts";
import { gemmKernels } from "./gemm.ts";
import { withHostKernels } from "./host.ts";
import type { KernelRows } from "./kernel.ts";
import { layerNormKernels } from "./layer_norm.ts";
import { layoutKernels } from "./layout.ts";
import { linearKernels } from "./linear.ts";
import { movingAverageKernels } from "./moving_average.ts";
import { poolKernels } from "./pool.ts";
import { recurrentKernels } from "./recurrent.ts";
import { reduceKernels } from "./reduce.ts";
import { scanKernels } from "./scan.ts";
import { segmentKernels } from "./segment.ts";
import { softmaxKernels } from "./softmax.ts";
import { unaryKernels } from "./unary.ts";

/** Every kernel, by its tfjs name; `Downhill...` are those of src/nn. */
export const kernels: KernelRows = withHostKernels(withComplexKernels({
  ...attentionKernels,
  ...batchNormKernels,
  ...binaryKernels,
  ...blockKernels,
  ...convKernels,
  ...copyKernels,
  ...crossEntropyKernels,
  ...depthwiseKernels,
  ...dilationKernels,
  ...dropoutKernels,
  ...einsumKernels,
  ...embeddingKernels,
  ...geluKernels,
  ...gemmKernels,
  ...layerNormKernels,
  ...layoutKernels,
  ...linearKernels,
  ...movingAverageKernels,
  ...poolKernels,
  ...recurrentKernels,
  ...reduceKernels,
  ...scanKernels,
  ...segmentKernels,
  ...softmaxKernels,
  ...unaryKernels,
}));
