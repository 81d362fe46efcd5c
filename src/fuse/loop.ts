/**
 * From an update expression to a loop body: a list of float32 instructions without branches.
 *
 * What is made of host scalars and constants only is no instruction: it is computed once per update
 * in double precision and enters the loop as a float32 input. A comparison of such values picks its
 * branch before the loop, so one update may have several loops, made when they are first needed.
 * Equal subexpressions are one instruction.
 */
import { unreachable } from "../core/errors.ts";
import {
  type BinaryOp,
  type CompareOp,
  type Comparison,
  type Expression,
  scalar,
  type UnaryOp,
  type Update,
} from "./expression.ts";

/** One step of the body; a number names the result of an earlier instruction. */
export type Instruction =
  | { readonly op: "load"; readonly tensor: number }
  | { readonly op: "input"; readonly input: number }
  | { readonly op: UnaryOp; readonly a: number }
  | { readonly op: BinaryOp; readonly a: number; readonly b: number }
  | {
    readonly op: "select";
    readonly compare: CompareOp;
    readonly x: number;
    readonly y: number;
    readonly a: number;
    readonly b: number;
  };

/** The body of a loop over the elements of its tensors. */
export interface Loop {
  readonly tensors: readonly Leaf[];
  /** Per tensor: the instruction whose result becomes its new value, undefined if it only is read. */
  readonly stores: readonly (number | undefined)[];
  readonly code: readonly Instruction[];
  /** Float32 values that are the same for all elements. */
  readonly inputs: readonly Input[];
  /** Equal for loops that compute the same. */
  readonly key: string;
}

/** The parameter, the gradient or a state slot. */
export type Leaf =
  | { readonly kind: "param" | "gradient" }
  | { readonly kind: "slot"; readonly name: string };

/** A scalar of the device by its name, or how to compute one on the host. */
export type Input = string | HostFunction;

/** Host scalars by name. */
export type Scalars = Readonly<Record<string, number | object>>;

type HostFunction = (scalars: Scalars) => number;

/** The name under which a gradient's scale is a scalar. */
export const SCALE = "gradient scale";
const scale = scalar(SCALE);

/**
 * The loop of `update` for these scalars.
 *
 * @param scalars Numbers are the host's; the others stay on the device. {@link SCALE}, if it is
 * there, multiplies the gradient before anything else.
 */
export function loopOf(update: Update, scalars: Scalars): Loop {
  let form = "";
  for (const name in scalars) if (typeof scalars[name] !== "number") form += `${name};`;
  if (SCALE in scalars) form += "*";
  let known = plans.get(update);
  if (known === undefined) plans.set(update, known = new Map());
  let plan = known.get(form);
  if (plan === undefined) known.set(form, plan = planOf(update, scalars));
  let branches = "";
  for (const condition of plan.conditions) branches += condition(scalars) ? "1" : "0";
  let loop = plan.loops.get(branches);
  if (loop === undefined) plan.loops.set(branches, loop = new LoopBuilder(scalars).build(update));
  return loop;
}

/** The float32 value of an input that the host computes. */
export function hostInput(input: Input, scalars: Scalars): number {
  return typeof input === "string" ? unreachable(`'${input}' is on the device`) : input(scalars);
}

/** What is known of an update without the values of its scalars. */
interface Plan {
  /** The comparisons of host scalars. */
  readonly conditions: readonly ((scalars: Scalars) => boolean)[];
  /** By the outcomes of the conditions. */
  readonly loops: Map<string, Loop>;
}

const plans = new WeakMap<Update, Map<string, Plan>>();

function planOf(update: Update, scalars: Scalars): Plan {
  const conditions = new Set<Comparison>();
  const seen = new Set<Expression>();
  const visit = (e: Expression): void => {
    if (seen.has(e)) return;
    seen.add(e);
    if (e.kind === "select") {
      if (isHost(e.condition.a, scalars) && isHost(e.condition.b, scalars)) {
        conditions.add(e.condition);
      }
      [e.condition.a, e.condition.b].forEach(visit);
    }
    if (e.kind === "unary") visit(e.a);
    if (e.kind === "binary" || e.kind === "select") [e.a, e.b].forEach(visit);
  };
  for (const [, value] of targetsOf(update)) visit(value);
  return { conditions: [...conditions].map(hostCondition), loops: new Map() };
}

/** The tensors that `update` writes, with their new values. */
function targetsOf({ param: value, slots = {} }: Update): [Leaf, Expression][] {
  const targets = Object.keys(slots).map((name): [Leaf, Expression] => [
    { kind: "slot", name },
    slots[name],
  ]);
  if (value !== undefined) targets.unshift([{ kind: "param" }, value]);
  return targets;
}

/** Whether `e` can be computed before the loop. */
function isHost(e: Expression, scalars: Scalars): boolean {
  switch (e.kind) {
    case "constant":
      return true;
    case "scalar":
      if (!(e.name in scalars)) unreachable(`no scalar '${e.name}'`);
      return typeof scalars[e.name] === "number";
    case "unary":
      return isHost(e.a, scalars);
    case "binary":
      return isHost(e.a, scalars) && isHost(e.b, scalars);
    case "select":
      return [e.condition.a, e.condition.b, e.a, e.b].every((part) => isHost(part, scalars));
    default:
      return false;
  }
}

