/** Scheduler types by name. */
import type { z } from "../core/options.ts";
import { type Maker, type Registered, Registry } from "../core/registry.ts";
import { chainedScheduler } from "./chained_scheduler.ts";
import { constantLr } from "./constant_lr.ts";
import { clampedCosineAnnealingLr, cosineAnnealingLr } from "./cosine_annealing_lr.ts";
import { cosineAnnealingWarmRestarts } from "./cosine_annealing_warm_restarts.ts";
import { clampedCosineWarmup, cosineWarmup } from "./cosine_warmup.ts";
import { cosineWarmupRestarts } from "./cosine_warmup_restarts.ts";
import { cosineWarmupWithMinLr, cosineWithMinLr } from "./cosine_with_min_lr.ts";
import { cyclicLr } from "./cyclic_lr.ts";
import { exponentialLr } from "./exponential_lr.ts";
import { inverseSqrt } from "./inverse_sqrt.ts";
import { lambdaLr } from "./lambda_lr.ts";
import { linearLr } from "./linear_lr.ts";
import { constant, constantWithWarmup, linear } from "./linear_warmup.ts";
import { multiCosineAnnealingWarmup } from "./multi_cosine_annealing_warmup.ts";
import { multiStepLr } from "./multi_step_lr.ts";
import { multiplicativeLr } from "./multiplicative_lr.ts";
import { clampedOneCycleLr, oneCycleLr } from "./one_cycle_lr.ts";
import { polynomialLr } from "./polynomial_lr.ts";
import { polynomial } from "./polynomial_warmup.ts";
import { reduceLrOnPlateau } from "./reduce_lr_on_plateau.ts";
import type { SchedulerRule } from "./schedule.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";
import { sequentialLr } from "./sequential_lr.ts";
import { stepLr } from "./step_lr.ts";
import { swaLr } from "./swa_lr.ts";
import { timmCosine, timmPoly, timmTanh } from "./timm_curves.ts";
import { timmMultiStep, timmStep } from "./timm_steps.ts";
import { warmupStableDecay } from "./warmup_stable_decay.ts";

/** Makes a scheduler from its options. */
export type SchedulerFactory = Maker<
  [params: Readonly<Record<string, unknown>>, optimizer: Schedulable],
  Scheduler
>;

const torchRules: readonly SchedulerRule[] = [
  lambdaLr,
  multiplicativeLr,
  stepLr,
  multiStepLr,
  constantLr,
  linearLr,
  exponentialLr,
  polynomialLr,
  cosineAnnealingLr,
  cosineAnnealingWarmRestarts,
  cyclicLr,
  oneCycleLr,
  chainedScheduler,
  sequentialLr,
];

/** Other rules, each with its further names. */
const rules: readonly (readonly [SchedulerRule, ...string[]])[] = [
  [reduceLrOnPlateau, "torch.optim.lr_scheduler.ReduceLROnPlateau", "reduce_lr_on_plateau"],
  [swaLr, "torch.optim.swa_utils.SWALR"],
  [clampedCosineAnnealingLr],
  [clampedOneCycleLr],
  [clampedCosineWarmup],
  [cosineWarmup, "cosine"],
  [cosineWarmupRestarts, "cosine_with_restarts"],
  [multiCosineAnnealingWarmup, "MultiCosineAnnealingWarmupLR"],
  [constant],
  [constantWithWarmup],
  [linear],
  [polynomial],
  [inverseSqrt],
  [cosineWithMinLr],
  [cosineWarmupWithMinLr],
  [warmupStableDecay],
  [timmCosine, "CosineLRScheduler"],
  [timmPoly, "PolyLRScheduler"],
  [timmTanh, "TanhLRScheduler"],
  [timmStep, "StepLRScheduler"],
  [timmMultiStep, "MultiStepLRScheduler"],
];

const registry: Registry<SchedulerRule | SchedulerFactory> = new Registry(
  "scheduler",
  (entry) => typeof entry === "function" || isRule(entry),
  "a rule, class or function",
);

for (const rule of torchRules) {
  registry.register(
    rule.name,
    rule,
    [`torch.optim.lr_scheduler.${rule.name}`],
    rule.options,
  );
}
for (const [rule, ...aliases] of rules) {
  registry.register(rule.name, rule, aliases, rule.options);
}

/**
 * Makes `name` usable as a scheduler's `type`: by a rule, or by a factory.
 *
 * @param options The schema of a factory's params, for the config's JSON schema.
 *
 * @example
 * ```ts
 * import { strict as assert } from "node:assert";
 * import { buildOptimizer, buildScheduler, factorSchedule, options, registerScheduler } from "downhill";
 *
 * const schema = options.object({ steps: options.integer(1) });
 * registerScheduler(
 *   "Staircase",
 *   factorSchedule<options.z.output<typeof schema>>({
 *     name: "Staircase",
 *     options: schema,
 *     factor: (k, { steps }) => 1 / (1 + Math.floor(k / steps)),
 *   }),
 * );
 * const optimizer = buildOptimizer({ type: "SGD", params: { lr: 1 } });
 * const scheduler = buildScheduler({ type: "Staircase", params: { steps: 2 } }, optimizer);
 * assert(scheduler.lrAt(4)[0] === 1 / 3);
 * ```
 */
export function registerScheduler(
  name: string,
  entry: SchedulerRule | SchedulerFactory,
  options?: z.ZodObject,
): void {
  registry.register(name, entry, [], options ?? (isRule(entry) ? entry.options : undefined));
}

/** The entry that `type` names in any case, or is. */
export function findScheduler(type: unknown, path: string): SchedulerRule | SchedulerFactory {
  return registry.resolve(type, path);
}

/** What `scheduler.type` may name. */
export function registeredSchedulers(): Registered[] {
  return registry.registered();
}

/** Whether an entry is a rule, as against a factory. */
export function isRule(value: unknown): value is SchedulerRule {
  return value !== null && typeof value === "object" && "options" in value && "create" in value;
}
