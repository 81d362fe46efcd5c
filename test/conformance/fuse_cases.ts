/**
 * Random update expressions, and what they must give: to the bit in float32, and in float64 with a
 * bound of the error that float32 arithmetic may make.
 */
import {
  abs,
  add,
  type CompareOp,
  type Comparison,
  div,
  type Expression,
  gradient,
  max,
  min,
  mul,
  param,
  scalar,
  select,
  sign,
  slot,
  sqrt,
  sub,
  type Update,
} from "../../src/fuse/expression.ts";

/** A value of each leaf, or of each element of one. */
export interface Leaves<T> {
  readonly param: T;
  readonly gradient: T;
  readonly slots: Readonly<Record<string, T>>;
}

/** Random numbers in [0, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

export const slotNames: readonly string[] = ["a", "b"];

/** An update of the parameter and one or two slots that share subexpressions. */
export function randomUpdate(random: () => number): Update {
  const pool: Expression[] = [param, gradient, slot("a"), slot("b"), scalar("s"), scalar("t")];
  const pick = (): Expression => {
    if (random() < 0.1) return { kind: "constant", value: [0, 1, -1, 0.5, 1e-3][random() * 5 | 0] };
    return pool[random() * pool.length | 0];
  };
  const compare = (): Comparison => ({
    op: (["lt", "le", "gt", "ge", "eq"] as CompareOp[])[random() * 5 | 0],
    a: pick(),
    b: pick(),
  });
  const makers: (() => Expression)[] = [
    () => add(pick(), pick()),
    () => sub(pick(), pick()),
    () => mul(pick(), pick()),
    () => div(pick(), add(abs(pick()), 0.25)),
    () => div(pick(), pick()),
    () => sqrt(abs(pick())),
    () => sqrt(pick()),
    () => sign(pick()),
    () => min(pick(), pick()),
    () => max(pick(), pick()),
    () => select(compare(), pick(), pick()),
  ];
  const count = 3 + random() * 12 | 0;
  for (let i = 0; i < count; i++) pool.push(makers[random() * makers.length | 0]());
  const slots: Record<string, Expression> = { a: pool[pool.length - 2] };
  if (random() < 0.5) slots.b = pool[random() * pool.length | 0];
  return { param: pool[pool.length - 1], slots };
}

/** Ordinary numbers of both signs; with `special` also zeros, infinities, NaN, tiny, huge. */
export function randomValues(random: () => number, count: number, special: boolean): Float32Array {
  const specials = [0, -0, NaN, Infinity, -Infinity, 1e-45, -3e-39, 1.2e-38, 3.4e38, -3.4e38, 1];
  return Float32Array.from(
    { length: count },
    () =>
      special && random() < 0.4
        ? specials[random() * specials.length | 0]
        : (random() - 0.5) * 2 ** (random() * 8 - 4),
  );
}

/** A number with a bound of its distance from the exact value. */
export interface Bounded {
  readonly value: number;
  readonly error: number;
}

/** The rounding of one operation: relative, and absolute where results underflow. */
export interface Rounding {
  readonly relative: number;
  readonly absolute: number;
}

type Scalars = Readonly<Record<string, number>>;

/** What is made of scalars and constants only, in double precision; undefined if e is more. */
function hostValue(e: Expression, scalars: Scalars): number | undefined {
  if (e.kind === "constant") return e.value;
  if (e.kind === "scalar") return scalars[e.name];
  if (!("a" in e)) return undefined;
  const a = hostValue(e.a, scalars);
  const b = e.kind === "unary" ? 0 : hostValue(e.b, scalars);
  if (a === undefined || b === undefined) return undefined;
  if (e.kind !== "select") return operate(e.op, a, b);
  const x = hostValue(e.condition.a, scalars), y = hostValue(e.condition.b, scalars);
  return x === undefined || y === undefined ? undefined : holds(e.condition.op, x, y) ? a : b;
}

function operate(op: string, a: number, b: number): number {
  if (op === "add") return a + b;
  if (op === "sub") return a - b;
  if (op === "mul") return a * b;
  if (op === "div") return a / b;
  if (op === "min") return Math.min(a, b);
  if (op === "max") return Math.max(a, b);
  if (op === "sqrt") return Math.sqrt(a);
  if (op === "abs") return Math.abs(a);
  return a > 0 ? 1 : a < 0 ? -1 : 0;
}

function holds(op: CompareOp, x: number, y: number): boolean {
  if (op === "lt") return x < y;
  if (op === "le") return x <= y;
  if (op === "gt") return x > y;
  return op === "ge" ? x >= y : x === y;
}

