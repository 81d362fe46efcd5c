/** The plain module: every kernel. */
export * from "./gemm_i32";
export * from "./products";
export * from "./unary";
