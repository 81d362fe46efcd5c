import { strict as assert } from "node:assert";
import { test } from "node:test";
import { holdConstants } from "./hold_constants.ts";

/** x = x * 3 + (1, 2, 3, 4) + 3 for a vector in memory. */
const TEXT = `(module
 (type $0 (func (param i32)))
 (import "env" "memory" (memory $0 1))
 (export "f" (func $f))
 (func $f (param $0 i32)
  local.get $0
  local.get $0
  v128.load
  v128.const i32x4 0x40400000 0x40400000 0x40400000 0x40400000
  f32x4.mul
  v128.const i32x4 0x3f800000 0x40000000 0x40400000 0x40800000
  f32x4.add
  v128.const i32x4 0x40400000 0x40400000 0x40400000 0x40400000
  f32x4.add
  v128.store
 )
)
`;

test("holdConstants() keeps each constant once, outside of functions, and changes no result", () => {
  const bytes = holdConstants(TEXT);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new WebAssembly.Module(bytes as BufferSource);
  const { f } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const floats = new Float32Array(memory.buffer, 0, 4).fill(2);
  (f as (address: number) => void)(0);
  assert.deepEqual([...floats], [10, 11, 12, 13]);
  // v128.const is 0xfd 0x0c, followed by its bytes; code comes after the globals.
  const places = [...bytes.keys()].filter((i) => bytes[i] === 0xfd && bytes[i + 1] === 0x0c);
  assert.equal(places.length, 2);
  const code = bytes.findLastIndex((byte, i) => byte === 0xfd && bytes[i + 1] === 0);
  assert.ok(places.every((place) => place < code));
});
