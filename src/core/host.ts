/**
 * The few services of the host that the library uses, absent in a browser.
 *
 * Node's built-in modules are reached through `process.getBuiltinModule`, which Node, Deno and Bun
 * all have: no import of `node:` modules stands in the way of a browser bundle.
 */
import type * as FileSystem from "node:fs";
import type * as Path from "node:path";
import type * as Url from "node:url";
import type * as Util from "node:util";

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
  getBuiltinModule?(id: string): unknown;
}

const scope = globalThis as unknown as {
  process?: HostProcess;
  Deno?: { version: { deno: string } };
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

/** `node:util`. */
export function utilModule(): typeof Util {
  return builtin("node:util") as typeof Util;
}

/** `path` from `folder`, absolute; as it is where there is no file system. */
export function resolvePath(folder: string, path: string): string {
  return hasFileSystem ? pathModule().resolve(folder, path) : path;
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
