/**
 * An elementwise update written once, as an expression.
 *
 * Leaves are the parameter, its gradient, the state slots and scalars. Whatever is made of scalars
 * and constants only is computed once per update, on the host in double precision; where it meets a
 * tensor it is rounded to float32. A subexpression that is used twice is kept in a JavaScript
 * constant and used twice: it is computed once.
 *
 * @example SGD with momentum
 * ```ts
 * const buffer = addScaled(mul(slot("momentum_buffer"), scalar("momentum")), gradient, 1);
 * const update: Update = {
 *   param: sub(param, mul(scalar("lr"), buffer)),
 *   slots: { momentum_buffer: buffer },
 * };
 * ```
 */

/** sqrt, absolute value, sign (-1, 0, 1). */
export type UnaryOp = "sqrt" | "abs" | "sign";

/** Arithmetic, and the smaller or larger of two. */
export type BinaryOp = "add" | "sub" | "mul" | "div" | "min" | "max";

/** `<`, `<=`, `>`, `>=`, `==`. */
export type CompareOp = "lt" | "le" | "gt" | "ge" | "eq";

/** A node of the expression; equal objects are one value. */
export type Expression =
  | { readonly kind: "param" | "gradient" }
  | { readonly kind: "slot" | "scalar"; readonly name: string }
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "unary"; readonly op: UnaryOp; readonly a: Expression }
  | {
    readonly kind: "binary";
    readonly op: BinaryOp;
    readonly a: Expression;
    readonly b: Expression;
  }
  | {
    readonly kind: "select";
    readonly condition: Comparison;
    readonly a: Expression;
    readonly b: Expression;
  };

/** The condition of a {@link select}. */
export interface Comparison {
  readonly op: CompareOp;
  readonly a: Expression;
  readonly b: Expression;
}

/** New values of the parameter and of slots; every right side reads the old ones. */
export interface Update {
  readonly param?: Expression;
  readonly slots?: Readonly<Record<string, Expression>>;
}

/** An expression, or a number for a constant. */
export type Operand = Expression | number;

/** The parameter before the update. */
export const param: Expression = { kind: "param" };

/** The gradient. */
export const gradient: Expression = { kind: "gradient" };

/** The state slot `name` before the update. */
export const slot = (name: string): Expression => ({ kind: "slot", name });

/** The per-update scalar `name`. */
export const scalar = (name: string): Expression => ({ kind: "scalar", name });

/** a + b. */
export const add = (a: Operand, b: Operand): Expression => binary("add", a, b);
/** a - b. */
export const sub = (a: Operand, b: Operand): Expression => binary("sub", a, b);
/** a * b. */
export const mul = (a: Operand, b: Operand): Expression => binary("mul", a, b);
/** a / b. */
export const div = (a: Operand, b: Operand): Expression => binary("div", a, b);
/** The smaller of a and b. */
export const min = (a: Operand, b: Operand): Expression => binary("min", a, b);
/** The larger of a and b. */
export const max = (a: Operand, b: Operand): Expression => binary("max", a, b);
/** The square root of a. */
export const sqrt = (a: Operand): Expression => unary("sqrt", a);
/** |a|. */
export const abs = (a: Operand): Expression => unary("abs", a);
/** The sign of a. */
export const sign = (a: Operand): Expression => unary("sign", a);
/** -a. */
export const neg = (a: Operand): Expression => mul(-1, a);

/** a < b. */
export const lt = (a: Operand, b: Operand): Comparison => compare("lt", a, b);
/** a <= b. */
export const le = (a: Operand, b: Operand): Comparison => compare("le", a, b);
/** a > b. */
export const gt = (a: Operand, b: Operand): Comparison => compare("gt", a, b);
/** a >= b. */
export const ge = (a: Operand, b: Operand): Comparison => compare("ge", a, b);
/** a == b. */
export const eq = (a: Operand, b: Operand): Comparison => compare("eq", a, b);

/** a where the condition holds, else b. */
export const select = (condition: Comparison, a: Operand, b: Operand): Expression => ({
  kind: "select",
  condition,
  a: lift(a),
  b: lift(b),
});

/** a + alpha b, rounded as torch's `add(a, b, alpha)`. */
export const addScaled = (a: Operand, b: Operand, alpha: Operand): Expression =>
  add(a, mul(alpha, b));

/** a + value x y, rounded as torch's `addcmul`. */
export const addcmul = (a: Operand, x: Operand, y: Operand, value: Operand): Expression =>
  add(a, mul(mul(value, x), y));

/** a + value x / y, rounded as torch's `addcdiv`. */
export const addcdiv = (a: Operand, x: Operand, y: Operand, value: Operand): Expression =>
  add(a, div(mul(value, x), y));

/** a + w (b - a), from the nearer end as torch's `lerp`: for |w| >= 0.5 it is b - (b - a)(1 - w). */
export function lerp(a: Operand, b: Operand, w: Operand): Expression {
  const distance = sub(b, a);
  return select(
    lt(abs(w), 0.5),
    add(a, mul(w, distance)),
    sub(b, mul(distance, sub(1, w))),
  );
}

const lift = (x: Operand): Expression => typeof x === "number" ? { kind: "constant", value: x } : x;

const unary = (op: UnaryOp, a: Operand): Expression => ({ kind: "unary", op, a: lift(a) });

const binary = (op: BinaryOp, a: Operand, b: Operand): Expression => ({
  kind: "binary",
  op,
  a: lift(a),
  b: lift(b),
});

const compare = (op: CompareOp, a: Operand, b: Operand): Comparison => ({
  op,
  a: lift(a),
  b: lift(b),
});
