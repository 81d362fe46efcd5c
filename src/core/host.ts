/**
 * The few services of the host that the library uses, absent in a browser.
 *
 * Node's built-in modules are reached through `process.getBuiltinModule`, which Node, Deno and Bun
 * all have: no import of `node:` modules stands in the way of a browser bundle.
 */
import type * as FileSystem from "node:fs";
import type * as Os from "node:os";
import type * as Path from "node:path";
import type * as Timers from "node:timers";
import type * as Url from "node:url";
import type * as Util from "node:util";
import type * as WorkerThreads from "node:worker_threads";

interface HostProcess {
  readonly argv: string[];
  readonly env: Record<string, string | undefined>;
  readonly pid: number;
  readonly stdout: {
    write(text: string): boolean;
    readonly isTTY?: boolean;
    readonly columns?: number;
    on(event: "error", listener: (error: { code?: string }) => void): unknown;
  };
  readonly stderr: {
    write(text: string): boolean;
    readonly isTTY?: boolean;
    on(event: "error", listener: (error: { code?: string }) => void): unknown;
  };
  exitCode?: number;
  exit(code?: number): never;
  cwd(): string;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  off(event: string, listener: (...args: unknown[]) => void): unknown;
  listeners(event: string): ((...args: unknown[]) => void)[];
  memoryUsage(): { rss: number };
  kill(pid: number, signal: 0): unknown;
  getBuiltinModule?(id: string): unknown;
}

interface DenoFile {
  tryLockSync?(exclusive: boolean): boolean;
  close(): void;
}

const scope = globalThis as unknown as {
  process?: HostProcess;
  Deno?: {
    version: { deno: string };
    permissions: { querySync(permission: { name: string }): { state: string } };
    openSync(path: string, options: { read: boolean; write: boolean }): DenoFile;
  };
  Bun?: { version: string };
};

/** `node`, `deno`, `bun` or `browser`. */
export const runtime: "node" | "deno" | "bun" | "browser" = scope.Deno !== undefined
  ? "deno"
  : scope.Bun !== undefined
  ? "bun"
  : typeof scope.process?.getBuiltinModule === "function"
  ? "node"
  : "browser";

/** The process, undefined in a browser. */
export const hostProcess: HostProcess | undefined = runtime === "browser"
  ? undefined
  : scope.process;

/** How many threads the machine runs at once, as the runtime tells. */
export function cores(): number {
  // Node 20 has no navigator.
  const { hardwareConcurrency } = globalThis.navigator ?? {};
  return hardwareConcurrency ?? (builtin("node:os") as typeof Os).availableParallelism();
}

/** `node:fs`, or an error that says it is not there. */
export function fileSystem(): typeof FileSystem {
  return builtin("node:fs") as typeof FileSystem;
}

/** `node:path`. */
export function pathModule(): typeof Path {
  return builtin("node:path") as typeof Path;
}

/** `node:url`. */
export function urlModule(): typeof Url {
  return builtin("node:url") as typeof Url;
}

/** The name of this machine, or nothing where it is not told. */
export function hostName(): string {
  try {
    return (builtin("node:os") as { hostname(): string }).hostname();
  } catch {
    return "";
  }
}

/** Whether a process of this machine lives; true also where that may not be asked. */
export function processExists(pid: number): boolean {
  // Deno would ask the user.
  if (scope.Deno && scope.Deno.permissions.querySync({ name: "run" }).state !== "granted") {
    return true;
  }
  try {
    hostProcess!.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code !== "ESRCH";
  }
}

/** Calls `work` every `ms` until the returned function is called; keeps no process alive. */
export function inBackground(ms: number, work: () => void): () => void {
  const { setInterval, clearInterval } = builtin("node:timers") as typeof Timers;
  const timer = setInterval(work, ms);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * Deno only: an exclusive lock of the operating system on a file, which ends with the process at the
 * latest. A function that gives it back, false if another process has it, undefined elsewhere.
 */
export function lockFile(path: string): (() => void) | false | undefined {
  const file = scope.Deno?.openSync(path, { read: true, write: true });
  const locked = file?.tryLockSync?.(true);
  if (file !== undefined && locked === true) return () => file.close();
  file?.close();
  return locked === false ? false : undefined;
}

/** A SHA-256 that takes its bytes in parts, or undefined where the host has none. */
export function partHasher(): PartHasher | undefined {
  const crypto = hostProcess?.getBuiltinModule?.("node:crypto");
  return (crypto as { createHash(name: string): PartHasher } | undefined)?.createHash("sha256");
}

/** As much of `node:crypto`'s Hash as is used. */
export interface PartHasher {
  update(bytes: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

/** `node:util`. */
export function utilModule(): typeof Util {
  return builtin("node:util") as typeof Util;
}

/** `node:worker_threads`, undefined in a browser. */
export function workerThreads(): typeof WorkerThreads | undefined {
  return runtime === "browser" ? undefined : builtin("node:worker_threads") as typeof WorkerThreads;
}

/** `path` from `folder`, absolute; as it is where there is no file system. */
export function resolvePath(folder: string, path: string): string {
  return hasFileSystem ? pathModule().resolve(folder, path) : path;
}

/** What relative addresses are relative to: the page or, in a worker, its script; elsewhere the working directory. */
export function baseUrl(): string {
  if (hasFileSystem) return `${urlModule().pathToFileURL(".").href}/`;
  return globalThis.document?.baseURI ?? location.href;
}

/** Whether the host has a file system. */
export const hasFileSystem: boolean = runtime !== "browser";

function builtin(id: string): unknown {
  const module = hostProcess?.getBuiltinModule?.(id);
  if (module === undefined) {
    throw new Error(`${id} is not available in this runtime; pass the data in memory instead`);
  }
  return module;
}
