/**
 * Register tiles of the f32 matrix product.
 *
 *     C[i, j] = (add ? C[i, j] : 0) + sum over k of A[k, i] * B[k, j]
 *
 * A is a packed panel: k steps (at least one) of as many floats as the tile has rows. B has a row
 * of at least the tile's width every `bStep` bytes, C every `cStep` bytes. Each sum starts from
 * zero and runs over k in rising order, one multiply-add a step, so every tile gives the same bits.
 * The tiles differ only in what the runtimes' compilers make of them: registers are 16 on x64.
 */
import { madd } from "./madd";

/** 4 rows of 8 floats; see the head of this file. */
export function f32_gemm_tile__4x8(k: i32, a: usize, b: usize, bStep: usize, c: usize, cStep: usize, add: bool): void {
  tile(4, 8, k, a, b, bStep, c, cStep, add);
}

/** 5 rows of 8 floats; see the head of this file. */
export function f32_gemm_tile__5x8(k: i32, a: usize, b: usize, bStep: usize, c: usize, cStep: usize, add: bool): void {
  tile(5, 8, k, a, b, bStep, c, cStep, add);
}

/** 6 rows of 8 floats; see the head of this file. */
export function f32_gemm_tile__6x8(k: i32, a: usize, b: usize, bStep: usize, c: usize, cStep: usize, add: bool): void {
  tile(6, 8, k, a, b, bStep, c, cStep, add);
}

/** 3 rows of 12 floats; see the head of this file. */
export function f32_gemm_tile__3x12(k: i32, a: usize, b: usize, bStep: usize, c: usize, cStep: usize, add: bool): void {
  tile(3, 12, k, a, b, bStep, c, cStep, add);
}

/** `rows` (3 to 6) and `columns` (8, or 12 of three rows) are constants. */
@inline
function tile(
  rows: i32,
  columns: i32,
  k: i32,
  a: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0);
  const end = a + (k as usize) * ((4 * rows) as usize);
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const b2 = columns == 12 ? v128.load(b, 32) : b1;
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (columns == 12) c02 = madd(x, b2, c02);
    x = v128.load_splat<f32>(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    if (columns == 12) c12 = madd(x, b2, c12);
    x = v128.load_splat<f32>(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    if (columns == 12) c22 = madd(x, b2, c22);
    if (rows > 3) {
      x = v128.load_splat<f32>(a, 12);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
    }
    if (rows > 4) {
      x = v128.load_splat<f32>(a, 16);
      c40 = madd(x, b0, c40);
      c41 = madd(x, b1, c41);
    }
    if (rows > 5) {
      x = v128.load_splat<f32>(a, 20);
      c50 = madd(x, b0, c50);
      c51 = madd(x, b1, c51);
    }
    a += (4 * rows) as usize;
    b += bStep;
  } while (a < end);
  put(columns, c, add, c00, c01, c02);
  c += cStep;
  put(columns, c, add, c10, c11, c12);
  c += cStep;
  put(columns, c, add, c20, c21, c22);
  c += cStep;
  if (rows > 3) put(columns, c, add, c30, c31, c31);
  c += cStep;
  if (rows > 4) put(columns, c, add, c40, c41, c41);
  c += cStep;
  if (rows > 5) put(columns, c, add, c50, c51, c51);
}

@inline
function put(columns: i32, c: usize, add: bool, x: v128, y: v128, z: v128): void {
  v128.store(c, add ? f32x4.add(v128.load(c), x) : x);
  v128.store(c, add ? f32x4.add(v128.load(c, 16), y) : y, 16);
  if (columns == 12) v128.store(c, add ? f32x4.add(v128.load(c, 32), z) : z, 32);
}
