/**
 * The f32 matrix product and its three ways through memory.
 *
 *     C[i, j] = f(sum over k of A[i, k] * B[k, j] + bias)       C row-major, rows of n floats
 *
 * A and B are given by two strides each (in floats, of rows and columns), so a transpose is a swap of
 * strides. The sum is cut into blocks of BLOCK steps: each block starts from zero and adds in rising
 * order, and the blocks are added in rising order. All paths and tiles keep this order, so the bits
 * of an element depend on its row of A, its column of B and on nothing else.
 *
 *     vector   one row or one column: reads the matrix once, in the order of memory
 *     direct   small or narrow: A is read where it lies, B too if its rows are contiguous
 *     packed   blocks of A and B are copied into panels that stay in the caches
 *
 * In the gradient of a filter A is the transposed matrix of the patches of an image (patches.ts).
 */
import { floats } from "./address";
import { f32_epilogue } from "./epilogue";
import {
  f32_gemm_tile__3x12,
  f32_gemm_tile__4x8,
  f32_gemm_tile__5x8,
  f32_gemm_tile__6x8,
} from "./gemm_tiles";
import { joinHigh, joinLow, loadLanes, loadPart, storePart, zipHigh, zipLow } from "./lanes";
import { addTo } from "./lanes_sum";
import { madd } from "./madd";
import { f32_pack } from "./pack";
import { packTaps, Patches } from "./patches";

/** Steps of the sum in a block: a panel of B of 8 columns fills 8 KiB of the first-level cache. */
export const BLOCK: i32 = 256;
/** Rows of A in a block: a multiple of every tile's rows. */
const ROWS: i32 = 120;
/** Columns of B in a block: a multiple of every tile's columns. */
export const COLUMNS: i32 = 480;
/** Columns of a chunk in the vector path. */
const CHUNK: i32 = 2048;

/** Bytes of scratch memory that f32_gemm needs for any product. */
export function f32_gemm_scratch(): i32 {
  return (BLOCK * (ROWS + COLUMNS) + 6 * 12) << 2;
}

/**
 * See the head of this file. `tile` is rows * 100 + columns of a register tile, and 0 forbids the
 * packed path.
 *
 * Needs:  m, n, k >= 1; any alignment; `scratch` of f32_gemm_scratch() bytes; C apart from A and B.
 * Error:  |C - exact| <= (min(k, 256) + k / 256 + 1) 2^-24 sum |a b|, by the order of the sum.
 */
export function f32_gemm(
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  c: usize,
  scratch: usize,
  bias: usize,
  biasRow: usize,
  biasColumn: usize,
  f: i32,
  alpha: usize,
  alphaRow: usize,
  alphaColumn: usize,
): void {
  const cStep = floats(n);
  if (m == 1 && bColumn == 1) {
    rowTimesMatrix(n, k, a, aColumn, b, bRow, c, scratch);
  } else if (m == 1 && bRow == 1) {
    matrixTimesColumn(n, k, b, bColumn, a, aColumn, c);
  } else if (n == 1 && aRow == 1) {
    rowTimesMatrix(m, k, b, bRow, a, aColumn, c, scratch);
  } else if (n == 1 && aColumn == 1) {
    matrixTimesColumn(m, k, a, aRow, b, bRow, c);
  } else if (isDirect(tile, m, n, k)) {
    direct(m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, scratch);
  } else {
    packed(
      tile, m, n, k, a, aRow, aColumn, 0, b, bRow, bColumn, c, scratch,
      bias, biasRow, biasColumn, f, alpha, alphaRow, alphaColumn,
    );
    return;
  }
  f32_epilogue(m, n, c, cStep, bias, biasRow, biasColumn, f, alpha, alphaRow, alphaColumn);
}

/**
 * `count` products without bias, whose A and B lie `aNext` and `bNext` floats apart (0 for one that
 * all share) and whose C follow one another. Else as f32_gemm.
 */
export function f32_gemm_batch(
  count: i32,
  aNext: usize,
  bNext: usize,
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  c: usize,
  scratch: usize,
): void {
  const size = floats(m * n);
  for (let i = 0; i < count; i++) {
    f32_gemm(tile, m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, scratch, 0, 0, 0, 0, 0, 0, 0);
    a += aNext << 2;
    b += bNext << 2;
    c += size;
  }
}

