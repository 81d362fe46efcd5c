/** A real checkpoint with changed bytes and cut ends: all of it is found, and the one before is used. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointDirectory, type CheckpointState } from "../../src/checkpoint/checkpoint.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { trainOnce, withFolder } from "../support/runs.ts";
import { childConfig } from "./child.ts";
import { Draws } from "./draws.ts";

/** What was tried. */
export interface DamageFigures {
  /** Of the small checkpoint. */
  bytes: number;
  flips: number;
  cuts: number;
  /** Of the large one. */
  largeBytes: number;
  largeFlips: number;
  largeCuts: number;
}

/** Every byte and every length (or each `stride`-th) of a run's checkpoint, and `large` draws of a large one. */
export async function damageAll(
  stride: number,
  large: number,
  seed: number,
): Promise<DamageFigures> {
  const draws = new Draws(seed);
  const small = await ofRun();
  const figures: DamageFigures = {
    bytes: small.newest.length,
    flips: 0,
    cuts: 0,
    largeBytes: 0,
    largeFlips: 0,
    largeCuts: 0,
  };
  for (let at = 0; at < small.newest.length; at += stride) {
    await small.finds(flipped(small.newest, at, draws));
    figures.flips++;
    await small.finds(small.newest.subarray(0, at));
    figures.cuts++;
  }
  const big = await ofState(2_000_000);
  figures.largeBytes = big.newest.length;
  for (let i = 0; i < large; i++) {
    await big.finds(flipped(big.newest, draws.below(big.newest.length), draws));
    figures.largeFlips++;
    await big.finds(big.newest.subarray(0, draws.below(big.newest.length)));
    figures.largeCuts++;
  }
  return figures;
}

function flipped(bytes: Uint8Array, at: number, draws: Draws): Uint8Array {
  const changed = bytes.slice();
  changed[at] ^= 1 + draws.below(255);
  return changed;
}

interface Pair {
  readonly newest: Uint8Array;
  /** Puts `bytes` in place of the newest checkpoint: the older one must come back, with one line. */
  finds(bytes: Uint8Array): Promise<void>;
}

async function ofRun(): Promise<Pair> {
  return await withFolder(async (folder) => {
    await trainOnce(childConfig(folder, { iterations: 6, backend: "cpu" }));
    const read = (i: number) =>
      new Uint8Array(
        readFileSync(join(folder, "run", "checkpoints", `step-0000000${i}.safetensors`)),
      );
    return await pair(read(3), 3, read(6), 6);
  });
}

async function ofState(bytes: number): Promise<Pair> {
  const store = new MemoryStore();
  const checkpoints = new CheckpointDirectory(store);
  const state: CheckpointState = {
    tensors: {
      w: {
        dtype: "F32",
        shape: [bytes / 4],
        data: Float32Array.from({ length: bytes / 4 }, (_, i) => i),
      },
    },
    meta: {},
  };
  const names = [await checkpoints.save(3, state), await checkpoints.save(6, state)];
  const [older, newest] = await Promise.all(names.map(async (name) => (await store.read(name))!));
  return await pair(older, 3, newest, 6);
}

async function pair(older: Uint8Array, i: number, newest: Uint8Array, j: number): Promise<Pair> {
  const store = new MemoryStore();
  const lines: string[] = [];
  const checkpoints = new CheckpointDirectory(store, "checkpoints", (line) => lines.push(line));
  await store.write(`checkpoints/step-0000000${i}.safetensors`, older);
  await store.write("checkpoints/latest", new TextEncoder().encode(`step-0000000${j}.safetensors`));
  return {
    newest,
    finds: async (bytes) => {
      await store.write(`checkpoints/step-0000000${j}.safetensors`, bytes);
      lines.length = 0;
      assert.equal((await checkpoints.latest())?.iteration, i);
      assert.equal(lines.length, 1);
      assert.ok(lines[0].includes(`step-0000000${j}`) && !lines[0].includes("\n"), lines[0]);
    },
  };
}
