/** The plain module: every kernel. */
export * from "./binary";
export * from "./copy";
export * from "./gemm_i32";
export * from "./pool";
export * from "./products";
export * from "./reduce";
export * from "./softmax";
export * from "./unary";
