/** The kernels that replace or add entries of tfjs' registry: a row each, by families. */
import { attentionKernels } from "./attention.ts";
import { binaryKernels } from "./binary.ts";
import { copyKernels } from "./copy.ts";
import { crossEntropyKernels } from "./cross_entropy.ts";
import { dropoutKernels } from "./dropout.ts";
import { embeddingKernels } from "./embedding.ts";
import { geluKernels } from "./gelu.ts";
import { gemmKernels } from "./gemm.ts";
import type { KernelRows } from "./kernel.ts";
import { layerNormKernels } from "./layer_norm.ts";
import { linearKernels } from "./linear.ts";
import { movingAverageKernels } from "./moving_average.ts";
import { recurrentKernels } from "./recurrent.ts";
import { reduceKernels } from "./reduce.ts";
import { softmaxKernels } from "./softmax.ts";
import { unaryKernels } from "./unary.ts";

/** Every kernel, by its tfjs name; `Downhill...` are those of src/nn. */
export const kernels: KernelRows = {
  ...attentionKernels,
  ...binaryKernels,
  ...copyKernels,
  ...crossEntropyKernels,
  ...dropoutKernels,
  ...embeddingKernels,
  ...geluKernels,
  ...gemmKernels,
  ...layerNormKernels,
  ...linearKernels,
  ...movingAverageKernels,
  ...recurrentKernels,
  ...reduceKernels,
  ...softmaxKernels,
  ...unaryKernels,
};
