import { strict as assert } from "node:assert";
import { test } from "node:test";
import "../model/models.ts";
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

test("setPath takes text where an option is text, whatever it looks like", () => {
  const rows: [string, Record<string, unknown>][] = [
    ["name=2024", { name: "2024" }],
    ["name=null", { name: "null" }],
    ["name=true", { name: "true" }],
    ["name=1e3", { name: "1e3" }],
    ["name=[1]", { name: "[1]" }],
    ['name="2024"', { name: "2024" }],
    ["checkpoint.directory=7", { checkpoint: { directory: "7" } }],
    ["fineTune.path=1", { fineTune: { path: "1" } }],
    ["fine_tune.path=1", { fine_tune: { path: "1" } }],
    ["scheduler.monitor=0", { scheduler: { monitor: "0" } }],
    // What may also be something else is JSON.
    ["workers=4", { workers: 4 }],
    ["train.fastDevRun=true", { train: { fastDevRun: true } }],
    ["checkpoint=false", { checkpoint: false }],
    ["seed=7", { seed: 7 }],
    ["unknown=7", { unknown: 7 }],
  ];
  for (const [override, expected] of rows) {
    const config = {};
    setPath(config, override);
    assert.deepEqual(config, expected, override);
  }
  // The params of the library's own models and data sets are known by their type.
  const params: [string, string, string, unknown][] = [
    ["data", "ForecastingCsv", "path", "2024"],
    ["data", "forecasting_csv", "path", "2024"],
    ["data", "ForecastingCsv", "inputLength", 2024],
    ["data", "ForecastingCsv", "timeColumn", 2024],
    ["data", "MyOwn", "path", 2024],
    ["model", "Layers", "path", "2024"],
    ["optimizer", "Adam", "lr", 2024],
  ];
  for (const [section, type, key, value] of params) {
    const config = { [section]: { type } };
    setPath(config, `${section}.params.${key}=2024`);
    assert.deepEqual(config, { [section]: { type, params: { [key]: value } } }, `${type}.${key}`);
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
