/**
 * Logic on arrays of bytes, of which every value but 0 is true; results are 0 and 1.
 *
 * Needs:  n >= 0; any alignment; nothing past the arrays is touched.
 */

/** A function of sixteen masks; a type argument. */
abstract class Logic {
  abstract of(a: v128, b: v128): v128;
}

class And extends Logic {
  @inline
  of(a: v128, b: v128): v128 {
    return v128.and(a, b);
  }
}

class Or extends Logic {
  @inline
  of(a: v128, b: v128): v128 {
    return v128.or(a, b);
  }
}

class Xor extends Logic {
  @inline
  of(a: v128, b: v128): v128 {
    return v128.xor(a, b);
  }
}

/** The result of sixteen bytes each. */
@inline
function test<L extends Logic>(a: v128, b: v128): v128 {
  const zero = i8x16.splat(0);
  const mask = changetype<L>(0).of(i8x16.ne(a, zero), i8x16.ne(b, zero));
  return v128.and(mask, i8x16.splat(1));
}

@inline
function map<L extends Logic>(n: i32, a: usize, b: usize, y: usize): void {
  const end = y + (n as usize);
  for (const whole = y + (n as usize & ~15); y < whole; y += 16) {
    v128.store(y, test<L>(v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
  }
  for (; y < end; y++) {
    store<u8>(y, i8x16.extract_lane_u(test<L>(v128.load8_splat(a++), v128.load8_splat(b++)), 0));
  }
}

/** y[i] = a[i] and b[i]. */
export function u8_and(n: i32, a: usize, b: usize, y: usize): void {
  map<And>(n, a, b, y);
}

/** y[i] = a[i] or b[i]. */
export function u8_or(n: i32, a: usize, b: usize, y: usize): void {
  map<Or>(n, a, b, y);
}

/** y[i] = either a[i] or b[i]. */
export function u8_xor(n: i32, a: usize, b: usize, y: usize): void {
  map<Xor>(n, a, b, y);
}
