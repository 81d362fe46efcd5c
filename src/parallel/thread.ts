/**
 * A thread, in the same shape in every runtime.
 *
 * Node, Bun and Deno have `node:worker_threads`, which tells when a thread ends (web workers tell
 * nothing of it in Deno, and a terminated one that is busy keeps Deno's process alive for ever). The
 * web's `Worker` is for browsers, and for Deno where the module is not a file.
 */
import { runtime, workerThreads } from "../core/host.ts";
import type { Line } from "./endpoint.ts";

/** What a thread tells. */
export interface ThreadEvents {
  message(data: unknown): void;
  /** It failed, in one line, with what it threw if that is known; it may still run. */
  failed(reason: string, cause?: unknown): void;
  /** It has ended: only from `node:worker_threads`. */
  ended(reason: string): void;
}

/** A thread that was started. */
export interface Thread {
  /** Whether `ended` is told. */
  readonly tells: boolean;
  post: Line["postMessage"];
  kill(): void;
}

/**
 * Deno: a worker whose heap is full ends the whole process, unless it has a limit of its own, which
 * ends the worker. This one is what V8 takes by default where there is much memory.
 */
const OWN_HEAP = { resourceLimits: { maxOldGenerationSizeMb: 4096 } };

/** Starts the module at `url`, by default `workers/train_worker.ts`. Throws what the runtime throws. */
export function startThread(url: URL | undefined, name: string, events: ThreadEvents): Thread {
  const module = url ?? new URL("../../workers/train_worker.ts", import.meta.url);
  const threads = workerThreads();
  // Deno's worker_threads take no https: (a package of JSR).
  if (threads === undefined || (runtime === "deno" && module.protocol !== "file:")) {
    return webThread(url, module, events);
  }
  const worker = new threads.Worker(module, runtime === "deno" ? { name, ...OWN_HEAP } : { name });
  let isHeard = false;
  worker.on("message", (data) => {
    isHeard = true;
    events.message(data);
  });
  worker.on("messageerror", (error) => events.failed(oneLine(error), error));
  worker.on("error", (error) => {
    const reason = oneLine(error);
    const { code = "" } = error as { code?: string };
    // A full heap has a code of its own; else what fails before it says anything is the module.
    const isModule = !isHeard && !code.startsWith("ERR_WORKER");
    events.failed(isModule ? `${reason} (workerUrl names its module: ${module})` : reason, error);
  });
  worker.on("exit", (code) => events.ended(`it exited with code ${code}`));
  return {
    tells: true,
    post: (message, transfer = []) =>
      worker.postMessage(message, transfer as Parameters<typeof worker.postMessage>[1]),
    kill: () => void worker.terminate(),
  };
}

function webThread(url: URL | undefined, module: URL, events: ThreadEvents): Thread {
  // Bundlers look for the second form, word for word.
  const worker = url !== undefined
    ? new Worker(url, { type: "module" })
    : new Worker(new URL("../../workers/train_worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => events.message(data);
  worker.onmessageerror = () => events.failed("it sent a message that cannot be read");
  worker.onerror = (event) => {
    event.preventDefault();
    // Errors of loading have no message.
    const { message = `its module cannot be loaded: ${module} (workerUrl names it)` } = event;
    events.failed(oneLine(message), event.error ?? undefined);
  };
  return {
    tells: false,
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    kill: () => worker.terminate(),
  };
}

/** The first line of an error's message, without colours. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // deno-lint-ignore no-control-regex
  const plain = text.replaceAll(/\x1b\[[\d;]*m/g, "");
  return plain.split("\n").map((line) => line.trim()).find((line) => line !== "") ??
    "no reason given";
}
