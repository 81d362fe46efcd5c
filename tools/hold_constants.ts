/**
 * Vector constants of a WebAssembly module, made once a call instead of at each use.
 *
 * V8 and JavaScriptCore make a `v128.const` anew at every use, three or four instructions each, in
 * loops too, and see through a local that holds one. A third of the time of a loop over exp goes there.
 * So a constant of an innermost loop becomes a local, set on entry to its bits XOR a global that is
 * always zero, which the engines do not know.
 */
import binaryen from "assemblyscript/binaryen";

/** The module of a text in Binaryen's flat form, one instruction a line, with constants held. */
export function holdConstants(text: string): Uint8Array {
  const functions = text.split(/^(?= \(func )/m);
  const held = functions.map((part) => part.startsWith(" (func ") ? holdIn(part) : part).join("");
  const global = " (global $zero (mut i32) (i32.const 0))\n";
  const module = binaryen.parseText(held.replace(/^ \((?=global|export|func)/m, `${global}$&`));
  try {
    module.setFeatures(binaryen.Features.All);
    if (!module.validate()) throw new Error("constants cannot be held: the module is not valid");
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

/** One function, which may be followed by the module's closing bracket. */
function holdIn(text: string): string {
  const lines = text.split("\n");
  const names = new Map<string, string>();
  for (const [from, to] of innermostLoops(lines)) {
    for (let i = from; i < to; i++) {
      const bits = /^ +v128\.const i32x4 (.*)$/.exec(lines[i])?.[1];
      if (bits === undefined) continue;
      if (!names.has(bits)) names.set(bits, `$held${names.size}`);
      lines[i] = `local.get ${names.get(bits)}`;
    }
  }
  const start = lines.findIndex((line, i) => i > 0 && !line.startsWith("  (local "));
  const locals = [...names.values()].map((name) => `  (local ${name} v128)`);
  const sets = [...names].map(([bits, name]) => `  ${valueOf(bits)} local.set ${name}`);
  return [...lines.slice(0, start), ...locals, ...sets, ...lines.slice(start)].join("\n");
}

/** Four words, none of which an engine knows. */
function valueOf(bits: string): string {
  const words = bits.split(" ");
  return words.every((word) => word === words[0])
    ? `global.get $zero i32.const ${words[0]} i32.xor i32x4.splat`
    : `global.get $zero i32x4.splat v128.const i32x4 ${bits} v128.xor`;
}

/** First and last line of each loop that has no loop inside. */
function innermostLoops(lines: readonly string[]): [number, number][] {
  const loops: [number, number][] = [];
  const open: { readonly at: number; readonly isLoop: boolean }[] = [];
  let last = -1;
  lines.forEach((line, at) => {
    const word = /^ +(\w+)/.exec(line)?.[1];
    if (word === "block" || word === "loop" || word === "if") {
      open.push({ at, isLoop: word === "loop" });
      if (word === "loop") last = at;
    } else if (word === "end") {
      const { at: from, isLoop } = open.pop()!;
      if (isLoop && from === last) loops.push([from, at]);
    }
  });
  return loops;
}