class LoopBuilder {
  readonly #scalars: Scalars;
  readonly #tensors: Leaf[] = [];
  readonly #inputs: Input[] = [];
  readonly #code: Instruction[] = [];
  readonly #values = new Map<Expression, number>();
  /** Instructions and inputs by their text. */
  readonly #known = new Map<string, number>();

  constructor(scalars: Scalars) {
    this.#scalars = scalars;
  }

  build(update: Update): Loop {
    const targets = targetsOf(update);
    const values = targets.map(([, value]) => this.#value(value));
    const stores: (number | undefined)[] = [];
    targets.forEach(([tensor], i) => stores[this.#tensor(tensor)] = values[i]);
    for (let i = 0; i < this.#tensors.length; i++) stores[i] ??= undefined;
    const inputs = this.#inputs.length;
    const key = JSON.stringify([this.#tensors.length, inputs, stores, this.#code]);
    return { tensors: this.#tensors, stores, code: this.#code, inputs: this.#inputs, key };
  }

  #value(e: Expression): number {
    let value = this.#values.get(e);
    if (value === undefined) this.#values.set(e, value = this.#compute(e));
    return value;
  }

  #compute(e: Expression): number {
    if (isHost(e, this.#scalars)) return this.#input(hostText(e), hostFunction(e));
    switch (e.kind) {
      case "gradient": {
        const raw = this.#load({ kind: "gradient" });
        return SCALE in this.#scalars
          ? this.#emit({ op: "mul", a: raw, b: this.#value(scale) })
          : raw;
      }
      case "param":
        return this.#load({ kind: "param" });
      case "slot":
        return this.#load({ kind: "slot", name: e.name });
      case "scalar":
        return this.#input(`device ${e.name}`, e.name);
      case "unary":
        return this.#emit({ op: e.op, a: this.#value(e.a) });
      case "binary":
        return this.#emit({ op: e.op, a: this.#value(e.a), b: this.#value(e.b) });
      case "select": {
        const { op: compare, a: x, b: y } = e.condition;
        if (isHost(x, this.#scalars) && isHost(y, this.#scalars)) {
          return this.#value(hostCondition(e.condition)(this.#scalars) ? e.a : e.b);
        }
        return this.#emit({
          op: "select",
          compare,
          x: this.#value(x),
          y: this.#value(y),
          a: this.#value(e.a),
          b: this.#value(e.b),
        });
      }
      case "constant":
        return unreachable("a constant is the host's");
    }
  }

  #load(leaf: Leaf): number {
    return this.#emit({ op: "load", tensor: this.#tensor(leaf) });
  }

  #tensor(leaf: Leaf): number {
    const index = this.#tensors.findIndex((known) => sameLeaf(known, leaf));
    return index === -1 ? this.#tensors.push(leaf) - 1 : index;
  }

  #input(text: string, input: Input): number {
    let index = this.#known.get(text);
    if (index === undefined) this.#known.set(text, index = this.#inputs.push(input) - 1);
    return this.#emit({ op: "input", input: index });
  }

  #emit(instruction: Instruction): number {
    const text = JSON.stringify(instruction);
    let index = this.#known.get(text);
    if (index === undefined) this.#known.set(text, index = this.#code.push(instruction) - 1);
    return index;
  }
}

function sameLeaf(a: Leaf, b: Leaf): boolean {
  return a.kind === "slot" && b.kind === "slot" ? a.name === b.name : a.kind === b.kind;
}

/** Equal for equal host expressions; JSON alone writes -0 as 0, NaN and infinities as null. */
function hostText(e: Expression): string {
  const exact = (value: unknown) => Object.is(value, -0) ? "-0" : String(value);
  return JSON.stringify(e, (_, value) => typeof value === "number" ? exact(value) : value);
}

function hostFunction(e: Expression): HostFunction {
  switch (e.kind) {
    case "constant": {
      const { value } = e;
      return () => value;
    }
    case "scalar": {
      const { name } = e;
      return (scalars) => scalars[name] as number;
    }
    case "unary": {
      const [f, a] = [hostUnary[e.op], hostFunction(e.a)];
      return (scalars) => f(a(scalars));
    }
    case "binary": {
      const [f, a, b] = [hostBinary[e.op], hostFunction(e.a), hostFunction(e.b)];
      return (scalars) => f(a(scalars), b(scalars));
    }
    case "select": {
      const condition = hostCondition(e.condition);
      const [a, b] = [hostFunction(e.a), hostFunction(e.b)];
      return (scalars) => condition(scalars) ? a(scalars) : b(scalars);
    }
    default:
      return unreachable(`${e.kind} is no host value`);
  }
}

function hostCondition({ op, a, b }: Comparison): (scalars: Scalars) => boolean {
  const [f, x, y] = [hostCompare[op], hostFunction(a), hostFunction(b)];
  return (scalars) => f(x(scalars), y(scalars));
}

const hostUnary: Record<UnaryOp, (a: number) => number> = {
  sqrt: Math.sqrt,
  abs: Math.abs,
  sign: (a) => a > 0 ? 1 : a < 0 ? -1 : 0,
};

const hostBinary: Record<BinaryOp, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
};

const hostCompare: Record<CompareOp, (a: number, b: number) => boolean> = {
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  eq: (a, b) => a === b,
};
