/** Training processes to be killed, in any of the runtimes. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { runtime as current } from "../../src/core/host.ts";
import { sha256 } from "../../src/core/sha256.ts";
import { binary, root } from "../../tools/project.ts";
import type { ChildSettings } from "./child.ts";

export type Runtime = "deno" | "bun" | "node";

/** The runtime that runs this. */
export const here: Runtime = current as Runtime;

/** How a training process ended. */
export interface Ended {
  readonly status: number | null;
  readonly output: string;
}

/** A training process. */
export interface Training {
  readonly ended: Promise<Ended>;
  /** Resolves to whether the output has held `text` before the end. */
  said(text: string): Promise<boolean>;
  /** SIGKILL; false if it had ended before. */
  kill(): boolean;
}

/** Starts child.ts. */
export function start(runtime: Runtime, directory: string, settings: ChildSettings = {}): Training {
  return launch(runtime, "test/durability/child", [directory, JSON.stringify(settings)]);
}

/**
 * Starts a module of the repository, named without its extension. Node runs the transpiled copy, which
 * `tools/build_tests.ts` makes.
 */
export function launch(runtime: Runtime, module: string, args: readonly string[]): Training {
  const source = join(root, `${module}.ts`);
  const program = runtime === here
    ? process.execPath
    : runtime === "node"
    ? "node"
    : binary(runtime);
  const flags: Record<Runtime, string[]> = {
    deno: [
      "run",
      "-A",
      "--no-check",
      "--v8-flags=--expose-gc",
      "--config",
      join(root, "deno.json"),
      source,
    ],
    bun: [source],
    node: ["--expose-gc", join(root, "build", "node", `${module}.js`)],
  };
  const child: ChildProcess = spawn(program, [...flags[runtime], ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  });
  let output = "";
  let over = false;
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      listeners.forEach((look) => look());
    });
  }
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (status) => {
      over = true;
      resolve({ status, output });
      listeners.forEach((look) => look());
    })
  );
  return {
    ended,
    said: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (output.includes(text)) resolve(true);
          else if (over) resolve(false);
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      }),
    kill: () => {
      if (over || child.exitCode !== null) return false;
      return process.kill(child.pid as number, "SIGKILL");
    },
  };
}

/** What must not depend on interruptions nor on the runtime: hashes of the files, the counters. */
export async function outcomeOf(directory: string): Promise<Record<string, unknown>> {
  const read = (name: string) => readFileSync(join(directory, "run", name));
  const hash = async (name: string) => await sha256(new Uint8Array(read(name)));
  const { seconds: _, samplesPerSecond: __, ...summary } = JSON.parse(
    read("summary.json").toString(),
  );
  const latest = read("checkpoints/latest").toString();
  return {
    summary,
    latest,
    metrics: await hash("metrics.jsonl"),
    checkpoint: await hash(`checkpoints/${latest}`),
    best: await hash("checkpoints/best.safetensors"),
  };
}
