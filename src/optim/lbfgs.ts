/**
 * L-BFGS (Liu and Nocedal, 1989), as `torch.optim.LBFGS`.
 *
 * It works on one flat vector of all parameters, on the host in double precision; loss and
 * gradients come from the closure, usually from the device.
 */
import { ConfigError, show } from "../core/errors.ts";
import { atLeast, flag, integer, number, object, oneOf, type z } from "../core/options.ts";
import * as tf from "../tensor/tf.ts";
import { type Closure, type ClosureResult, evaluateClosure, type HostClosure } from "./closure.ts";
import { resolveGradients } from "./gradients.ts";
import {
  dot,
  emptyWork,
  type Memory,
  pack,
  readMemory,
  turn,
  unpack,
  type Work,
} from "./lbfgs_memory.ts";
import { strongWolfe, type Trial } from "./line_search.ts";
import { byIndex, type ImportedState, joinKey, type OptimizerState } from "./named_state.ts";
import { Optimizer, type OptimizerStateDict, type SavedState } from "./optimizer.ts";
import { singleGroup } from "./params.ts";
import type { OptimizerRule } from "./rule.ts";

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
  scope: () => "model",
  step: () => refuse(),
};

/** The optimizer; `await step(closure)` makes up to `max_iter` iterations. */
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

  /** Refused: an update asks for the loss at several points. */
  override applyGradients(): never {
    return refuse();
  }

  /** Refused: an update has to wait for values of the device. */
  override minimize(): never {
    return refuse();
  }

  /**
   * Up to `max_iter` times: d = -H g from the last `history_size` pairs, then a step of length lr,
   * or of a length that satisfies the strong Wolfe conditions.
   *
   * Point, direction and history are float64 in any case. A {@link Closure} rounds the point it is
   * evaluated at and its gradients to float32, which the line search amplifies: on the extended
   * Rosenbrock function it is up to 2e-5 from torch in float64 midway (torch in float32 6e-5), and
   * ends at the same minimum. A {@link HostClosure} stays within 1e-6 all the way.
   *
   * @returns The loss before the first iteration.
   *
   * @example
   * ```ts
   * import { strict as assert } from "node:assert";
   * import { buildOptimizer, selectBackend, tf } from "downhill";
   *
   * await selectBackend("cpu");
   * const x = tf.variable(tf.tensor([-1.2, 1]));
   * const optimizer = buildOptimizer({ type: "LBFGS", params: { line_search_fn: "strong_wolfe" } }, { x });
   * for (let i = 0; i < 3; i++) {
   *   await optimizer.step(({ x: [a, b] }) => ({
   *     value: 100 * (b - a * a) ** 2 + (1 - a) ** 2,
   *     grads: { x: Float64Array.of(-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)) },
   *   }));
   * }
   * assert(x.dataSync().every((value) => Math.abs(value - 1) < 1e-4));
   * ```
   */
  override async step(closure: Closure | HostClosure): Promise<number> {
    const o = this.paramGroups[0] as unknown as Options;
    let work: Work | undefined;
    const objective = async (): Promise<{ loss: number; gradient: Float64Array }> => {
      const { loss, gradient } = await this.#evaluate(closure, work?.x);
      return o.maximize ? { loss: -loss, gradient: gradient.map((g) => -g) } : { loss, gradient };
    };
    const moveTo = (x: Float64Array, t: number): void => {
      work!.x = x.map((value, i) => value + t * work!.d[i]);
      this.#assign(work!.x);
    };

    if (this.parameters !== undefined) work = await this.#recall();
    let { loss, gradient } = await objective();
    work ??= await this.#recall();
    const { numbers } = work;
    const first = o.maximize ? -loss : loss;
    const maxEval = o.max_eval ?? Math.floor(o.max_iter * 1.25);
    let evaluations = 1;
    numbers.func_evals++;

    for (let i = 1; i <= o.max_iter && largest(gradient) > o.tolerance_grad; i++) {
      numbers.n_iter++;
      turn(work, gradient, o.history_size);
      numbers.t = numbers.n_iter === 1
        ? Math.min(1, 1 / gradient.reduce((sum, g) => sum + Math.abs(g), 0)) * o.lr
        : o.lr;
      work.previous = gradient;
      numbers.prev_loss = loss;
      const start: Trial = { t: 0, loss, gradient, slope: dot(gradient, work.d) };
      if (start.slope > -o.tolerance_change) break;

      const from = work.x;
      let asked = 0;
      if (o.line_search_fn === null) {
        moveTo(from, numbers.t);
        // The gradient after the last iteration is the first of the next step.
        if (i === o.max_iter) break;
        ({ loss, gradient } = await objective());
        asked = 1;
      } else {
        const at = async (t: number): Promise<Trial> => {
          moveTo(from, t);
          const { loss, gradient } = await objective();
          return { t, loss, gradient, slope: dot(gradient, work!.d) };
        };
        const { trial, evaluations: trials } = await strongWolfe(at, start, numbers.t, {
          reach: largest(work.d),
          toleranceChange: o.tolerance_change,
          maxTrials: maxEval - evaluations,
        });
        ({ loss, gradient } = trial);
        numbers.t = trial.t;
        asked = trials;
        moveTo(from, trial.t);
      }
      evaluations += asked;
      numbers.func_evals += asked;
      if (evaluations >= maxEval) break;
      if (largest(work.d) * Math.abs(numbers.t) <= o.tolerance_change) break;
      if (Math.abs(loss - numbers.prev_loss) < o.tolerance_change) break;
    }
    this.#replace(pack(work));
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
    const memory = readMemory(dict?.state?.[String(dict.param_groups?.[0]?.params?.[0] ?? 0)]);
    super.loadStateDict({ ...dict, state: {} });
    this.#replace(memory);
  }

  override exportState(): OptimizerState {
    const { tensors, meta } = super.exportState();
    if (this.#memory === undefined) return { tensors, meta };
    const [name] = this.paramGroups[0].names;
    for (const [key, tensor] of Object.entries(this.#memory.tensors)) {
      tensors[joinKey(name, key)] = tensor;
    }
    return { tensors, meta: { ...meta, numbers: { [name]: { ...this.#memory.numbers } } } };
  }

  override importState(saved: ImportedState): void {
    if (this.parameters === undefined) {
      throw new ConfigError("optimizer", "LBFGS loads its state after it is given its parameters");
    }
    const { state } = byIndex(saved, this.paramGroups);
    const memory = readMemory(Object.values(state)[0]);
    super.importState({ tensors: {}, meta: { ...saved.meta, numbers: {} } });
    this.#replace(memory);
  }

  override dispose(): void {
    this.#replace(undefined);
    super.dispose();
  }

  #replace(memory: Memory | undefined): void {
    tf.dispose(this.#memory?.tensors ?? {});
    this.#memory = memory;
  }

  get #variables(): [string, tf.Variable][] {
    return [...this.parameters?.variables ?? []].filter(([, { trainable }]) => trainable !== false);
  }

  async #recall(): Promise<Work> {
    const variables = this.#variables.map(([, variable]) => variable);
    const x = await concatenate(variables, variables.map(({ size }) => size));
    return this.#memory === undefined ? emptyWork(x) : await unpack(this.#memory, x);
  }

  #assign(x: Float64Array): void {
    let at = 0;
    for (const [, variable] of this.#variables) {
      const part = Float32Array.from(x.subarray(at, at += variable.size));
      tf.tidy(() => variable.assign(tf.tensor(part, variable.shape)));
    }
  }

  async #evaluate(
    closure: Closure | HostClosure,
    x: Float64Array | undefined,
  ): Promise<{ loss: number; gradient: Float64Array }> {
    const known = this.#variables;
    const point: Record<string, Float64Array> = {};
    let at = 0;
    for (const [name, { size }] of known) point[name] = x!.slice(at, at += size);
    const { loss, grads, isLoss } = await evaluateClosure(
      (typeof closure === "function" ? () => closure(point) : closure) as () => ClosureResult,
      this.#closureIsLoss,
      known.length === 0 ? undefined : known.map(([, variable]) => variable),
    );
    this.#closureIsLoss = isLoss;
    const onHost = Object.values(grads).some((value) => value instanceof Float64Array);
    const resolved: Map<string, tf.Tensor | Float64Array> = onHost
      ? new Map(Object.entries(grads as unknown as Record<string, Float64Array>))
      : resolveGradients(grads, this.adopt(grads));
    const variables = this.#variables;
    for (const name of resolved.keys()) {
      if (variables.some(([other]) => other === name)) continue;
      throw new ConfigError("closure", `gives a gradient of ${show(name)}, which is no parameter`);
    }
    for (const [name, { size }] of variables) {
      const given = resolved.get(name);
      const length = given instanceof tf.Tensor ? given.size : given?.length ?? size;
      if (length === size) continue;
      throw new ConfigError(
        "closure",
        `gradient of ${name} must have ${size} elements, received ${length}`,
      );
    }
    const parts = variables.map(([name]) => resolved.get(name));
    const gradient = await concatenate(parts, variables.map(([, { size }]) => size));
    if (!onHost) tf.dispose(grads as tf.TensorContainer);
    return { loss, gradient };
  }
}

/** One vector of all values; an absent part is zeros. */
async function concatenate(
  parts: readonly (tf.Tensor | Float64Array | undefined)[],
  sizes: readonly number[],
): Promise<Float64Array> {
  const values = await Promise.all(
    parts.map((part) => part instanceof tf.Tensor ? part.data() : part),
  );
  const flat = new Float64Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  sizes.forEach((size, i) => {
    flat.set(values[i] ?? [], at);
    at += size;
  });
  return flat;
}

/** The largest magnitude; NaN if there is one. */
function largest(x: Float64Array): number {
  return x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function refuse(): never {
  throw new ConfigError("optimizer", "LBFGS asks for the loss several times: await step(closure)");
}
