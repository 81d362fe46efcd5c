/** The plain module: every kernel. */
export * from "./batch_norm";
export * from "./binary";
export * from "./copy";
export * from "./gemm_i32";
export * from "./logical";
export * from "./pool";
export * from "./products";
export * from "./reduce";
export * from "./reduce_i32";
export * from "./scan";
export * from "./segment";
export * from "./softmax";
export * from "./unary";
