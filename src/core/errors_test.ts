import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ConfigError, dueTo, NonFiniteError, show } from "./errors.ts";

class Held {
  readonly values = new Float64Array(1000);
}

const rows: [value: unknown, text: string][] = [
  [NaN, "NaN"],
  [-0, "0"],
  ["a\nb", '"a\\nb"'],
  [5n, "5n"],
  [undefined, "undefined"],
  [{ a: [1, Infinity] }, '{"a":[1,"Infinity"]}'],
  [new Float64Array(1000), "a Float64Array of length 1000"],
  [new Int32Array(2), "an Int32Array of length 2"],
  [new DataView(new ArrayBuffer(8)), "a DataView"],
  [{ values: new Float32Array(320) }, '{"values":"a Float32Array of length 320"}'],
  [new Held(), "a Held"],
  [[new Held()], '["a Held"]'],
  [new Map(), "a Map"],
  [Promise.resolve(1), "a Promise"],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [Object.create(null), "{}"],
  [JSON.parse('{"constructor":{"name":"Held"}}'), '{"constructor":{"name":"Held"}}'],
  [class Made {}, "function Made"],
  ["x".repeat(200), `"${"x".repeat(76)}...`],
];

test("show() quotes a value on one line, and says the class of what has one", () => {
  for (const [value, text] of rows) assert.equal(show(value), text);
});

test("an error keeps what it comes of, and has no cause if there is none", () => {
  const cause = new RangeError("deep");
  assert.equal(new ConfigError("a.b", "must be 1", dueTo(cause)).cause, cause);
  assert.equal(new NonFiniteError(3, "what", dueTo(cause)).cause, cause);
  assert.ok(!Object.hasOwn(new ConfigError("a.b", "must be 1", dueTo(undefined)), "cause"));
});
