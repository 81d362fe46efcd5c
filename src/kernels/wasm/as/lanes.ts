/** Parts of vectors: loads and stores of fewer than four lanes, transposes of four by four, runs. */

/** The first `n` (1 to 3) floats at `p`, the other lanes zero; never reads past them. */
@inline
export function loadPart(p: usize, n: i32): v128 {
  if (n == 1) return v128.load_zero<f32>(p);
  const two = v128.load_zero<f64>(p);
  return n == 2 ? two : v128.load_lane<f32>(p, two, 2, 8);
}

/** Stores the first `n` (1 to 3) lanes at `p`. */
@inline
export function storePart(p: usize, x: v128, n: i32): void {
  if (n == 1) {
    v128.store_lane<f32>(p, x, 0);
  } else {
    v128.store_lane<f64>(p, x, 0);
    if (n == 3) v128.store_lane<f32>(p, x, 2, 8);
  }
}

/** The first `n` floats at `p`, of four or more the first four. */
@inline
export function loadLanes(p: usize, n: i32): v128 {
  return n >= 4 ? v128.load(p) : loadPart(p, n);
}

/** Stores the first `n` lanes at `p`, all of them if `n` is four or more. */
@inline
export function storeLanes(p: usize, x: v128, n: i32): void {
  if (n >= 4) v128.store(p, x);
  else storePart(p, x, n);
}

/** Lanes 0 of four vectors, and likewise lanes 1 to 3, from the pairs that `zipLow`, `zipHigh` make. */
@inline
export function zipLow(x: v128, y: v128): v128 {
  return v128.shuffle<f32>(x, y, 0, 4, 1, 5);
}

@inline
export function zipHigh(x: v128, y: v128): v128 {
  return v128.shuffle<f32>(x, y, 2, 6, 3, 7);
}

@inline
export function joinLow(x: v128, y: v128): v128 {
  return v128.shuffle<f32>(x, y, 0, 1, 4, 5);
}

@inline
export function joinHigh(x: v128, y: v128): v128 {
  return v128.shuffle<f32>(x, y, 2, 3, 6, 7);
}

/** dst[c, r] = src[r, c] for a block of four by four floats; strides in bytes. */
@inline
export function transpose4x4(src: usize, srcStep: usize, dst: usize, dstStep: usize): void {
  const x0 = v128.load(src);
  const x1 = v128.load(src + srcStep);
  const x2 = v128.load(src + 2 * srcStep);
  const x3 = v128.load(src + 3 * srcStep);
  storeTransposed(x0, x1, x2, x3, dst, dstStep);
}

/** dst[c, r] = lane c of vector r, for four vectors. */
@inline
export function storeTransposed(
  x0: v128,
  x1: v128,
  x2: v128,
  x3: v128,
  dst: usize,
  dstStep: usize,
): void {
  const a = zipLow(x0, x1);
  const b = zipLow(x2, x3);
  const c = zipHigh(x0, x1);
  const d = zipHigh(x2, x3);
  v128.store(dst, joinLow(a, b));
  v128.store(dst + dstStep, joinHigh(a, b));
  v128.store(dst + 2 * dstStep, joinLow(c, d));
  v128.store(dst + 3 * dstStep, joinHigh(c, d));
}

/** Copies `bytes` bytes to memory apart from the source. */
@inline
export function copyRun(bytes: usize, source: usize, target: usize): void {
  if (bytes >= 256) {
    memory.copy(target, source, bytes);
    return;
  }
  const end = target + bytes;
  while (target + 16 <= end) {
    v128.store(target, v128.load(source));
    source += 16;
    target += 16;
  }
  while (target + 4 <= end) {
    store<u32>(target, load<u32>(source));
    source += 4;
    target += 4;
  }
  while (target < end) store<u8>(target++, load<u8>(source++));
}
