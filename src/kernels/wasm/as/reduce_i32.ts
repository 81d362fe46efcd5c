/**
 * Reductions of i32 arrays along rows and columns, exact modulo 2^32.
 *
 * Needs:  sizes >= 1; any alignment; nothing past the arrays is touched.
 */
import { loadPart, storePart } from "./lanes";

/** A combination that needs no order; a type argument. */
abstract class Fold {
  abstract of(a: v128, b: v128): v128;
  abstract start(): i32;
}

class Sum extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.add(a, b);
  }
  @inline
  start(): i32 {
    return 0;
  }
}

class Prod extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.mul(a, b);
  }
  @inline
  start(): i32 {
    return 1;
  }
}

class Max extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.max_s(a, b);
  }
  @inline
  start(): i32 {
    return i32.MIN_VALUE;
  }
}

class Min extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.min_s(a, b);
  }
  @inline
  start(): i32 {
    return i32.MAX_VALUE;
  }
}

@inline
function foldRows<F extends Fold>(rows: i32, columns: i32, x: usize, y: usize): void {
  const f = changetype<F>(0);
  for (let i = 0; i < rows; i++) {
    let s = i32x4.splat(f.start());
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      s = f.of(s, v128.load(x));
      x += 16;
    }
    s = f.of(s, v128.shuffle<i32>(s, s, 2, 3, 0, 1));
    s = f.of(s, v128.shuffle<i32>(s, s, 1, 0, 3, 2));
    for (; j < columns; j++) {
      s = f.of(s, v128.load_splat<i32>(x));
      x += 4;
    }
    v128.store_lane<i32>(y, s, 0);
    y += 4;
  }
}

@inline
function foldColumns<F extends Fold>(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  const f = changetype<F>(0);
  const row = (columns as usize) << 2;
  for (let o = 0; o < outer; o++) {
    memory.copy(y, x, row);
    x += row;
    for (let i = 1; i < rows; i++) {
      let j = 0;
      for (; j + 4 <= columns; j += 4) {
        const at = (j as usize) << 2;
        v128.store(y + at, f.of(v128.load(y + at), v128.load(x + at)));
      }
      const rest = columns - j;
      if (rest) {
        const at = (j as usize) << 2;
        storePart(y + at, f.of(loadPart(y + at, rest), loadPart(x + at, rest)), rest);
      }
      x += row;
    }
    y += row;
  }
}

/** y[i] = the sum over j of x[i, j]. */
export function i32_sum_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Sum>(rows, columns, x, y);
}

/** y[o, j] = the sum over i of x[o, i, j]. */
export function i32_sum_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Sum>(outer, rows, columns, x, y);
}

/** y[i] = the product over j of x[i, j]. */
export function i32_prod_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Prod>(rows, columns, x, y);
}

/** y[o, j] = the product over i of x[o, i, j]. */
export function i32_prod_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Prod>(outer, rows, columns, x, y);
}

/** y[i] = the largest over j of x[i, j]. */
export function i32_max_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Max>(rows, columns, x, y);
}

/** y[o, j] = the largest over i of x[o, i, j]. */
export function i32_max_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Max>(outer, rows, columns, x, y);
}

/** y[i] = the smallest over j of x[i, j]. */
export function i32_min_rows(rows: i32, columns: i32, x: usize, y: usize): void {
  foldRows<Min>(rows, columns, x, y);
}

/** y[o, j] = the smallest over i of x[o, i, j]. */
export function i32_min_columns(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  foldColumns<Min>(outer, rows, columns, x, y);
}
