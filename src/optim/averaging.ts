/**
 * Averages of weights: exponential (EMA) and uniform (SWA, Izmailov et al., 2018).
 *
 * As torch's AveragedModel: the first update copies, a later one moves the averages,
 *
 *     ema:  a = a + (1 - decay_n) (p - a);   swa:  a = a + (p - a) / (n + 1)
 *
 * where n counts the averages before. With `warmup` decay_n grows to `decay` as in ema-pytorch and
 * timm: clamp(1 - (1 + e / inv_gamma)^-power, min_decay, decay), e = update - update_after_step - 1.
 */
import { pow } from "../core/math.ts";
import {
  above,
  atLeast,
  between,
  flag,
  integer,
  object,
  oneOf,
  parseOptions,
  type z,
} from "../core/options.ts";
import * as tf from "../tensor/tf.ts";

const schema = object({
  kind: oneOf(["ema", "swa"]).default("ema"),
  decay: between(0, 1).default(0.999),
  update_every: integer(1).default(1),
  update_after_step: integer(0).default(0),
  warmup: flag().default(false),
  inv_gamma: above(0).default(1),
  power: atLeast(0).default(2 / 3),
  min_decay: between(0, 1).default(0),
  use_buffers: flag().default(false),
});

/** The schema of {@link AveragingOptions}. */
export const averagingOptions: z.ZodObject = schema;

/** Options of {@link WeightAverage}, in torch's spelling or camelCase. */
export interface AveragingOptions {
  /** @default "ema" */
  readonly kind?: "ema" | "swa";
  /** In [0, 1]. @default 0.999 */
  readonly decay?: number;
  /** Updates from one average to the next. @default 1 */
  readonly update_every?: number;
  /** Updates before the first average. @default 0 */
  readonly update_after_step?: number;
  /** Whether the decay grows to its value. @default false */
  readonly warmup?: boolean;
  /** @default 1 */
  readonly inv_gamma?: number;
  /** @default 2/3 */
  readonly power?: number;
  /** @default 0 */
  readonly min_decay?: number;
  /** Whether the callback averages buffers too. @default false */
  readonly use_buffers?: boolean;
}

/** Running averages of named tensors. */
export class WeightAverage {
  readonly #options: z.output<typeof schema>;
  readonly #averages = new Map<string, tf.Tensor>();
  readonly #raw = new Map<string, tf.Tensor>();
  #count = 0;

  /** @param path Where the options stand, for errors. */
  constructor(options: AveragingOptions = {}, path = "averaging", what = "WeightAverage") {
    this.#options = parseOptions(schema, options, path, what);
  }

  /** Whether buffers are to be averaged as well. */
  get useBuffers(): boolean {
    return this.#options.use_buffers;
  }

  /** How often the averages were updated. */
  get count(): number {
    return this.#count;
  }

  /** Whether the averages move after the optimizer update number `updates`, counted from 1. */
  isDue(updates: number): boolean {
    const since = updates - this.#options.update_after_step;
    return since > 0 && since % this.#options.update_every === 0;
  }

  /** Moves the averages towards `tensors` after update number `updates`; integers are copied. */
  update(tensors: Readonly<Record<string, tf.Tensor>>, updates: number = this.#count + 1): void {
    const weight = this.#weight(updates);
    for (const name of Object.keys(tensors)) {
      const before = this.#averages.get(name);
      const now = tensors[name];
      const after = before === undefined || now.dtype !== "float32"
        ? tf.clone(now)
        : tf.tidy(() => tf.add(before, tf.mul(tf.sub(now, before), weight)));
      this.#averages.set(name, tf.keep(after));
      before?.dispose();
    }
    this.#count++;
  }

  /** Puts the averages into the variables of the same names, until {@link swapOut}. */
  swapIn(variables: Readonly<Record<string, tf.Variable>>): void {
    this.swapOut(variables);
    // All are kept before the first is replaced: a variable may stand under two names.
    for (const name of this.#averages.keys()) {
      this.#raw.set(name, tf.keep(tf.clone(variables[name])));
    }
    for (const [name, average] of this.#averages) variables[name].assign(average);
  }

  /** Puts back what {@link swapIn} replaced. */
  swapOut(variables: Readonly<Record<string, tf.Variable>>): void {
    for (const [name, value] of this.#raw) {
      variables[name].assign(value);
      value.dispose();
    }
    this.#raw.clear();
  }

  /** The averages, live, and their count. */
  state(): { tensors: Record<string, tf.Tensor>; meta: { n_averaged: number } } {
    return { tensors: Object.fromEntries(this.#averages), meta: { n_averaged: this.#count } };
  }

  /** Takes over what {@link state} gave; the tensors are then this object's. */
  load(tensors: Readonly<Record<string, tf.Tensor>>, count: number): void {
    this.dispose();
    for (const [name, tensor] of Object.entries(tensors)) this.#averages.set(name, tf.keep(tensor));
    this.#count = count;
  }

  /** Frees the averages. */
  dispose(): void {
    tf.dispose([...this.#averages.values(), ...this.#raw.values()]);
    this.#averages.clear();
    this.#raw.clear();
    this.#count = 0;
  }

  /** The share of the new value in the next update. */
  #weight(updates: number): number {
    const { kind, decay, warmup, update_after_step, inv_gamma, power, min_decay } = this.#options;
    if (kind === "swa") return 1 / (this.#count + 1);
    if (!warmup) return 1 - decay;
    const elapsed = Math.max(0, updates - update_after_step - 1);
    const grown = 1 - pow(1 + elapsed / inv_gamma, -power);
    return 1 - Math.min(Math.max(grown, min_decay), decay);
  }
}
