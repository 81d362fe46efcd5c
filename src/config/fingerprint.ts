/** The identity of a run: what its results depend on. */
import { checksum } from "../core/checksum.ts";
import { fold } from "../core/registry.ts";
import { sha256 } from "../core/sha256.ts";
import type { ResolvedConfig } from "./schema.ts";

/** Parts of a config that change no weight at a given iteration, or only how far the run goes. */
const INDEPENDENT = [
  "name",
  "backend",
  "workers",
  "maxWorkerRestarts",
  "log",
  "checkpoint",
  "test",
  "earlyStopping",
];
const INDEPENDENT_TRAIN = ["iterations", "maxTime", "fastDevRun"];

/** Callbacks that only report. */
const REPORTS = ["progressbar", "tensorboard", "jsonlines", "learningratemonitor", "checkpoint"];

/** The callback that only says how far the run goes. */
const STOPS = ["earlystopping"];

/** Plain data that a resumed run must share with the run that wrote the checkpoint. */
export function fingerprintOf(config: ResolvedConfig): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!INDEPENDENT.includes(key) && value !== undefined) out[key] = value;
  }
  out.callbacks = callbacksWithout(config, [...REPORTS, ...STOPS]);
  out.train = Object.fromEntries(
    Object.entries(config.train).filter(([key, value]) =>
      !INDEPENDENT_TRAIN.includes(key) && value !== undefined
    ),
  );
  if (config.validation !== false) {
    out.validation = {
      interval: config.validation.interval,
      limitBatches: config.validation.limitBatches,
    };
  }
  return plainCopy(out) as Record<string, unknown>;
}

/** The callbacks but those of some names; one that a program made stands for its name. */
function callbacksWithout(config: ResolvedConfig, names: readonly string[]): unknown[] {
  return config.callbacks.flatMap((callback) => {
    const { type, name } = callback as { type?: unknown; name?: string };
    const known = typeof callback === "string" ? callback : type ?? name;
    if (names.includes(fold(typeof known === "string" ? known : functionName(known)))) {
      return [];
    }
    return [typeof callback === "object" && type === undefined ? name : callback];
  });
}

function functionName(value: unknown): string {
  return typeof value === "function" ? value.name : "";
}

/**
 * `model-data-hash8`: the hash is over what a resumed run must share and over what says how far the
 * run goes, so that two runs with other results have directories of their own.
 */
export async function runName(config: ResolvedConfig): Promise<string> {
  const text = canonicalJson({
    ...fingerprintOf(config),
    callbacks: callbacksWithout(config, REPORTS),
    iterations: config.train.iterations,
    earlyStopping: config.earlyStopping,
  });
  const hash = (await sha256(new TextEncoder().encode(text))).slice(0, 8);
  return [config.model.type, config.data.type].map(word).concat(hash).join("-");
}

/** JSON with sorted keys: equal data, equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(
    plainCopy(value),
    (_, v) =>
      v !== null && typeof v === "object" && !Array.isArray(v)
        ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => a < b ? -1 : 1))
        : v,
  );
}

/**
 * A copy that is plain JSON: functions by name, typed arrays by kind, length and a hash of their
 * values, objects of a class by the names they go by (their fields may change while a run goes on).
 */
export function plainCopy(value: unknown): unknown {
  if (typeof value === "function") return `function ${value.name}`;
  if (value === null || typeof value !== "object") {
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  }
  if (ArrayBuffer.isView(value)) {
    const array = value as unknown as ArrayLike<number>;
    return `${value.constructor.name}(${array.length}) ${checksum(value)}`;
  }
  if (Array.isArray(value)) return value.map(plainCopy);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    const { name } = value as { name?: unknown };
    const made = `instance of ${prototype.constructor?.name}`;
    return typeof name === "string" ? `${made} ${name}` : made;
  }
  const out: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) {
      Object.defineProperty(out, key, {
        value: plainCopy(item),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
  }
  return out;
}

function word(type: unknown): string {
  const text = typeof type === "string" ? type : (type as { name: string }).name;
  return text.toLowerCase().replaceAll(/[^a-z0-9]+/g, "").slice(0, 40) || "custom";
}
