/**
 * The optimizer engine: groups, state by parameter, one update a call, saving and loading.
 *
 * Each group has its own rule, so one optimizer may train some parameters with one type and some
 * with another. It is a real `tf.Optimizer`. A parameter whose gradient is absent is skipped as
 * torch skips it: no state is made, nothing decays, its step count stays.
 */
import { CheckpointError, ConfigError, show } from "../core/errors.ts";
import { type NamedParameters, namedParameters } from "../tensor/parameters.ts";
import * as tf from "../tensor/tf.ts";
import { gradientEntries, type Gradients, resolveGradients } from "./gradients.ts";
import {
  byIndex,
  disposeImported,
  type ImportedState,
  joinKey,
  keepImported,
  type OptimizerState,
  sharedKey,
} from "./named_state.ts";
import { type Closure, evaluateClosure, type HostClosure } from "./closure.ts";
import type { GradientEntry, OptimizerRule, ParameterState, UpdateEntry } from "./rule.ts";
import {
  type LoadedState,
  type OptimizerStateDict,
  readState,
  type SavedState,
} from "./state_dict.ts";
import { firstSlots, slotNames, StateStore } from "./state_store.ts";
import { groupTable } from "./summary.ts";
import { fromWeights, type NamedTensor, toWeights } from "./tfjs_weights.ts";

export type { Closure, ClosureResult, HostClosure, HostClosureResult, Point } from "./closure.ts";
export type { Gradients, NamedGradient } from "./gradients.ts";
export type { ImportedState, OptimizerMeta, OptimizerState } from "./named_state.ts";
export type { HostTensor, OptimizerStateDict, SavedState } from "./state_dict.ts";
export type { NamedTensor } from "./tfjs_weights.ts";

/** One parameter group: torch's spelling, writable; `lr` is what a scheduler changes. */
export type ParamGroup = {
  names: string[];
  lr: number;
} & Record<string, unknown>;

/** A group to be made. */
export interface GroupSpec {
  readonly rule: OptimizerRule;
  /** All options of the rule, checked. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly names: readonly string[];
  /** What it holds, for {@link Optimizer.summary}. */
  readonly label: string;
}

/** Puts parameters into groups; without parameters it answers the group that adopts them all. */
export type GroupPlan = (parameters?: NamedParameters) => GroupSpec[];

/** Settings of one update. */
export interface ApplyOptions {
  /** Multiplies every gradient before anything else; a scalar tensor stays on the device. @default 1 */
  readonly scale?: number | tf.Scalar;
  /**
   * The update happens only if every element of this tensor is finite. Steps are counted on the host
   * as if it does; {@link Optimizer.settle} must say before the next update whether it did.
   */
  readonly guard?: tf.Tensor;
}

/** A trained parameter as the engine holds it. */
export interface Unit {
  readonly name: string;
  readonly param: tf.Variable;
  readonly rule: OptimizerRule;
  /** Its place in {@link Optimizer.paramGroups}. */
  readonly group: number;
  /** The group's learning rate as it was built, before any scheduler. */
  readonly baseLr: number;
  /** Once it has had a gradient. */
  readonly state: ParameterState | undefined;
}

/** Who keeps and updates an optimizer's state in its place; see {@link Optimizer.handOver}. */
export interface StateHolder {
  /** The state now, as {@link Optimizer.exportState} names it; of `meta` only the numbers are read. */
  fetch(): ImportedState;
  /** The optimizer has been given other state, which is to be taken over again. */
  changed(): void;
}

/** A group as the engine holds it. */
interface Member {
  readonly spec: GroupSpec;
  readonly rule: OptimizerRule;
  readonly group: ParamGroup;
  readonly variables: Map<string, tf.Variable>;
}

/** An optimizer over named parameters; made by `buildOptimizer`. */
export class Optimizer extends tf.Optimizer {
  /** The name under which tfjs saves it. */
  static readonly className: string = "DownhillOptimizer";

  /** The groups in order; change `lr` and other options in place. */
  readonly paramGroups: ParamGroup[] = [];
  /** The options as they were built, before any group rule changed them. */
  readonly defaults: Readonly<{ lr: number } & Record<string, unknown>>;

