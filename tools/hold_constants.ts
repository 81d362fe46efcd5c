/**
 * Vector constants of a WebAssembly module in globals.
 *
 * Recent V8 and JavaScriptCore make a `v128.const` anew at each use, three or four instructions each,
 * in loops too: a third of the time of a loop over exp. A global that could change, though none ever
 * does, they load in one. Zero, which takes one instruction too, stays.
 */
import binaryen from "assemblyscript/binaryen";

/** The module of a text in Binaryen's flat form, one instruction a line, with constants in globals. */
export function holdConstants(text: string): Uint8Array {
  const names = new Map<string, string>();
  const body = text.replace(
    /^( +)(v128\.const (?!i32x4(?: 0x0+)+$).*)$/gm,
    (_, indent: string, constant: string) => {
      if (!names.has(constant)) names.set(constant, `$constant${names.size}`);
      return `${indent}global.get ${names.get(constant)}`;
    },
  );
  const globals = [...names].map(([constant, name]) =>
    ` (global ${name} (mut v128) (${constant}))\n`
  );
  const module = binaryen.parseText(
    body.replace(/^ \((?=global|export)/m, `${globals.join("")}$&`),
  );
  try {
    module.setFeatures(binaryen.Features.All);
    if (!module.validate()) throw new Error("constants cannot be held: the module is not valid");
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}
