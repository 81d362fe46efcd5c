import { strict as assert } from "node:assert";
import { test } from "node:test";
import { CheckpointError } from "../core/errors.ts";
import { decodeJson, encodeJson } from "./json.ts";

test("decodeJson(encodeJson(x)) is x, for every number and string", () => {
  const value = {
    numbers: [NaN, Infinity, -Infinity, -0, 0, 5e-324, 0.1, 2 ** 53, -1.7976931348623157e308],
    strings: ["NaN", "\\NaN", "\\\\-0", "-Infinity", "Nan", "\\n", "", "x NaN", "\\"],
    nested: { a: [{ b: null, NaN: true }] },
  };
  assert.deepEqual(decodeJson(encodeJson(value)), value);
  assert.ok(Object.is((decodeJson(encodeJson([-0])) as number[])[0], -0));
});

test("encodeJson() writes what it documents", () => {
  assert.equal(encodeJson({ a: NaN, b: "NaN", c: undefined }), '{"a":"NaN","b":"\\\\NaN"}');
});

test("encodeJson() refuses what is not plain data", () => {
  for (const value of [1n, () => 1, new Float32Array(1), new Map(), Symbol("s")]) {
    assert.throws(() => encodeJson({ key: value }), CheckpointError);
  }
});

test("encodeJson() and decodeJson() refuse the key __proto__", () => {
  const text = '{"a":[{"__proto__":{"polluted":1}}]}';
  assert.throws(() => decodeJson(text), CheckpointError);
  assert.throws(() => encodeJson(JSON.parse(text)), CheckpointError);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.deepEqual(decodeJson('{"constructor":{"prototype":1}}'), {
    constructor: { prototype: 1 },
  });
});
