/** The metrics, and how to name and register them. */
export type { Metric } from "./metric.ts";
export { r2 } from "./r2.ts";
export { corr } from "./corr.ts";
export { accuracy } from "./accuracy.ts";
export { meanMetric, type MeanMetricOptions } from "./mean.ts";
export { type HorizonMetrics, horizonMetrics } from "./horizon.ts";
export { buildMetrics, type MetricConfig, type MetricFactory, registerMetric } from "./registry.ts";
