/** Optimizer types by name. */
import { ConfigError } from "../core/errors.ts";
import type { z } from "../core/options.ts";
import { type Maker, type Registered, Registry } from "../core/registry.ts";
import type * as tf from "../tensor/tf.ts";
import { adadelta } from "./adadelta.ts";
import { adafactor } from "./adafactor.ts";
import { adagrad } from "./adagrad.ts";
import { adam } from "./adam.ts";
import { adamax } from "./adamax.ts";
import { adamw } from "./adamw.ts";
import { adamwNanoGpt } from "./adamw_nanogpt.ts";
import { adamwScheduleFree } from "./adamw_schedule_free.ts";
import { adan } from "./adan.ts";
import { ademamix } from "./ademamix.ts";
import { asgd } from "./asgd.ts";
import { lamb } from "./lamb.ts";
import { Lbfgs, lbfgsRule } from "./lbfgs.ts";
import { lion } from "./lion.ts";
import { lookahead } from "./lookahead.ts";
import { muon } from "./muon.ts";
import { nadam } from "./nadam.ts";
import type { Optimizer } from "./optimizer.ts";
import { prodigy } from "./prodigy.ts";
import { radam } from "./radam.ts";
import { radamScheduleFree } from "./radam_schedule_free.ts";
import { rmsprop } from "./rmsprop.ts";
import { rprop } from "./rprop.ts";
import type { OptimizerRule } from "./rule.ts";
import { asam, sam } from "./sam.ts";
import { sgd } from "./sgd.ts";
import { sgdScheduleFree } from "./sgd_schedule_free.ts";
import type { OptimizerWrapper } from "./wrapper.ts";

/** Makes an optimizer from its options. */
export type OptimizerFactory = Maker<
  [
    params: Readonly<Record<string, unknown>>,
    parameters?: Readonly<Record<string, tf.Variable>>,
  ],
  Optimizer
>;

/** What a type is: a rule, something around another optimizer, or what makes one. */
export type OptimizerEntry = OptimizerRule | OptimizerWrapper | OptimizerFactory;

const registry: Registry<OptimizerEntry> = new Registry(
  "optimizer",
  isOptimizerEntry,
  "a rule, wrapper, class or function",
);

/** torch's own types. */
const torchTypes: readonly OptimizerRule[] = [
  adadelta,
  adafactor,
  adagrad,
  adam,
  adamax,
  adamw,
  asgd,
  muon,
  nadam,
  radam,
  rmsprop,
  rprop,
  sgd,
];

/** What practitioners use beside them, with other names they go by. */
const furtherTypes: readonly (readonly [OptimizerRule | OptimizerWrapper, ...string[]])[] = [
  [adamwNanoGpt],
  [adamwScheduleFree, "ScheduleFreeAdamW", "schedule_free_adamw"],
  [adan],
  [ademamix],
  [asam],
  [lamb],
  [lion],
  [lookahead],
  [prodigy],
  [radamScheduleFree, "ScheduleFreeRAdam", "schedule_free_radam"],
  [sam],
  [sgdScheduleFree, "ScheduleFreeSGD", "schedule_free_sgd"],
];

for (const rule of torchTypes) register(rule, `torch.optim.${rule.name}`);
registry.register("LBFGS", Lbfgs, ["torch.optim.LBFGS"], lbfgsRule.options);
for (const [entry, ...aliases] of furtherTypes) register(entry, ...aliases);

function register(entry: OptimizerRule | OptimizerWrapper, ...aliases: readonly string[]): void {
  registry.register(entry.name, entry, aliases, entry.options);
}

/** Known types that cannot be had, and why. */
const refused: ReadonlyMap<string, string> = new Map([
  [
    "sparseadam",
    "SparseAdam needs row-sparse gradients, which tfjs does not make; " +
    "the nearest is Adam, which treats every row as present",
  ],
]);

/**
 * Makes `name` usable as an optimizer's `type`.
 *
 * @param entry A rule, which gets groups, options checks and state from the engine; a wrapper of
 * rules; or a factory that returns an {@link Optimizer} of its own.
 * @param options The schema of a factory's params, for the config's JSON schema.
 *
 * @example Signum, the sign of a momentum (Bernstein et al., 2018), in a program of one's own
 * ```ts
 * import { strict as assert } from "node:assert";
 * import { buildOptimizer, elementwise, expression, options, registerOptimizer, terms } from "downhill";
 *
 * const { addScaled, lerp, neg, scalar, sign, slot } = expression;
 * const { atLeast, below, flag, object } = options;
 * const { ascent, decayed, shrinkOf } = terms;
 *
 * const schema = object({
 *   lr: atLeast(0).default(1e-3),
 *   momentum: below(0, 1).default(0.9),
 *   weight_decay: atLeast(0).default(0),
 *   maximize: flag().default(false),
 * });
 * registerOptimizer(
 *   "Signum",
 *   elementwise<options.z.output<typeof schema>, { maximize: boolean; decay: boolean }>({
 *     name: "Signum",
 *     options: schema,
 *     slots: { momentum_buffer: {} },
 *     form: (o) => ({ maximize: o.maximize, decay: o.weight_decay !== 0 }),
 *     scalars: (o, _numbers, { baseLr }) => ({
 *       lr: o.lr,
 *       take: 1 - o.momentum,
 *       shrink: shrinkOf(o, baseLr),
 *     }),
 *     update({ maximize, decay }) {
 *       const m = lerp(slot("momentum_buffer"), ascent(maximize), scalar("take"));
 *       const p = decayed(decay);
 *       return { param: addScaled(p, sign(m), neg(scalar("lr"))), slots: { momentum_buffer: m } };
 *     },
 *   }),
 * );
 * assert(buildOptimizer({ type: "Signum" }).paramGroups[0].momentum === 0.9);
 * ```
 */
export function registerOptimizer(
  name: string,
  entry: OptimizerEntry,
  options?: z.ZodObject,
): void {
  const own = typeof entry === "function" ? undefined : entry?.options;
  registry.register(name, entry, [], options ?? own);
}

/** Whether `value` is a rule, a wrapper of rules, or a factory. */
function isOptimizerEntry(value: unknown): boolean {
  return typeof value === "function" ||
    (value !== null && typeof value === "object" && "options" in value &&
      ("step" in value || "extend" in value));
}

/** The entry that `type` names in any case, or is. */
export function findOptimizer(type: unknown, path: string): OptimizerEntry {
  if (typeof type === "string" && registry.find(type) === undefined) {
    // A class as Python prints it, with the module it stands in.
    const short = type.replace(/^torch\.optim\.\w+\./, "torch.optim.");
    if (short !== type) return findOptimizer(short, path);
    const reason = refused.get(type.toLowerCase().replace(/^torch\.optim\./, ""));
    if (reason !== undefined) throw new ConfigError(path, reason);
  }
  return registry.resolve(type, path);
}

/** What `optimizer.type` may name. */
export function registeredOptimizers(): Registered[] {
  return registry.registered();
}
