/** The plain object that describes a run: every key, its rule and its default. */
import { canonicalComponent } from "../core/component.ts";
import { ConfigError, show } from "../core/errors.ts";
import {
  above,
  anyObject,
  camel,
  either,
  flag,
  integer,
  join,
  list,
  object,
  oneOf,
  parseOptions,
  text,
  z,
} from "../core/options.ts";
import type { Metric } from "../metric/metric.ts";
import type { NonFinitePolicy } from "../runner/settings.ts";

/** A registered name; in a program a class or function is taken too. */
export type Named = string | ((...args: never[]) => unknown) | (new (...args: never[]) => unknown);

/** A component: what to build and its options. BasicTS' `{ TYPE, PARAM }` is read as well. */
export interface ComponentConfig {
  type: Named;
  params?: Record<string, unknown>;
}

/** A run as a plain object; only `model`, `data`, `optimizer` and `train.iterations` are required. */
export interface RunConfig {
  /** Where an editor finds the JSON schema; nothing depends on it. */
  $schema?: string;
  /** Run directory name; default: model-dataset-hash8. */
  name?: string;
  /** Seed of batch order, initial weights and dropout. Default 42. */
  seed?: number;
  backend?: "auto" | "webgpu" | "wasm" | "cpu";
  /** The same bits in every runtime. Default false. */
  deterministic?: boolean;
  /** Threads that compute; "auto": as many as there are cores. Default 1: this one. */
  workers?: number | "auto";
  /** How often workers that were lost may be replaced in a run. Default 3. */
  maxWorkerRestarts?: number;
  /** Logical shards of a batch; default: the number of workers, 4 for "auto". */
  shards?: number;
  /** Default: what the data is for. */
  task?: string | ComponentConfig;
  model: ComponentConfig;
  data: ComponentConfig;
  /** A name, `{ type, params }` or a function. Default: the task's. */
  loss?: Named | ComponentConfig;
  metrics?: (Named | ComponentConfig | Metric)[];
  /** Whether metrics are in original units. Default false. */
  rescale?: boolean;
  optimizer: ComponentConfig & Record<string, unknown>;
  scheduler?: ComponentConfig & Record<string, unknown>;
  train: {
    iterations: number;
    batchSize?: number;
    accumulate?: number;
    /** Default true, but for streams and with `overfitBatches`, which have an order of their own. */
    shuffle?: boolean;
    dropLast?: boolean;
    /** Shorthand of the ClipGradients callback. */
    clipGrad?: { maxNorm?: number; normType?: number | "inf"; clipValue?: number };
    /** Of loss and gradient. rollback: back to the last checkpoint, at most so many times. Default "stop". */
    nonFinite?: "stop" | "skip" | { rollback: number };
    /** Seconds. */
    maxTime?: number;
    /** Metrics of training batches too. Default false. */
    metrics?: boolean;
    /** Only the first n batches of every epoch. */
    limitBatches?: number;
    /** Train and validate on the same first n batches. */
    overfitBatches?: number;
    /** n iterations with n batches of validation and test, nothing written. */
    fastDevRun?: boolean | number;
  };
  /** false: no validation. `interval` defaults to a tenth of the iterations. */
  validation?: false | {
    interval?: number;
    batchSize?: number;
    limitBatches?: number;
    sanity?: number;
  };
  test?: false | {
    interval?: number;
    batchSize?: number;
    limitBatches?: number;
    horizons?: number[];
    savePredictions?: boolean;
  };
  best?: { monitor?: string; mode?: "min" | "max" };
  /** Shorthand of the EarlyStopping callback. */
  earlyStopping?: Record<string, unknown>;
  /** Shorthand of the Checkpoint callback, with the directory and the resume rule; false: nothing is written. */
  checkpoint?: false | {
    directory?: string;
    interval?: number;
    keep?: number | null;
    every?: number;
    at?: number[];
    /** "continue": as "auto", and a run that has stopped early trains on. Default "auto". */
    resume?: "auto" | "never" | "required" | "continue";
    /** What happens when files cannot be written: a full disk, missing rights. Default "stop". */
    onError?: "stop" | "continue";
    /** Paths of the config that may differ from the checkpoint, "contents" for the data themselves. */
    allowChanged?: string[];
  };
  log?: { interval?: number; progress?: boolean; tensorboard?: boolean };
  fineTune?: { path: string; strict?: boolean };
  callbacks?: (Named | ComponentConfig | object)[];
}

