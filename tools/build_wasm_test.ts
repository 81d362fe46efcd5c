import { strict as assert } from "node:assert";
import { test } from "node:test";
import { inspect } from "./build_wasm.ts";

const MAGIC = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const TYPE = [1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f]; // (i32) -> i32
const IMPORT = [2, 15, 1, 3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 0, 1];
const FUNCTION = [3, 2, 1, 0];
const EXPORT = [7, 5, 1, 1, 0x66, 0, 0];
const CODE = [10, 6, 1, 4, 0, 0x20, 0, 0x0b];

function module(...sections: number[][]): Uint8Array {
  return Uint8Array.from([...MAGIC, ...sections.flat()]);
}

test("inspect() names the functions of a module with their parameters and results", () => {
  const bytes = module(TYPE, IMPORT, FUNCTION, EXPORT, CODE);
  assert.deepEqual(inspect(bytes), [{ name: "f", parameters: 1, results: 1 }]);
});

test("inspect() refuses what would touch memory that is not the module's", () => {
  const rows: [Uint8Array, RegExp][] = [
    [module(TYPE, IMPORT, FUNCTION, [4, 4, 1, 0x70, 0, 1], EXPORT, CODE), /a table/],
    [module(TYPE, FUNCTION, [5, 3, 1, 0, 1], EXPORT, CODE), /a memory of its own/],
    [module(TYPE, IMPORT, FUNCTION, EXPORT, [8, 1, 0], CODE), /a start function/],
    [
      module(TYPE, IMPORT, FUNCTION, EXPORT, CODE, [11, 7, 1, 0, 0x41, 0, 0x0b, 1, 9]),
      /static data/,
    ],
    [module(TYPE, FUNCTION, EXPORT, CODE), /imports env.memory alone/],
  ];
  for (const [bytes, message] of rows) assert.throws(() => inspect(bytes), message);
});
