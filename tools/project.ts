/** Where the project is, which TypeScript files it has, and where the runtimes' binaries are. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository root: the nearest parent folder of this file that holds deno.json. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)));

/** Every TypeScript file under `folder`, relative to it with forward slashes, sorted; what deno.json excludes is left out. */
export function typescriptFiles(folder: string = root): string[] {
  const config = join(folder, "deno.json");
  const excluded: string[] = existsSync(config)
    ? JSON.parse(readFileSync(config, "utf8")).exclude ?? []
    : [];
  const skip = new Set(excluded.map((path) => path.replace(/\/$/, "")));
  const files: string[] = [];
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      const name = relative(folder, child).replaceAll("\\", "/");
      if (entry.name.startsWith(".") || skip.has(name)) continue;
      if (entry.isDirectory()) walk(child);
      else if (entry.name.endsWith(".ts") && !entry.name.endsWith(".d.ts")) files.push(name);
    }
  };
  walk(folder);
  return files.sort();
}

/** The binary `name` that `npm install` put into node_modules. */
export function binary(name: "bun" | "deno" | "tsc"): string {
  const linked = join(root, "node_modules", ".bin", name);
  if (name !== "bun" || spawnSync(linked, ["--version"]).status === 0) return linked;
  // Without install scripts npm's `bun` is a placeholder; the platform package has the real one.
  const scope = join(root, "node_modules", "@oven");
  const packages = existsSync(scope) ? readdirSync(scope) : [];
  const found = packages.map((p) => join(scope, p, "bin", "bun")).find((path) => existsSync(path));
  if (found === undefined) throw new Error("bun: no binary in node_modules; run npm install");
  return found;
}

function findRoot(folder: string): string {
  if (existsSync(join(folder, "deno.json"))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error("no deno.json in any parent folder of tools/project.ts");
  return findRoot(parent);
}