/** Where packing A does not pay: few columns use each packed element, or there is little to do. */
@inline
function isDirect(tile: i32, m: i32, n: i32, k: i32): bool {
  if (tile == 0 || m < 4 || n < 24) return true;
  return (m as f32) * (n as f32) * (k as f32) < 60000;
}

// --- packed ---

/** The packed path; with `patches`, a list of patches.ts, A is described by it and lies at `a`. */
export function packed(
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  patches: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  c: usize,
  scratch: usize,
  bias: usize,
  biasRow: usize,
  biasColumn: usize,
  f: i32,
  alpha: usize,
  alphaRow: usize,
  alphaColumn: usize,
): void {
  const height = tile / 100;
  const width = tile % 100;
  const edge = scratch;
  const packedA = edge + 6 * 12 * 4;
  const packedB = packedA + floats(BLOCK * ROWS);
  const cStep = floats(n);
  // Rows of B that are used by few blocks of A are read where they lie, but for a last partial panel.
  const inPlace = bColumn == 1 && m <= ROWS;
  for (let j = 0; j < n; j += COLUMNS) {
    const columns = min(COLUMNS, n - j);
    for (let p = 0; p < k; p += BLOCK) {
      const steps = min(BLOCK, k - p);
      const fromB = b + (((p as usize) * bRow + (j as usize) * bColumn) << 2);
      const whole = inPlace ? columns - columns % width : 0;
      const rest = fromB + (((whole as usize) * bColumn) << 2);
      const toB = packedB + floats(whole * BLOCK);
      if (whole < columns) f32_pack(toB, rest, bColumn, bRow, columns - whole, steps, width);
      const last = p + steps == k;
      for (let i = 0; i < m; i += ROWS) {
        const rows = min(ROWS, m - i);
        if (patches == 0) {
          const fromA = a + (((i as usize) * aRow + (p as usize) * aColumn) << 2);
          f32_pack(packedA, fromA, aRow, aColumn, rows, steps, height);
        } else {
          packTaps(packedA, a, changetype<Patches>(patches), i, rows, p, steps, height);
        }
        const to = c + (i as usize) * cStep + floats(j);
        for (let y = 0; y < columns; y += width) {
          const isPlaced = y < whole;
          const panelB = isPlaced ? fromB + floats(y) : toB + floats((y - whole) * steps);
          const bStep = isPlaced ? bRow << 2 : floats(width);
          for (let x = 0; x < rows; x += height) {
            const panelA = packedA + floats(x * steps);
            const at = to + (x as usize) * cStep + floats(y);
            if (x + height <= rows && y + width <= columns) {
              run(tile, steps, panelA, panelB, bStep, at, cStep, p > 0);
            } else {
              run(tile, steps, panelA, panelB, bStep, edge, floats(width), false);
              put(edge, floats(width), min(height, rows - x), min(width, columns - y), at, cStep, p > 0);
            }
          }
        }
        if (last) {
          f32_epilogue(
            rows, columns, to, cStep,
            bias + (bias ? (((i as usize) * biasRow + (j as usize) * biasColumn) << 2) : 0),
            biasRow, biasColumn, f,
            alpha + (((i as usize) * alphaRow + (j as usize) * alphaColumn) << 2),
            alphaRow, alphaColumn,
          );
        }
      }
    }
  }
}

@inline
function run(
  tile: i32,
  k: i32,
  a: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  if (tile == 408) f32_gemm_tile__4x8(k, a, b, bStep, c, cStep, add);
  else if (tile == 312) f32_gemm_tile__3x12(k, a, b, bStep, c, cStep, add);
  else if (tile == 608) f32_gemm_tile__6x8(k, a, b, bStep, c, cStep, add);
  else f32_gemm_tile__5x8(k, a, b, bStep, c, cStep, add);
}

/** The part of a tile that lies inside of C. */
function put(
  from: usize,
  fromStep: usize,
  rows: i32,
  columns: i32,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  for (let i = 0; i < rows; i++) {
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      const x = v128.load(from + floats(j));
      const at = c + floats(j);
      v128.store(at, add ? f32x4.add(v128.load(at), x) : x);
    }
    if (j < columns) {
      const x = v128.load(from + floats(j));
      const at = c + floats(j);
      storePart(at, add ? f32x4.add(loadPart(at, columns - j), x) : x, columns - j);
    }
    from += fromStep;
    c += cStep;
  }
}

// --- direct ---

