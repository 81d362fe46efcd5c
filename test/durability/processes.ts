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

/**
 * The command that runs a script of this folder. Node runs the transpiled copy, which
 * `tools/build_tests.ts` makes.
 */
export function commandOf(runtime: Runtime, name: string): [program: string, ...args: string[]] {
  const script = (path: string) => join(root, path);
  const file = `test/durability/${name}`;
  const program = runtime === here
    ? process.execPath
    : runtime === "node"
    ? "node"
    : binary(runtime);
  const deno = [
    "run",
    "-A",
    "--no-check",
    "--v8-flags=--expose-gc",
    "--config",
    script("deno.json"),
  ];
  if (runtime === "deno") return [program, ...deno, script(`${file}.ts`)];
  if (runtime === "bun") return [program, script(`${file}.ts`)];
  return [program, "--expose-gc", script(`build/node/${file}.js`)];
}

/** Starts child.ts. */
export function start(runtime: Runtime, directory: string, settings: ChildSettings = {}): Training {
  return launch(runtime, "child", [directory, JSON.stringify(settings)]);
}

/** Starts a script of this folder. */
export function launch(runtime: Runtime, name: string, args: readonly string[]): Training {
  const [program, ...command] = commandOf(runtime, name);
  const child: ChildProcess = spawn(program, [...command, ...args], {
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