/** Each operation rounded to float32: the bits that JavaScript and WebAssembly must give. */
export function float32Value(e: Expression, leaves: Leaves<number>, scalars: Scalars): number {
  const host = hostValue(e, scalars);
  if (host !== undefined) return Math.fround(host);
  const value = (e: Expression): number => float32Value(e, leaves, scalars);
  if (e.kind === "slot") return leaves.slots[e.name];
  if (e.kind === "param" || e.kind === "gradient") return leaves[e.kind];
  if (e.kind === "unary") return Math.fround(operate(e.op, value(e.a), 0));
  if (e.kind === "binary") return Math.fround(operate(e.op, value(e.a), value(e.b)));
  if (e.kind !== "select") throw new Error(e.kind);
  const { op, a, b } = e.condition;
  const x = hostValue(a, scalars), y = hostValue(b, scalars);
  const both = x !== undefined && y !== undefined;
  return holds(op, both ? x : value(a), both ? y : value(b)) ? value(e.a) : value(e.b);
}

/** The value in float64, with a bound of the error of arithmetic that rounds so. */
export function float64Value(
  e: Expression,
  leaves: Leaves<number>,
  scalars: Scalars,
  rounding: Rounding,
): Bounded {
  const rounded = (value: number, error: number): Bounded => {
    const own = Math.abs(value) * rounding.relative + rounding.absolute;
    // Near the ends of float32 a result may be infinite, and then anything may follow.
    return Math.abs(value) + error > 3e38
      ? { value, error: Infinity }
      : { value, error: error + own };
  };
  const host = hostValue(e, scalars);
  if (host !== undefined) return rounded(host, 0);
  const at = (e: Expression): Bounded => float64Value(e, leaves, scalars, rounding);
  if (e.kind === "slot") return { value: leaves.slots[e.name], error: 0 };
  if (e.kind === "param" || e.kind === "gradient") return { value: leaves[e.kind], error: 0 };
  if (e.kind === "unary") return unary(e.op, at(e.a), rounded);
  if (e.kind === "binary") return binary(e.op, at(e.a), at(e.b), rounded);
  if (e.kind !== "select") throw new Error(e.kind);
  const { op, a, b } = e.condition;
  const x = hostValue(a, scalars), y = hostValue(b, scalars);
  const both = x !== undefined && y !== undefined;
  const left = both ? { value: x, error: 0 } : at(a);
  const right = both ? { value: y, error: 0 } : at(b);
  const [chosen, other] = holds(op, left.value, right.value)
    ? [at(e.a), at(e.b)]
    : [at(e.b), at(e.a)];
  const margin = left.error + right.error;
  if (margin === 0 || Math.abs(left.value - right.value) > margin) return chosen;
  const far = Math.abs(chosen.value - other.value) + other.error;
  return { value: chosen.value, error: Math.max(chosen.error, far) };
}

function unary(
  op: string,
  a: Bounded,
  rounded: (value: number, error: number) => Bounded,
): Bounded {
  if (op === "abs") return { value: Math.abs(a.value), error: a.error };
  const value = operate(op, a.value, 0);
  if (op === "sign") {
    return { value, error: Math.abs(a.value) > a.error ? 0 : a.error === 0 ? 0 : 2 };
  }
  if (a.value + a.error < 0) return { value: NaN, error: 0 };
  return rounded(value, a.value > a.error ? value - Math.sqrt(a.value - a.error) : Infinity);
}

function binary(
  op: string,
  a: Bounded,
  b: Bounded,
  rounded: (value: number, error: number) => Bounded,
): Bounded {
  const value = operate(op, a.value, b.value);
  const sum = a.error + b.error;
  if (op === "min" || op === "max") return { value, error: Math.max(a.error, b.error) };
  if (op === "add" || op === "sub") return rounded(value, sum);
  if (op === "mul") {
    const error = Math.abs(a.value) * b.error + Math.abs(b.value) * a.error + a.error * b.error;
    return rounded(value, error);
  }
  const least = Math.abs(b.value) - b.error;
  return rounded(value, least > 1e-30 ? (a.error + Math.abs(value) * b.error) / least : Infinity);
}

/** Leaves of one element. */
export function elementOf(leaves: Leaves<Float32Array>, i: number): Leaves<number> {
  const slots = Object.fromEntries(slotNames.map((name) => [name, leaves.slots[name][i]]));
  return { param: leaves.param[i], gradient: leaves.gradient[i], slots };
}

/** Arrays of `count` elements. */
export function randomLeaves(
  random: () => number,
  count: number,
  special: boolean,
): Leaves<Float32Array> {
  const values = (): Float32Array => randomValues(random, count, special);
  const slots = Object.fromEntries(slotNames.map((name) => [name, values()]));
  return { param: values(), gradient: values(), slots };
}
