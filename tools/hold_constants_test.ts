import { strict as assert } from "node:assert";
import { test } from "node:test";
import { holdConstants } from "./hold_constants.ts";

/** y[i] = x[i] * 3 + (1, 2, 3, 4), a vector at a time, and the last one plus 3 once more. */
const TEXT = `(module
 (type $0 (func (param i32 i32)))
 (import "env" "memory" (memory $0 1))
 (export "f" (func $f))
 (func $f (param $0 i32) (param $1 i32)
  (local $2 v128)
  loop $again
   local.get $0
   v128.load
   v128.const i32x4 0x40400000 0x40400000 0x40400000 0x40400000
   f32x4.mul
   v128.const i32x4 0x3f800000 0x40000000 0x40400000 0x40800000
   f32x4.add
   local.set $2
   local.get $0
   local.get $2
   v128.store
   local.get $0
   i32.const 16
   i32.add
   local.tee $0
   local.get $1
   i32.lt_u
   if
    br $again
   end
  end
  local.get $0
  i32.const 16
  i32.sub
  local.get $2
  v128.const i32x4 0x40400000 0x40400000 0x40400000 0x40400000
  f32x4.add
  v128.store
 )
)
`;

test("holdConstants() takes the constants out of a loop and changes no result", () => {
  const bytes = holdConstants(TEXT);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new WebAssembly.Module(bytes as BufferSource);
  const { f } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const floats = new Float32Array(memory.buffer, 0, 8).fill(2);
  (f as (from: number, to: number) => void)(0, 32);
  assert.deepEqual([...floats], [7, 8, 9, 10, 10, 11, 12, 13]);
  // v128.const is 0xfd 0x0c: left are the one with four different words, and the one after the loop.
  const constants = bytes.filter((byte, i) => byte === 0xfd && bytes[i + 1] === 0x0c).length;
  assert.equal(constants, 2);
});

test("holdConstants() leaves a function without loops as it is", () => {
  const text = TEXT.replace(/ +loop[^]*?\n {2}end\n/, "");
  const bytes = holdConstants(text);
  assert.equal(bytes.filter((byte, i) => byte === 0xfd && bytes[i + 1] === 0x0c).length, 1);
});
