/** Metrics by name. */
import { readPlainComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import { join, object, parseOptions, z } from "../core/options.ts";
import { make, type Maker, type Registered, Registry } from "../core/registry.ts";
import { withoutNulls } from "../loss/items.ts";
import { itemKinds, nullValue } from "../loss/kinds.ts";
import { mseItems } from "../loss/mse.ts";
import { accuracy } from "./accuracy.ts";
import { corr } from "./corr.ts";
import { meanMetric } from "./mean.ts";
import type { Metric } from "./metric.ts";
import { r2 } from "./r2.ts";

/** Makes a metric from its options; `path` is where they stand in the config. */
export type MetricFactory = Maker<[params: Record<string, unknown>, path: string], Metric>;

/** What names a metric: `"mae"`, `{ type, params }`, a metric, or a factory called without options. */
export type MetricConfig =
  | string
  | { readonly type: string | MetricFactory; readonly params?: Record<string, unknown> }
  | Metric
  | (() => Metric);

const registry: Registry<MetricFactory> = new Registry("metric");

for (const { name, aliases, rule, options } of itemKinds) {
  registry.register(
    name,
    (params, path) => meanMetric(name, rule(params, path)),
    aliases,
    options,
  );
}

const nulls = object({ nullValue });
const none = object({});
const labels = object({ ignoreIndex: z.int({ error: "must be an integer" }).optional() });

registry.register(
  "rmse",
  (params, path) => {
    const options = parseOptions(nulls, params, path, "rmse");
    return meanMetric("rmse", withoutNulls(mseItems, options.nullValue), { finish: Math.sqrt });
  },
  ["maskedRmse"],
  nulls,
);
registry.register(
  "r2",
  (params, path) => {
    parseOptions(none, params, path, "r2");
    return r2();
  },
  ["maskedR2", "rSquared"],
  none,
);
registry.register(
  "corr",
  (params, path) => {
    parseOptions(none, params, path, "corr");
    return corr();
  },
  ["maskedCorr", "pearson"],
  none,
);
registry.register(
  "accuracy",
  (params, path) => accuracy(parseOptions(labels, params, path, "accuracy")),
  [],
  labels,
);

/**
 * Makes `name` usable in `config.metrics`.
 *
 * @param options The schema of its params, for the config's JSON schema.
 */
export function registerMetric(name: string, factory: MetricFactory, options?: z.ZodObject): void {
  registry.register(name, factory, [], options);
}

/** What `config.metrics` may name. */
export function registeredMetrics(): Registered[] {
  return registry.registered();
}

/**
 * The metrics that `list` names, in order. Names are matched in any case, snake or camel.
 *
 * @throws {ConfigError} Unknown name or option, two metrics of one name, or the name `loss`, which
 * is what the loss is reported as.
 */
export function buildMetrics(list: readonly MetricConfig[], path = "metrics"): Metric[] {
  if (!Array.isArray(list)) {
    throw new ConfigError(path, `must be an array of metrics, received ${show(list)}`);
  }
  const metrics: Metric[] = [];
  list.forEach((config, i) => {
    const metric = build(config, join(path, i));
    if (metric.name === "loss") {
      throw new ConfigError(join(path, i), `must not be named "loss", the loss is reported so`);
    }
    if (metrics.some((m) => m.name === metric.name)) {
      throw new ConfigError(join(path, i), `must not repeat, received ${show(metric.name)} twice`);
    }
    metrics.push(metric);
  });
  return metrics;
}

function build(config: MetricConfig, path: string): Metric {
  if (isMetric(config)) return config;
  const { type, typePath, params, paramsPath } = readPlainComponent(
    config,
    path,
    "a name, { type, params } or a metric",
  );
  const metric: unknown = make(registry.resolve(type, typePath), params, paramsPath);
  if (isMetric(metric)) return metric;
  throw new ConfigError(
    path,
    `the factory must return { name, size, update, finalize }, received ${show(metric)}`,
  );
}

function isMetric(value: unknown): value is Metric {
  const metric = value as Partial<Metric> | null | undefined;
  return typeof metric === "object" && metric !== null && typeof metric.name === "string" &&
    Number.isInteger(metric.size) && typeof metric.update === "function" &&
    typeof metric.finalize === "function";
}
