import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readComponent, readPlainComponent } from "./component.ts";

const params = { lr: 1 };

test("readComponent() takes every spelling for the same component", () => {
  const module = "torch.optim.adam";
  const rows: [Record<string, unknown>, string, string][] = [
    [{ type: "Adam", params }, "o.type", "o.params"],
    [{ TYPE: "Adam", PARAM: params }, "o.TYPE", "o.PARAM"],
    [{ type: "Adam", PARAM: params }, "o.type", "o.PARAM"],
    [{ name: "Adam", module, params }, "o.name", "o.params"],
    [{ type: { name: "Adam", module }, params }, "o.type.name", "o.params"],
    [{ TYPE: { name: "Adam", module }, PARAM: params }, "o.TYPE.name", "o.PARAM"],
  ];
  for (const [config, typePath, paramsPath] of rows) {
    assert.deepEqual(readComponent(Object.freeze({ ...config, groups: [] }), "o"), {
      type: "Adam",
      typePath,
      params,
      paramsPath,
      rest: { groups: [] },
    });
  }
});

test("readComponent() leaves a name that belongs to no module alone", () => {
  const { type, rest } = readComponent({ type: "Adam", name: "mine" }, "o");
  assert.deepEqual([type, rest], ["Adam", { name: "mine" }]);
});

test("readComponent() and readPlainComponent() refuse the rest in one line", () => {
  const both = "give one of them, received both";
  const rows: [unknown, string][] = [
    [3, "o: must be an object { type, params }, received 3"],
    [[], "o: must be an object { type, params }, received []"],
    [{}, "o.type: is required: a registered name"],
    [{ name: "Adam" }, `o.name: unknown option "name"; known: type, params`],
    [{ type: "Adam", TYPE: "Adam" }, `o.TYPE: is the same option as "type"; ${both}`],
    [{ type: "Adam", params, PARAM: params }, `o.PARAM: is the same option as "params"; ${both}`],
    [{ type: "Adam", params: 3 }, "o.params: must be an object, received 3"],
    [{ tpye: "Adam" }, `o.tpye: unknown option "tpye"; did you mean 'type'? known: type, params`],
  ];
  for (const [config, message] of rows) {
    assert.throws(() => readPlainComponent(config, "o"), { name: "ConfigError", message });
  }
  assert.throws(() => readPlainComponent(3, "o", "a name or a loss"), {
    message: "o: must be a name or a loss, received 3",
  });
  assert.equal(readPlainComponent("mse", "o", "a name").type, "mse");
});
