/**
 * Checks that deno.json and package.json describe one package: name, version, entry points,
 * dependencies; and that a bundler keeps the modules that are imported for their side effects.
 *
 *     deno run -A tools/check_exports.ts
 */
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { shippedFiles } from "./build.ts";
import { findImports } from "./imports.ts";
import { root } from "./project.ts";

/** The fields of deno.json that matter here. */
export interface DenoJson {
  name: string;
  version: string;
  license: string;
  exports: Record<string, string>;
  imports: Record<string, string>;
}

/** The fields of package.json that matter here. */
export interface PackageJson {
  name: string;
  version: string;
  license: string;
  exports: Record<string, string | { types: string; default: string }>;
  bin: Record<string, string>;
  sideEffects: string[];
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

/** The disagreements between the two files, one line each. */
export function compareManifests(deno: DenoJson, npm: PackageJson): string[] {
  const problems: string[] = [];
  const equal = (what: string, inDeno: unknown, inNpm: unknown): void => {
    const [a, b] = [JSON.stringify(inDeno), JSON.stringify(inNpm)];
    if (a !== b) problems.push(`${what}: deno.json has ${a}, package.json ${b}`);
  };
  equal("name", deno.name.replace(/^@[^/]+\//, ""), npm.name);
  equal("version", deno.version, npm.version);
  equal("license", deno.license, npm.license);

  // Data, which JSR serves as files and not as entry points.
  const entries: PackageJson["exports"] = {
    "./config.schema.json": "./config.schema.json",
    "./package.json": "./package.json",
  };
  for (const [key, path] of Object.entries(deno.exports)) {
    const stem = path.replace(/^\.\//, "./dist/").replace(/\.ts$/, "");
    entries[key] = { types: `${stem}.d.ts`, default: `${stem}.js` };
  }
  for (const key of union(entries, npm.exports)) {
    equal(`exports["${key}"] in dist/`, entries[key], npm.exports[key]);
  }

  const dependencies: Record<string, string> = {};
  for (const [key, specifier] of Object.entries(deno.imports)) {
    if (specifier.startsWith("./")) { // the name under which the documentation imports the package
      equal(
        `imports["${key}"] and its export`,
        specifier,
        deno.exports[key.replace(npm.name, ".")],
      );
      continue;
    }
    const match = /^npm:(@?[^@]+)@(\d+\.\d+\.\d+[^/]*)(\/.*)?$/.exec(specifier);
    if (match === null) {
      problems.push(`imports["${key}"]: must be npm:name@version, received "${specifier}"`);
    } else {
      const [, name, version, subpath = ""] = match;
      equal(`imports["${key}"] names`, `${name}${subpath}`, key);
      // Declarations are needed to check the sources on JSR, but not by users of the npm package.
      if (name.startsWith("@types/")) equal(`types ${name}`, version, npm.devDependencies[name]);
      else dependencies[name] = version;
    }
  }
  for (const name of union(dependencies, npm.dependencies)) {
    equal(`dependency ${name}`, dependencies[name], npm.dependencies[name]);
  }
  return problems;
}

/** What the shipped sources (path to text) import against what the manifests declare. */
export function checkSources(
  sources: ReadonlyMap<string, string>,
  deno: DenoJson,
  npm: PackageJson,
): string[] {
  const problems: string[] = [];
  for (const [file, source] of sources) {
    for (const { specifier, line, kind } of findImports(source)) {
      const where = `${file}:${line}`;
      if (specifier.startsWith(".")) {
        const target = posix.join("dist", posix.dirname(file), specifier).replace(/\.ts$/, ".js");
        if (kind === "bare" && !matchesAny(target, npm.sideEffects)) {
          problems.push(
            `${where}: "${specifier}" is imported for its side effects, ` +
              `but package.json's sideEffects lacks ./${target}`,
          );
        }
      } else if (!specifier.startsWith("node:") && kind !== "dynamic") {
        // Deno takes an entry for a package as one for the files in it, too.
        const named = Object.keys(deno.imports).some((key) =>
          `${specifier}/`.startsWith(`${key}/`)
        );
        if (!named) {
          problems.push(`${where}: "${specifier}" is not in the imports of deno.json`);
        }
      }
    }
  }
  return problems;
}

function matchesAny(path: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const escaped = pattern.replace(/^\.\//, "").replaceAll(/[.+^${}()|[\]\\]/g, "\\$&");
    return new RegExp(`^${escaped.replaceAll("*", "[^/]*")}$`).test(path);
  });
}

function union(a: object, b: object): Set<string> {
  return new Set([...Object.keys(a), ...Object.keys(b)]);
}

if (import.meta.main) {
  const read = (file: string): string => readFileSync(join(root, file), "utf8");
  const deno = JSON.parse(read("deno.json")) as DenoJson;
  const npm = JSON.parse(read("package.json")) as PackageJson;
  const sources = new Map(shippedFiles().map((file) => [file, read(file)]));
  const problems = [...compareManifests(deno, npm), ...checkSources(sources, deno, npm)];
  for (const problem of problems) console.error(problem);
  console.log(`${problems.length} differences between deno.json, package.json and the sources`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
