/**
 * Elementwise functions of two arrays, over rows.
 *
 *     y[i, j] = f(a[i * aRow + j * aColumn], b[i * bRow + j * bColumn])    i < rows, j < columns
 *
 * Needs:  rows, columns >= 0; column strides 0 or 1, row strides in elements; any alignment; y has
 *         rows of `columns` elements; nothing past the last element is touched.
 * Order:  four lanes at a time and the tail in the same lanes: bits do not depend on positions.
 */
import { joinHigh, joinLow, loadPart, storePart } from "./lanes";
import { leakyRelu4 } from "./math";
import { pow4 } from "./pow";

/** A function of two vectors of four; a type argument, so that each loop is compiled for it. */
abstract class Lanes {
  abstract of(a: v128, b: v128): v128;
}

@inline
function read(p: usize, column: usize, n: i32): v128 {
  return column == 0 ? v128.load_splat<i32>(p) : loadPart(p, n);
}

@inline
function map<F extends Lanes>(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  const f = changetype<F>(0);
  const rest = columns & 3;
  const bytes = (columns as usize) << 2;
  for (let i = 0; i < rows; i++) {
    let p = a;
    let q = b;
    const end = y + (bytes & ~15);
    if (aColumn != 0 && bColumn != 0) {
      for (; y < end; p += 16, q += 16, y += 16) v128.store(y, f.of(v128.load(p), v128.load(q)));
    } else if (aColumn != 0) {
      const right = v128.load_splat<i32>(q);
      for (; y < end; p += 16, y += 16) v128.store(y, f.of(v128.load(p), right));
    } else {
      const left = v128.load_splat<i32>(p);
      for (; y < end; q += 16, y += 16) v128.store(y, f.of(left, v128.load(q)));
    }
    if (rest) {
      storePart(y, f.of(read(p, aColumn, rest), read(q, bColumn, rest)), rest);
      y += (rest as usize) << 2;
    }
    a += aRow << 2;
    b += bRow << 2;
  }
}

/** The same with a mask for a result, stored as a byte of 0 or 1 an element. */
@inline
function test<F extends Lanes>(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  const f = changetype<F>(0);
  const one = i8x16.splat(1);
  for (let i = 0; i < rows; i++) {
    let p = a;
    let q = b;
    const pStep = aColumn << 4;
    const qStep = bColumn << 4;
    let j = 0;
    for (; j + 16 <= columns; j += 16) {
      const m0 = f.of(whole(p, aColumn), whole(q, bColumn));
      const m1 = f.of(whole(p + pStep, aColumn), whole(q + qStep, bColumn));
      const m2 = f.of(whole(p + 2 * pStep, aColumn), whole(q + 2 * qStep, bColumn));
      const m3 = f.of(whole(p + 3 * pStep, aColumn), whole(q + 3 * qStep, bColumn));
      const low = i16x8.narrow_i32x4_s(m0, m1);
      const high = i16x8.narrow_i32x4_s(m2, m3);
      v128.store(y, v128.and(i8x16.narrow_i16x8_s(low, high), one));
      p += 4 * pStep;
      q += 4 * qStep;
      y += 16;
    }
    for (; j < columns; j++) {
      const mask = f.of(v128.load_splat<i32>(p), v128.load_splat<i32>(q));
      store<u8>(y++, (i32x4.extract_lane(mask, 0) & 1) as u8);
      p += aColumn << 2;
      q += bColumn << 2;
    }
    a += aRow << 2;
    b += bRow << 2;
  }
}

@inline
function whole(p: usize, column: usize): v128 {
  return column == 0 ? v128.load_splat<i32>(p) : v128.load(p);
}

/** y[i] = condition[i] ? a[i] : b[i] for n elements of four bytes, conditions being bytes. */
export function b32_select(n: i32, condition: usize, a: usize, b: usize, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const bytes = v128.load_zero<i32>(condition);
    const wide = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes));
    const mask = i32x4.ne(wide, i32x4.splat(0));
    v128.store(y, v128.bitselect(v128.load(a), v128.load(b), mask));
    condition += 4;
    a += 16;
    b += 16;
    y += 16;
  }
  for (; i < n; i++) {
    store<i32>(y, load<u8>(condition++) ? load<i32>(a) : load<i32>(b));
    a += 4;
    b += 4;
    y += 4;
  }
}

