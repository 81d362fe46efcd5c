/**
 * A thread, in the same shape in every runtime.
 *
 * Node, Bun and Deno have `node:worker_threads`, which tells when a thread ends (web workers tell
 * nothing of it in Deno, and a terminated one that is busy keeps Deno's process alive for ever). The
 * web's `Worker` is for browsers, and for Deno where the module is not a file.
 */
import { dueTo, oneLine } from "../core/errors.ts";
import { runtime, workerThreads } from "../core/host.ts";
import type { Line } from "./endpoint.ts";

/** The module of a thread cannot be loaded, or is none of a worker. */
export class ThreadModuleError extends Error {
  override readonly name = "ThreadModuleError";

  constructor(url: URL | undefined, module: URL, reason: string, cause?: unknown) {
    const what = url === undefined
      ? `is not given, and the package's own cannot be loaded as a worker: ${module}: ${reason} ` +
        "(a bundle has downhill/worker as an entry point of its own, and names it)"
      : `${module} cannot be loaded as a worker: ${reason.replace(/[.:]+$/, "")}`;
    super(what, dueTo(cause));
  }
}

/** What a thread tells. */
export interface ThreadEvents {
  message(data: unknown): void;
  /** It failed, in one line, with what it threw if that is known; it may still run. */
  failed(reason: string, cause?: unknown): void;
  /** It has ended, with this code: only from `node:worker_threads`. */
  ended(code: number): void;
}

/** A thread that was started. */
export interface Thread {
  /** Whether `ended` is told. */
  readonly tells: boolean;
  /** Whether it has said anything: its module is one. */
  readonly isHeard: boolean;
  post: Line["postMessage"];
  kill(): void;
}

/**
 * Deno: a worker whose heap is full ends the whole process, unless it has a limit of its own, which
 * ends the worker. This one is what V8 takes by default where there is much memory.
 */
const OWN_HEAP = { resourceLimits: { maxOldGenerationSizeMb: 4096 } };

/**
 * Starts the module at `url`, by default `workers/train_worker.ts`.
 *
 * @throws {ThreadModuleError} If it cannot; what is known only later comes as the cause of a failure.
 */
export function startThread(url: URL | undefined, name: string, events: ThreadEvents): Thread {
  const module = url ?? new URL("../../workers/train_worker.ts", import.meta.url);
  let isHeard = false;
  const heard: ThreadEvents = {
    message(data): void {
      isHeard = true;
      events.message(data);
    },
    failed(reason, cause): void {
      // What fails before it says anything is the module.
      const isModule = !isHeard && !isShortage(cause);
      events.failed(reason, isModule ? new ThreadModuleError(url, module, reason, cause) : cause);
    },
    ended(code): void {
      // Not 1, with which threads are ended.
      if (code === 0 && !isHeard) heard.failed("it ended before it said anything");
      events.ended(code);
    },
  };
  const threads = workerThreads();
  try {
    // Deno's worker_threads take no https: (a package of JSR).
    const thread = threads === undefined || (runtime === "deno" && module.protocol !== "file:")
      ? webThread(url, heard)
      : nodeThread(threads, module, name, heard);
    return {
      ...thread,
      get isHeard() {
        return isHeard;
      },
    };
  } catch (error) {
    if (isShortage(error)) throw error;
    throw new ThreadModuleError(url, module, oneLine(error), error);
  }
}

/** Codes of errors of a machine that has no room for a thread now. */
const SHORTAGES = [
  "ERR_WORKER_INIT_FAILED",
  "ERR_WORKER_OUT_OF_MEMORY",
  "EAGAIN",
  "ENOMEM",
  "EMFILE",
];

function isShortage(error: unknown): boolean {
  return SHORTAGES.includes((error as { code?: string } | null | undefined)?.code ?? "");
}

function nodeThread(
  threads: NonNullable<ReturnType<typeof workerThreads>>,
  module: URL,
  name: string,
  events: ThreadEvents,
): Omit<Thread, "isHeard"> {
  const worker = new threads.Worker(module, runtime === "deno" ? { name, ...OWN_HEAP } : { name });
  worker.on("message", (data) => events.message(data));
  worker.on("messageerror", (error) => events.failed(oneLine(error), error));
  worker.on("error", (error) => events.failed(oneLine(error), error));
  worker.on("exit", (code) => events.ended(code));
  return {
    tells: true,
    post: (message, transfer = []) =>
      worker.postMessage(message, transfer as Parameters<typeof worker.postMessage>[1]),
    kill: () => void worker.terminate(),
  };
}

function webThread(url: URL | undefined, events: ThreadEvents): Omit<Thread, "isHeard"> {
  // Bundlers look for the second form, word for word.
  const worker = url !== undefined
    ? new Worker(url, { type: "module" })
    : new Worker(new URL("../../workers/train_worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => events.message(data);
  worker.onmessageerror = () => events.failed("it sent a message that cannot be read");
  worker.onerror = (event) => {
    event.preventDefault();
    // Errors of loading have no message.
    events.failed(oneLine(event.message ?? "it cannot be fetched"), event.error ?? undefined);
  };
  return {
    tells: false,
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    kill: () => worker.terminate(),
  };
}
