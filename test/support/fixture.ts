/** Reads the JSON files of test/fixtures, from the sources and from transpiled copies under build/. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository root: the nearest folder above this file that holds deno.json. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "deno.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no deno.json above ${import.meta.url}`);
    folder = parent;
  }
  return folder;
}

/** The parsed content of `test/fixtures/<name>`. */
export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(repositoryRoot(), "test", "fixtures", name), "utf8")) as T;
}
