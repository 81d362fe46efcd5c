/**
 * Where everything lies in the memory that coordinator and workers share; plain data, computed once
 * by the coordinator and sent to the workers.
 *
 *     control words | mailboxes | side 0 | side 1 | chunk 0 | chunk 1 | ... | sums of squares
 *
 * A side holds a whole training state: parameters, buffers, optimizer slots and numbers. One side is
 * the current one; an update reads it and writes the other. A chunk holds what some leaves of a batch
 * add up to: gradients, buffers, and two heads with totals, at which iterations take turns, as at the two
 * sets of sums of squares: the workers may be at the next iteration when the coordinator reads them.
 */
import type { Model } from "../model/model.ts";
import type { Optimizer, Unit } from "../optim/optimizer.ts";
import { blockCount } from "../optim/block_sums.ts";
import { type OptimizerRule, scopeOf, type UpdateScope } from "../optim/rule.ts";
import { trainable } from "../runner/leaf_gradient.ts";
import { averagedBuffers } from "../runner/leaves.ts";
import type * as tf from "../tensor/tf.ts";

/** Bytes of the control words, and of each worker's heartbeat and times, which follow. */
export const CONTROL_BYTES = 128, WORKER_BYTES = 64;

/** Commands that may be under way at once, and one more. */
export const RING = 4;

/** A parameter or buffer; every element takes four bytes. */
export interface TensorPlace {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "float32" | "int32" | "bool";
  readonly size: number;
  /** Bytes from the start of a side. */
  readonly at: number;
}

/** The gradient of a parameter. */
export interface GradientPlace {
  readonly name: string;
  /** Its parameter in {@link Layout.tensors}. */
  readonly tensor: number;
  readonly size: number;
  /** Bytes from the start of a chunk. */
  readonly at: number;
  /** Its first block among those of all gradients. */
  readonly block: number;
}

/** What a chunk says of a buffer, in bytes from its start. */
export interface BufferPlace {
  /** In {@link Layout.tensors}. */
  readonly tensor: number;
  /** What the last leaf made of it. */
  readonly last: number;
  /** How much it moved, times rows; undefined for one that is no float. */
  readonly moved: number | undefined;
}

/** A slot of optimizer state. */
export interface SlotPlace {
  readonly shape: readonly number[];
  readonly size: number;
  /** Bytes from the start of a side. */
  readonly at: number;
}

/** A parameter that the optimizer trains. */
export interface UnitPlace {
  readonly name: string;
  /** In {@link Layout.gradients}. */
  readonly gradient: number;
  /** Which of the optimizer's rules trains it, by their first unit. */
  readonly rule: number;
  readonly scope: UpdateScope;
  readonly slots: Readonly<Record<string, SlotPlace>>;
  /** Names of its numbers; in double precision from `numbersAt` on, after a mark: see unit_state.ts. */
  readonly numbers: readonly string[];
  readonly numbersAt: number;
}

/** Scalars that all parameters of a rule share. */
export interface SharedPlace {
  readonly rule: number;
  readonly names: readonly string[];
  /** Float32 values from here on. */
  readonly at: number;
}

/** The map. */
export interface Layout {
  readonly workers: number;
  readonly tensors: readonly TensorPlace[];
  readonly gradients: readonly GradientPlace[];
  readonly buffers: readonly BufferPlace[];
  readonly units: readonly UnitPlace[];
  readonly shared: readonly SharedPlace[];
  /** The first of {@link RING} mailboxes, and the size of each. */
  readonly mailbox: { readonly at: number; readonly bytes: number };
  readonly sides: readonly [number, number];
  readonly sideBytes: number;
  readonly chunks: { readonly at: number; readonly bytes: number; readonly count: number };
  /** Of a chunk's heads: their size, and where the byte for each gradient is, 1 if it is there. */
  readonly heads: { readonly bytes: number; readonly presentAt: number };
  readonly squaresAt: number;
  readonly blocks: number;
  /** All of it. */
  readonly bytes: number;
}

/** Doubles at the start of a head. */
export const HEADER = { loss: 0, count: 1, countIsTensor: 2, size: 4 } as const;

/** Parameters and buffers, each variable once, under its first name. */
export function modelVariables({ parameters, buffers = {} }: Model): Map<string, tf.Variable> {
  const out = new Map<string, tf.Variable>();
  const seen = new Set<tf.Variable>();
  for (const named of [parameters, buffers]) {
    for (const name of Object.keys(named)) {
      if (seen.has(named[name])) continue;
      seen.add(named[name]);
      out.set(name, named[name]);
    }
  }
  return out;
}

/** The rules of an optimizer in the order of their first units. */
export function rulesOf(units: readonly Unit[]): OptimizerRule[] {
  return [...new Set(units.map(({ rule }) => rule))];
}

/** Whether the gradients of what is trainable now, and an update by the present options, find their places. */
export function serves(layout: Layout, model: Model, optimizer: Optimizer): boolean {
  const variables = [...modelVariables(model).values()];
  const placed = new Set(layout.gradients.map(({ tensor }) => variables[tensor]));
  if (!Object.values(trainable(model)).every((variable) => placed.has(variable))) return false;
  const places = new Map(layout.units.map((place) => [place.name, place]));
  return optimizer.units().every((unit) => {
    const place = places.get(unit.name);
    return place === undefined ||
      scopeOf(unit.rule, optimizer.paramGroups[unit.group]) === place.scope &&
        [...optimizer.slotsOf(unit), ...Object.keys(unit.state?.slots ?? {})]
          .every((name) => Object.hasOwn(place.slots, name));
  });
}

