/**
 * Compiles src/kernels/wasm/as into the generated module src/kernels/wasm/module.generated.ts.
 *
 *     deno run -A tools/build_wasm.ts            writes it
 *     deno run -A tools/build_wasm.ts --check    fails if the committed one differs
 *
 * Two builds: `plain` holds every kernel and uses 128-bit SIMD; `fused` holds the matrix products
 * again, with relaxed SIMD. Both live in the memory of tfjs' own module, so a build with static data,
 * a start function, a table or a memory of its own would overwrite what is not ours: it is refused.
 */
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import asc from "assemblyscript/asc";
import { holdConstants } from "./hold_constants.ts";
import { root } from "./project.ts";

/** A function that a module exports: its name and how many parameters and results it has. */
export interface Export {
  readonly name: string;
  readonly parameters: number;
  readonly results: number;
}

const folder = join(root, "src", "kernels", "wasm", "as");
const generated = join(root, "src", "kernels", "wasm", "module.generated.ts");

/** Sections of a WebAssembly module that our kernels must not have. */
const REFUSED: Record<number, string> = {
  4: "a table",
  5: "a memory of its own",
  8: "a start function",
  9: "table elements",
  11: "static data",
  12: "static data",
};

async function compile(entry: string, features: readonly string[]): Promise<Uint8Array> {
  let text = "";
  const { error, stderr } = await asc.main([
    entry,
    ...["--textFile", "out.wat", "--optimizeLevel", "3", "--noAssert", "--runtime", "stub"],
    ...["--importMemory", "--noExportMemory", "--initialMemory", "1"],
    ...features.flatMap((feature) => ["--enable", feature]),
  ], {
    readFile: (name: string, base: string) => {
      try {
        return readFileSync(join(base, name), "utf8");
      } catch {
        return null;
      }
    },
    writeFile: (_name: string, contents: Uint8Array | string) => {
      text = contents as string;
    },
    listFiles: (name: string, base: string) => readdirSync(join(base, name)),
  });
  if (error !== null) throw new Error(`${entry}: ${stderr.toString()}`);
  const warnings = stderr.toString().trim();
  if (warnings !== "") console.error(warnings);
  return holdConstants(text);
}

/**
 * The functions that a module exports.
 *
 * @throws {Error} If the module has a refused section, or imports anything but `env.memory`.
 */
export function inspect(bytes: Uint8Array): Export[] {
  for (const { id } of sections(bytes)) {
    if (id in REFUSED) throw new Error(`a kernel module must not have ${REFUSED[id]}`);
  }
  const module = new WebAssembly.Module(bytes as BufferSource);
  const imports = WebAssembly.Module.imports(module).map((x) => `${x.module}.${x.name}`);
  if (imports.join() !== "env.memory") {
    throw new Error(`a kernel module imports env.memory alone, received ${imports}`);
  }
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const results = resultCounts(bytes);
  return WebAssembly.Module.exports(module).map(({ name, kind }, i) => {
    if (kind !== "function") throw new Error(`a kernel module exports functions, received ${name}`);
    const { length } = exports[name] as (...args: number[]) => number;
    return { name, parameters: length, results: results[i] };
  });
}

function* sections(bytes: Uint8Array): Generator<{ id: number; start: number }> {
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at];
    const [size, start] = leb(bytes, at + 1);
    yield { id, start };
    at = start + size;
  }
}

/** An unsigned LEB128 number, and the position after it. */
function leb(bytes: Uint8Array, at: number): [number, number] {
  let value = 0;
  for (let shift = 0;; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 127) << shift;
    if (byte < 128) return [value, at];
  }
}

/** How many results each exported function has, in the order of the exports. */
function resultCounts(bytes: Uint8Array): number[] {
  const start = new Map([...sections(bytes)].map((section) => [section.id, section.start]));
  let at = 0;
  const next = (): number => {
    const [value, after] = leb(bytes, at);
    at = after;
    return value;
  };
  const skip = (bytes: number): void => void (at += bytes);
  const list = <T>(section: number, read: () => T): T[] => {
    at = start.get(section)!;
    return Array.from({ length: next() }, read);
  };
  const types = list(1, () => {
    at++; // "function"
    skip(next());
    const count = next();
    skip(count);
    return count;
  });
  const functions = list(3, () => types[next()]);
  return list(7, () => {
    skip(next() + 1); // name and kind
    return functions[next()];
  });
}

/** Parameter names by function, read from the sources. */
function parameterNames(): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".ts"))) {
    const source = readFileSync(join(folder, file), "utf8");
    for (const [, name, list] of source.matchAll(/^export function (\w+)\(([^)]*)\)/gm)) {
      names.set(name, [...list.matchAll(/(\w+)\s*:/g)].map(([, parameter]) => parameter));
    }
  }
  return names;
}

/** The text of the generated module. */
export async function buildWasm(): Promise<string> {
  const relative = "src/kernels/wasm/as";
  const plain = await compile(`${relative}/index.ts`, ["simd"]);
  const fused = await compile(`${relative}/products.ts`, ["simd", "relaxed-simd"]);
  const exports = inspect(plain);
  for (const { name } of inspect(fused)) {
    if (!exports.some((other) => other.name === name)) throw new Error(`${name} is not in plain`);
  }
  const names = parameterNames();
  const members = exports.toSorted((a, b) => a.name < b.name ? -1 : 1).map((item) => {
    const list = names.get(item.name);
    if (list?.length !== item.parameters) {
      throw new Error(`${item.name}: cannot name its parameters`);
    }
    const result = item.results === 0 ? "void" : "number";
    return `  ${item.name}(${list.map((name) => `${name}: number`).join(", ")}): ${result};\n`;
  });
  return `// Generated by tools/build_wasm.ts from src/kernels/wasm/as.

/** What the kernel module exports: addresses, sizes and scalars are numbers. */
export interface KernelExports {
${members.join("")}}

/** The plain module, base64. */
export const plain: string = \`${base64(plain)}\`;

/** The matrix products with fused multiply-add, base64. */
export const fused: string = \`${base64(fused)}\`;
`;
}

function base64(bytes: Uint8Array): string {
  return `\n${Buffer.from(bytes).toString("base64").replace(/.{1,120}/g, "$&\n")}`;
}

if (import.meta.main) {
  process.chdir(root);
  const text = await buildWasm();
  if (!process.argv.includes("--check")) writeFileSync(generated, text);
  else if (readFileSync(generated, "utf8") !== text) {
    console.error("src/kernels/wasm/module.generated.ts is not what its sources compile to:");
    console.error("run deno run -A tools/build_wasm.ts");
    process.exitCode = 1;
  }
}
