/**
 * Where the training state of a run with workers is: at home, in the model and the optimizer of the
 * coordinator's thread, or away, on the current side of the shared memory.
 */
import { readTensors } from "../checkpoint/tensors.ts";
import { ConfigError } from "../core/errors.ts";
import type { Model } from "../model/model.ts";
import { joinKey, sharedKey } from "../optim/named_state.ts";
import type { OptimizerRule } from "../optim/rule.ts";
import type { ImportedState, Optimizer } from "../optim/optimizer.ts";
import type { CopiedOptimizerState } from "../runner/engine.ts";
import * as tf from "../tensor/tf.ts";
import type { Arena } from "./arena.ts";
import { type MadeBuffers, updateBuffers } from "./buffer_work.ts";
import { modelVariables, rulesOf, type UnitPlace } from "./layout.ts";
import { assign, load, store, valuesAt } from "./state_access.ts";
import { readUnit, type UnitState, writeUnit } from "./unit_state.ts";

/** The state, and its moves. */
export class TrainingState {
  readonly #optimizer: Optimizer;
  readonly #variables: readonly tf.Variable[];
  /** Where the state is while it is away. */
  #arena: Arena | undefined;
  /** The updates that have been noted: how many, and so which side is the state's. */
  #commits = 0;
  /** Whether the model here is older than the state that is away. */
  #stale = false;
  /** What the variables held when they were last alike. Held so that no update in place escapes. */
  #alike: tf.Tensor[] = [];
  /** While callbacks may look at a gradient: what was written over since, by variable. */
  #before: Map<number, Float32Array | Int32Array> | undefined;

  constructor(model: Model, optimizer: Optimizer) {
    this.#optimizer = optimizer;
    this.#variables = [...modelVariables(model).values()];
  }

  /** The side of the state: workers may have made the next update, which has not been noted yet. */
  #side({ layout }: Arena): number {
    return layout.sides[this.#commits & 1];
  }

  /** What that side says of a unit. */
  #unitIn(arena: Arena, place: UnitPlace): UnitState | undefined {
    return readUnit(arena, this.#side(arena), place);
  }

  /** Whether a unit of a rule has state there. */
  #hasState(arena: Arena, rule: number): boolean {
    const { units } = arena.layout;
    return units.some((place) => place.rule === rule && this.#unitIn(arena, place) !== undefined);
  }

