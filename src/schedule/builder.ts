/** Schedulers from plain objects. */
import { readComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import { join, list, object, parseOptions, text, z } from "../core/options.ts";
import { make } from "../core/registry.ts";
import { findScheduler, isRule, type SchedulerFactory } from "./registry.ts";
import type { SchedulerRule } from "./schedule.ts";
import { isPart, type Part, type Schedulable, type Scheduler } from "./scheduler.ts";
import { targetOf } from "./target.ts";

/** What {@link buildScheduler} reads. */
export interface SchedulerConfig {
  /** A registered name, or in a program the rule, function or class itself. */
  readonly type: string | SchedulerRule | SchedulerFactory;
  /** In torch spelling or camelCase. @default {} */
  readonly params?: Readonly<Record<string, unknown>>;
  /** The parts of a composite, in order. */
  readonly schedulers?: readonly (SchedulerConfig | BasicSchedulerConfig)[];
  /** The steps at which a composite goes on to its next part; the same as `params.milestones`. */
  readonly milestones?: readonly number[];
  /** The metric that a plateau schedule follows, for example `val/loss`. */
  readonly monitor?: string;
  /**
   * The option that is scheduled instead of the rate: `weight_decay`, `momentum`, `betas[0]`, ... In
   * a ChainedScheduler rate and other options run side by side. @default "lr"
   */
  readonly target?: string;
}

/** BasicTS' spelling. */
export interface BasicSchedulerConfig {
  readonly TYPE: string | SchedulerRule | SchedulerFactory;
  readonly PARAM?: Readonly<Record<string, unknown>>;
}

const settingsSchema = object({
  schedulers: list(z.unknown()).optional(),
  milestones: z.unknown().optional(),
  monitor: text().optional(),
  target: text().optional(),
});

/**
 * Builds a scheduler and sets the rates of step 0.
 *
 * @param config `{ type, params, schedulers?, milestones?, monitor?, target? }` or `{ TYPE, PARAM }`;
 * never changed.
 * @throws {ConfigError} For an unknown name or option, or a value out of range.
 *
 * @example Warm-up, then a cosine, while the weight decay falls
 * ```ts
 * import { strict as assert } from "node:assert";
 * import { buildOptimizer, buildScheduler } from "downhill";
 *
 * const optimizer = buildOptimizer({ type: "AdamW", params: { lr: 1e-3, weight_decay: 0.1 } });
 * const scheduler = buildScheduler({
 *   type: "ChainedScheduler",
 *   schedulers: [
 *     { type: "CosineWarmup", params: { num_warmup_steps: 10, num_training_steps: 100 } },
 *     { type: "PolynomialLR", params: { total_iters: 100 }, target: "weight_decay" },
 *   ],
 * }, optimizer);
 * for (let k = 0; k < 100; k++) scheduler.step();
 * assert(optimizer.paramGroups[0].weight_decay === 0);
 * ```
 */
export function buildScheduler(
  config: SchedulerConfig | BasicSchedulerConfig,
  optimizer: Schedulable,
  path = "scheduler",
): Scheduler {
  const { type, typePath, params, paramsPath, rule, entry, schedulers, milestones, target } =
    readScheduler(config, path);
  if (!Array.isArray(optimizer?.paramGroups)) {
    throw new ConfigError(
      "optimizer",
      `must have paramGroups, as those of buildOptimizer, received ${nameOf(optimizer)}`,
    );
  }
  const bound = target === undefined
    ? optimizer
    : targetOf(optimizer, target, join(path, "target"));
  if (rule === undefined) return fromFactory(entry as SchedulerFactory, params, bound, typePath);
  const given = freshStart(params, rule, paramsPath);
  if (milestones !== undefined) given.milestones = milestones;
  const options = parseOptions(rule.options, given, paramsPath, rule.name);
  const auto = Object.keys(options).find((key) => options[key] === "auto");
  if (auto !== undefined) {
    throw new ConfigError(
      join(paramsPath, auto),
      'is "auto", which a run replaces by its iterations; give a number outside a run',
    );
  }
  const parts = (bound: Schedulable): Part[] =>
    schedulers.map((part, i) => {
      const at = `${path}.schedulers[${i}]`;
      const made = buildScheduler(part, bound, at);
      if (isPart(made)) return made;
      throw new ConfigError(
        at,
        `cannot be part of ${show(type)}: ${
          readScheduler(part, at).rule?.monitored
            ? "it steps with a metric, after validations"
            : "it is made by a factory"
        }`,
      );
    });
  return rule.create({ options, optimizer: bound, path, paramsPath, parts });
}

/** A scheduler's config, its keys checked, its options not yet. */
export interface ReadScheduler {
  readonly type: unknown;
  readonly typePath: string;
  readonly entry: SchedulerRule | SchedulerFactory;
  /** The entry, if it is a rule. */
  readonly rule: SchedulerRule | undefined;
  readonly params: Readonly<Record<string, unknown>>;
  readonly paramsPath: string;
  readonly schedulers: readonly (SchedulerConfig | BasicSchedulerConfig)[];
  readonly milestones: unknown;
  readonly monitor: string | undefined;
  readonly target: string | undefined;
}

/** Reads a config; parts and milestones of a composite may also stand in its params. */
export function readScheduler(config: unknown, path: string): ReadScheduler {
  const { type, typePath, params, paramsPath, rest } = readComponent(config, path);
  const entry = findScheduler(type, typePath);
  const rule = isRule(entry) ? entry : undefined;
  const options = { ...params };
  const keys: Record<string, unknown> = { ...rest };
  for (const key of rule?.composite ? ["schedulers", "milestones"] : []) {
    if (!Object.hasOwn(options, key)) continue;
    if (keys[key] !== undefined) {
      throw new ConfigError(join(path, key), "is also in params; give one of them");
    }
    keys[key] = options[key];
    delete options[key];
  }
  const settings = parseOptions(settingsSchema, keys, path);
  const misplaced = (key: "schedulers" | "milestones" | "monitor", accepted?: boolean) => {
    if (settings[key] === undefined || accepted) return;
    throw new ConfigError(join(path, key), `has no meaning for ${show(type)}`);
  };
  misplaced("schedulers", rule?.composite);
  misplaced("milestones", rule?.composite);
  misplaced("monitor", rule === undefined || rule.monitored);
  return {
    type,
    typePath,
    entry,
    rule,
    params: options,
    paramsPath,
    schedulers: (settings.schedulers ?? []) as SchedulerConfig[],
    milestones: settings.milestones,
    monitor: settings.monitor,
    target: settings.target,
  };
}

function fromFactory(
  factory: SchedulerFactory,
  params: Readonly<Record<string, unknown>>,
  optimizer: Schedulable,
  path: string,
): Scheduler {
  const made: unknown = make(factory, params, optimizer);
  if (made === null || typeof made !== "object" || !("step" in made) || !("lrAt" in made)) {
    throw new ConfigError(path, `must make a Scheduler, received ${show(made)}`);
  }
  return made as Scheduler;
}

/** A value, or the name of its class: optimizers are large. */
function nameOf(value: unknown): string {
  const name = (value as object | null | undefined)?.constructor?.name;
  return value instanceof Object && name !== "Object" ? `a ${name}` : show(value);
}

/** Drops torch's `last_epoch: -1` and `verbose`, which configs from there carry. */
function freshStart(
  params: Readonly<Record<string, unknown>>,
  rule: SchedulerRule,
  path: string,
): Record<string, unknown> {
  const { last_epoch, lastEpoch, verbose: _, ...rest } = params;
  if (last_epoch !== undefined && lastEpoch !== undefined) {
    throw new ConfigError(
      join(path, "lastEpoch"),
      'is the same option as "last_epoch"; give one of them, received both',
    );
  }
  const given = last_epoch ?? lastEpoch;
  if (given !== undefined && given !== -1) {
    throw new ConfigError(
      join(path, lastEpoch === undefined ? "last_epoch" : "lastEpoch"),
      `must be -1 for ${rule.name}, received ${show(given)}; resume with loadStateDict`,
    );
  }
  return rest;
}
