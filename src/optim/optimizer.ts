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
  splitKey,
} from "./named_state.ts";
import type { OptimizerRule, ParameterState, UpdateEntry } from "./rule.ts";
import {
  type HostTensor,
  type LoadedState,
  type OptimizerStateDict,
  readState,
  type SavedState,
} from "./state_dict.ts";
import { groupTable } from "./summary.ts";

export type { Gradients, NamedGradient } from "./gradients.ts";
export type { ImportedState, OptimizerMeta, OptimizerState } from "./named_state.ts";
export type { HostTensor, OptimizerStateDict, SavedState } from "./state_dict.ts";

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

/** A tensor with its name, as tfjs saves optimizers. */
export interface NamedTensor {
  name: string;
  tensor: tf.Tensor;
}

/** A parameter as a subclass sees it. */
export interface TrainedParameter {
  readonly name: string;
  readonly param: tf.Variable;
  readonly group: ParamGroup;
  readonly state: ParameterState | undefined;
}

/** A group as the engine holds it. */
interface Member {
  readonly spec: GroupSpec;
  readonly rule: OptimizerRule;
  readonly group: ParamGroup;
  readonly variables: Map<string, tf.Variable>;
}

const numberSuffix = ":number";

/** An optimizer over named parameters; made by `buildOptimizer`. */
export class Optimizer extends tf.Optimizer {
  /** The name under which tfjs saves it. */
  static readonly className: string = "DownhillOptimizer";

  /** The groups in order; change `lr` and other options in place. */
  readonly paramGroups: ParamGroup[] = [];

