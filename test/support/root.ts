/** The root folder of the repository, found from wherever a test runs (Node runs transpiled copies). */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The nearest parent folder of this file that holds deno.json. */
export const root: string = find(dirname(fileURLToPath(import.meta.url)));

function find(folder: string): string {
  return existsSync(join(folder, "deno.json")) ? folder : find(dirname(folder));
}
