/** Scheduler types by name. */
import { Registry } from "../core/registry.ts";
import { cosineWarmup } from "./cosine_warmup.ts";
import { multiStepLr } from "./multi_step_lr.ts";
import type { SchedulerRule } from "./schedule.ts";
import type { Schedulable, Scheduler } from "./scheduler.ts";
import { stepLr } from "./step_lr.ts";

/** Makes a scheduler from its options: a function, or a class with this constructor. */
export type SchedulerFactory =
  | ((params: Readonly<Record<string, unknown>>, optimizer: Schedulable) => Scheduler)
  | (new (params: Readonly<Record<string, unknown>>, optimizer: Schedulable) => Scheduler);

const registry: Registry<SchedulerRule | SchedulerFactory> = new Registry("scheduler");

for (const rule of [stepLr, multiStepLr, cosineWarmup]) {
  registry.register(rule.name, rule, [`torch.optim.lr_scheduler.${rule.name}`]);
}

/** Makes `name` usable as a scheduler's `type`: by a rule, or by a factory. */
export function registerScheduler(
  name: string,
  entry: SchedulerRule | SchedulerFactory,
  aliases: readonly string[] = [],
): void {
  registry.register(name, entry, aliases);
}

/** The entry called `name`, in any case. */
export function findScheduler(name: string, path: string): SchedulerRule | SchedulerFactory {
  return registry.get(name, path);
}

/** The canonical names, sorted. */
export function schedulerNames(): string[] {
  return registry.names();
}
