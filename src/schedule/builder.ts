/** Schedulers from plain objects. */
import { readComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import { integer, join, list, object, parseOptions, text, z } from "../core/options.ts";
import { isClass } from "../core/registry.ts";
import { findScheduler, type SchedulerFactory } from "./registry.ts";
import type { SchedulerRule } from "./schedule.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";

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
}

/** BasicTS' spelling. */
export interface BasicSchedulerConfig {
  readonly TYPE: string | SchedulerRule | SchedulerFactory;
  readonly PARAM?: Readonly<Record<string, unknown>>;
}

const settingsSchema = object({
  schedulers: list(z.unknown()).optional(),
  milestones: list(integer(0), "must be an array of integers >= 0").optional(),
  monitor: text().optional(),
});

/**
 * Builds a scheduler and sets the rates of step 0.
 *
 * @param config `{ type, params, schedulers?, milestones?, monitor? }` or `{ TYPE, PARAM }`; never changed.
 * @throws {ConfigError} For an unknown name or option, or a value out of range.
 */
export function buildScheduler(
  config: SchedulerConfig | BasicSchedulerConfig,
  optimizer: Schedulable,
  path = "scheduler",
): Scheduler {
  const { type, typePath, params, paramsPath, rest } = readComponent(config, path);
  const settings = parseOptions(settingsSchema, rest, path);
  const entry = entryOf(type, typePath);
  const rule = isRule(entry) ? entry : undefined;
  const misplaced = (key: "schedulers" | "milestones" | "monitor", accepted?: boolean) => {
    if (settings[key] === undefined || accepted) return;
    throw new ConfigError(join(path, key), `has no meaning for ${show(type)}`);
  };
  misplaced("schedulers", rule?.composite);
  misplaced("milestones", rule?.composite);
  misplaced("monitor", rule?.monitored);
  if (rule === undefined) {
    return fromFactory(entry as SchedulerFactory, params, optimizer, typePath);
  }
  const given = freshStart(params, rule, paramsPath);
  if (settings.milestones !== undefined) {
    if (Object.hasOwn(given, "milestones")) {
      throw new ConfigError(join(path, "milestones"), "is also in params; give one of them");
    }
    given.milestones = settings.milestones;
  }
  const options = parseOptions(rule.options, given, paramsPath, rule.name);
  const parts = (settings.schedulers ?? []).map((part, i) =>
    buildScheduler(part as SchedulerConfig, optimizer, `${path}.schedulers[${i}]`)
  );
  return rule.create(options, optimizer, parts);
}

function entryOf(type: unknown, path: string): SchedulerRule | SchedulerFactory {
  if (typeof type === "string") return findScheduler(type, path);
  if (typeof type === "function" || isRule(type)) return type as SchedulerRule | SchedulerFactory;
  throw new ConfigError(path, `must be a registered name, received ${show(type)}`);
}

function isRule(value: unknown): value is SchedulerRule {
  return value !== null && typeof value === "object" && "options" in value && "create" in value;
}

function fromFactory(
  factory: SchedulerFactory,
  params: Readonly<Record<string, unknown>>,
  optimizer: Schedulable,
  path: string,
): Scheduler {
  const made: unknown = isClass(factory)
    ? new (factory as new (...args: unknown[]) => unknown)(params, optimizer)
    : (factory as (...args: unknown[]) => unknown)(params, optimizer);
  if (made === null || typeof made !== "object" || !("step" in made) || !("lrAt" in made)) {
    throw new ConfigError(path, `must make a Scheduler, received ${show(made)}`);
  }
  return made as Scheduler;
}

/** Drops torch's `last_epoch: -1` and `verbose`, which configs from there carry. */
function freshStart(
  params: Readonly<Record<string, unknown>>,
  rule: SchedulerRule,
  path: string,
): Record<string, unknown> {
  const { last_epoch: lastEpoch, verbose: _, ...rest } = params;
  if (lastEpoch !== undefined && lastEpoch !== -1) {
    throw new ConfigError(
      join(path, "last_epoch"),
      `must be -1 for ${rule.name}, received ${show(lastEpoch)}; resume with loadStateDict`,
    );
  }
  return rest;
}
