/**
 * The one place that imports TensorFlow.js.
 *
 * Importing `@tensorflow/tfjs-layers` registers every gradient in all runtimes (the CommonJS
 * bundles of tfjs-core that Node and Deno resolve register none by themselves), and
 * `chained_ops.ts` puts the chained ops (`x.reshape()`), which they lack too, on the tensor class.
 * `gradients.ts` adds those that tfjs lacks; of convolutions, `convolution_gradients.ts` and
 * `dilated_convolutions.ts`; of poolings, `average_pool.ts`. `convolution_layers.ts` mends layers,
 * `batch_norm.ts` and `batch_norm_layer.ts` batch normalization, and `broadcast.ts` broadcasting to
 * sizes of 0. `variable_grads.ts` frees early what a gradient no longer needs.
 * No backend is registered here: that is `selectBackend`.
 */
import { registerAveragePoolGradients } from "./average_pool.ts";
import { patchBatchNormalization } from "./batch_norm_layer.ts";
import { registerChainedOps } from "./chained_ops.ts";
import { registerConvolutionGradients } from "./convolution_gradients.ts";
import { patchConvolutionLayers } from "./convolution_layers.ts";
import { registerGradients } from "./gradients.ts";

export * from "@tensorflow/tfjs-core";
export * from "@tensorflow/tfjs-layers";
export { avgPool, avgPool3d, pool } from "./average_pool.ts";
export { batchNorm, batchNorm2d, batchNorm3d, batchNorm4d } from "./batch_norm.ts";
export { broadcastTo, where } from "./broadcast.ts";
export { depthwiseConv2d, fused, separableConv2d } from "./dilated_convolutions.ts";
export { mirrorPad } from "./mirror_pad.ts";
export { variableGrads } from "./variable_grads.ts";
// Declares the chained ops on the tensor type; nothing is imported at run time.
export type * from "@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js";

registerChainedOps();
registerAveragePoolGradients();
registerConvolutionGradients();
patchConvolutionLayers();
patchBatchNormalization();
// After tfjs-layers, whose gradients some of ours replace.
registerGradients();