function direct(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  c: usize,
  scratch: usize,
): void {
  const cStep = floats(n);
  const limit = bColumn == 1 ? n : COLUMNS;
  for (let j = 0; j < n; j += limit) {
    const columns = min(limit, n - j);
    for (let p = 0; p < k; p += BLOCK) {
      const steps = min(BLOCK, k - p);
      let from = b + (((p as usize) * bRow + (j as usize) * bColumn) << 2);
      let bStep = bRow << 2;
      if (bColumn != 1) {
        f32_pack(scratch, from, bColumn, bRow, columns, steps, columns);
        from = scratch;
        bStep = floats(columns);
      }
      const fromA = a + (((p as usize) * aColumn) << 2);
      const add = p > 0;
      const to = c + floats(j);
      if (steps == 4 && aColumn == 1 && columns >= 8 && !add) {
        fourStepsTimes(columns, m, fromA, aRow << 2, from, bStep, to, cStep);
        continue;
      }
      // What is left of whole vectors comes by itself, eight rows at a time.
      const narrow = columns <= 4 ? columns : columns & 3;
      const wide = columns - narrow;
      if (wide) rowsTimes(wide, m, steps, fromA, aRow << 2, aColumn << 2, from, bStep, to, cStep, add);
      if (narrow) {
        columnsTimes(narrow, m, steps, fromA, aRow << 2, aColumn << 2, from + floats(wide), bStep, to + floats(wide), cStep, add);
      }
    }
  }
}

/** m rows of n columns, a multiple of four. */
@inline
function rowsTimes(
  n: i32,
  m: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let i = 0;
  for (; i + 4 <= m; i += 4) {
    let j = 0;
    for (; j + 8 <= n; j += 8) {
      blockTimes(4, 8, k, a, aRow, aStep, b + floats(j), bStep, c + floats(j), cStep, add);
    }
    if (j < n) blockTimes(4, 4, k, a, aRow, aStep, b + floats(j), bStep, c + floats(j), cStep, add);
    a += 4 * aRow;
    c += 4 * cStep;
  }
  for (; i < m; i++) {
    let j = 0;
    for (; j + 8 <= n; j += 8) {
      blockTimes(1, 8, k, a, aRow, aStep, b + floats(j), bStep, c + floats(j), cStep, add);
    }
    if (j < n) blockTimes(1, 4, k, a, aRow, aStep, b + floats(j), bStep, c + floats(j), cStep, add);
    a += aRow;
    c += cStep;
  }
}

/**
 * m rows of n columns, at least eight, and four steps. The last columns may begin in the ones before:
 * what both have is computed twice.
 */
function fourStepsTimes(
  n: i32,
  m: i32,
  a: usize,
  aRow: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
): void {
  for (let j = 0; j < n; j += 8) {
    const isHalf = n - j <= 4;
    const at = floats(isHalf ? n - 4 : min(j, n - 8));
    if (isHalf) heldColumns(4, m, a, aRow, b + at, bStep, c + at, cStep);
    else heldColumns(8, m, a, aRow, b + at, bStep, c + at, cStep);
  }
}

/** m rows of `columns` (8 or 4, a constant) and four steps of B, which stay in registers. */
@inline
function heldColumns(
  columns: i32,
  m: i32,
  a: usize,
  aRow: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
): void {
  const right: usize = columns == 8 ? 16 : 0;
  const b0 = v128.load(b), y0 = v128.load(b + right);
  const b1 = v128.load(b + bStep), y1 = v128.load(b + bStep + right);
  const b2 = v128.load(b + 2 * bStep), y2 = v128.load(b + 2 * bStep + right);
  const b3 = v128.load(b + 3 * bStep), y3 = v128.load(b + 3 * bStep + right);
  for (let i = 0; i < m; i++) {
    const x = v128.load(a);
    v128.store(c, fourLanes(x, b0, b1, b2, b3, f32x4.splat(0)));
    if (columns == 8) v128.store(c, fourLanes(x, y0, y1, y2, y3, f32x4.splat(0)), 16);
    a += aRow;
    c += cStep;
  }
}

/** m rows of 1 to 4 columns. */
@inline
function columnsTimes(
  columns: i32,
  m: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let i = 0;
  for (; i + 8 <= m; i += 8) {
    lastColumns(8, columns, k, a, aRow, aStep, b, bStep, c, cStep, add);
    a += 8 * aRow;
    c += 8 * cStep;
  }
  if (i + 4 <= m) {
    lastColumns(4, columns, k, a, aRow, aStep, b, bStep, c, cStep, add);
    a += 4 * aRow;
    c += 4 * cStep;
    i += 4;
  }
  for (; i < m; i++) {
    lastColumns(1, columns, k, a, aRow, aStep, b, bStep, c, cStep, add);
    a += aRow;
    c += cStep;
  }
}

