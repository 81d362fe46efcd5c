/**
 * Writes config.schema.json, the JSON schema of a run config with everything that the library
 * registers; with `--check` it compares the file with what would be written.
 *
 *     deno run -A tools/build_schema.ts [--check]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configSchema } from "../src/config/json_schema.ts";
import "../src/model/models.ts";
import { root } from "./project.ts";

const FILE = "config.schema.json";

/** One line a property of the config and a definition, so that a change is a line. */
function text(): string {
  const { properties, definitions, ...rest } = configSchema();
  const lines = (part: unknown): string =>
    Object.entries(part as object)
      .map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`)
      .join(",\n");
  const head = JSON.stringify(rest).slice(0, -1);
  return `${head},\n"properties": {\n${lines(properties)}\n},\n"definitions": {\n${
    lines(definitions)
  }\n}}\n`;
}

const path = join(root, FILE);
if (!Deno.args.includes("--check")) {
  writeFileSync(path, text());
  console.log(`${FILE} written`);
} else if (readFileSync(path, "utf8") === text()) {
  console.log(`${FILE} is what the schemas give`);
} else {
  console.error(`${FILE} is out of date: run deno run -A tools/build_schema.ts`);
  Deno.exit(1);
}
