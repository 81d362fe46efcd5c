import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setPath } from "./overrides.ts";

test("setPath reads JSON, and text where it is none, and makes missing sections", () => {
  const rows: [string, unknown][] = [
    ["train.iterations=7", { a: [1, 2], train: { iterations: 7, batchSize: 4 } }],
    ["train.note=7 days", { a: [1, 2], train: { iterations: 3, batchSize: 4, note: "7 days" } }],
    ["name=x=y", { a: [1, 2], train: { iterations: 3, batchSize: 4 }, name: "x=y" }],
    ["name=", { a: [1, 2], train: { iterations: 3, batchSize: 4 }, name: "" }],
    ['name="7"', { a: [1, 2], train: { iterations: 3, batchSize: 4 }, name: "7" }],
    ["train=null", { a: [1, 2], train: null }],
    ["validation=false", {
      a: [1, 2],
      train: { iterations: 3, batchSize: 4 },
      validation: false,
    }],
    ["b.c.d=[1,{}]", {
      a: [1, 2],
      train: { iterations: 3, batchSize: 4 },
      b: { c: { d: [1, {}] } },
    }],
    ["a.1=5", { a: [1, 5], train: { iterations: 3, batchSize: 4 } }],
    ["a=NaN", { a: "NaN", train: { iterations: 3, batchSize: 4 } }],
  ];
  for (const [override, expected] of rows) {
    const config = { a: [1, 2], train: { iterations: 3, batchSize: 4 } };
    setPath(config, override);
    assert.deepEqual(config, expected, override);
  }
});

test("setPath refuses other forms and keys that reach prototypes, in one line", () => {
  const rows: [string, string][] = [
    ["train.iterations", '--set: must be path=value, received "train.iterations"'],
    ["=5", '--set: must be path=value, received "=5"'],
    ["a..b=5", '--set: must have a path of plain keys, received "a..b"'],
    [".a=5", '--set: must have a path of plain keys, received ".a"'],
    ["__proto__.x=1", '--set: must have a path of plain keys, received "__proto__.x"'],
    ["a.constructor.x=1", '--set: must have a path of plain keys, received "a.constructor.x"'],
    [
      "constructor.prototype.x=1",
      "--set: must have a path of plain keys, received " +
      '"constructor.prototype.x"',
    ],
    ['a={"__proto__":{"x":1}}', "--set: must not have the key __proto__"],
    ['a={"b":[{"__proto__":{"x":1}}]}', "--set: must not have the key __proto__"],
    ["name.first=x", 'name: must be an object to set name.first in it, received "run"'],
    ["none.x=1", "none: must be an object to set none.x in it, received null"],
  ];
  for (const [override, message] of rows) {
    const config: Record<string, unknown> = { name: "run", none: null };
    assert.throws(() => setPath(config, override), { name: "ConfigError", message }, override);
    assert.deepEqual(config, { name: "run", none: null });
  }
  assert.equal((Object.prototype as { x?: unknown }).x, undefined);
});

test("setPath never finds a section in the prototype", () => {
  const config: Record<string, unknown> = {};
  setPath(config, "toString.x=1");
  assert.deepEqual(Object.keys(config), ["toString"]);
  assert.equal((Object.prototype.toString as { x?: unknown }).x, undefined);
});