/** `rows` (8, 4 or 1, a constant) rows of 1 to 4 columns. */
@inline
function lastColumns(
  rows: i32,
  columns: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  if (columns == 4) blockTimes(rows, 4, k, a, aRow, aStep, b, bStep, c, cStep, add);
  else if (columns == 3) blockTimes(rows, 3, k, a, aRow, aStep, b, bStep, c, cStep, add);
  else if (columns == 2) blockTimes(rows, 2, k, a, aRow, aStep, b, bStep, c, cStep, add);
  else blockTimes(rows, 1, k, a, aRow, aStep, b, bStep, c, cStep, add);
}

/**
 * `rows` (8, 4 or 1) and `columns` (8 or 1 to 4) are constants: each call compiles to a loop of its
 * own. There are eight sums: of two vectors of four rows, or of one vector of eight.
 */
@inline
function blockTimes(
  rows: i32,
  columns: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  const zero = f32x4.splat(0);
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  let t0 = zero, t1 = zero, t2 = zero, t3 = zero;
  let p = 0;
  if (rows == 8 && columns == 4 && aStep == 4) {
    // Four steps of a row of A lie in one vector.
    for (; p + 4 <= k; p += 4) {
      const b0 = loadLanes(b, columns);
      const b1 = loadLanes(b + bStep, columns);
      const b2 = loadLanes(b + 2 * bStep, columns);
      const b3 = loadLanes(b + 3 * bStep, columns);
      const high = a + 4 * aRow;
      s0 = fourLanes(v128.load(a), b0, b1, b2, b3, s0);
      s1 = fourLanes(v128.load(a + aRow), b0, b1, b2, b3, s1);
      s2 = fourLanes(v128.load(a + 2 * aRow), b0, b1, b2, b3, s2);
      s3 = fourLanes(v128.load(a + 3 * aRow), b0, b1, b2, b3, s3);
      t0 = fourLanes(v128.load(high), b0, b1, b2, b3, t0);
      t1 = fourLanes(v128.load(high + aRow), b0, b1, b2, b3, t1);
      t2 = fourLanes(v128.load(high + 2 * aRow), b0, b1, b2, b3, t2);
      t3 = fourLanes(v128.load(high + 3 * aRow), b0, b1, b2, b3, t3);
      a += 16;
      b += 4 * bStep;
    }
  } else if (rows == 8 && columns == 4 && aRow == 4) {
    // A is transposed: a step of all eight rows lies in two vectors.
    for (; p < k; p++) {
      const x = loadLanes(b, columns);
      const low = v128.load(a), high = v128.load(a, 16);
      s0 = madd(lane(low, 0), x, s0);
      s1 = madd(lane(low, 1), x, s1);
      s2 = madd(lane(low, 2), x, s2);
      s3 = madd(lane(low, 3), x, s3);
      t0 = madd(lane(high, 0), x, t0);
      t1 = madd(lane(high, 1), x, t1);
      t2 = madd(lane(high, 2), x, t2);
      t3 = madd(lane(high, 3), x, t3);
      a += aStep;
      b += bStep;
    }
  }
  for (; p < k; p++) {
    const x = loadLanes(b, columns);
    const a0 = v128.load_splat<f32>(a);
    s0 = madd(a0, x, s0);
    if (rows == 8) {
      const high = a + 4 * aRow;
      t0 = madd(v128.load_splat<f32>(high), x, t0);
      t1 = madd(v128.load_splat<f32>(high + aRow), x, t1);
      t2 = madd(v128.load_splat<f32>(high + 2 * aRow), x, t2);
      t3 = madd(v128.load_splat<f32>(high + 3 * aRow), x, t3);
    }
    if (rows >= 4) {
      const a1 = v128.load_splat<f32>(a + aRow);
      const a2 = v128.load_splat<f32>(a + 2 * aRow);
      const a3 = v128.load_splat<f32>(a + 3 * aRow);
      s1 = madd(a1, x, s1);
      s2 = madd(a2, x, s2);
      s3 = madd(a3, x, s3);
      if (columns == 8) {
        const y = v128.load(b, 16);
        t0 = madd(a0, y, t0);
        t1 = madd(a1, y, t1);
        t2 = madd(a2, y, t2);
        t3 = madd(a3, y, t3);
      }
    } else if (columns == 8) {
      t0 = madd(a0, v128.load(b, 16), t0);
    }
    a += aStep;
    b += bStep;
  }
  putBlock(columns, c, s0, t0, add);
  if (rows >= 4) {
    putBlock(columns, c + cStep, s1, t1, add);
    putBlock(columns, c + 2 * cStep, s2, t2, add);
    putBlock(columns, c + 3 * cStep, s3, t3, add);
  }
  if (rows == 8) {
    putBlock(columns, c + 4 * cStep, t0, t0, add);
    putBlock(columns, c + 5 * cStep, t1, t1, add);
    putBlock(columns, c + 6 * cStep, t2, t2, add);
    putBlock(columns, c + 7 * cStep, t3, t3, add);
  }
}

