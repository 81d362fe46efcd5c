/**
 * L-BFGS (Liu and Nocedal, 1989), as `torch.optim.LBFGS`.
 *
 * It works on one flat vector of all parameters, on the host in double precision; only loss and
 * gradients are computed on the device. What lives on between steps is kept in float32, so that a
 * saved state goes on with the same bits.
 */
import { CheckpointError, ConfigError, show } from "../core/errors.ts";
import { atLeast, flag, integer, number, object, oneOf, type z } from "../core/options.ts";
import * as tf from "../tensor/tf.ts";
import { type Closure, evaluateClosure } from "./closure.ts";
import { resolveGradients } from "./gradients.ts";
import { strongWolfe, type Trial } from "./line_search.ts";
import { byIndex, type ImportedState, joinKey, type OptimizerState } from "./named_state.ts";
import { Optimizer, type OptimizerStateDict, type SavedState } from "./optimizer.ts";
import { singleGroup } from "./params.ts";
import type { OptimizerRule } from "./rule.ts";
import type { HostTensor, SavedValue } from "./state_dict.ts";

const options = object({
  lr: atLeast(0).default(1),
  max_iter: integer(1).default(20),
  max_eval: integer(1).nullable().default(null),
  tolerance_grad: number().default(1e-7),
  tolerance_change: number().default(1e-9),
  history_size: integer(1).default(100),
  line_search_fn: oneOf(["strong_wolfe"]).nullable().default(null),
  maximize: flag().default(false),
});

type Options = z.output<typeof options>;

/** The options; the update is the class's. */
export const lbfgsRule: OptimizerRule = {
  name: "LBFGS",
  options,
  slots: {},
  step() {
    throw needsClosure();
  },
};

const numberNames = ["func_evals", "n_iter", "t", "H_diag", "prev_loss"] as const;
const tensorNames = ["d", "prev_flat_grad", "old_dirs", "old_stps"] as const;
/** Kept by torch and here computed anew. */
const derivedNames = ["al", "ro"];

/** What lives on between steps, under torch's names; state dicts show it at the first parameter. */
interface Memory {
  readonly numbers: Record<typeof numberNames[number], number>;
  /** Vectors [n], and histories [entries, n], oldest first. */
  readonly tensors: Record<typeof tensorNames[number], tf.Tensor>;
}

/** The same on the host while a step runs. */
interface Work {
  numbers: Memory["numbers"];
  d: Float64Array;
  previous: Float64Array;
  /** Differences of gradients and of points, oldest first. */
  ys: Float64Array[];
  ss: Float64Array[];
}

/** The optimizer: `await step(closure)` makes up to `max_iter` iterations. */
export class Lbfgs extends Optimizer {
  #memory: Memory | undefined;
  #closureIsLoss = false;

  constructor(
    params: Readonly<Record<string, unknown>> = {},
    parameters?: Readonly<Record<string, tf.Variable>>,
  ) {
    super(singleGroup(lbfgsRule, params), parameters, { type: "LBFGS", params });
  }

  override get needsClosure(): boolean {
    return true;
  }

  /** Refused: a step needs the loss at several points. */
  override applyGradients(): never {
    throw needsClosure();
  }

  /** Refused, since it cannot wait for values of the device. */
  override minimize(): never {
    throw needsClosure();
  }

