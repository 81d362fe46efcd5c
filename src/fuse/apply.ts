/**
 * Runs an update expression on one parameter.
 *
 * This is the one door to elementwise updates. Composed from tensor ops it runs on every backend:
 * each node once, scalars in double precision on the host, and every variable assigned once, after
 * all new values are known, so that tensors which share the old data keep it.
 */
import { unreachable } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { BinaryOp, CompareOp, Expression, UnaryOp, Update } from "./expression.ts";

/** What an update works on. */
export interface Operands {
  readonly param: tf.Variable;
  readonly gradient: tf.Tensor;
  /** Multiplies the gradient before anything else. @default 1 */
  readonly scale?: number | tf.Scalar;
  readonly slots: Readonly<Record<string, tf.Variable>>;
  /** Host numbers in double precision; a scalar tensor stays on the device. */
  readonly scalars: Readonly<Record<string, number | tf.Scalar>>;
}

/** Assigns the new values of `update` to the parameter and the slots. */
export function applyUpdate(update: Update, operands: Operands): void {
  tf.tidy(() => {
    const evaluation = new Evaluation(operands);
    const assignments: [tf.Variable, tf.Tensor][] = [];
    if (update.param !== undefined) {
      assignments.push([operands.param, evaluation.tensor(update.param, operands.param)]);
    }
    for (const [name, expression] of Object.entries(update.slots ?? {})) {
      const variable = slotOf(operands, name);
      assignments.push([variable, evaluation.tensor(expression, variable)]);
    }
    for (const [variable, value] of assignments) variable.assign(value);
  });
}

/** The value of one expression as a tensor of the shape of `like`; call inside tidy. */
export function evaluate(expression: Expression, operands: Operands, like: tf.Tensor): tf.Tensor {
  return new Evaluation(operands).tensor(expression, like);
}

/** A value is a number as long as it is made of host scalars and constants only. */
type Value = number | tf.Tensor;

class Evaluation {
  readonly #operands: Operands;
  readonly #values = new Map<Expression, Value>();
  readonly #lifted = new Map<number, tf.Scalar>();

  constructor(operands: Operands) {
    this.#operands = operands;
  }

  /** The value of `expression` as a tensor of the shape of `like` that is no variable itself. */
  tensor(expression: Expression, like: tf.Tensor): tf.Tensor {
    const value = this.#value(expression);
    if (typeof value === "number") return tf.fill(like.shape, value, like.dtype as "float32");
    if (value.shape.length !== like.shape.length) return tf.broadcastTo(value, like.shape);
    return value instanceof tf.Variable ? tf.clone(value) : value;
  }

  #value(expression: Expression): Value {
    const known = this.#values.get(expression);
    if (known !== undefined) return known;
    const value = this.#compute(expression);
    this.#values.set(expression, value);
    return value;
  }

  #compute(e: Expression): Value {
    switch (e.kind) {
      case "param":
        return this.#operands.param;
      case "gradient": {
        const { gradient, scale } = this.#operands;
        return scale === undefined || scale === 1 ? gradient : tf.mul(gradient, scale);
      }
      case "slot":
        return slotOf(this.#operands, e.name);
      case "scalar":
        return this.#operands.scalars[e.name] ?? unreachable(`no scalar '${e.name}'`);
      case "constant":
        return e.value;
      case "unary": {
        const a = this.#value(e.a);
        return typeof a === "number" ? hostUnary[e.op](a) : deviceUnary[e.op](a);
      }
      case "binary": {
        const a = this.#value(e.a);
        const b = this.#value(e.b);
        return typeof a === "number" && typeof b === "number"
          ? hostBinary[e.op](a, b)
          : deviceBinary[e.op](this.#lift(a), this.#lift(b));
      }
      case "select": {
        const a = this.#value(e.condition.a);
        const b = this.#value(e.condition.b);
        if (typeof a === "number" && typeof b === "number") {
          return this.#value(hostCompare[e.condition.op](a, b) ? e.a : e.b);
        }
        return tf.where(
          deviceCompare[e.condition.op](this.#lift(a), this.#lift(b)),
          this.#lift(this.#value(e.a)),
          this.#lift(this.#value(e.b)),
        );
      }
    }
  }

  #lift(value: Value): tf.Tensor {
    if (typeof value !== "number") return value;
    let lifted = this.#lifted.get(value);
    if (lifted === undefined) this.#lifted.set(value, lifted = tf.scalar(value, "float32"));
    return lifted;
  }
}

function slotOf(operands: Operands, name: string): tf.Variable {
  return operands.slots[name] ?? unreachable(`no state slot '${name}'`);
}

const hostUnary: Record<UnaryOp, (a: number) => number> = {
  sqrt: Math.sqrt,
  abs: Math.abs,
  sign: Math.sign,
};

const deviceUnary: Record<UnaryOp, (a: tf.Tensor) => tf.Tensor> = {
  sqrt: tf.sqrt,
  abs: tf.abs,
  sign: tf.sign,
};

const hostBinary: Record<BinaryOp, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
};

const deviceBinary: Record<BinaryOp, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor> = {
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: tf.div,
  min: tf.minimum,
  max: tf.maximum,
};

const hostCompare: Record<CompareOp, (a: number, b: number) => boolean> = {
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  eq: (a, b) => a === b,
};

const deviceCompare: Record<CompareOp, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor> = {
  lt: tf.less,
  le: tf.lessEqual,
  gt: tf.greater,
  ge: tf.greaterEqual,
  eq: tf.equal,
};