/** Lane `i`, a constant, in all lanes. */
@inline
function lane(x: v128, i: i32): v128 {
  if (i == 0) return v128.shuffle<f32>(x, x, 0, 0, 0, 0);
  if (i == 1) return v128.shuffle<f32>(x, x, 1, 1, 1, 1);
  if (i == 2) return v128.shuffle<f32>(x, x, 2, 2, 2, 2);
  return v128.shuffle<f32>(x, x, 3, 3, 3, 3);
}

/** Four steps of a row: s + its lanes times rows of B, one after the other. */
@inline
function fourLanes(x: v128, b0: v128, b1: v128, b2: v128, b3: v128, s: v128): v128 {
  s = madd(lane(x, 0), b0, s);
  s = madd(lane(x, 1), b1, s);
  s = madd(lane(x, 2), b2, s);
  return madd(lane(x, 3), b3, s);
}

@inline
function putBlock(columns: i32, c: usize, x: v128, y: v128, add: bool): void {
  if (columns < 4) {
    storePart(c, add ? f32x4.add(loadPart(c, columns), x) : x, columns);
    return;
  }
  v128.store(c, add ? f32x4.add(v128.load(c), x) : x);
  if (columns == 8) v128.store(c + 16, add ? f32x4.add(v128.load(c + 16), y) : y);
}

// --- vector ---

/** c[j] = sum over p of a[p] * B[p, j], the rows of B contiguous. */
function rowTimesMatrix(
  n: i32,
  k: i32,
  a: usize,
  aStep: usize,
  b: usize,
  bRow: usize,
  c: usize,
  scratch: usize,
): void {
  const aBytes = aStep << 2;
  const bBytes = bRow << 2;
  for (let j = 0; j < n; j += CHUNK) {
    const columns = min(CHUNK, n - j);
    for (let p = 0; p < k; p += BLOCK) {
      // The block's sums live in C if it is the first, else in scratch memory.
      const sums = p == 0 ? c + floats(j) : scratch;
      memory.fill(sums, 0, floats(columns));
      const end = min(p + BLOCK, k);
      let from = b + (p as usize) * bBytes + floats(j);
      let x = a + (p as usize) * aBytes;
      let q = p;
      for (; q + 4 <= end; q += 4) {
        addRows(4, columns, x, aBytes, from, bBytes, sums);
        from += 4 * bBytes;
        x += 4 * aBytes;
      }
      for (; q < end; q++) {
        addRows(1, columns, x, aBytes, from, bBytes, sums);
        from += bBytes;
        x += aBytes;
      }
      if (p > 0) addTo(columns, scratch, c + floats(j));
    }
  }
}

/** sums[j] += a[0] * b[0, j] + ... one step after the other, `rows` (4 or 1, a constant) of them. */
@inline
export function addRows(
  rows: i32,
  n: i32,
  a: usize,
  aStep: usize,
  b: usize,
  bStep: usize,
  sums: usize,
): void {
  const a0 = v128.load_splat<f32>(a);
  const a1 = rows == 4 ? v128.load_splat<f32>(a + aStep) : a0;
  const a2 = rows == 4 ? v128.load_splat<f32>(a + 2 * aStep) : a0;
  const a3 = rows == 4 ? v128.load_splat<f32>(a + 3 * aStep) : a0;
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    let s = madd(a0, v128.load(b), v128.load(sums));
    if (rows == 4) {
      s = madd(a1, v128.load(b + bStep), s);
      s = madd(a2, v128.load(b + 2 * bStep), s);
      s = madd(a3, v128.load(b + 3 * bStep), s);
    }
    v128.store(sums, s);
    b += 16;
    sums += 16;
  }
  if (j < n) {
    const rest = n - j;
    let s = madd(a0, loadPart(b, rest), loadPart(sums, rest));
    if (rows == 4) {
      s = madd(a1, loadPart(b + bStep, rest), s);
      s = madd(a2, loadPart(b + 2 * bStep, rest), s);
      s = madd(a3, loadPart(b + 3 * bStep, rest), s);
    }
    storePart(sums, s, rest);
  }
}