/** {@link RunConfig} with its defaults. */
export interface ResolvedConfig {
  name: string | undefined;
  seed: number;
  backend: "auto" | "webgpu" | "wasm" | "cpu";
  deterministic: boolean;
  workers: number | "auto";
  maxWorkerRestarts: number;
  shards: number;
  task: string | ResolvedComponent | undefined;
  model: ResolvedComponent;
  data: ResolvedComponent;
  loss: Named | ResolvedComponent | undefined;
  metrics: (Named | ResolvedComponent | Metric)[] | undefined;
  rescale: boolean;
  optimizer: ResolvedComponent & Record<string, unknown>;
  scheduler: (ResolvedComponent & Record<string, unknown>) | undefined;
  train: {
    iterations: number;
    batchSize: number;
    accumulate: number;
    shuffle: boolean | undefined;
    dropLast: boolean;
    clipGrad: Record<string, unknown> | undefined;
    nonFinite: NonFinitePolicy;
    maxTime: number | undefined;
    metrics: boolean;
    limitBatches: number | undefined;
    overfitBatches: number | undefined;
    fastDevRun: boolean | number;
  };
  validation: false | {
    interval?: number;
    batchSize?: number;
    limitBatches?: number;
    sanity: number;
  };
  test: false | {
    interval?: number;
    batchSize?: number;
    limitBatches?: number;
    horizons: number[];
    savePredictions: boolean;
  };
  best: { monitor: string; mode?: "min" | "max" };
  earlyStopping: Record<string, unknown> | undefined;
  checkpoint: false | {
    directory: string;
    interval?: number;
    keep?: number | null;
    every?: number;
    at?: number[];
    resume: "auto" | "never" | "required" | "continue";
    onError?: "stop" | "continue";
    allowChanged?: string[];
  };
  log: { interval: number; progress: boolean; tensorboard: boolean };
  fineTune: { path: string; strict: boolean } | undefined;
  callbacks: (Named | ResolvedComponent | object)[];
}

/** A component after its defaults. */
export interface ResolvedComponent {
  type: Named;
  params: Record<string, unknown>;
}

const isFunction = z.custom<object>((value) => typeof value === "function");

const NAMED = "must be a registered name (or, in a program, a class or function)";
const named = either(NAMED, text(), isFunction);
const component = object({ type: named, params: anyObject().default({}) });

const NAMED_OR_COMPONENT =
  "must be a registered name, { type, params }, or, in a program, a function";
const namedOrComponent = either(NAMED_OR_COMPONENT, text(), component, isFunction);

/** A metric or callback made by the program, kept as it is: a copy would lose the methods of its class. */
const isMade = z.custom<object>(isProgramObject);

const optimizer = object({
  type: named,
  params: anyObject().default({}),
  groups: list(anyObject(), "must be an array of groups").optional(),
  noDecay: z.unknown().optional(),
  layerDecay: anyObject().optional(),
});

const scheduler = object({
  type: named,
  params: anyObject().default({}),
  schedulers: list(anyObject(), "must be an array of schedulers").optional(),
  milestones: list(integer(0), "must be an array of integers >= 0").optional(),
  monitor: text().optional(),
  target: text().optional(),
});

const orFalse = <T extends z.ZodObject>(schema: T) =>
  either("must be false or an object", z.literal(false), schema);

const evaluation = {
  interval: integer(1).optional().describe("Iterations between two"),
  batchSize: integer(1).optional(),
  limitBatches: integer(1).optional(),
};

/** Beyond it threads fill the memory before they compute. */
export const MOST_WORKERS = 256;