  readonly #plan: GroupPlan;
  readonly #config: Record<string, unknown>;
  readonly #members: Member[] = [];
  readonly #states = new StateStore();
  /** Training values while the parameters hold others: those of evaluation, or perturbed ones. */
  readonly #raw = new Map<string, tf.Tensor>();
  readonly #before = new Map<string, tf.Tensor>();
  #parameters: NamedParameters | undefined;
  #pending: ImportedState | undefined;
  /** Takes back what the host noted of the last update with a guard. */
  #undo: (() => void)[] = [];
  #closureIsLoss = false;
  #holder: StateHolder | undefined;
  /** Whether the holder's state is not that of {@link #states}. */
  #stale = false;

  /**
   * @param plan Puts the parameters into groups.
   * @param parameters Variables by name; left out, those of the first update are adopted under
   * their own names. Variables that are not trainable are left out of the groups.
   * @param config The plain config it was built from, for tfjs' model saving.
   */
  constructor(
    plan: GroupPlan,
    parameters?: Readonly<Record<string, tf.Variable>>,
    config: Record<string, unknown> = {},
  ) {
    super();
    this.#plan = plan;
    this.#config = config;
    this.defaults = copyOptions(plan()[0].options) as ParamGroup;
    if (parameters === undefined) this.#setGroups(plan(), new Map());
    else this.#take(parameters);
  }

  /** Whether an update needs more than one gradient, so that `applyGradients` alone cannot make it. */
  get needsClosure(): boolean {
    return this.perturbs;
  }

  /** Whether {@link perturb} must come before each update (SAM). */
  get perturbs(): boolean {
    return this.#members.some(({ rule }) => rule.perturb !== undefined);
  }

