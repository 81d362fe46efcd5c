/**
 * Copies between arrays of any rank, given by strides: transpose, slice, concat, split, pad.
 *
 * A list in memory describes the loops: `rank` sizes, then `rank` strides of the source, then of the
 * target, then room for `rank` counters. Strides are in elements, all 32 bits.
 *
 * Needs:  rank >= 0; sizes >= 1; any strides, of the source also zero or negative; source and target
 *         apart.
 */
import { item } from "./address";
import { copyRun, transpose4x4 } from "./lanes";

@inline
function setItem(list: usize, i: i32, value: i32): void {
  store<i32>(list + ((i as usize) << 2), value);
}

/** The next index of the loops in `counters`: the axis that advanced, or -1 after the last one. */
@inline
function advance(rank: i32, list: usize): i32 {
  let axis = rank - 1;
  for (; axis >= 0; axis--) {
    const next = item(list, 3 * rank + axis) + 1;
    if (next < item(list, axis)) {
      setItem(list, 3 * rank + axis, next);
      break;
    }
    setItem(list, 3 * rank + axis, 0);
  }
  return axis;
}

/** How far source (`which` 1) or target (2) moves when `axis` advances and the later ones restart. */
@inline
function move(rank: i32, list: usize, axis: i32, which: i32): isize {
  let distance = item(list, which * rank + axis) as isize;
  for (let later = axis + 1; later < rank; later++) {
    distance -= (item(list, later) as isize - 1) * (item(list, which * rank + later) as isize);
  }
  return distance;
}

function clear(rank: i32, list: usize): void {
  for (let axis = 0; axis < rank; axis++) setItem(list, 3 * rank + axis, 0);
}

/**
 * Runs of `bytes` contiguous bytes, at every index of the loops, whose strides count `unit` bytes.
 * The runs of one more loop inside of them, `count` runs, lie `sourceStep` and `targetStep` apart.
 */
export function copy_runs(
  rank: i32,
  list: usize,
  unit: usize,
  bytes: usize,
  count: i32,
  sourceStep: usize,
  targetStep: usize,
  source: usize,
  target: usize,
): void {
  clear(rank, list);
  while (true) {
    let from = source;
    let to = target;
    if (bytes == 4 && sourceStep == 0 && targetStep == 1) {
      b32_fill(count, to, load<i32>(from));
    } else if (bytes == 4) {
      for (let i = 0; i < count; i++) {
        store<u32>(to, load<u32>(from));
        from += sourceStep * unit;
        to += targetStep * unit;
      }
    } else {
      for (let i = 0; i < count; i++) {
        copyRun(bytes, from, to);
        from += sourceStep * unit;
        to += targetStep * unit;
      }
    }
    const axis = advance(rank, list);
    if (axis < 0) return;
    source += (move(rank, list, axis, 1) as usize) * unit;
    target += (move(rank, list, axis, 2) as usize) * unit;
  }
}

/** Edge of the square blocks in which planes are transposed: two of them fit the first-level cache. */
const EDGE: i32 = 32;

/**
 * At every index of the loops a plane: target[r * targetRow + c] = source[c * sourceRow + r] for
 * r < rows, c < columns, elements of 32 bits.
 */
export function b32_transpose(
  rank: i32,
  list: usize,
  rows: i32,
  columns: i32,
  sourceRow: usize,
  targetRow: usize,
  source: usize,
  target: usize,
): void {
  clear(rank, list);
  while (true) {
    transposePlane(rows, columns, sourceRow << 2, targetRow << 2, source, target);
    const axis = advance(rank, list);
    if (axis < 0) return;
    source += (move(rank, list, axis, 1) as usize) << 2;
    target += (move(rank, list, axis, 2) as usize) << 2;
  }
}

@inline
function transposePlane(
  rows: i32,
  columns: i32,
  sourceRow: usize,
  targetRow: usize,
  source: usize,
  target: usize,
): void {
  for (let r = 0; r < rows; r += EDGE) {
    const lastRow = min(r + EDGE, rows);
    for (let c = 0; c < columns; c += EDGE) {
      const lastColumn = min(c + EDGE, columns);
      if (lastRow - r < 4 || lastColumn - c < 4) {
        for (let j = c; j < lastColumn; j++) {
          element(r, j, lastRow - r, sourceRow, targetRow, source, target);
        }
        continue;
      }
      // The last blocks of four overlap those before them.
      for (let i = r; i < lastRow; i += 4) {
        const row = min(i, lastRow - 4);
        const to = target + (row as usize) * targetRow;
        const from = source + ((row as usize) << 2);
        for (let j = c; j < lastColumn; j += 4) {
          const column = min(j, lastColumn - 4) as usize;
          transpose4x4(from + column * sourceRow, sourceRow, to + (column << 2), targetRow);
        }
      }
    }
  }
}

/** `count` elements, from row i on, of column j. */
@inline
function element(
  i: i32,
  j: i32,
  count: i32,
  sourceRow: usize,
  targetRow: usize,
  source: usize,
  target: usize,
): void {
  let from = source + (j as usize) * sourceRow + ((i as usize) << 2);
  let to = target + (i as usize) * targetRow + ((j as usize) << 2);
  for (let t = 0; t < count; t++) {
    store<u32>(to, load<u32>(from));
    from += 4;
    to += targetRow;
  }
}

/** n elements of 32 bits set to `bits`. */
export function b32_fill(n: i32, y: usize, bits: i32): void {
  const value = i32x4.splat(bits);
  const end = y + ((n as usize) << 2);
  for (; y + 16 <= end; y += 16) v128.store(y, value);
  for (; y < end; y += 4) store<i32>(y, bits);
}