/** The schema of a run config. */
export const runConfigSchema: z.ZodObject = object({
  $schema: text().optional().describe("Where an editor finds this schema"),
  name: z.string({ error: NAME_RULE() }).regex(/^[A-Za-z0-9._-]{1,100}$/, { error: NAME_RULE() })
    .regex(/^[^.]/, { error: NAME_RULE() }).optional().describe(
      "Run directory name; default model-dataset-hash8",
    ),
  seed: integer(0).max(Number.MAX_SAFE_INTEGER).default(42).describe(
    "Of batch order, initial weights and dropout",
  ),
  backend: oneOf(["auto", "webgpu", "wasm", "cpu"]).default("auto"),
  deterministic: flag().default(false).describe("The same bits in every runtime"),
  workers: either(
    `must be an integer from 1 to ${MOST_WORKERS} or "auto"`,
    integer(1).max(MOST_WORKERS, { abort: true }),
    oneOf(["auto"]),
  ).default(1).describe("Threads that compute; auto: as many as there are cores"),
  maxWorkerRestarts: integer(0).default(3).describe(
    "How often workers that were lost may be replaced",
  ),
  shards: integer(1).optional().describe(
    "Logical shards of a batch; default the number of workers, 4 for auto",
  ),
  task: either("must be a task's name or { type, params }", text(), component).optional(),
  model: component,
  data: component,
  loss: namedOrComponent.optional(),
  metrics: list(
    either(NAMED_OR_COMPONENT, text(), component, isFunction, isMade),
    "must be an array of metrics",
  ).optional(),
  rescale: flag().default(false).describe("Whether metrics are in original units"),
  optimizer,
  scheduler: scheduler.optional(),
  train: object({
    iterations: integer(1).describe("Number of optimizer updates"),
    batchSize: integer(1).default(32).describe("Samples of a forward pass"),
    accumulate: integer(1).default(1).describe("Forward passes of an update"),
    shuffle: flag().optional(),
    dropLast: flag().default(false).describe("Leave out the incomplete last batch of an epoch"),
    clipGrad: anyObject().optional(),
    nonFinite: either(
      'must be "stop", "skip" or { rollback: an integer >= 1 }',
      oneOf(["stop", "skip"]),
      object({ rollback: integer(1) }),
    ).default("stop").describe("What a loss or gradient that is NaN or infinite does"),
    maxTime: above(0).optional().describe("Seconds"),
    metrics: flag().default(false).describe("Metrics of training batches too"),
    limitBatches: integer(1).optional().describe("Only the first n batches of every epoch"),
    overfitBatches: integer(1).optional().describe(
      "Train and validate on the same first n batches",
    ),
    fastDevRun: either("must be true, false or an integer >= 1", flag(), integer(1)).default(false)
      .describe("n iterations with n batches of validation and test, nothing written"),
  }),
  validation: orFalse(object({ ...evaluation, sanity: integer(0).default(2) })).prefault({}),
  test: orFalse(object({
    ...evaluation,
    horizons: list(integer(1), "must be an array of integers >= 1").default([]).describe(
      "Test metrics of these steps ahead",
    ),
    savePredictions: flag().default(false).describe("Write predictions.safetensors"),
  })).prefault({}),
  best: object({
    monitor: text().default("val/loss").describe(
      "The validation value that best.safetensors follows",
    ),
    mode: oneOf(["min", "max"]).optional(),
  }).prefault({}),
  earlyStopping: anyObject().optional(),
  checkpoint: orFalse(object({
    directory: text().default("runs"),
    interval: integer(1).optional(),
    keep: integer(1).nullable().optional().describe(
      "How many of the newest checkpoints stay; null: all",
    ),
    every: integer(1).optional().describe("Checkpoints of every n-th iteration stay"),
    at: list(integer(1), "must be an array of integers >= 1").optional().describe(
      "Checkpoints of these iterations stay",
    ),
    resume: oneOf(["auto", "never", "required", "continue"]).default("auto").describe(
      'What to do with a checkpoint that is there; "continue" trains on after an early stop too',
    ),
    onError: oneOf(["stop", "continue"]).optional().describe(
      'What happens when files cannot be written; default "stop"',
    ),
    allowChanged: list(text(), "must be an array of paths").optional().describe(
      'Paths of the config that may differ from the checkpoint, "contents" for the data',
    ),
  })).prefault({}),
  log: object({
    interval: integer(1).default(50),
    progress: flag().default(true),
    tensorboard: flag().default(true),
  }).prefault({}),
  fineTune: object({ path: text(), strict: flag().default(true) }).optional(),
  callbacks: list(
    either(NAMED_OR_COMPONENT, text(), component, isFunction, isMade),
    "must be an array of callbacks",
  ).default([]),
});

