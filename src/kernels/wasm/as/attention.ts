/**
 * Scaled dot-product attention of one head after the other, forward and backward, without keeping the
 * weights: the backward pass computes them again, which costs less than to write and read them.
 *
 *     P = softmax(scale Q K'), masked;   O = P V
 *
 * Q is [queries, d], K [keys, d], V [keys, e], of `heads` heads one behind the other. Queries come in
 * blocks of ROWS. A query i of a `causal` head sees the keys up to i; where `mask` is not 0, it is the
 * address of bytes, 0 where a key is not seen, with byte strides. A query that sees no key has
 * weights, an output and gradients of 0. `stats` holds the maximum of each row's scores and the
 * reciprocal of its sum.
 *
 * Needs:  sizes >= 1; any alignment; `scratch` of f32_attention_scratch(...) bytes.
 * Error:  that of the products (gemm.ts), and of the weights relative 2^-22 (3 + |score - max| / 2).
 */
import { f32_gemm, f32_gemm_scratch } from "./gemm";
import { loadPart, storePart } from "./lanes";
import { addTo, firstLanes, foldLanes } from "./lanes_sum";
import { exp4 } from "./math";
import { f32_max_rows } from "./reduce";

const ROWS: i32 = 64;

@inline
function floats(n: i32): usize {
  return (n as usize) << 2;
}

@inline
function aligned(bytes: usize): usize {
  return (bytes + 15) & ~15;
}

/** Bytes of scratch memory; the gradient needs twice the scores and room for parts of dK and dV. */
export function f32_attention_scratch(keys: i32, d: i32, e: i32, isGrad: i32): i32 {
  const scores = aligned(floats(ROWS * keys));
  let bytes = aligned(f32_gemm_scratch()) + aligned(floats(ROWS * d)) + scores;
  if (isGrad) bytes += scores + aligned(floats(keys * max(d, e)));
  return bytes as i32;
}

@inline
function product(
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  c: usize,
  scratch: usize,
): void {
  f32_gemm(
    tile, m, n, k, a, aRow as usize, aColumn as usize, b, bRow as usize, bColumn as usize, c, scratch,
    0, 0, 0, 0, 0, 0, 0,
  );
}

/** y[i] = x[i] * f for n floats. */
function scaled(n: i32, x: usize, f: f32, y: usize): void {
  const factor = f32x4.splat(f);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(y, f32x4.mul(v128.load(x), factor));
    x += 16;
    y += 16;
  }
  if (i < n) storePart(y, f32x4.mul(loadPart(x, n - i), factor), n - i);
}

/** Scores of hidden keys become -Infinity. */
function hide(n: i32, p: usize, mask: usize, maskColumn: usize): void {
  for (let j = 0; j < n; j++) {
    if (!load<u8>(mask)) store<f32>(p, -Infinity);
    p += 4;
    mask += maskColumn;
  }
}

/** p[j] = exp(p[j] - m) f for n floats; the sum. */
function expRow(n: i32, p: usize, m: f32, f: f32): f32 {
  const shift = f32x4.splat(m);
  const factor = f32x4.splat(f);
  let total: f64 = 0;
  for (let start = 0; start < n; start += 256) {
    const end = min(start + 256, n);
    let s = f32x4.splat(0);
    let j = start;
    for (; j + 4 <= end; j += 4) {
      const e = f32x4.mul(exp4(f32x4.sub(v128.load(p), shift)), factor);
      v128.store(p, e);
      s = f32x4.add(s, e);
      p += 16;
    }
    if (j < end) {
      const e = f32x4.mul(exp4(f32x4.sub(loadPart(p, end - j), shift)), factor);
      storePart(p, e, end - j);
      s = f32x4.add(s, v128.and(e, firstLanes(end - j)));
    }
    total += foldLanes(s) as f64;
  }
  return total as f32;
}

/** See the head of this file. Strides of the mask are of heads, queries and keys. */
export function f32_attention(
  tile: i32,
  heads: i32,
  queries: i32,
  keys: i32,
  d: i32,
  e: i32,
  q: usize,
  k: usize,
  v: usize,
  scale: f32,
  causal: i32,
  mask: usize,
  maskRow: usize,
  maskColumn: usize,
  out: usize,
  stats: usize,
  scratch: usize,
): void {
  const scaledQ = scratch + aligned(f32_gemm_scratch());
  const scores = scaledQ + aligned(floats(ROWS * d));
  for (let h = 0; h < heads; h++) {
    for (let first = 0; first < queries; first += ROWS) {
      const rows = min(ROWS, queries - first);
      const seen = causal ? min(keys, first + rows) : keys;
      scaled(rows * d, q, scale, scaledQ);
      product(tile, rows, seen, d, scaledQ, d, 1, k, 1, d, scores, scratch);
      let p = scores;
      for (let i = 0; i < rows; i++) {
        const n = causal ? min(keys, first + i + 1) : keys;
        if (mask) hide(n, p, mask + ((first + i) as usize) * maskRow, maskColumn);
        f32_max_rows(1, n, p, stats);
        const largest = load<f32>(stats);
        if (largest == -Infinity) {
          memory.fill(p, 0, floats(n));
          store<f32>(stats, 0);
          store<f32>(stats + 4, 0);
        } else {
          store<f32>(stats + 4, (1 as f32) / expRow(n, p, largest, 1));
        }
        memory.fill(p + floats(n), 0, floats(seen - n));
        p += floats(seen);
        stats += 8;
      }
      product(tile, rows, e, seen, scores, seen, 1, v, e, 1, out, scratch);
      for (let i = 0; i < rows; i++) {
        scaled(e, out, load<f32>(stats + 4 - ((rows - i) << 3)), out);
        out += floats(e);
      }
      q += floats(rows * d);
    }
    k += floats(keys * d);
    v += floats(keys * e);
  }
}

