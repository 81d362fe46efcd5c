/**
 * A worker's part of an update: from the current side of the shared memory to the next, so that it
 * can be made again. Element-wise rules run on the worker's slices, others on whole parameters.
 */
import { updateMemory } from "../fuse/memory.ts";
import type { Optimizer, ParamGroup, Unit } from "../optim/optimizer.ts";
import type { OptimizerRule, ParameterState, UpdateEntry } from "../optim/rule.ts";
import { slotNames } from "../optim/state_store.ts";
import { areFinite, scaleOf } from "../runner/gradients.ts";
import * as tf from "../tensor/tf.ts";
import type { Arena } from "./arena.ts";
import { updateBuffers } from "./buffer_work.ts";
import { rulesOf, type SlotPlace, type UnitPlace } from "./layout.ts";
import { type Slice, unitsOf } from "./ownership.ts";
import type { GivenUpdate, UpdateMessage } from "./protocol.ts";
import { load, store } from "./state_access.ts";
import { chunkTotals } from "./totals.ts";
import { readUnit, writeUnit } from "./unit_state.ts";

/** What an update is made with. */
export interface UpdateWork {
  readonly arena: Arena;
  readonly worker: number;
  readonly slices: readonly Slice[];
  /** Updated as wholes, by the numbers of their rules. */
  readonly wholes: ReadonlyMap<number, readonly UnitPlace[]>;
  readonly rules: readonly OptimizerRule[];
  readonly units: ReadonlyMap<string, Unit>;
  readonly places: ReadonlyMap<number, UnitPlace>;
}

/** How the rules are applied. */
interface How extends Pick<UpdateMessage, "groups"> {
  readonly scale: number;
}

/** What stays the same from update to update. */
export function updateWork(
  arena: Arena,
  worker: number,
  optimizer: Optimizer,
  slices: readonly Slice[],
): UpdateWork {
  const { layout } = arena;
  const units = optimizer.units();
  return {
    arena,
    worker,
    slices,
    wholes: byRule(unitsOf(layout, worker)),
    rules: rulesOf(units),
    units: new Map(units.map((unit) => [unit.name, unit])),
    places: new Map(layout.units.map((place) => [place.gradient, place])),
  };
}

/** Writes the worker's part of the next side; answers whether there is anything to make an update of. */
export async function computeUpdate(
  work: UpdateWork,
  { given, ...message }: UpdateMessage,
): Promise<boolean> {
  const { arena, worker, rules, units, places } = work;
  const update = given ?? ownUpdate(arena, message);
  if (update === undefined) return false;
  const absent = new Set(update.absent);
  const how = { scale: update.scale, groups: message.groups };
  for (const slice of work.slices) {
    const place = places.get(slice.gradient);
    if (place === undefined || place.scope !== "element") continue;
    if (absent.has(slice.gradient)) copySlice(arena, place, slice);
    else updateSlice(arena, place, slice, units.get(place.name)!, how);
    arena.beat(worker);
  }
  for (const [rule, wholes] of work.wholes) {
    const there = wholes.filter(({ gradient }) => !absent.has(gradient));
    for (const place of wholes) if (absent.has(place.gradient)) copyUnit(arena, place);
    await updateWholes(arena, rules[rule], rule, there, units, how);
    arena.beat(worker);
  }
  // Those of a gradient that callbacks have looked at are there before.
  if (worker === 0 && given === undefined) updateBuffers(arena, message);
  return true;
}

/** The update by the mean gradient; undefined if loss or gradient is not finite. */
function ownUpdate(
  arena: Arena,
  { turn, chunks }: Pick<UpdateMessage, "turn" | "chunks">,
): GivenUpdate | undefined {
  const { lossSum, count, square, present } = chunkTotals(arena, turn, chunks);
  if (!areFinite(lossSum, square)) return undefined;
  return { scale: scaleOf(count), absent: present.flatMap((is, g) => is ? [] : [g]) };
}

function byRule(places: readonly UnitPlace[]): Map<number, UnitPlace[]> {
  const out = new Map<number, UnitPlace[]>();
  for (const place of places) out.set(place.rule, [...out.get(place.rule) ?? [], place]);
  return out;
}

/** A unit's numbers before the update, and the slots that it has only since now. */
function stateOf(
  arena: Arena,
  place: UnitPlace,
  rule: OptimizerRule,
  options: ParamGroup,
): { numbers: Record<string, number>; created: Set<string> } {
  const before = readUnit(arena, arena.current, place);
  const names = Object.keys(place.slots);
  const created = new Set(names.filter((name) => !before?.made.includes(name)));
  return { numbers: { ...before?.numbers ?? rule.numbers?.(options) }, created };
}

function writeNumbers(
  arena: Arena,
  place: UnitPlace,
  { rule, param }: Unit,
  options: ParamGroup,
  numbers: Record<string, number>,
): void {
  const before = readUnit(arena, arena.current, place)?.made ?? [];
  const made = [...before, ...slotNames(rule, options, param)];
  writeUnit(arena, arena.next, place, { made, numbers });
}