/** c[i] = sum over p of A[i, p] * x[p], the rows of A contiguous: eight rows in the lanes of two sums. */
function matrixTimesColumn(
  m: i32,
  k: i32,
  a: usize,
  aRow: usize,
  x: usize,
  xStep: usize,
  c: usize,
): void {
  const step = aRow << 2;
  let i = 0;
  for (; i + 8 <= m; i += 8) lanesTimes(8, k, a + (i as usize) * step, step, x, xStep << 2, c + floats(i));
  if (i + 4 <= m) {
    lanesTimes(4, k, a + (i as usize) * step, step, x, xStep << 2, c + floats(i));
    i += 4;
  }
  const rest = m - i;
  if (rest == 3) lanesTimes(3, k, a + (i as usize) * step, step, x, xStep << 2, c + floats(i));
  else if (rest == 2) lanesTimes(2, k, a + (i as usize) * step, step, x, xStep << 2, c + floats(i));
  else if (rest == 1) lanesTimes(1, k, a + (i as usize) * step, step, x, xStep << 2, c + floats(i));
}

/** `rows` (8 or 1 to 4) is a constant. */
@inline
function lanesTimes(
  rows: i32,
  k: i32,
  a: usize,
  step: usize,
  x: usize,
  xBytes: usize,
  c: usize,
): void {
  // Rows beyond the matrix repeat the first one; their lanes are not stored.
  const step1: usize = rows > 1 ? step : (0 as usize);
  const step2: usize = rows > 2 ? 2 * step : (0 as usize);
  const step3: usize = rows > 3 ? 3 * step : (0 as usize);
  for (let p = 0; p < k; p += BLOCK) {
    const end = min(p + BLOCK, k);
    let s = f32x4.splat(0);
    let t = f32x4.splat(0);
    let q = p;
    for (; q + 4 <= end; q += 4) {
      const x0 = v128.load_splat<f32>(x);
      const x1 = v128.load_splat<f32>(x + xBytes);
      const x2 = v128.load_splat<f32>(x + 2 * xBytes);
      const x3 = v128.load_splat<f32>(x + 3 * xBytes);
      s = fourSteps(s, v128.load(a), v128.load(a + step1), v128.load(a + step2), v128.load(a + step3), x0, x1, x2, x3);
      if (rows == 8) {
        const high = a + 4 * step;
        t = fourSteps(t, v128.load(high), v128.load(high + step), v128.load(high + 2 * step), v128.load(high + 3 * step), x0, x1, x2, x3);
      }
      a += 16;
      x += 4 * xBytes;
    }
    for (; q < end; q++) {
      const x0 = v128.load_splat<f32>(x);
      s = madd(gather(a, step1, step2, step3), x0, s);
      if (rows == 8) t = madd(gather(a + 4 * step, step, 2 * step, 3 * step), x0, t);
      a += 4;
      x += xBytes;
    }
    putBlock(rows, c, s, t, p > 0);
  }
}

/** Four steps of four rows: the columns of a block of four by four, one after the other. */
@inline
function fourSteps(
  s: v128,
  r0: v128,
  r1: v128,
  r2: v128,
  r3: v128,
  x0: v128,
  x1: v128,
  x2: v128,
  x3: v128,
): v128 {
  const a = zipLow(r0, r1);
  const b = zipLow(r2, r3);
  const c = zipHigh(r0, r1);
  const d = zipHigh(r2, r3);
  s = madd(joinLow(a, b), x0, s);
  s = madd(joinHigh(a, b), x1, s);
  s = madd(joinLow(c, d), x2, s);
  return madd(joinHigh(c, d), x3, s);
}

@inline
function gather(a: usize, step1: usize, step2: usize, step3: usize): v128 {
  let r = v128.load_splat<f32>(a);
  r = v128.load_lane<f32>(a + step1, r, 1);
  r = v128.load_lane<f32>(a + step2, r, 2);
  return v128.load_lane<f32>(a + step3, r, 3);
}
