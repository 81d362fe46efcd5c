/** The workers of a run: how many, and what they are told. */
import { wasmFolder } from "../backend/wasm.ts";
import { ConfigError, show } from "../core/errors.ts";
import { baseUrl, cores, runtime } from "../core/host.ts";
import { join } from "../core/options.ts";
import { formOf } from "../data/data_form.ts";
import type { WorkerSpec } from "../parallel/protocol.ts";
import { Optimizer } from "../optim/optimizer.ts";
import { WorkerEngine } from "../parallel/worker_engine.ts";
import type { Output } from "../report/console.ts";
import type { Callback } from "../runner/hooks.ts";
import { chunkBounds } from "../runner/leaves.ts";
import type { RunParts } from "../runner/parts.ts";
import type { CreateOptions } from "./create_options.ts";
import { MOST_WORKERS, type ResolvedConfig } from "./schema.ts";

/**
 * How many workers compute: those of the config, or as many as there are cores (one on WebGPU, which
 * has its own threads). A page without shared memory has one, and a line says so.
 */
export function workersOf(config: ResolvedConfig, backend: string, output: Output): number {
  const { workers } = config;
  const all = backend === "webgpu" ? 1 : Math.min(cores(), MOST_WORKERS);
  const wanted = workers === "auto" ? all : workers;
  if (wanted === 1 || hasSharedMemory()) return wanted;
  output.line(
    `workers: ${wanted} need shared memory, which this page does not have without cross-origin ` +
      "isolation (the headers COOP same-origin and COEP require-corp); computing in process",
  );
  return 1;
}

function hasSharedMemory(): boolean {
  const { crossOriginIsolated = runtime !== "browser" } = globalThis as {
    crossOriginIsolated?: boolean;
  };
  return crossOriginIsolated && typeof SharedArrayBuffer !== "undefined";
}

/** What the engine is made of beside the config. */
export type EngineContext =
  & Pick<
    RunParts,
    "model" | "optimizer" | "metrics" | "settings" | "backend" | "data" | "output" | "callbacks"
  >
  & { readonly baseDirectory: string; readonly task: WorkerSpec["task"] };

/**
 * The engine of a run with several workers.
 *
 * @throws {ConfigError} If something of the config cannot reach a worker, or cannot be computed there.
 */
export function workerEngine(
  config: ResolvedConfig,
  workers: number,
  parts: EngineContext,
  { imports = [], workerUrl }: CreateOptions,
): WorkerEngine {
  const { model, optimizer, metrics, settings, backend, data, output } = parts;
  const only = `must be 1 for ${nameOf(config.optimizer.type)}`;
  const received = `received ${workers}`;
  if (optimizer.needsClosure) {
    throw new ConfigError(
      "workers",
      `${only}, whose update takes more than one gradient, ${received}`,
    );
  }
  if (optimizer.applyGradients !== Optimizer.prototype.applyGradients) {
    throw new ConfigError(
      "workers",
      `${only}, which makes its updates itself: workers make those of rules, ${received}`,
    );
  }
  const callbacks = reachable(config.callbacks, parts.callbacks);
  for (const key of ["model", "loss", "metrics", "optimizer", "task"] as const) {
    refuseCode(config[key], key);
  }
  const spec: WorkerSpec = {
    imports,
    baseDirectory: parts.baseDirectory,
    seed: config.seed,
    backend,
    deterministic: config.deterministic,
    wasmPath: backend === "wasm" ? wasmFolder() : undefined,
    model: config.model,
    task: parts.task,
    rescale: config.rescale,
    form: formOf(data),
    loss: config.loss,
    metrics: config.metrics,
    horizons: settings.test.horizons,
    trainMetrics: settings.train.metrics,
    callbacks,
    optimizer: config.optimizer,
  };
  const { shards, train: { accumulate } } = settings;
  const leaves = accumulate * shards;
  const pieces = chunkBounds(leaves, shards).length;
  if (workers > pieces) {
    output.line(
      `workers: ${workers}, and ${pieces} of them compute gradients (shards: ${shards}); ` +
        "the others share updates and evaluations only",
    );
  }
  return new WorkerEngine({
    workers,
    shards,
    leaves,
    model,
    optimizer,
    spec,
    metricWidth: settings.train.metrics ? metrics.reduce((sum, { size }) => sum + size, 0) : 0,
    output,
    workerUrl: workerUrl === undefined ? undefined : new URL(workerUrl, baseUrl()),
    maxRestarts: config.maxWorkerRestarts,
  });
}

/** What an optimizer is called in errors. */
export function nameOf(type: unknown): string {
  return typeof type === "string" ? type : (type as { name?: string }).name ?? "this optimizer";
}

/** The callbacks with hooks inside the forward pass, as the config names them. */
function reachable(
  configs: ResolvedConfig["callbacks"],
  callbacks: readonly Callback[],
): WorkerSpec["callbacks"] {
  return [...configs.entries()].filter(([i, config]) => {
    const own = typeof config === "object" && !("type" in config) ? config as Callback : undefined;
    const built = own ?? callbacks[i];
    const inside = built?.output !== undefined || built?.loss !== undefined;
    if (inside) refuseCode(config, join("callbacks", i));
    return inside;
  });
}

/** @throws {ConfigError} At the first function or object of a program: a worker gets plain data. */
function refuseCode(value: unknown, path: string): void {
  if (typeof value === "function" || isMade(value)) {
    const what = typeof value === "function" ? "a function or class" : "an object of a class";
    throw new ConfigError(
      path,
      `${what} cannot reach a worker, received ${show(value)}; ` +
        "register it under a name in a module that imports lists",
    );
  }
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return;
  for (const [key, item] of Object.entries(value)) {
    refuseCode(item, join(path, Array.isArray(value) ? Number(key) : key));
  }
}

function isMade(value: unknown): boolean {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return false;
  if (ArrayBuffer.isView(value) || value instanceof RegExp) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== null && prototype !== Object.prototype;
}