function updateSlice(
  arena: Arena,
  place: UnitPlace,
  { gradient, start, end }: Slice,
  unit: Unit,
  { scale, groups }: How,
): void {
  const { rule, group, baseLr } = unit;
  const options = groups[group] as ParamGroup;
  const { numbers, created } = stateOf(arena, place, rule, options);
  const { update, scalars } = rule.plan!({ options, numbers, created, baseLr });
  const { current, next, layout } = arena;
  const offset = 4 * start;
  const param = layout.tensors[layout.gradients[gradient].tensor].at + offset;
  const slotsOn = (side: number) =>
    Object.fromEntries(
      Object.entries(place.slots).map(([name, { at }]) => [name, side + at + offset]),
    );
  const source = {
    param: current + param,
    gradient: arena.gradientAt(0, gradient) + offset,
    scale,
    slots: slotsOn(current),
    scalars,
  };
  const targets = { param: next + param, slots: slotsOn(next) };
  updateMemory(update, arena.memory, source, end - start, targets);
  if (start === 0) writeNumbers(arena, place, unit, options, numbers);
}

/** Updates parameters and their state as tensors, by the rule itself. */
async function updateWholes(
  arena: Arena,
  rule: OptimizerRule,
  ruleIndex: number,
  places: readonly UnitPlace[],
  units: ReadonlyMap<string, Unit>,
  { scale, groups }: How,
): Promise<void> {
  const { current, next, layout } = arena;
  const sharedPlace = layout.shared.find((place) => place.rule === ruleIndex);
  const shared = Object.fromEntries(
    sharedPlace?.names.map((name, i) => {
      const value = arena.floatsAt(current + sharedPlace.at, i + 1)[i];
      return [name, tf.tidy(() => tf.variable(tf.scalar(value), false))];
    }) ?? [],
  );
  const entries = places.map((place): UpdateEntry => {
    const { name, param, group, baseLr } = units.get(place.name)!;
    const options = groups[group] as ParamGroup;
    const { numbers, created } = stateOf(arena, place, rule, options);
    const { tensor, size } = layout.gradients[place.gradient];
    load(arena, current + layout.tensors[tensor].at, layout.tensors[tensor], param);
    const values = arena.floatsAt(arena.gradientAt(0, place.gradient), size).slice();
    const gradient = tf.tensor(values, param.shape);
    const slots = Object.fromEntries(
      Object.entries(place.slots).map(([slot, where]) => [slot, slotVariable(arena, where)]),
    );
    const state: ParameterState = { numbers, slots };
    return { name, param, gradient, scale, options, state, created, baseLr };
  });
  if (entries.length > 0) rule.step(entries, shared);
  for (let i = 0; i < entries.length; i++) {
    const place = places[i];
    const { param, gradient, state, options } = entries[i];
    const { tensor } = layout.gradients[place.gradient];
    await store(arena, next + layout.tensors[tensor].at, param);
    for (const [name, { at }] of Object.entries(place.slots)) {
      await store(arena, next + at, state.slots[name]);
    }
    writeNumbers(arena, place, units.get(place.name)!, options as ParamGroup, state.numbers);
    tf.dispose([gradient, ...Object.values(state.slots)]);
  }
  for (const [i, name] of sharedPlace?.names.entries() ?? []) {
    arena.floatsAt(next + sharedPlace!.at, i + 1)[i] = (await shared[name].data())[0];
  }
  tf.dispose(shared);
}

function slotVariable(arena: Arena, { at, size, shape }: SlotPlace): tf.Variable {
  const values = arena.floatsAt(arena.current + at, size).slice();
  return tf.tidy(() => tf.variable(tf.tensor(values, [...shape], "float32"), false));
}

function copySlice(arena: Arena, place: UnitPlace, { gradient, start, end }: Slice): void {
  const { layout } = arena;
  const offset = 4 * start;
  copy(arena, layout.tensors[layout.gradients[gradient].tensor].at + offset, end - start);
  for (const { at } of Object.values(place.slots)) copy(arena, at + offset, end - start);
  if (start === 0) copyNumbers(arena, place);
}

function copyUnit(arena: Arena, place: UnitPlace): void {
  const { layout } = arena;
  const { tensor, size } = layout.gradients[place.gradient];
  copy(arena, layout.tensors[tensor].at, size);
  for (const { at, size } of Object.values(place.slots)) copy(arena, at, size);
  copyNumbers(arena, place);
}

function copyNumbers(arena: Arena, { numbers, numbersAt }: UnitPlace): void {
  copy(arena, numbersAt, 2 * (1 + numbers.length));
}

/** Copies `words` words from the current side to the next. */
function copy(arena: Arena, at: number, words: number): void {
  arena.wordsAt(arena.next + at, words).set(arena.wordsAt(arena.current + at, words));
}
