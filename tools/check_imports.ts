/**
 * Checks that imports point one way and that outside things are named only in their places.
 *
 *     deno run -A tools/check_imports.ts
 *
 * A folder may import itself and what stands on a lower rung. Type imports count. Unit tests and
 * everything outside src/, workers/ and the entry points may import any file, with `.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { findImports, type Import, linesNaming } from "./imports.ts";
import { root, typescriptFiles } from "./project.ts";

/** The rungs, lowest first; places on one rung do not see one another. */
export const ladder: readonly (readonly string[])[] = [
  ["core"],
  ["report"],
  ["tensor"],
  ["schedule", "loss", "data", "fuse", "nn"],
  ["metric", "model", "optim", "kernels"],
  ["task"],
  ["backend"],
  ["checkpoint"],
  ["runner"],
  ["parallel"],
  ["config"],
  ["mod.ts", "cli.ts", "workers"],
];

/** Packages and globals that only some places name; `tests` are free to. */
const reserved: readonly { name: RegExp; places: readonly string[]; tests: boolean }[] = [
  { name: /^@tensorflow\/tfjs-(core|layers)\b/, places: ["tensor"], tests: false },
  { name: /^@tensorflow\/tfjs-backend-/, places: ["backend", "kernels"], tests: true },
  { name: /^comlink\b/, places: ["parallel", "workers"], tests: true },
];

/** The problems of the project in `folder`, one line each: `file:line: what is wrong`. */
export function checkImports(folder: string): string[] {
  const files = typescriptFiles(folder);
  const problems: string[] = [];
  const graph = new Map<string, string[]>();
  for (const file of files) {
    const source = readFileSync(join(folder, file), "utf8");
    const imports = findImports(source);
    const say = (line: number, what: string): void =>
      void problems.push(`${file}:${line}: ${what}`);
    const edges: string[] = [];
    for (const item of imports) {
      // What tests import at run time is found by running them, and may stand in a string.
      if (item.kind === "dynamic" && (place(file) === undefined || isTest(file))) continue;
      if (item.specifier.startsWith(".")) {
        const target = posix.join(posix.dirname(file), item.specifier);
        const problem = checkSpecifier(folder, target, item) ?? checkDirection(file, target);
        if (problem !== undefined) say(item.line, problem);
        edges.push(target);
      } else {
        const problem = checkPackage(file, item);
        if (problem !== undefined) say(item.line, problem);
      }
    }
    if (place(file) !== undefined && !isTest(file)) {
      graph.set(file, edges);
      if (!["backend", "kernels"].includes(place(file)!)) {
        for (const line of linesNaming(source, "navigator.gpu")) {
          say(line, "navigator.gpu is named only in src/backend and src/kernels");
        }
      }
    }
  }
  for (const cycle of findCycles(graph)) problems.push(`cycle: ${cycle.join(" -> ")}`);
  return problems;
}

function checkSpecifier(folder: string, target: string, { specifier }: Import): string | undefined {
  if (!specifier.endsWith(".ts")) return `"${specifier}" does not end in .ts`;
  if (!existsSync(join(folder, target))) return `"${specifier}" does not exist`;
}

function checkDirection(file: string, target: string): string | undefined {
  const [from, to] = [place(file), place(target)];
  if (from === undefined) return undefined;
  if (target === "mod.ts" && file.startsWith("src/")) return "src/ does not import mod.ts";
  if (isTest(file) || from === to) return undefined;
  if (isTest(target)) return `${target} is a test`;
  if (to === undefined) return `${target} is not on the ladder`;
  if (file === "cli.ts" && target === "mod.ts") return undefined;
  if (rank(from) > rank(to)) return undefined;
  return `${from} does not import ${to} (${target}): ` +
    (rank(from) === rank(to) ? "they stand on one rung" : "the arrow points up");
}

function checkPackage(file: string, { specifier, kind }: Import): string | undefined {
  const from = place(file);
  if (from === undefined) return undefined;
  if (specifier.startsWith("node:") && file.startsWith("src/") && !isTest(file)) {
    return kind === "type" ? undefined : `"${specifier}" is reached through src/core/host.ts`;
  }
  for (const { name, places, tests } of reserved) {
    if (name.test(specifier) && !places.includes(from) && !(tests && isTest(file))) {
      return `"${specifier}" is named only in ${places.map(folderName).join(" and ")}`;
    }
  }
}

/** The place of a file on the ladder, or undefined for tests, tools, examples and benchmarks. */
function place(file: string): string | undefined {
  const [first, second, ...rest] = file.split("/");
  if (first === "src") return rest.length === 0 ? `src/${second}` : second;
  return second === undefined || first === "workers"
    ? ladder.at(-1)!.find((name) => name === first)
    : undefined;
}

function rank(name: string): number {
  const found = ladder.findIndex((rung) => rung.includes(name));
  return found === -1 ? Infinity : found;
}

function folderName(name: string): string {
  return name === "workers" ? "workers/" : `src/${name}`;
}

function isTest(file: string): boolean {
  return file.endsWith("_test.ts");
}

/** A cycle for each import that closes one, as a path that returns to its start. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const visit = (file: string): void => {
    state.set(file, "open");
    path.push(file);
    for (const next of graph.get(file) ?? []) {
      if (state.get(next) === "open") cycles.push([...path.slice(path.indexOf(next)), next]);
      else if (state.get(next) === undefined && graph.has(next)) visit(next);
    }
    path.pop();
    state.set(file, "done");
  };
  for (const file of graph.keys()) if (!state.has(file)) visit(file);
  return cycles;
}

if (import.meta.main) {
  const problems = checkImports(root);
  console.log(ladder.map((rung) => rung.length > 1 ? `{${rung.join(", ")}}` : rung[0]).join(" < "));
  for (const problem of problems) console.error(problem);
  console.log(`${problems.length} import problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
