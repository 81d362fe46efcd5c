/** What a run fills into its scheduler's config. */
import { camel } from "../core/options.ts";
import type { RunSettings } from "../runner/settings.ts";
import { readScheduler } from "../schedule/builder.ts";
import { resolveTotals } from "../schedule/totals.ts";
import type { ResolvedConfig } from "./schema.ts";

/**
 * The scheduler's config with every `"auto"` as a number of `train.iterations`. One that follows a
 * metric also gets a `monitor`, by default that of `best`, and a `mode`: that of `best` for its
 * monitor, else the metric's own.
 */
export function resolveScheduler(
  { scheduler, train }: ResolvedConfig,
  { best, higherIsBetter }: Pick<RunSettings, "best" | "higherIsBetter">,
): ResolvedConfig["scheduler"] {
  if (scheduler === undefined) return undefined;
  const filled = resolveTotals(scheduler as never, train.iterations);
  const { rule, params } = readScheduler(filled, "scheduler");
  if (!rule?.monitored) return filled as ResolvedConfig["scheduler"];
  const { monitor = best.monitor } = filled;
  const name = monitor.replace(/^val\//, "");
  const mode = `val/${name}` === best.monitor
    ? best.mode
    : higherIsBetter.includes(name)
    ? "max"
    : "min";
  const takesMode = "mode" in rule.options.shape &&
    !Object.keys(params).some((key) => camel(key) === "mode");
  return {
    ...filled,
    params: { ...params, ...(takesMode ? { mode } : {}) },
    monitor,
  } as ResolvedConfig["scheduler"];
}
