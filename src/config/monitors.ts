/** Values that a run follows must be measured in it. */
import { ConfigError, show, suggest } from "../core/errors.ts";
import type { Metric } from "../metric/metric.ts";
import { EarlyStopping } from "../runner/callbacks/early_stopping.ts";
import type { Callback } from "../runner/hooks.ts";
import type { RunParts } from "../runner/parts.ts";
import type { RunSettings } from "../runner/settings.ts";
import type { ResolvedConfig } from "./schema.ts";

/** The monitored value, which must be measured, and whether larger is better (the metric knows). */
export function bestOf(
  best: ResolvedConfig["best"],
  metrics: readonly Metric[],
): RunSettings["best"] {
  const metric = monitored(best.monitor, metrics, "best.monitor");
  const inferred = metrics.find(({ name }) => name === metric)?.higherIsBetter === true
    ? "max"
    : "min";
  return { monitor: `val/${metric}`, mode: best.mode ?? inferred };
}

/** The validation value that the scheduler follows, if it follows one. */
export function monitorOf(
  scheduler: ResolvedConfig["scheduler"],
  metrics: readonly Metric[],
  loaders: RunParts["loaders"],
): string | undefined {
  if (scheduler?.monitor === undefined) return undefined;
  needsValidation("scheduler.monitor", loaders);
  return monitored(String(scheduler.monitor), metrics, "scheduler.monitor");
}

/** Early stopping must follow a value that is measured. */
export function checkMonitors(
  callbacks: readonly Callback[],
  metrics: readonly Metric[],
  loaders: RunParts["loaders"],
): void {
  for (const callback of callbacks) {
    if (!(callback instanceof EarlyStopping)) continue;
    needsValidation(callback.path, loaders);
    const { monitor, path } = callback;
    if (monitor !== undefined) monitored(monitor, metrics, `${path}.monitor`);
  }
}

/** @throws {ConfigError} For `path` if the run is never validated. */
export function needsValidation(path: string, { validation }: RunParts["loaders"]): void {
  if (validation !== undefined) return;
  throw new ConfigError(path, "needs validation, which is false or has no data");
}

function monitored(monitor: string, metrics: readonly Metric[], path: string): string {
  const name = monitor.replace(/^val\//, "");
  const known = ["loss", ...metrics.map((metric) => metric.name)];
  if (!known.includes(name)) {
    throw new ConfigError(path, `unknown validation value ${show(monitor)}${suggest(name, known)}`);
  }
  return name;
}