/** dQ, dK and dV from dO and what the forward pass was given and answered. */
export function f32_attention_grad(
  tile: i32,
  heads: i32,
  queries: i32,
  keys: i32,
  d: i32,
  e: i32,
  q: usize,
  k: usize,
  v: usize,
  scale: f32,
  causal: i32,
  mask: usize,
  maskRow: usize,
  maskColumn: usize,
  out: usize,
  stats: usize,
  dOut: usize,
  dQ: usize,
  dK: usize,
  dV: usize,
  scratch: usize,
): void {
  const scaledQ = scratch + aligned(f32_gemm_scratch());
  const weights = scaledQ + aligned(floats(ROWS * d));
  const dScores = weights + aligned(floats(ROWS * keys));
  const part = dScores + aligned(floats(ROWS * keys));
  for (let h = 0; h < heads; h++) {
    for (let first = 0; first < queries; first += ROWS) {
      const rows = min(ROWS, queries - first);
      const seen = causal ? min(keys, first + rows) : keys;
      scaled(rows * d, q, scale, scaledQ);
      product(tile, rows, seen, d, scaledQ, d, 1, k, 1, d, weights, scratch);
      product(tile, rows, seen, e, dOut, e, 1, v, 1, e, dScores, scratch);
      let p = weights;
      let s = dScores;
      for (let i = 0; i < rows; i++) {
        const n = causal ? min(keys, first + i + 1) : keys;
        if (mask) hide(n, p, mask + ((first + i) as usize) * maskRow, maskColumn);
        const inverse = load<f32>(stats + 4);
        if (inverse == 0) memory.fill(p, 0, floats(n));
        else expRow(n, p, load<f32>(stats), inverse);
        memory.fill(p + floats(n), 0, floats(seen - n));
        const delta = dot(e, dOut + floats(i * e), out + floats(i * e));
        weighted(n, p, s, delta);
        memory.fill(s + floats(n), 0, floats(seen - n));
        p += floats(seen);
        s += floats(seen);
        stats += 8;
      }
      const isFirst = first == 0;
      const toV = isFirst ? dV : part;
      product(tile, seen, e, rows, weights, 1, seen, dOut, e, 1, toV, scratch);
      if (isFirst) memory.fill(dV + floats(seen * e), 0, floats((keys - seen) * e));
      else addTo(seen * e, part, dV);
      const toK = isFirst ? dK : part;
      product(tile, seen, d, rows, dScores, 1, seen, scaledQ, d, 1, toK, scratch);
      if (isFirst) memory.fill(dK + floats(seen * d), 0, floats((keys - seen) * d));
      else addTo(seen * d, part, dK);
      product(tile, rows, d, seen, dScores, seen, 1, k, d, 1, dQ, scratch);
      scaled(rows * d, dQ, scale, dQ);
      q += floats(rows * d);
      dQ += floats(rows * d);
      out += floats(rows * e);
      dOut += floats(rows * e);
    }
    k += floats(keys * d);
    dK += floats(keys * d);
    v += floats(keys * e);
    dV += floats(keys * e);
  }
}

/** s[j] = p[j] (s[j] - delta), and 0 where p is 0, whatever s is. */
function weighted(n: i32, p: usize, s: usize, delta: f32): void {
  const shift = f32x4.splat(delta);
  const zero = f32x4.splat(0);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const w = v128.load(p);
    const x = f32x4.mul(w, f32x4.sub(v128.load(s), shift));
    v128.store(s, v128.and(x, f32x4.ne(w, zero)));
    p += 16;
    s += 16;
  }
  if (j < n) {
    const w = loadPart(p, n - j);
    const x = f32x4.mul(w, f32x4.sub(loadPart(s, n - j), shift));
    storePart(s, v128.and(x, f32x4.ne(w, zero)), n - j);
  }
}

function dot(n: i32, x: usize, y: usize): f32 {
  let s = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    s = f32x4.add(s, f32x4.mul(v128.load(x), v128.load(y)));
    x += 16;
    y += 16;
  }
  if (i < n) s = f32x4.add(s, f32x4.mul(loadPart(x, n - i), loadPart(y, n - i)));
  return foldLanes(s);
}
