/** The command line in a process of its own, in the runtime that runs the test. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { runtime } from "../../src/core/host.ts";
import type { Finished } from "./script.ts";
import { root } from "./root.ts";

/** The file that stands for `name.ts` of the repository in this runtime. */
export function sourceFile(name: string): string {
  return runtime === "node" ? join(root, "build", "node", `${name}.js`) : join(root, `${name}.ts`);
}

/** What a module outside the repository imports the library from. */
export const libraryUrl: string = pathToFileURL(sourceFile("mod")).href;

/** A command line that runs. */
export interface Running {
  /** Sends a signal. */
  kill(signal: "SIGTERM" | "SIGINT"): void;
  /** Closes the reading end of standard output, as `| head` does. */
  stopReading(): void;
  /** Resolves when standard output has matched `pattern`. */
  printed(pattern: RegExp): Promise<void>;
  readonly ended: Promise<Finished & { readonly signal: string | null }>;
}

/** Starts `downhill ARGS` in the folder `cwd`: the runtime's own binary, no shell between. */
export function startDownhill(
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Running {
  const cli = runtime === "deno"
    ? ["run", "-A", "--config", join(root, "deno.json"), sourceFile("cli")]
    : [sourceFile("cli")];
  const child = spawn(process.execPath, [...cli, ...args], {
    cwd,
    env: { ...process.env, NO_COLOR: "", DENO_NO_UPDATE_CHECK: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 240_000,
    killSignal: "SIGKILL",
  });
  let stdout = "", stderr = "";
  const waiting = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    waiting.forEach((look) => look());
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const ended = new Promise<Finished & { signal: string | null }>((resolve) =>
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }))
  );
  const printed = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => pattern.test(stdout) && (waiting.delete(look), resolve());
      waiting.add(look);
      look();
      ended.then(() => reject(new Error(`ended before ${pattern}: ${stdout}${stderr}`)));
    });
  // By its number: after `child.kill` Deno reports the signal in place of the exit status.
  const kill = (signal: "SIGTERM" | "SIGINT") => void process.kill(child.pid as number, signal);
  return { kill, stopReading: () => void child.stdout.destroy(), printed, ended };
}

/** Runs `downhill ARGS` to its end. */
export async function downhill(args: readonly string[], cwd: string): Promise<Finished> {
  return await startDownhill(args, cwd).ended;
}

/** Maps with at most two at a time: two cores are what there is. */
export async function inPairs<T, R>(
  items: readonly T[],
  work: (item: T, i: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const i = next++;
      results[i] = await work(items[i], i);
    }
  };
  await Promise.all([worker(), worker()]);
  return results;
}