  /**
   * d = -H g from the last `history_size` pairs, then a step of length lr, or one that satisfies
   * the strong Wolfe conditions; up to `max_iter` times.
   *
   * @returns The loss before the step.
   */
  override async step(closure: Closure): Promise<number> {
    const o = this.paramGroups[0] as unknown as Options;
    const sign = o.maximize ? -1 : 1;
    const objective = async (): Promise<{ loss: number; gradient: Float64Array }> => {
      const { loss, grads, isLoss } = await evaluateClosure(
        closure,
        this.#closureIsLoss,
        this.parameters === undefined ? undefined : [...this.parameters.variables.values()],
      );
      this.#closureIsLoss = isLoss;
      const parameters = this.adopt(grads);
      const resolved = resolveGradients(grads, parameters);
      const gradient = await gather([...parameters.variables].map(([name, { size }]) => ({
        size,
        tensor: resolved.get(name),
      })));
      tf.dispose(grads as tf.TensorContainer);
      if (sign < 0) gradient.forEach((value, i) => gradient[i] = -value);
      return { loss: sign * loss, gradient };
    };

    let { loss, gradient } = await objective();
    const first = loss * sign;
    const work = await this.#recall(gradient.length);
    work.numbers.func_evals++;
    let evaluations = 1;
    const variables = [...this.parameters!.variables.values()];
    let x = await gather(variables.map((tensor) => ({ size: tensor.size, tensor })));
    const moveTo = (t: number) => x.map((value, i) => value + t * work.d[i]);
    const maxEval = o.max_eval ?? Math.floor(o.max_iter * 1.25);

    for (let i = 1; i <= o.max_iter && largest(gradient) > o.tolerance_grad; i++) {
      work.numbers.n_iter++;
      turn(work, gradient, o.history_size);
      const start: Trial = { t: 0, loss, gradient, slope: dot(gradient, work.d) };
      work.numbers.t = work.numbers.n_iter === 1
        ? Math.min(1, 1 / gradient.reduce((sum, g) => sum + Math.abs(g), 0)) * o.lr
        : o.lr;
      work.previous = gradient;
      work.numbers.prev_loss = loss;
      if (start.slope > -o.tolerance_change) break;

      let asked = 0;
      if (o.line_search_fn === null) {
        x = moveTo(work.numbers.t);
        assign(variables, x);
        if (i !== o.max_iter) {
          ({ loss, gradient } = await objective());
          asked = 1;
        }
      } else {
        const at = async (t: number): Promise<Trial> => {
          assign(variables, moveTo(t));
          const { loss, gradient } = await objective();
          return { t, loss, gradient, slope: dot(gradient, work.d) };
        };
        const found = await strongWolfe(at, start, work.numbers.t, {
          reach: largest(work.d),
          toleranceChange: o.tolerance_change,
          maxTrials: maxEval - evaluations,
        });
        ({ loss, gradient } = found.trial);
        work.numbers.t = found.trial.t;
        asked = found.evaluations;
        x = moveTo(work.numbers.t);
        assign(variables, x);
      }
      evaluations += asked;
      work.numbers.func_evals += asked;
      if (evaluations >= maxEval) break;
      if (largest(work.d) * Math.abs(work.numbers.t) <= o.tolerance_change) break;
      if (Math.abs(loss - work.numbers.prev_loss) < o.tolerance_change) break;
    }
    this.#remember(work);
    this.incrementIterations();
    return first;
  }