  /**
   * One update of every parameter that has a gradient; the gradients stay the caller's.
   *
   * It never waits for the device: on WebGPU nothing is read. On cpu and wasm, where tensors lie in
   * the memory of the program, scalars of an update (norms, means, `scale`, `guard`) are read
   * synchronously, each an access to that memory.
   *
   * @throws {ConfigError} For names that are unknown or mixed, a wrong shape, a rate that is not
   * finite, in evaluation mode, or where {@link perturb} has to come first; nothing is changed then.
   */
  override applyGradients(gradients: Gradients, options: ApplyOptions = {}): void {
    this.#checkHeldHere();
    const resolved = this.resolve(gradients);
    if (this.perturbs && this.#before.size === 0) {
      throw new ConfigError(
        "optimizer",
        "takes its gradient at perturbed parameters: use step(closure), or perturb(gradients) first",
      );
    }
    const { scale, guard } = options;
    if (guard !== undefined && !this.obeysGuards) {
      throw new ConfigError("guard", "is not obeyed by every type of this optimizer");
    }
    this.restore();
    this.#undo = [];
    const entries = new Map<OptimizerRule, UpdateEntry[]>();
    for (const { spec, group, rule, variables } of this.#members) {
      const list = entries.get(rule) ?? [];
      entries.set(rule, list);
      const baseLr = spec.options.lr as number;
      for (const [name, param] of variables) {
        const gradient = resolved.get(name);
        if (gradient === undefined) continue;
        const live = guard && this.#states.of(name)?.numbers;
        const before = live && { ...live };
        const { state, created } = this.#states.ready(name, param, rule, group);
        if (guard !== undefined) {
          this.#undo.push(() => this.#states.takeBack(name, created, before));
        }
        const options = group;
        list.push({ name, param, gradient, scale, guard, options, state, created, baseLr });
      }
    }
    for (const [rule, list] of entries) {
      if (list.length > 0) rule.step(list, this.#states.readyShared(rule, list[0].options));
    }
    this.incrementIterations();
  }

  /** Whether `guard` can be given to {@link applyGradients}: every rule must take it to the device. */
  get obeysGuards(): boolean {
    return !this.perturbs && this.#members.every(({ rule }) => rule.obeysGuards === true);
  }

  /** Says whether the last update, which had a guard, happened. */
  settle(happened: boolean): void {
    if (!happened && this.#undo.length > 0) {
      for (const undo of this.#undo) undo();
      this.iterations_--;
    }
    this.#undo = [];
  }

  /**
   * Moves the parameters to where the gradient of the update is taken; `applyGradients`, or
   * {@link restore} without an update, moves them back to the bit.
   */
  perturb(gradients: Gradients, options: ApplyOptions = {}): void {
    this.#checkHeldHere();
    const resolved = this.resolve(gradients);
    this.restore();
    const entries = new Map<OptimizerRule, GradientEntry[]>();
    for (const { group, rule, variables } of this.#members) {
      if (rule.perturb === undefined) continue;
      const list = entries.get(rule) ?? [];
      entries.set(rule, list);
      for (const [name, param] of variables) {
        const gradient = resolved.get(name);
        if (gradient === undefined) continue;
        this.#before.set(name, tf.keep(tf.clone(param)));
        list.push({ name, param, gradient, scale: options.scale, options: group });
      }
    }
    for (const [rule, list] of entries) if (list.length > 0) rule.perturb!(list);
  }

  /** Undoes {@link perturb}. */
  restore(): void {
    this.#putBack(this.#before);
  }

  /**
   * One update with the loss and gradients that `closure` computes, as often as the update asks.
   *
   * @param closure See {@link Closure}; a {@link HostClosure} is for LBFGS.
   * @returns The loss at the parameters before the update.
   */
  async step(closure: Closure | HostClosure): Promise<number> {
    this.#checkHeldHere();
    const first = await this.#evaluate(closure);
    try {
      if (this.perturbs) {
        this.perturb(first.grads);
        const second = await this.#evaluate(closure);
        try {
          this.applyGradients(second.grads);
        } finally {
          tf.dispose(second.grads as tf.TensorContainer);
        }
      } else {
        this.applyGradients(first.grads);
      }
    } finally {
      this.restore();
      tf.dispose(first.grads as tf.TensorContainer);
    }
    return first.loss;
  }

  /**
   * tfjs' `minimize`; an optimizer that perturbs evaluates `f` twice (and tfjs'
   * `fit` then keeps a scalar a metric too many), and answers the first value.
   */
  override minimize(
    f: () => tf.Scalar,
    returnCost = false,
    varList?: tf.Variable[],
  ): tf.Scalar | null {
    if (!this.perturbs) return super.minimize(f, returnCost, varList);
    const { value, grads } = this.computeGradients(f, varList);
    try {
      this.perturb(grads);
      super.minimize(f, false, varList);
    } catch (error) {
      value.dispose();
      throw error;
    } finally {
      this.restore();
      tf.dispose(grads);
    }
    if (returnCost) return value;
    value.dispose();
    return null;
  }

  /**
   * Puts the weights for evaluation into the parameters (Schedule-Free: the average); updates are
   * refused until {@link train}. Other optimizers have none, and nothing changes.
   */
  eval(): void {
    for (const { group, rule, variables } of this.#members) {
      if (rule.evaluation === undefined || group.train_mode === false) continue;
      this.#recall();
      group.train_mode = false;
      for (const [name, param] of variables) {
        const state = this.#states.of(name);
        if (state === undefined) continue;
        this.#raw.set(name, tf.keep(tf.clone(param)));
        tf.tidy(() => param.assign(rule.evaluation!.average(param, state, group)));
      }
    }
  }

  /** Puts the training weights back, to the bit if {@link eval} was called on this object. */
  train(): void {
    for (const { group, rule, variables } of this.#members) {
      if (rule.evaluation === undefined || group.train_mode !== false) continue;
      this.#recall();
      group.train_mode = true;
      for (const [name, param] of variables) {
        const state = this.#states.of(name);
        if (state === undefined || this.#raw.has(name)) continue;
        tf.tidy(() => param.assign(rule.evaluation!.raw(param, state, group)));
      }
    }
    this.#putBack(this.#raw);
  }

  /** torch's state dict; tensors are the live state, numbers and groups are copies. */
  stateDict(): OptimizerStateDict {
    this.#recall();
    const dict: OptimizerStateDict = { state: {}, param_groups: [] };
    let index = 0;
    for (const { group, rule, variables } of this.#members) {
      const params: number[] = [];
      for (const name of variables.keys()) {
        const state = this.#states.of(name);
        if (state !== undefined && !isEmpty(state)) {
          dict.state[index] = { ...state.numbers, ...state.slots };
        }
        params.push(index++);
      }
      const { names, ...options } = group;
      dict.param_groups.push({
        ...copyOptions(options),
        ...this.#states.shared.get(rule),
        params,
        param_names: [...names],
      });
    }
    return dict;
  }

  /**
   * Takes over a state dict by position, as torch: its hyperparameters replace the present ones,
   * parameters without an entry start anew. Host arrays are accepted for tensors.
   *
   * @throws {CheckpointError} If groups, sizes, slots or shapes differ; nothing is changed then.
   */
  loadStateDict(dict: SavedState): void {
    if (this.#parameters === undefined) {
      throw new CheckpointError(
        "optimizer state: cannot be loaded by position before the parameters are known; " +
          "give them to buildOptimizer",
      );
    }
    this.#load(readState(dict, this.#members));
    this.#holder?.changed();
  }

  /** The state by parameter name; tensors are the live state. */
  exportState(): OptimizerState {
    this.#recall();
    const tensors: Record<string, tf.Tensor> = {};
    const numbers = new Map<string, Record<string, number>>();
    for (const { name, state } of this.units()) {
      if (state === undefined || isEmpty(state)) continue;
      numbers.set(name, { ...state.numbers });
      for (const [slot, variable] of Object.entries(state.slots)) {
        tensors[joinKey(name, slot)] = variable;
      }
    }
    for (const [rule, shared] of this.#states.shared) {
      const group = this.#members.findIndex((member) => member.rule === rule);
      for (const [key, variable] of Object.entries(shared)) {
        tensors[sharedKey(group, key)] = variable;
      }
    }
    const groups = this.paramGroups.map((group) => copyOptions(group) as ParamGroup);
    const meta = { iterations: this.iterations, groups, numbers: Object.fromEntries(numbers) };
    return { tensors, meta };
  }

  /**
   * Takes over what {@link exportState} gave; before parameters are adopted it waits for them.
   *
   * @throws {CheckpointError} If names, groups, slots or shapes differ; nothing is changed then.
   */
  importState(saved: ImportedState): void {
    if (this.#parameters === undefined) {
      disposeImported(this.#pending);
      this.#pending = keepImported(saved);
    } else {
      this.#load(readState(byIndex(saved, this.paramGroups), this.#members));
    }
    this.iterations_ = saved.meta.iterations ?? this.iterations;
    this.#holder?.changed();
  }

  /** A table of the groups: type, what they hold, tensors, elements, rate and decay. */
  summary(): string {
    return groupTable(this.#members.map(({ spec, group, rule, variables }) => ({
      type: rule.name,
      label: spec.label,
      tensors: variables.size,
      elements: [...variables.values()].reduce((sum, variable) => sum + variable.size, 0),
      lr: group.lr,
      weightDecay: group.weight_decay,
    })));
  }

  /** Disposes the state; the parameters stay. */
  override dispose(): void {
    this.#holder = undefined;
    this.#states.clear();
    this.#forget();
    disposeImported(this.#pending);
    this.#pending = undefined;
  }

  /** tfjs' form of the state: `iter`, then `<parameter>/<slot>`, numbers as scalars. */
  override async getWeights(): Promise<NamedTensor[]> {
    const weights = toWeights(this.exportState());
    return [await this.saveIterations(), ...weights];
  }

  /** Takes over what {@link getWeights} gave; hyperparameters stay. */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    const { tensors, meta } = await fromWeights(await this.extractIterations(weights));
    this.importState({ tensors, meta: { ...meta, iterations: this.iterations } });
  }

  /** The config it was built from, as text: tfjs respells other strings when it loads a model. */
  override getConfig(): tf.serialization.ConfigDict {
    const plain = (_: string, value: unknown) => value instanceof RegExp ? value.source : value;
    return { name: JSON.stringify(this.#config, plain) };
  }

  /**
   * All trained parameters in order, once they are known; while the state is held elsewhere theirs is
   * undefined or the last that was looked at.
   */
  units(): Unit[] {
    return this.#members.flatMap(({ spec, rule, variables }, group) => {
      const baseLr = spec.options.lr as number;
      return [...variables].map(([name, param]) => {
        return { name, param, rule, group, baseLr, state: this.#states.of(name) };
      });
    });
  }

  /** What all parameters of `rule` share, once one of them has had a gradient. */
  sharedState(rule: OptimizerRule): Readonly<Record<string, tf.Variable>> | undefined {
    this.#recall();
    return this.#states.shared.get(rule);
  }

  /** The names of the slots that a parameter needs under the present options. */
  slotsOf({ rule, param, group }: Unit): string[] {
    return slotNames(rule, this.paramGroups[group], param);
  }

  /** The slots beside `known` that a parameter needs under the present options, as new tensors. */
  initialSlots(
    { rule, param, group }: Unit,
    known: readonly string[] = [],
  ): Record<string, tf.Tensor> {
    return firstSlots(rule, this.paramGroups[group], param, known);
  }

  /**
   * Leaves the state to `holder`, which has copied what {@link units} and {@link sharedState} gave and
   * makes the updates, each followed by {@link noteUpdate}; what is held here is freed. Whoever looks
   * at the state (`exportState`, `stateDict`, `getWeights`, `eval`) gets that of `holder.fetch()`, a
   * copy of which stays here until the next update. Loading state ends with `holder.changed()`.
   * Groups and their options stay here.
   *
   * @param holder undefined takes the state back.
   * @throws {ConfigError} If an update takes more than one gradient (SAM, LBFGS), or before the
   * parameters are known.
   */
  handOver(holder: StateHolder | undefined): void {
    if (holder === undefined) {
      this.#recall();
    } else {
      if (this.needsClosure) {
        throw new ConfigError(
          "optimizer",
          "takes several gradients an update, and makes it itself",
        );
      }
      if (this.#parameters === undefined) {
        throw new ConfigError("optimizer", "must be given its parameters before it is handed over");
      }
      this.#states.clear();
    }
    this.#stale = holder !== undefined;
    this.#holder = holder;
  }

  /** An update was made by the holder of the state. */
  noteUpdate(): void {
    if (this.#holder === undefined) {
      throw new ConfigError("optimizer", "makes its updates itself until it is handed over");
    }
    this.#states.clear();
    this.#stale = true;
    this.incrementIterations();
  }

  /** The parameters, once they are known. */
  get parameters(): NamedParameters | undefined {
    return this.#parameters;
  }

  /** The parameters known now, or those that `gradients` names. */
  protected adopt(gradients: Gradients): NamedParameters {
    if (this.#parameters !== undefined) return this.#parameters;
    const registered = tf.engine().registeredVariables;
    const adopted: Record<string, tf.Variable> = Object.create(null);
    for (const [name] of gradientEntries(gradients)) {
      if (!Object.hasOwn(registered, name)) {
        throw new ConfigError(
          `gradients.${name}`,
          "is no variable's name; give buildOptimizer the parameters to use names of your own",
        );
      }
      adopted[name] = registered[name];
    }
    const parameters = this.#take(adopted);
    if (this.#pending !== undefined) {
      const pending = this.#pending;
      this.#pending = undefined;
      try {
        this.#load(readState(byIndex(pending, this.paramGroups), this.#members));
      } finally {
        disposeImported(pending);
      }
    }
    return parameters;
  }

  /**
   * The gradients by the first names of their parameters, if an update can be made with them now.
   *
   * @throws {ConfigError} As {@link applyGradients} does.
   */
  resolve(gradients: Gradients): Map<string, tf.Tensor> {
    const resolved = resolveGradients(gradients, this.adopt(gradients));
    checkWhole(this.#members);
    this.paramGroups.forEach(({ lr, train_mode }, i) => {
      if (!Number.isFinite(lr)) {
        throw new ConfigError(
          `paramGroups[${i}].lr`,
          `must be a finite number, received ${show(lr)}`,
        );
      }
      if (train_mode === false) {
        throw new ConfigError("optimizer", "is in evaluation mode: call train() before an update");
      }
    });
    return resolved;
  }

  #checkHeldHere(): void {
    if (this.#holder === undefined) return;
    throw new ConfigError("optimizer", "is handed over: its updates are made elsewhere");
  }

  /** Looks at the state if it is held elsewhere. */
  #recall(): void {
    if (this.#holder === undefined || !this.#stale) return;
    const { tensors, meta: { numbers } } = this.#holder.fetch();
    const saved = byIndex({ tensors, meta: { numbers } }, this.paramGroups);
    this.#states.load(readState(saved, this.#members, this.paramGroups));
    this.#stale = false;
  }

  async #evaluate(
    closure: Closure | HostClosure,
  ): Promise<{ loss: number; grads: Gradients }> {
    if (closure?.length > 0) {
      throw new ConfigError(
        "closure",
        "takes a point in double precision, which LBFGS alone gives; compute at the parameters",
      );
    }
    const variables = this.#parameters && [...this.#parameters.variables.values()];
    const evaluation = await evaluateClosure(closure as Closure, this.#closureIsLoss, variables);
    this.#closureIsLoss = evaluation.isLoss;
    return evaluation;
  }

  /** Assigns kept values to their parameters and forgets them. */
  #putBack(kept: Map<string, tf.Tensor>): void {
    for (const [name, value] of kept) {
      this.#parameters?.variables.get(name)?.assign(value);
      value.dispose();
    }
    kept.clear();
  }

  /** Frees the values that {@link train} and {@link restore} put back. */
  #forget(): void {
    for (const kept of [this.#raw, this.#before]) {
      tf.dispose([...kept.values()]);
      kept.clear();
    }
  }

  #take(variables: Readonly<Record<string, tf.Variable>>): NamedParameters {
    const parameters = namedParameters(variables);
    this.#setGroups(this.#plan(parameters), parameters.variables);
    this.#parameters = parameters;
    return parameters;
  }

  /** Makes the groups; one that was there before adoption keeps what was written to it. */
  #setGroups(specs: readonly GroupSpec[], variables: ReadonlyMap<string, tf.Variable>): void {
    const members = specs.map((spec) => {
      const before = this.#members.find((member) => member.spec.options === spec.options);
      const group = (before?.group ?? copyOptions(spec.options)) as ParamGroup;
      group.names = [...spec.names];
      if (spec.rule.evaluation !== undefined) group.train_mode ??= true;
      for (const name of spec.names) {
        const fault = spec.rule.refuses?.(variables.get(name)!, group);
        if (fault !== undefined) throw new ConfigError(`parameters.${name}`, fault);
      }
      const held = new Map(spec.names.map((name) => [name, variables.get(name)!]));
      return { spec, rule: spec.rule, group, variables: held };
    });
    checkWhole(members);
    this.#members.splice(0, this.#members.length, ...members);
    this.paramGroups.splice(0, this.paramGroups.length, ...members.map(({ group }) => group));
  }

  /** Replaces hyperparameters and state. */
  #load(loaded: LoadedState): void {
    this.#states.load(loaded);
    this.#forget();
    this.#stale = false;
    loaded.groups.forEach((options, i) => Object.assign(this.paramGroups[i], copyOptions(options)));
  }
}

/** What a rule has once for all its groups must not differ among them. */
function checkWhole(members: readonly Member[]): void {
  const first = new Map<OptimizerRule, Readonly<Record<string, unknown>>>();
  members.forEach(({ rule, group }, i) => {
    if (rule.whole === undefined) return;
    const own = rule.whole(group);
    const other = first.get(rule);
    if (other === undefined) first.set(rule, own);
    const key = Object.keys(own).find((key) => other !== undefined && own[key] !== other[key]);
    if (key === undefined) return;
    throw new ConfigError(
      `paramGroups[${i}].${key}`,
      `must be the same in all groups of ${rule.name}, received ${show(own[key])} beside ${
        show(other![key])
      }`,
    );
  });
}

function isEmpty(state: ParameterState): boolean {
  return Object.keys(state.numbers).length === 0 && Object.keys(state.slots).length === 0;
}

/** Options with arrays copied, so that nobody's config or checkpoint is shared. */
function copyOptions(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => [key, Array.isArray(value) ? [...value] : value]),
  );
}
