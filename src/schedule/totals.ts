/** `"auto"` in a scheduler's options: the number of steps of the run. */
import { camel } from "../core/options.ts";
import { type BasicSchedulerConfig, readScheduler, type SchedulerConfig } from "./builder.ts";

/**
 * The config with every `"auto"` total (`T_max`, `total_iters`, `total_steps`,
 * `num_training_steps`, ...) as a number: `steps`, or in a SequentialLR the steps from the part's
 * milestone to the next. Nothing else is changed; the input stays as it is.
 *
 * @throws {ConfigError} For an unknown type, or a misplaced key.
 */
export function resolveTotals(
  config: SchedulerConfig | BasicSchedulerConfig,
  steps: number,
  path = "scheduler",
): SchedulerConfig {
  const { type, params, rule, schedulers, milestones, monitor, target } = readScheduler(
    config,
    path,
  );
  const shape = rule?.options.shape ?? {};
  const isTotal = (key: string): boolean => {
    const name = Object.keys(shape).find((known) => camel(known) === camel(key));
    return name !== undefined && shape[name].safeParse("auto").success;
  };
  const filled = Object.entries(params).map((
    [key, value],
  ) => [key, value === "auto" && isTotal(key) ? steps : value]);
  const bounds = Array.isArray(milestones) ? [0, ...milestones.map(Number), steps] : [];
  return {
    type: type as SchedulerConfig["type"],
    params: Object.fromEntries(filled),
    ...(schedulers.length === 0 ? {} : {
      schedulers: schedulers.map((part, i) => {
        const [from, to] = bounds.length === 0 ? [0, steps] : bounds.slice(i);
        return resolveTotals(part, to - from, `${path}.schedulers[${i}]`);
      }),
    }),
    ...(milestones === undefined ? {} : { milestones: milestones as readonly number[] }),
    ...(monitor === undefined ? {} : { monitor }),
    ...(target === undefined ? {} : { target }),
  };
}
