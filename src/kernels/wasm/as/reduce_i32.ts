/**
 * Reductions of i32 arrays along rows and columns, exact modulo 2^32.
 *
 * Needs:  sizes >= 1; any alignment; nothing past the arrays is touched.
 */
import { Fold, foldColumns, foldRows } from "./fold";

class Sum extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.add(a, b);
  }
  @inline
  start(): v128 {
    return i32x4.splat(0);
  }
}

class Prod extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.mul(a, b);
  }
  @inline
  start(): v128 {
    return i32x4.splat(1);
  }
}

class Max extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.max_s(a, b);
  }
  @inline
  start(): v128 {
    return i32x4.splat(i32.MIN_VALUE);
  }
}

class Min extends Fold {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.min_s(a, b);
  }
  @inline
  start(): v128 {
    return i32x4.splat(i32.MAX_VALUE);
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
