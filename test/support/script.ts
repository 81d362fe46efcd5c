/** Runs a script in a process of its own, in the runtime that runs the test. */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "./root.ts";

export interface Finished {
  /** Exit status; null if a signal ended the process. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Bundles TypeScript `source`, whose imports start at the repository root, and runs it.
 *
 * @param env Variables added to the environment; undefined removes one.
 * @param folder Where the bundle lies, which decides the packages that it finds.
 */
export function runScript(
  source: string,
  env: Record<string, string | undefined> = {},
  folder: string = join(root, "build", "scripts"),
): Finished {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${randomUUID()}.mjs`);
  try {
    bundle(source, file, ["--platform=node", "--packages=external"]);
    const args = "Deno" in globalThis ? ["run", "-A", file] : [file];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, ...env },
      timeout: 240_000,
    });
    return { status, stdout, stderr };
  } finally {
    rmSync(file, { force: true });
  }
}

/** Bundles TypeScript `source`, whose imports start at the repository root, into `file` (ESM). */
export function bundle(source: string, file: string, flags: readonly string[]): void {
  const entry = `${file}.entry.ts`;
  writeFileSync(entry, source.replaceAll(/(from|import) "\.\//g, `$1 "${root}/`));
  try {
    const esbuild = join(root, "node_modules", ".bin", "esbuild");
    const args = [entry, "--bundle", "--format=esm", "--log-level=warning", ...flags];
    const { status, stderr } = spawnSync(esbuild, [...args, `--outfile=${file}`], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`esbuild: ${stderr}`);
  } finally {
    rmSync(entry, { force: true });
  }
}
