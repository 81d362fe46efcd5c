/**
 * The shards of a run that goes on. A config that leaves them out has as many as workers when the run
 * begins; the run keeps them, so that it may go on, or be tested, with other workers.
 */
import type { CheckpointDirectory } from "../checkpoint/checkpoint.ts";
import type { Store } from "../checkpoint/store.ts";
import type { ResolvedConfig, RunConfig } from "./schema.ts";

/** The config with the shards of the run in this place, if it says nothing of them and goes on. */
export async function withSavedShards(
  config: ResolvedConfig,
  written: RunConfig,
  store: Store,
  checkpoints: CheckpointDirectory,
): Promise<ResolvedConfig> {
  const isNew = config.checkpoint === false || config.checkpoint.resume === "never";
  if (isNew || written.shards !== undefined) return config;
  // A small file; whoever wrote it last may have left no checkpoint.
  const last = await shardsIn(store);
  if (last === undefined || last === config.shards) return config;
  const saved = await checkpoints.latest() ?? await checkpoints.best();
  const { shards } = (saved?.state.meta.fingerprint ?? {}) as { shards?: unknown };
  return isCount(shards) ? { ...config, shards } : config;
}

async function shardsIn(store: Store): Promise<unknown> {
  const bytes = await store.read("config.json");
  try {
    return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as { shards?: unknown }).shards;
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