  readonly #plan: GroupPlan;
  readonly #config: Record<string, unknown>;
  readonly #members: Member[] = [];
  readonly #state = new Map<string, ParameterState>();
  #parameters: NamedParameters | undefined;
  #pending: ImportedState | undefined;
  /** Takes back what the host noted of the last update with a guard. */
  #undo: (() => void)[] = [];

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
    if (parameters === undefined) this.#setGroups(plan(), new Map());
    else this.#take(parameters);
  }

  /**
   * One update of every parameter that has a gradient; the gradients stay the caller's.
   *
   * @throws {ConfigError} For names that are unknown or mixed, a wrong shape, or a rate that is
   * not finite; nothing is changed then.
   */
  override applyGradients(gradients: Gradients, options: ApplyOptions = {}): void {
    const parameters = this.#adopt(gradients);
    const resolved = resolveGradients(gradients, parameters);
    this.paramGroups.forEach(({ lr }, i) => {
      if (Number.isFinite(lr)) return;
      throw new ConfigError(
        `paramGroups[${i}].lr`,
        `must be a finite number, received ${show(lr)}`,
      );
    });
    const { scale, guard } = options;
    if (guard !== undefined && !this.obeysGuards) {
      throw new ConfigError("guard", "is not obeyed by every type of this optimizer");
    }
    this.#undo = [];
    const entries = new Map<OptimizerRule, UpdateEntry[]>();
    for (const { group, rule, variables } of this.#members) {
      const list = entries.get(rule) ?? [];
      entries.set(rule, list);
      for (const [name, param] of variables) {
        const gradient = resolved.get(name);
        if (gradient === undefined) continue;
        const before = guard && this.#state.get(name)?.numbers;
        const { state, created } = this.#stateOf(name, param, rule, group);
        if (guard !== undefined) this.#noteUndo(name, state, created, before && { ...before });
        list.push({ name, param, gradient, scale, guard, options: group, state, created });
      }
    }
    for (const [rule, list] of entries) if (list.length > 0) rule.step(list);
    this.incrementIterations();
  }

  /** Whether `guard` can be given to {@link applyGradients}: every rule must take it to the device. */
  get obeysGuards(): boolean {
    return this.#members.every(({ rule }) => rule.obeysGuards === true);
  }

  /** Says whether the last update, which had a guard, happened. */
  settle(happened: boolean): void {
    if (!happened && this.#undo.length > 0) {
      for (const undo of this.#undo) undo();
      this.iterations_--;
    }
    this.#undo = [];
  }

  /** torch's state dict; tensors are the live state, numbers and groups are copies. */
  stateDict(): OptimizerStateDict {
    const dict: OptimizerStateDict = { state: {}, param_groups: [] };
    let index = 0;
    for (const { group, variables } of this.#members) {
      const params: number[] = [];
      for (const name of variables.keys()) {
        const state = this.#state.get(name);
        if (state !== undefined && !isEmpty(state)) {
          dict.state[index] = { ...state.numbers, ...state.slots };
        }
        params.push(index++);
      }
      const { names, ...options } = group;
      dict.param_groups.push({ ...copyOptions(options), params, param_names: [...names] });
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
  }

  /** The state by parameter name; tensors are the live state. */
  exportState(): OptimizerState {
    const tensors: Record<string, tf.Tensor> = {};
    const numbers = new Map<string, Record<string, number>>();
    for (const { name, state } of this.states()) {
      if (state === undefined || isEmpty(state)) continue;
      numbers.set(name, { ...state.numbers });
      for (const [slot, variable] of Object.entries(state.slots)) {
        tensors[joinKey(name, slot)] = variable;
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
    for (const { slots } of this.#state.values()) tf.dispose(slots);
    this.#state.clear();
    disposeImported(this.#pending);
    this.#pending = undefined;
  }

  /** tfjs' form of the state: `iter`, then `<parameter>/<slot>`, numbers as scalars. */
  override async getWeights(): Promise<NamedTensor[]> {
    const { tensors, meta } = this.exportState();
    const weights = [await this.saveIterations()];
    for (const [name, tensor] of Object.entries(tensors)) weights.push({ name, tensor });
    for (const [name, numbers] of Object.entries(meta.numbers)) {
      for (const [key, value] of Object.entries(numbers)) {
        weights.push({ name: joinKey(name, key + numberSuffix), tensor: tf.scalar(value) });
      }
    }
    return weights;
  }

  /** Takes over what {@link getWeights} gave; hyperparameters stay. */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    const rest = await this.extractIterations(weights);
    const tensors: Record<string, tf.Tensor> = {};
    const numbers = new Map<string, Record<string, number>>();
    for (const { name, tensor } of rest) {
      const [parameter, key] = splitKey(name);
      if (key.endsWith(numberSuffix)) {
        const value = (await tensor.data())[0];
        const known = numbers.get(parameter);
        numbers.set(parameter, { ...known, [key.slice(0, -numberSuffix.length)]: value });
      } else {
        tensors[name] = tensor;
      }
    }
    const meta = { iterations: this.iterations, numbers: Object.fromEntries(numbers) };
    this.importState({ tensors, meta });
  }

  /** The config it was built from, as text: tfjs respells other strings when it loads a model. */
  override getConfig(): tf.serialization.ConfigDict {
    const plain = (_: string, value: unknown) => value instanceof RegExp ? value.source : value;
    return { name: JSON.stringify(this.#config, plain) };
  }

  /** Every trained parameter with its group and, once it has had a gradient, its state. */
  protected *states(): Generator<TrainedParameter> {
    for (const { group, variables } of this.#members) {
      for (const [name, param] of variables) {
        yield { name, param, group, state: this.#state.get(name) };
      }
    }
  }

  /** The parameters known now, or those that `gradients` names. */
  #adopt(gradients: Gradients): NamedParameters {
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
      const held = new Map(spec.names.map((name) => [name, variables.get(name)!]));
      return { spec, rule: spec.rule, group, variables: held };
    });
    this.#members.splice(0, this.#members.length, ...members);
    this.paramGroups.splice(0, this.paramGroups.length, ...members.map(({ group }) => group));
  }

  /** The state of a parameter, with every slot that its options now need. */
  #stateOf(
    name: string,
    param: tf.Variable,
    rule: OptimizerRule,
    options: ParamGroup,
  ): { state: ParameterState; created: Set<string> } {
    let state = this.#state.get(name);
    if (state === undefined) {
      this.#state.set(name, state = { numbers: { ...rule.numbers?.(options) }, slots: {} });
    }
    const created = new Set<string>();
    for (const [key, slot] of Object.entries(rule.slots)) {
      if (state.slots[key] !== undefined || slot.when?.(options) === false) continue;
      state.slots[key] = tf.tidy(() =>
        tf.variable(slot.initial?.(options, param) ?? tf.zerosLike(param), false)
      );
      created.add(key);
    }
    return { state, created };
  }

  /** `numbers` are those before the update, undefined if it made the state. */
  #noteUndo(
    name: string,
    { numbers: live, slots }: ParameterState,
    created: ReadonlySet<string>,
    numbers: Record<string, number> | undefined,
  ): void {
    this.#undo.push(() => {
      for (const slot of created) {
        slots[slot].dispose();
        delete slots[slot];
      }
      if (numbers === undefined) this.#state.delete(name);
      else Object.assign(live, numbers);
    });
  }

  /** Replaces hyperparameters and state; copies first, since the source may be this state itself. */
  #load(loaded: LoadedState): void {
    const fresh = [...loaded.parameters].map(([name, { numbers, slots }]) => {
      const variables: Record<string, tf.Variable> = {};
      for (const [key, value] of slots) {
        variables[key] = tf.tidy(() => tf.variable(toTensor(value), false));
      }
      return [name, { numbers, slots: variables }] as const;
    });
    for (const { slots } of this.#state.values()) tf.dispose(slots);
    this.#state.clear();
    for (const [name, state] of fresh) this.#state.set(name, state);
    loaded.groups.forEach((options, i) => Object.assign(this.paramGroups[i], copyOptions(options)));
  }
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

/** A new tensor of the same values. */
function toTensor(value: tf.Tensor | HostTensor): tf.Tensor {
  return value instanceof tf.Tensor
    ? tf.clone(value)
    : tf.tensor(Float32Array.from(value.data), [...value.shape], "float32");
}