/** What the layout depends on beside model and optimizer. */
export interface LayoutOptions {
  readonly workers: number;
  readonly chunks: number;
  readonly mailboxBytes: number;
}

/** The layout for a model and its optimizer, with the slots that the present options need. */
export function layoutOf(
  model: Model,
  optimizer: Optimizer,
  { workers, chunks, mailboxBytes }: LayoutOptions,
): Layout {
  const named = modelVariables(model);
  const variables = [...named.values()];
  const side = new Cursor();
  const tensors = [...named].map(([name, { shape, size, dtype }]): TensorPlace => {
    return { name, shape, size, dtype: dtype as TensorPlace["dtype"], at: side.take(4 * size) };
  });
  const units = optimizer.units();
  const { bytes, ...chunk } = chunkLayout(model, variables, tensors, units);
  const gradientOf = new Map(chunk.gradients.map(({ tensor }, g) => [variables[tensor], g]));
  const rules = rulesOf(units);
  const unitPlaces = units.flatMap((unit): UnitPlace[] => {
    const gradient = gradientOf.get(unit.param);
    if (gradient === undefined) return [];
    return [{ ...statePlaces(optimizer, unit, side), gradient, rule: rules.indexOf(unit.rule) }];
  });
  const shared = rules.flatMap((rule, i): SharedPlace[] => {
    const names = Object.keys(rule.shared ?? {});
    return names.length === 0 ? [] : [{ rule: i, names, at: side.take(8 * names.length) }];
  });

  const all = new Cursor();
  all.take(CONTROL_BYTES + WORKER_BYTES * workers);
  const box = Math.ceil(mailboxBytes / 64) * 64;
  const mailbox = { at: all.take(RING * box), bytes: box };
  const sides = [all.take(side.bytes), all.take(side.bytes)] as const;
  const chunksAt = all.take(bytes * chunks);
  const squaresAt = all.take(2 * 8 * chunk.blocks);
  return {
    workers,
    tensors,
    ...chunk,
    units: unitPlaces,
    shared,
    mailbox,
    sides,
    sideBytes: side.bytes,
    chunks: { at: chunksAt, bytes, count: chunks },
    squaresAt,
    bytes: all.bytes,
  };
}

/** What a chunk holds, and its size. */
function chunkLayout(
  model: Model,
  variables: readonly tf.Variable[],
  tensors: readonly TensorPlace[],
  units: readonly Unit[],
): Pick<Layout, "gradients" | "buffers" | "heads" | "blocks" | "bytes"> {
  const trained = new Set([
    ...Object.values(trainable(model)),
    ...units.map(({ param }) => param),
  ]);
  const indices = variables.flatMap((variable, i) => trained.has(variable) ? [i] : []);
  const head = new Cursor();
  head.take(8 * HEADER.size);
  const presentAt = head.take(indices.length);
  const chunk = new Cursor();
  chunk.take(2 * head.bytes);
  let blocks = 0;
  const gradients = indices.map((tensor): GradientPlace => {
    const { name, size } = tensors[tensor];
    const block = blocks;
    blocks += blockCount(size);
    return { name, tensor, size, at: chunk.take(4 * size), block };
  });
  const averaged = averagedBuffers(model);
  const buffers = Object.values(model.buffers ?? {}).map((buffer): BufferPlace => ({
    tensor: variables.indexOf(buffer),
    last: chunk.take(4 * buffer.size),
    moved: averaged.includes(buffer) ? chunk.take(4 * buffer.size) : undefined,
  }));
  const heads = { bytes: head.bytes, presentAt };
  return { gradients, buffers, heads, blocks, bytes: chunk.bytes };
}

/** Where the state of a unit lies on a side. */
function statePlaces(
  optimizer: Optimizer,
  unit: Unit,
  side: Cursor,
): Omit<UnitPlace, "gradient" | "rule"> {
  const { name, rule, state } = unit;
  const options = optimizer.paramGroups[unit.group];
  const slots: Record<string, SlotPlace> = {};
  for (const [slot, { shape, size }] of Object.entries(slotShapes(optimizer, unit))) {
    slots[slot] = { shape, size, at: side.take(4 * size) };
  }
  const numbers = Object.keys({ ...rule.numbers?.(options), ...state?.numbers });
  const numbersAt = side.take(8 * (1 + numbers.length));
  return { name, scope: scopeOf(rule, options), slots, numbers, numbersAt };
}

/** The slots of a unit: those it has, and those that its options ask for. */
function slotShapes(
  optimizer: Optimizer,
  unit: Unit,
): Record<string, { shape: readonly number[]; size: number }> {
  const initial = optimizer.initialSlots(unit, Object.keys(unit.state?.slots ?? {}));
  const shapes = Object.entries({ ...initial, ...unit.state?.slots })
    .map(([name, { shape, size }]) => [name, { shape, size }] as const);
  for (const tensor of Object.values(initial)) tensor.dispose();
  return Object.fromEntries(shapes);
}

/** Hands out places one after the other, each on a cache line of its own. */
class Cursor {
  bytes = 0;

  take(bytes: number): number {
    const at = this.bytes;
    this.bytes += Math.ceil(bytes / 64) * 64;
    return at;
  }
}