class Add extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.add(a, b);
  }
}

export function f32_add(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Add>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Sub extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.sub(a, b);
  }
}

export function f32_sub(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Sub>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Mul extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.mul(a, b);
  }
}

export function f32_mul(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Mul>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Div extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.div(a, b);
  }
}

export function f32_div(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Div>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Maximum extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.max(a, b);
  }
}

export function f32_maximum(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Maximum>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Minimum extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.min(a, b);
  }
}

export function f32_minimum(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Minimum>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class SquaredDifference extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.mul(f32x4.sub(a, b), f32x4.sub(a, b));
  }
}

export function f32_squared_difference(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<SquaredDifference>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Pow extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return pow4(a, b);
  }
}

export function f32_pow(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Pow>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Prelu extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return leakyRelu4(a, b);
  }
}

export function f32_prelu(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<Prelu>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class AddInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.add(a, b);
  }
}

export function i32_add(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<AddInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class SubInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.sub(a, b);
  }
}

export function i32_sub(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<SubInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class MulInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.mul(a, b);
  }
}

export function i32_mul(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<MulInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class MaximumInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.max_s(a, b);
  }
}

export function i32_maximum(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<MaximumInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class MinimumInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.min_s(a, b);
  }
}

export function i32_minimum(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<MinimumInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class SquaredDifferenceInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.mul(i32x4.sub(a, b), i32x4.sub(a, b));
  }
}

export function i32_squared_difference(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<SquaredDifferenceInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class FloorDivInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    // In float64, where the quotients of 32-bit integers never round up to the next integer; -2^31
    // over -1 is the one that is out of range.
    const high = floorDivLow(joinHigh(a, a), joinHigh(b, b));
    const quotient = joinLow(floorDivLow(a, b), high);
    const exact = v128.bitselect(i32x4.neg(a), quotient, i32x4.eq(b, i32x4.splat(-1)));
    return v128.andnot(exact, i32x4.eq(b, i32x4.splat(0)));
  }
}

/** Rounded down; 0 where b is 0, and modulo 2^32, as JavaScript makes an int32 of the quotient. */
export function i32_floor_div(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  map<FloorDivInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

@inline
function floorDivLow(a: v128, b: v128): v128 {
  const quotient = f64x2.div(f64x2.convert_low_i32x4_s(a), f64x2.convert_low_i32x4_s(b));
  return i32x4.trunc_sat_f64x2_s_zero(f64x2.floor(quotient));
}

class Equal extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.eq(a, b);
  }
}

export function f32_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<Equal>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class NotEqual extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.ne(a, b);
  }
}

export function f32_not_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<NotEqual>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Greater extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.gt(a, b);
  }
}

export function f32_greater(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<Greater>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class GreaterEqual extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.ge(a, b);
  }
}

export function f32_greater_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<GreaterEqual>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class Less extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.lt(a, b);
  }
}

export function f32_less(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<Less>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class LessEqual extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return f32x4.le(a, b);
  }
}

export function f32_less_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<LessEqual>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class EqualInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.eq(a, b);
  }
}

export function i32_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<EqualInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class NotEqualInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.ne(a, b);
  }
}

export function i32_not_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<NotEqualInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class GreaterInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.gt_s(a, b);
  }
}

export function i32_greater(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<GreaterInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class GreaterEqualInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.ge_s(a, b);
  }
}

export function i32_greater_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<GreaterEqualInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class LessInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.lt_s(a, b);
  }
}

export function i32_less(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<LessInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}

class LessEqualInt extends Lanes {
  @inline
  of(a: v128, b: v128): v128 {
    return i32x4.le_s(a, b);
  }
}

export function i32_less_equal(
  rows: i32,
  columns: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  y: usize,
): void {
  test<LessEqualInt>(rows, columns, a, aRow, aColumn, b, bRow, bColumn, y);
}
