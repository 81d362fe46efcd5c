/**
 * The matrix products: all of the relaxed module, and a part of the plain one. Only these sums may
 * be fused, because their order never depends on how the work is cut.
 */
export * from "./attention";
export * from "./conv";
export * from "./depthwise";
export * from "./epilogue";
export { f32_gemm, f32_gemm_batch, f32_gemm_scratch } from "./gemm";
export * from "./gemm_tiles";
export * from "./recurrent";
