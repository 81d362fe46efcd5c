/** The derivative of the exact GELU; the function itself is in unary.ts. */
import { loadPart, storePart } from "./lanes";
import { erf4, exp4 } from "./math";

@inline
function slope(x: v128): v128 {
  const half = f32x4.splat(0.5);
  const below = f32x4.add(half, f32x4.mul(half, erf4(f32x4.mul(x, f32x4.splat(0.7071067811865476)))));
  const density = f32x4.mul(exp4(f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5))), f32x4.splat(0.3989422804014327));
  return f32x4.add(below, f32x4.mul(x, density));
}

/**
 * dx[i] = dy[i] (P(x[i]) + x[i] p(x[i])), P and p the normal distribution and its density.
 *
 * Needs:  n >= 0; any alignment; nothing past the arrays is touched.
 * Error:  of the derivative, absolute: 2^-21.
 */
export function f32_gelu_grad(n: i32, x: usize, dy: usize, dx: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(dx, f32x4.mul(v128.load(dy), slope(v128.load(x))));
    x += 16;
    dy += 16;
    dx += 16;
  }
  if (i < n) storePart(dx, f32x4.mul(loadPart(dy, n - i), slope(loadPart(x, n - i))), n - i);
}
