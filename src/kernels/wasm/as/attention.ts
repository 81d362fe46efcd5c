/**
 * Scaled dot-product attention of one head after the other, forward and backward.
 *
 *     P = softmax(scale Q K'), masked;   O = P V
 *
 * Q is [queries, d], K [keys, d], V [keys, e], of `heads` heads one behind the other. Queries come in
 * blocks of ROWS. A query i of a `causal` head sees the keys up to i; where `mask` is not 0, it is the
 * address of bytes, 0 where a key is not seen, with strides in bytes. A query that sees no key has
 * weights, an output and gradients of 0.
 *
 * The weights P are written to `weights`, f32_attention_weights(...) bytes, and read from there by the
 * gradient; where that is address 0, only two numbers a row are kept in `stats` (the maximum of the
 * scores, the reciprocal of their sum), and the gradient computes P again.
 *
 * Needs:  sizes >= 1; any alignment; `scratch` of f32_attention_scratch(...) bytes.
 * Error:  that of the products (gemm.ts), and of the weights that of f32_softmax.
 */
import { floats } from "./address";
import { f32_gemm, f32_gemm_scratch } from "./gemm";
import { loadPart } from "./lanes";
import { addTo, foldLanes } from "./lanes_sum";
import { f32_pack } from "./pack";
import { expRow, maxRow, scaleRow } from "./softmax";

const ROWS: i32 = 64;

@inline
function aligned(bytes: usize): usize {
  return (bytes + 15) & ~15;
}

/** The next multiple of four: rows of scores end with whole vectors. */
@inline
function padded(n: i32): i32 {
  return (n + 3) & ~3;
}

/** Bytes of the weights of `heads` heads. */
export function f32_attention_weights(heads: i32, queries: i32, keys: i32): f64 {
  return 4.0 * (heads as f64) * (queries as f64) * (padded(keys) as f64);
}

/** Bytes of scratch memory, of the gradient or of the forward pass. */
export function f32_attention_scratch(keys: i32, d: i32, e: i32, isGrad: i32): i32 {
  const scores = floats(ROWS * padded(keys));
  let bytes = aligned(f32_gemm_scratch()) + aligned(floats(ROWS * d)) + scores;
  bytes += aligned(floats(d * padded(keys)));
  if (isGrad) bytes += scores + aligned(floats(e * padded(keys))) + aligned(floats(keys * max(d, e)));
  return bytes as i32;
}

/** C = A B, the columns of B and the rows of C contiguous. */
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
  c: usize,
  scratch: usize,
): void {
  f32_gemm(
    tile, m, n, k, a, aRow as usize, aColumn as usize, b, bRow as usize, 1, c, scratch,
    0, 0, 0, 0, 0, 0, 0,
  );
}

/** Scores of hidden keys become -Infinity. */
function hide(n: i32, p: usize, mask: usize, maskColumn: usize): void {
  for (let j = 0; j < n; j++) {
    if (!load<u8>(mask)) store<f32>(p, -Infinity);
    p += 4;
    mask += maskColumn;
  }
}

/** A row of scores becomes weights. */
@inline
function weigh(n: i32, width: i32, p: usize, stats: usize): void {
  const largest = maxRow(n, p);
  if (largest == -Infinity && !isNaN(load<f32>(p))) {
    memory.fill(p, 0, floats(width));
    store<f32>(stats, 0);
    store<f32>(stats + 4, 0);
    return;
  }
  const inverse: f32 = (1 as f32) / expRow(n, p, largest, p);
  scaleRow(n, p, inverse, p);
  if (n < width) memory.fill(p + floats(n), 0, floats(width - n));
  store<f32>(stats, largest);
  store<f32>(stats + 4, inverse);
}

/** The same from what `weigh` stored. */
@inline
function weighAgain(n: i32, width: i32, p: usize, stats: usize): void {
  const inverse = load<f32>(stats + 4);
  if (inverse == 0) {
    memory.fill(p, 0, floats(width));
    return;
  }
  expRow(n, p, load<f32>(stats), p);
  scaleRow(n, p, inverse, p);
  if (n < width) memory.fill(p + floats(n), 0, floats(width - n));
}