  override stateDict(): OptimizerStateDict {
    const dict = super.stateDict();
    if (this.#memory !== undefined) {
      dict.state[0] = { ...this.#memory.numbers, ...this.#memory.tensors };
    }
    return dict;
  }

  override loadStateDict(dict: SavedState): void {
    const memory = readMemory(dict.state?.["0"]);
    super.loadStateDict({ ...dict, state: {} });
    this.#forget();
    this.#memory = memory;
  }

  override exportState(): OptimizerState {
    const { tensors, meta } = super.exportState();
    if (this.#memory === undefined) return { tensors, meta };
    const [name] = this.paramGroups[0].names;
    for (const key of tensorNames) tensors[joinKey(name, key)] = this.#memory.tensors[key];
    return { tensors, meta: { ...meta, numbers: { [name]: { ...this.#memory.numbers } } } };
  }

  override importState(saved: ImportedState): void {
    const names = this.parameters === undefined
      ? saved.meta.groups
      : this.paramGroups as unknown as typeof saved.meta.groups;
    const { state } = byIndex(saved, names ?? this.paramGroups);
    const memory = readMemory(Object.values(state)[0]);
    super.importState({ tensors: {}, meta: { ...saved.meta, numbers: {} } });
    this.#forget();
    this.#memory = memory;
  }

  override dispose(): void {
    this.#forget();
    super.dispose();
  }

  #forget(): void {
    tf.dispose(this.#memory?.tensors ?? {});
    this.#memory = undefined;
  }

  async #recall(size: number): Promise<Work> {
    if (this.#memory === undefined) {
      const numbers = { func_evals: 0, n_iter: 0, t: 0, H_diag: 1, prev_loss: 0 };
      return {
        numbers,
        d: new Float64Array(size),
        previous: new Float64Array(size),
        ys: [],
        ss: [],
      };
    }
    const { numbers, tensors } = this.#memory;
    if (tensors.d.size !== size) {
      throw new CheckpointError(
        `optimizer state: d must have ${size} elements, received ${tensors.d.size}`,
      );
    }
    const [d, previous, ys, ss] = await Promise.all(
      tensorNames.map(async (key) => Float64Array.from(await tensors[key].data())),
    );
    const rows = (values: Float64Array) =>
      Array.from(
        { length: values.length / size },
        (_, i) => values.slice(i * size, (i + 1) * size),
      );
    return { numbers: { ...numbers }, d, previous, ys: rows(ys), ss: rows(ss) };
  }

  #remember({ numbers, d, previous, ys, ss }: Work): void {
    this.#forget();
    const vector = (values: Float64Array) => tf.keep(tf.tensor1d(Float32Array.from(values)));
    const history = (rows: Float64Array[]) => {
      const flat = new Float32Array(rows.length * d.length);
      rows.forEach((row, i) => flat.set(row, i * d.length));
      return tf.keep(tf.tensor2d(flat, [rows.length, d.length]));
    };
    this.#memory = {
      numbers,
      tensors: {
        d: vector(d),
        prev_flat_grad: vector(previous),
        old_dirs: history(ys),
        old_stps: history(ss),
      },
    };
  }
}

/** The new direction from the gradient and the history, which takes in the last step. */
function turn(work: Work, gradient: Float64Array, historySize: number): void {
  const { numbers, ys, ss } = work;
  if (numbers.n_iter === 1) {
    work.d = gradient.map((g) => -g);
    return;
  }
  const y = gradient.map((g, i) => g - work.previous[i]);
  const s = work.d.map((d) => d * numbers.t);
  const curvature = dot(y, s);
  if (curvature > 1e-10) {
    ys.push(y);
    ss.push(s);
    if (ys.length > historySize) ys.shift(), ss.shift();
    numbers.H_diag = curvature / dot(y, y);
  }
  const q = gradient.map((g) => -g);
  const weights = ys.map((y, i) => 1 / dot(y, ss[i]));
  const along = new Float64Array(ys.length);
  for (let i = ys.length - 1; i >= 0; i--) {
    along[i] = dot(ss[i], q) * weights[i];
    for (let j = 0; j < q.length; j++) q[j] -= along[i] * ys[i][j];
  }
  for (let j = 0; j < q.length; j++) q[j] *= numbers.H_diag;
  for (let i = 0; i < ys.length; i++) {
    const back = along[i] - dot(ys[i], q) * weights[i];
    for (let j = 0; j < q.length; j++) q[j] += back * ss[i][j];
  }
  work.d = q;
}

/** Tensors one after the other; an absent one is zeros. */
async function gather(
  parts: readonly { size: number; tensor: tf.Tensor | undefined }[],
): Promise<Float64Array> {
  const values = await Promise.all(parts.map(({ tensor }) => tensor?.data()));
  const flat = new Float64Array(parts.reduce((sum, { size }) => sum + size, 0));
  let at = 0;
  parts.forEach(({ size }, i) => {
    if (values[i] !== undefined) flat.set(values[i], at);
    at += size;
  });
  return flat;
}

function assign(variables: readonly tf.Variable[], x: Float64Array): void {
  let at = 0;
  for (const variable of variables) {
    const part = Float32Array.from(x.subarray(at, at += variable.size));
    tf.tidy(() => variable.assign(tf.tensor(part, variable.shape)));
  }
}

function readMemory(saved: Readonly<Record<string, SavedValue>> | undefined): Memory | undefined {
  if (saved === undefined || Object.keys(saved).length === 0) return undefined;
  const known: readonly string[] = [...numberNames, ...tensorNames, ...derivedNames];
  const stray = Object.keys(saved).find((key) => !known.includes(key));
  if (stray !== undefined) {
    throw new CheckpointError(`optimizer state: LBFGS keeps no ${show(stray)}`);
  }
  const numbers = Object.fromEntries(numberNames.map((key) => {
    const value = numberIn(saved[key]);
    if (value === undefined) throw new CheckpointError(`optimizer state: ${key} must be a number`);
    return [key, value];
  })) as Memory["numbers"];
  const faulty = tensorNames.find((key) => !isTensor(saved[key]));
  if (faulty !== undefined) {
    throw new CheckpointError(
      `optimizer state: ${faulty} must be a tensor or { data, shape }, received ${
        show(saved[faulty])
      }`,
    );
  }
  const tensors = Object.fromEntries(tensorNames.map((key) => {
    const value = saved[key] as tf.Tensor | HostTensor;
    const tensor = tf.keep(
      value instanceof tf.Tensor
        ? tf.clone(value)
        : tf.tensor(Float32Array.from(value.data), [...value.shape], "float32"),
    );
    return [key, tensor];
  })) as Memory["tensors"];
  return { numbers, tensors };
}

function numberIn(value: SavedValue | undefined): number | undefined {
  if (typeof value === "number") return value;
  return isTensor(value) && !(value instanceof tf.Tensor) && value.data.length === 1
    ? value.data[0]
    : undefined;
}

function isTensor(value: SavedValue | undefined): value is tf.Tensor | HostTensor {
  return value !== null && typeof value === "object";
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function largest(x: Float64Array): number {
  let most = 0;
  for (const value of x) {
    if (Number.isNaN(value)) return NaN;
    most = Math.max(most, Math.abs(value));
  }
  return most;
}

function needsClosure(): ConfigError {
  return new ConfigError("optimizer", "LBFGS asks for the loss several times: await step(closure)");
}
