/** The one instruction in which the two builds of the matrix products differ. */

/** a * b + c: rounded once where the module is built with relaxed SIMD, else twice. */
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}
