/** Sums that several kernels share. */
import { loadPart, storePart } from "./lanes";

/** The sum of four lanes, the pairs (0, 2) and (1, 3) first. */
@inline
export function foldLanes(s: v128): f32 {
  const pairs = f32x4.add(s, v128.shuffle<f32>(s, s, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** All bits set in the first `n` (0 to 4) lanes. */
@inline
export function firstLanes(n: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(n));
}

/** y[i] += x[i] for n floats. */
export function addTo(n: i32, x: usize, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
    x += 16;
    y += 16;
  }
  if (i < n) storePart(y, f32x4.add(loadPart(y, n - i), loadPart(x, n - i)), n - i);
}