  /** Puts the state into shared memory, or what was assigned to the model since it is there. */
  async leaveHome(arena: Arena): Promise<void> {
    if (this.#arena === undefined) {
      this.#commits = arena.commits;
      await this.#storeVariables(arena, this.#variables.keys());
      await this.#storeOptimizer(arena);
      this.#arena = arena;
      const fetch = () => {
        this.pull();
        return this.#fetch();
      };
      this.#optimizer.handOver({ fetch, changed: () => this.#reloaded() });
      this.#stale = false;
    } else {
      this.#refuseLost();
      await this.#storeVariables(arena, this.#keepChanged(arena));
    }
    if (!this.#stale) this.#noteAlike();
  }

  /** Whether the workers hold all of it: nothing was assigned to the model since. */
  isAwayIn(arena: Arena): boolean {
    if (this.#arena !== arena) return false;
    return !this.#variables.some((_, i) => this.#isChanged(i));
  }

  /**
   * Takes over what the leaves of a gradient made of the buffers, before callbacks look at it. Until its
   * update is noted, {@link putBack} undoes this, and what the callbacks set.
   */
  takeBuffers(made: MadeBuffers): void {
    const arena = this.#arena;
    if (arena === undefined) return;
    const { layout: { buffers, tensors }, current, next } = arena;
    this.#before = new Map();
    updateBuffers(arena, made);
    for (const { tensor: i } of buffers) {
      const place = tensors[i];
      this.#keep(arena, i);
      valuesAt(arena, current + place.at, place).set(valuesAt(arena, next + place.at, place));
      if (this.#stale) continue;
      load(arena, current + place.at, place, this.#variables[i]);
      this.#alike[i].dispose();
      this.#alike[i] = held(this.#variables[i]);
    }
  }

  /** Back to the state before {@link takeBuffers}: there was no update. */
  putBack(): void {
    const before = this.#before ?? [];
    this.comeHome();
    for (const [i, values] of before) assign(this.#variables[i], values);
    this.#before = undefined;
  }

  /** An update in the shared memory has become whole. */
  noteUpdate(): void {
    this.#optimizer.noteUpdate();
    this.#before = undefined;
    this.#commits++;
    this.#stale = true;
  }

  /**
   * Brings the model here up to date.
   *
   * @throws {ConfigError} If something was assigned to it since the last update: that is lost.
   */
  pull(): void {
    this.#refuseLost();
    this.#refresh();
  }

  /** Takes the state back into model and optimizer. */
  comeHome(): void {
    if (this.#arena !== undefined) this.#keepChanged(this.#arena);
    this.#refresh();
    this.#release();
  }

  /** Model and optimizer here have been set anew; what is away is given up. */
  giveUp(): void {
    this.#before = undefined;
    this.#stale = false;
    this.#release();
  }

  /** Puts the weights that the model here holds now onto the next side, for an evaluation. */
  async lend(): Promise<void> {
    const arena = this.#arena!;
    const { tensors } = arena.layout;
    for (const [i, variable] of this.#variables.entries()) {
      await store(arena, arena.next + tensors[i].at, variable);
    }
  }

  /**
   * Puts the first values of what the next update may make there: they follow parameters and options as
   * they are at that update.
   *
   * @param there The names of the gradients that there are; undefined: perhaps those of all that is
   * trainable.
   */
  async storeFirst(there?: ReadonlySet<string>): Promise<void> {
    const arena = this.#arena!;
    const { layout } = arena;
    const side = this.#side(arena);
    const units = new Map(this.#optimizer.units().map((unit) => [unit.name, unit]));
    for (const place of layout.units) {
      const unit = units.get(place.name)!;
      const { name } = layout.gradients[place.gradient];
      if (!(there === undefined ? unit.param.trainable : there.has(name))) continue;
      const made = this.#unitIn(arena, place)?.made ?? [];
      const names = Object.keys(place.slots);
      const due = names.filter((name) => unit.rule.slots[name].initial && !made.includes(name));
      if (due.length === 0) continue;
      this.#refresh();
      const slots = this.#optimizer.initialSlots(unit, names.filter((name) => !due.includes(name)));
      for (const name of due) {
        if (slots[name] !== undefined) await store(arena, side + place.slots[name].at, slots[name]);
      }
      tf.dispose(slots);
    }
    const rules = rulesOf([...units.values()]);
    for (const { rule, names, at } of layout.shared) {
      if (this.#hasState(arena, rule)) continue;
      const options = this.#optimizer.paramGroups[this.#groupOf(rules[rule])];
      const values = names.map((name) => rules[rule].shared![name](options));
      arena.floatsAt(side + at, names.length).set(values);
    }
  }

  /** The group of the first unit of a rule. */
  #groupOf(rule: OptimizerRule): number {
    return this.#optimizer.units().find((unit) => unit.rule === rule)!.group;
  }

  /** A copy of the optimizer's state. */
  async optimizerState(): Promise<CopiedOptimizerState> {
    if (this.#arena === undefined) {
      const { tensors, meta } = this.#optimizer.exportState();
      return { tensors: await readTensors(tensors), meta };
    }
    const { tensors, meta } = this.#fetch();
    const copied = Object.entries(tensors).map(([name, { data, shape }]) =>
      [name, { dtype: "F32" as const, shape, data: data as Float32Array }] as const
    );
    const { iterations, paramGroups } = this.#optimizer;
    const groups = structuredClone(paramGroups);
    return {
      tensors: Object.fromEntries(copied),
      meta: { iterations, groups, numbers: meta.numbers },
    };
  }

  /** The optimizer has loaded other state; the model here stays that of the training. */
  #reloaded(): void {
    this.#refresh();
    this.#release();
  }

  #refuseLost(): void {
    if (this.#arena === undefined || !this.#stale) return;
    const lost = this.#variables.findIndex((_, i) => this.#isChanged(i));
    if (lost < 0) return;
    const { name } = this.#arena.layout.tensors[lost];
    this.#refresh();
    throw new ConfigError(
      "run.model",
      `was not looked at between the last update and an assignment to ${name}, which is lost: ` +
        "a callback must take the model from its run each time",
    );
  }

  #refresh(): void {
    const arena = this.#arena;
    if (arena === undefined || !this.#stale) return;
    const { tensors } = arena.layout;
    this.#forgetAlike();
    this.#variables.forEach((variable, i) => {
      load(arena, this.#side(arena) + tensors[i].at, tensors[i], variable);
    });
    this.#stale = false;
    this.#noteAlike();
  }

  #release(): void {
    if (this.#arena === undefined) return;
    this.#optimizer.handOver(undefined);
    this.#arena = undefined;
    this.#forgetAlike();
  }

  #isChanged(i: number): boolean {
    return this.#variables[i].dataId !== this.#alike[i].dataId;
  }

  #noteAlike(): void {
    this.#forgetAlike();
    this.#alike = this.#variables.map(held);
  }

  #forgetAlike(): void {
    tf.dispose(this.#alike);
    this.#alike = [];
  }

  /** On both sides, since an update writes only what it trains. */
  async #storeVariables(arena: Arena, which: Iterable<number>): Promise<void> {
    const { tensors } = arena.layout;
    for (const i of which) {
      await store(arena, arena.current + tensors[i].at, this.#variables[i]);
      const words = arena.wordsAt(arena.current + tensors[i].at, tensors[i].size);
      arena.wordsAt(arena.next + tensors[i].at, tensors[i].size).set(words);
    }
  }

  /** Keeps what was there before something was assigned to the model; answers what. */
  #keepChanged(arena: Arena): number[] {
    const changed = [...this.#variables.keys()].filter((i) => this.#isChanged(i));
    for (const i of changed) this.#keep(arena, i);
    return changed;
  }

  /** Keeps a variable's value that is about to be written over. */
  #keep(arena: Arena, i: number): void {
    if (this.#before === undefined || this.#before.has(i)) return;
    const place = arena.layout.tensors[i];
    this.#before.set(i, valuesAt(arena, arena.current + place.at, place).slice());
  }

  /** State that there is, and zeros; other first values are those of {@link storeFirst}. */
  async #storeOptimizer(arena: Arena): Promise<void> {
    const { layout } = arena;
    const side = this.#side(arena);
    const units = new Map(this.#optimizer.units().map((unit) => [unit.name, unit]));
    for (const place of layout.units) {
      const { state } = units.get(place.name)!;
      for (const [name, { at, size }] of Object.entries(place.slots)) {
        const slot = state?.slots[name];
        if (slot === undefined) arena.floatsAt(side + at, size).fill(0);
        else await store(arena, side + at, slot);
      }
      writeUnit(arena, side, place, state && { ...state, made: Object.keys(state.slots) });
    }
    const rules = rulesOf([...units.values()]);
    for (const { rule, names, at } of layout.shared) {
      const shared = this.#optimizer.sharedState(rules[rule]);
      if (shared === undefined) continue;
      for (const [i, name] of names.entries()) {
        arena.floatsAt(side + at, names.length)[i] = (await shared[name].data())[0];
      }
    }
  }

  /** The optimizer's state in the shared memory, copied. */
  #fetch(): HostState {
    const arena = this.#arena!;
    const { layout } = arena;
    const side = this.#side(arena);
    const tensors: HostState["tensors"] = {};
    const numbers: Record<string, Record<string, number>> = {};
    for (const place of layout.units) {
      const unit = this.#unitIn(arena, place);
      if (unit === undefined || unit.made.length + place.numbers.length === 0) continue;
      numbers[place.name] = unit.numbers;
      for (const slot of unit.made) {
        const { at, size, shape } = place.slots[slot];
        const data = arena.floatsAt(side + at, size).slice();
        tensors[joinKey(place.name, slot)] = { data, shape };
      }
    }
    const rules = rulesOf(this.#optimizer.units());
    for (const { rule, names, at } of layout.shared) {
      if (!this.#hasState(arena, rule)) continue;
      const group = this.#groupOf(rules[rule]);
      const values = arena.floatsAt(side + at, names.length);
      names.forEach((name, i) => {
        tensors[sharedKey(group, name)] = { data: values.slice(i, i + 1), shape: [] };
      });
    }
    return { tensors, meta: { numbers } };
  }
}

/** What a variable holds now. */
function held(variable: tf.Variable): tf.Tensor {
  return tf.keep(tf.clone(variable));
}

/** State as it is loaded, on the host. */
interface HostState extends ImportedState {
  readonly tensors: Record<
    string,
    { readonly data: Float32Array; readonly shape: readonly number[] }
  >;
}
