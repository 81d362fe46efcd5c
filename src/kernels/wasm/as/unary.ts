/**
 * Elementwise functions of one f32 array.
 *
 *     y[i] = f(x[i])   for i < n
 *
 * Needs:  n >= 0; any alignment; y may be x; never touches anything past x + 4n and y + 4n.
 * Order:  four lanes at a time, and the tail in the same lanes, so an element's bits do not depend on
 *         its position.
 */
import { loadPart, storePart } from "./lanes";
import {
  elu4,
  erf4,
  exp4,
  expm14,
  gelu4,
  leakyRelu4,
  log1p4,
  log4,
  relu64,
  sigmoid4,
  sign4,
  softplus4,
  step4,
  tanh4,
} from "./math";
import { cos4, sin4 } from "./trigonometry";

/** A function of four floats and a parameter; a type argument, so that each loop is compiled for it. */
abstract class Lanes {
  abstract of(x: v128, alpha: v128): v128;
}

@inline
function map<F extends Lanes>(n: i32, x: usize, y: usize, alpha: f32): void {
  const f = changetype<F>(0);
  const parameter = f32x4.splat(alpha);
  const end = x + ((n as usize & ~3) << 2);
  while (x < end) {
    v128.store(y, f.of(v128.load(x), parameter));
    x += 16;
    y += 16;
  }
  if (n & 3) storePart(y, f.of(loadPart(x, n & 3), parameter), n & 3);
}

/** The same for functions of an instruction or two, where the loop itself costs. */
@inline
function mapLight<F extends Lanes>(n: i32, x: usize, y: usize, alpha: f32): void {
  const f = changetype<F>(0);
  const parameter = f32x4.splat(alpha);
  const end = x + ((n as usize & ~15) << 2);
  while (x < end) {
    v128.store(y, f.of(v128.load(x), parameter));
    v128.store(y, f.of(v128.load(x, 16), parameter), 16);
    v128.store(y, f.of(v128.load(x, 32), parameter), 32);
    v128.store(y, f.of(v128.load(x, 48), parameter), 48);
    x += 64;
    y += 64;
  }
  map<F>(n & 15, x, y, alpha);
}

class Abs extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.abs(x);
  }
}

export function f32_abs(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Abs>(n, x, y, alpha);
}

class Neg extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.neg(x);
  }
}

export function f32_neg(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Neg>(n, x, y, alpha);
}

class Square extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.mul(x, x);
  }
}

export function f32_square(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Square>(n, x, y, alpha);
}

class Cube extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.mul(f32x4.mul(x, x), x);
  }
}

/** x^3 within 1.5 ulp. */
export function f32_cube(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Cube>(n, x, y, alpha);
}

class PowerThreeHalves extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    const y = f32x4.mul(x, f32x4.sqrt(x));
    const isLow = f32x4.eq(x, f32x4.splat(-Infinity));
    return v128.bitselect(f32x4.splat(Infinity), y, isLow);
  }
}

/** x^1.5 within 1.5 ulp; -Infinity gives Infinity, as IEEE's pow. */
export function f32_power_3_2(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<PowerThreeHalves>(n, x, y, alpha);
}

class Sqrt extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.sqrt(x);
  }
}

export function f32_sqrt(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Sqrt>(n, x, y, alpha);
}

class Rsqrt extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.div(f32x4.splat(1), f32x4.sqrt(x));
  }
}

export function f32_rsqrt(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Rsqrt>(n, x, y, alpha);
}

class Reciprocal extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.div(f32x4.splat(1), x);
  }
}

export function f32_reciprocal(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Reciprocal>(n, x, y, alpha);
}

class Ceil extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.ceil(x);
  }
}

export function f32_ceil(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Ceil>(n, x, y, alpha);
}

class Floor extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.floor(x);
  }
}

export function f32_floor(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Floor>(n, x, y, alpha);
}

class Round extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return f32x4.nearest(x);
  }
}

export function f32_round(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Round>(n, x, y, alpha);
}

class Sign extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return sign4(x);
  }
}

export function f32_sign(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Sign>(n, x, y, alpha);
}

class Step extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return step4(x, alpha);
  }
}

export function f32_step(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Step>(n, x, y, alpha);
}

class Relu extends Lanes {
  @inline
  of(x: v128, zero: v128): v128 {
    return f32x4.add(f32x4.pmax(x, zero), zero);
  }
}

/** relu4, for alpha 0: the one vector that the loop keeps. */
export function f32_relu(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Relu>(n, x, y, alpha);
}

class Relu6 extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return relu64(x);
  }
}

export function f32_relu6(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<Relu6>(n, x, y, alpha);
}

class LeakyRelu extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return leakyRelu4(x, alpha);
  }
}

export function f32_leaky_relu(n: i32, x: usize, y: usize, alpha: f32): void {
  mapLight<LeakyRelu>(n, x, y, alpha);
}

class Elu extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return elu4(x);
  }
}

export function f32_elu(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Elu>(n, x, y, alpha);
}

class Exp extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return exp4(x);
  }
}

export function f32_exp(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Exp>(n, x, y, alpha);
}

class Expm1 extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return expm14(x);
  }
}

export function f32_expm1(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Expm1>(n, x, y, alpha);
}

class Log extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return log4(x);
  }
}

export function f32_log(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Log>(n, x, y, alpha);
}

class Log1p extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return log1p4(x);
  }
}

export function f32_log1p(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Log1p>(n, x, y, alpha);
}

class Tanh extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return tanh4(x);
  }
}

export function f32_tanh(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Tanh>(n, x, y, alpha);
}

class Sigmoid extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return sigmoid4(x);
  }
}

export function f32_sigmoid(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Sigmoid>(n, x, y, alpha);
}

class Softplus extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return softplus4(x);
  }
}

export function f32_softplus(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Softplus>(n, x, y, alpha);
}

class Erf extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return erf4(x);
  }
}

export function f32_erf(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Erf>(n, x, y, alpha);
}

class Gelu extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return gelu4(x);
  }
}

export function f32_gelu(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Gelu>(n, x, y, alpha);
}

class Sin extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return sin4(x);
  }
}

export function f32_sin(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Sin>(n, x, y, alpha);
}

class Cos extends Lanes {
  @inline
  of(x: v128, alpha: v128): v128 {
    return cos4(x);
  }
}

export function f32_cos(n: i32, x: usize, y: usize, alpha: f32): void {
  map<Cos>(n, x, y, alpha);
}

/** y[i] = x[i] between `low` and `high`; NaN stays. */
export function f32_clip(n: i32, x: usize, y: usize, low: f32, high: f32): void {
  const bottom = f32x4.splat(low);
  const top = f32x4.splat(high);
  const end = x + ((n as usize & ~3) << 2);
  while (x + 64 <= end) {
    v128.store(y, clip4(v128.load(x), bottom, top));
    v128.store(y, clip4(v128.load(x, 16), bottom, top), 16);
    v128.store(y, clip4(v128.load(x, 32), bottom, top), 32);
    v128.store(y, clip4(v128.load(x, 48), bottom, top), 48);
    x += 64;
    y += 64;
  }
  while (x < end) {
    v128.store(y, clip4(v128.load(x), bottom, top));
    x += 16;
    y += 16;
  }
  const rest = n & 3;
  if (rest) storePart(y, clip4(loadPart(x, rest), bottom, top), rest);
}

/** The comparisons of pmax and pmin are false for NaN, and then keep x. */
@inline
function clip4(x: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, low), high);
}
