/** Data sets by name: what `data.type` of a config may be. */
import { readPlainComponent } from "../core/component.ts";
import { ConfigError, DataError, show } from "../core/errors.ts";
import { anyObject, join, object, oneOf, parseOptions, type z } from "../core/options.ts";
import { type Factory, make, type Registered, Registry } from "../core/registry.ts";
import { ArrayDataset, type ArrayField } from "./array_dataset.ts";
import type { DataContext, DataSplits } from "./dataset.ts";
import {
  ForecastingArray,
  type ForecastingArrayOptions,
  ForecastingCsv,
  type ForecastingCsvOptions,
} from "./forecasting.ts";
import { forecastingArraySchema, forecastingCsvSchema } from "./forecasting_options.ts";

export type { DataContext } from "./dataset.ts";

/** Makes the parts of a run's data: a function or a class of (params, context). */
export type DataFactory = Factory<
  [params: Record<string, unknown>, context: DataContext],
  DataSplits
>;

/** What {@link buildData} builds from. */
export interface DataConfig {
  /** A registered name, or the factory itself. */
  readonly type: string | DataFactory;
  readonly params?: Record<string, unknown>;
}

const registry = new Registry<DataFactory>("data set");

/**
 * Makes `factory` available as `data.type: name`.
 *
 * @param options The schema of its params, for the config's JSON schema.
 */
export function registerDataset(
  name: string,
  factory: DataFactory,
  options?: z.ZodObject,
): void {
  registry.register(name, factory, [], options);
}

/** The schema of the params of a registered data set, if it was given. */
export function datasetOptions(name: string): z.ZodObject | undefined {
  return registry.options(name);
}

/** What `data.type` may name. */
export function registeredDatasets(): Registered[] {
  return registry.registered();
}

/**
 * Builds the data of a run.
 *
 * @param path Where `config` stands, for error messages.
 * @throws {ConfigError} If the name is unknown, a param is wrong, or the factory makes something else.
 * @throws {DataError} If the data cannot be used.
 */
export async function buildData(
  config: DataConfig,
  context: DataContext,
  path = "data",
): Promise<DataSplits> {
  const { type, typePath, params, paramsPath } = readPlainComponent(config, path);
  const factory = registry.resolve(type, typePath);
  const splits = await make(factory, params, { ...context, path: paramsPath });
  check(splits, path, typeof type === "string" ? type : show(type));
  return splits;
}

function check(splits: DataSplits, path: string, name: string): void {
  const fail = (rule: string, value: unknown): never => {
    throw new ConfigError(`${path}.type`, `${name} must make ${rule}, received ${show(value)}`);
  };
  if (splits === null || typeof splits !== "object") {
    fail("an object with train, validation or test", splits);
  }
  const { train, validation, test, task } = splits;
  for (const [key, part] of Object.entries({ train, validation, test })) {
    if (part === undefined) continue;
    const isStream = key === "train" && typeof (part as { open?: unknown }).open === "function";
    if (isStream || isDataset(part)) continue;
    fail(`a data set (length, gather) as ${key}`, part);
  }
  if (train === undefined && validation === undefined && test === undefined) {
    fail("at least one of train, validation and test", splits);
  }
  if (!(task === undefined || tasks.includes(task))) {
    fail(`one of ${tasks.join(", ")} as task`, task);
  }
}

const tasks = ["forecasting", "classification", "imputation"] as const;

function isDataset(part: unknown): boolean {
  const { length, gather } = part as { length?: unknown; gather?: unknown };
  return Number.isInteger(length) && typeof gather === "function";
}

const arraySchema = object({
  train: anyObject().optional(),
  validation: anyObject().optional(),
  test: anyObject().optional(),
  task: oneOf(tasks).optional(),
});

/** `{ train: { inputs: { data, shape }, targets: ... }, validation, test, task }`. */
function arraySplits(params: Record<string, unknown>, context: DataContext): DataSplits {
  const path = context.path ?? "data.params";
  const parsed = parseOptions(arraySchema, params, path, "ArrayDataset");
  const part = (name: "train" | "validation" | "test") => {
    const fields = parsed[name] as Record<string, ArrayField> | undefined;
    try {
      return fields && new ArrayDataset(fields);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      throw new DataError(`${join(path, name)}: ${error.message}`);
    }
  };
  const { task } = parsed;
  return { train: part("train"), validation: part("validation"), test: part("test"), task };
}

registry.register("ArrayDataset", arraySplits, ["array"], arraySchema);
registerDataset(
  "ForecastingArray",
  (params, context) => new ForecastingArray(params as unknown as ForecastingArrayOptions, context),
  forecastingArraySchema,
);
registerDataset(
  "ForecastingCsv",
  (params, context) => new ForecastingCsv(params as unknown as ForecastingCsvOptions, context),
  forecastingCsvSchema,
);
