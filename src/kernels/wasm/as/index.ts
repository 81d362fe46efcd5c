/** The plain module: every kernel. */
export * from "./binary";
export * from "./copy";
export * from "./cross_entropy";
export * from "./dropout";
export * from "./embedding";
export * from "./gelu";
export * from "./gemm_i32";
export * from "./layer_norm";
export * from "./moving_average";
export * from "./products";
export * from "./reduce";
export { f32_softmax } from "./softmax";
export * from "./unary";