/** See the head of this file. */
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
  weights: usize,
  scratch: usize,
): void {
  const all = padded(keys);
  const scaledQ = scratch + aligned(f32_gemm_scratch());
  const turnedK = scaledQ + aligned(floats(ROWS * d));
  const scores = turnedK + aligned(floats(d * all));
  for (let h = 0; h < heads; h++) {
    f32_pack(turnedK, k, d, 1, keys, d, all);
    for (let first = 0; first < queries; first += ROWS) {
      const rows = min(ROWS, queries - first);
      const seen = causal ? min(keys, first + rows) : keys;
      const width = padded(seen);
      const to = weights ? weights : scores;
      scaleRow(rows * d, q, scale, scaledQ);
      product(tile, rows, width, d, scaledQ, d, 1, turnedK, all, to, scratch);
      let p = to;
      for (let i = first; i < first + rows; i++) {
        const n = causal ? min(keys, i + 1) : keys;
        if (mask) hide(n, p, mask + (i as usize) * maskRow, maskColumn);
        weigh(n, width, p, stats);
        p += floats(width);
        stats += 8;
      }
      product(tile, rows, e, seen, to, width, 1, v, e, out, scratch);
      if (weights) weights += floats(rows * all);
      q += floats(rows * d);
      out += floats(rows * e);
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
  weights: usize,
  dOut: usize,
  dQ: usize,
  dK: usize,
  dV: usize,
  scratch: usize,
): void {
  const all = padded(keys);
  const scaledQ = scratch + aligned(f32_gemm_scratch());
  const turnedK = scaledQ + aligned(floats(ROWS * d));
  const scores = turnedK + aligned(floats(d * all));
  const dScores = scores + floats(ROWS * all);
  const turnedV = dScores + floats(ROWS * all);
  const part = turnedV + aligned(floats(e * all));
  for (let h = 0; h < heads; h++) {
    if (!weights) f32_pack(turnedK, k, d, 1, keys, d, all);
    f32_pack(turnedV, v, e, 1, keys, e, all);
    for (let first = 0; first < queries; first += ROWS) {
      const rows = min(ROWS, queries - first);
      const seen = causal ? min(keys, first + rows) : keys;
      const width = padded(seen);
      const from = weights ? weights : scores;
      scaleRow(rows * d, q, scale, scaledQ);
      if (!weights) product(tile, rows, width, d, scaledQ, d, 1, turnedK, all, scores, scratch);
      product(tile, rows, width, e, dOut, e, 1, turnedV, all, dScores, scratch);
      let p = from;
      let s = dScores;
      for (let i = 0; i < rows; i++) {
        if (!weights) {
          const n = causal ? min(keys, first + i + 1) : keys;
          if (mask) hide(n, p, mask + ((first + i) as usize) * maskRow, maskColumn);
          weighAgain(n, width, p, stats);
        }
        slope(width, p, s, dot(e, dOut + floats(i * e), out + floats(i * e)));
        p += floats(width);
        s += floats(width);
        stats += 8;
      }
      const isFirst = first == 0;
      product(tile, seen, e, rows, from, 1, width, dOut, e, isFirst ? dV : part, scratch);
      if (isFirst) memory.fill(dV + floats(seen * e), 0, floats((keys - seen) * e));
      else addTo(seen * e, part, dV);
      product(tile, seen, d, rows, dScores, 1, width, scaledQ, d, isFirst ? dK : part, scratch);
      if (isFirst) memory.fill(dK + floats(seen * d), 0, floats((keys - seen) * d));
      else addTo(seen * d, part, dK);
      product(tile, rows, d, seen, dScores, width, 1, k, d, dQ, scratch);
      scaleRow(rows * d, dQ, scale, dQ);
      if (weights) weights += floats(rows * all);
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

/** s[j] = p[j] (s[j] - delta) for n floats, n a multiple of four; 0 where p is 0, whatever s is. */
function slope(n: i32, p: usize, s: usize, delta: f32): void {
  const shift = f32x4.splat(delta);
  const zero = f32x4.splat(0);
  for (let j = 0; j < n; j += 4) {
    const w = v128.load(p);
    const x = f32x4.mul(w, f32x4.sub(v128.load(s), shift));
    v128.store(s, v128.and(x, f32x4.ne(w, zero)));
    p += 16;
    s += 16;
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
