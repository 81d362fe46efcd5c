/** Differentiable functions and initial weights for model authors, exported as `nn`. */
export { attention, type AttentionOptions, attentionScores } from "./attention.ts";
export { batchNorm, type BatchNormOptions } from "./batch_norm.ts";
export { dropout, dropoutMask, type DropoutOptions } from "./dropout.ts";
export { embedding } from "./embedding.ts";
export { gelu } from "./gelu.ts";
export * as init from "./init.ts";
export { layerNorm, rmsNorm } from "./layer_norm.ts";
export { linear } from "./linear.ts";
export { movingAverage } from "./moving_average.ts";
export {
  gru,
  type GruResult,
  type GruState,
  lstm,
  type LstmResult,
  type LstmState,
  type RecurrentWeights,
} from "./recurrent.ts";
export { softmaxCrossEntropy, type SoftmaxCrossEntropyOptions } from "./softmax_cross_entropy.ts";
export { irfft, rfft, type Spectrum } from "./spectral.ts";
export { type LinearVariables, Variables } from "./variables.ts";