function NAME_RULE(): string {
  return "must be 1 to 100 of the characters A-Z a-z 0-9 . _ - and not begin with a dot";
}

/** A config with its types checked by the editor; returned as it is. */
export function defineConfig(config: RunConfig): RunConfig {
  return config;
}

/**
 * Checks a config and fills in its defaults; the input stays as it is.
 *
 * @throws {ConfigError} At the first fault: path, rule, value.
 */
export function resolveConfig(config: unknown): ResolvedConfig {
  refuseOutlandish(config, "");
  const resolved = parseOptions(
    runConfigSchema,
    withPlainComponents(config),
    "",
  ) as unknown as ResolvedConfig;
  delete (resolved as { $schema?: string }).$schema;
  const { workers, train } = resolved;
  if (resolved.shards === undefined && Number(workers) > train.batchSize) {
    throw new ConfigError(
      "workers",
      `must be at most train.batchSize (${train.batchSize}) unless shards is given, ` +
        `received ${workers}`,
    );
  }
  resolved.shards ??= workers === "auto" ? Math.min(4, train.batchSize) : workers;
  checkConflicts(resolved);
  return resolved;
}

/** More than any config needs, and less than what fills the stack. */
const MAX_DEPTH = 100;

/**
 * JSON can hold the key `__proto__`, which no component expects; it is refused wherever it stands. So
 * is what is nested without end, and what JSON cannot hold and no component takes.
 */
function refuseOutlandish(value: unknown, path: string, depth = 0): void {
  if (depth > MAX_DEPTH) {
    throw new ConfigError("", `a config must have at most ${MAX_DEPTH} levels, received more`);
  }
  if (typeof value === "bigint" || typeof value === "symbol") {
    throw new ConfigError(path, `must not be a ${typeof value}, received ${show(value)}`);
  }
  if (Array.isArray(value)) {
    value.forEach((item, i) => refuseOutlandish(item, join(path, i), depth + 1));
  } else if (isObject(value) && !ArrayBuffer.isView(value) && !isProgramObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      if (key === "__proto__") {
        throw new ConfigError(
          join(path, key),
          `must not stand in a config, received ${show(item)}`,
        );
      }
      refuseOutlandish(item, join(path, key), depth + 1);
    }
  }
}

const COMPONENTS = ["model", "data", "optimizer", "scheduler", "loss", "task"];
const COMPONENT_LISTS = ["metrics", "callbacks"];

/** Components in BasicTS' spellings as `{ type, params }`, at the places where one stands. */
function withPlainComponents(config: unknown): unknown {
  if (!isObject(config)) return config;
  const out: Record<string, unknown> = { ...config };
  for (const [key, value] of Object.entries(out)) {
    if (COMPONENTS.includes(camel(key))) out[key] = plainComponent(value, key);
    if (COMPONENT_LISTS.includes(key) && Array.isArray(value)) {
      out[key] = value.map((item, i) => {
        const at = join(key, i);
        if (!isObject(item) || isProgramObject(item)) return item;
        if (key === "callbacks" && Object.keys(item).join() === "name") {
          throw new ConfigError(
            at,
            `must be { type, params }, or a callback with at least one hook, received ${
              show(item)
            }`,
          );
        }
        return parseOptions(component, plainComponent(item, at), at);
      });
    }
  }
  return out;
}

function plainComponent(value: unknown, path: string): unknown {
  return isObject(value) ? canonicalComponent(value, path) : value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Whether an object came from a program: an instance of a class, or one with methods. */
function isProgramObject(value: unknown): boolean {
  if (!isObject(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return true;
  return !("type" in value || "TYPE" in value || "module" in value) &&
    Object.values(value).some((item) => typeof item === "function");
}

/** Rules that span several keys. */
function checkConflicts(config: ResolvedConfig): void {
  const { train, shards } = config;
  if (shards > train.batchSize) {
    throw new ConfigError(
      "shards",
      `must be at most train.batchSize (${train.batchSize}), received ${shards}`,
    );
  }
  if (train.overfitBatches !== undefined && train.limitBatches !== undefined) {
    throw new ConfigError(
      "train.overfitBatches",
      "cannot be combined with train.limitBatches, received both",
    );
  }
}
