/** What is registered under a name must be able to make something. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  registerCallback,
  registerDataset,
  registerLoss,
  registerMetric,
  registerModel,
  registerOptimizer,
  registerScheduler,
} from "../../mod.ts";

const rows: [register: (name: string, made: never) => void, kind: string][] = [
  [registerCallback, "callback"],
  [registerDataset, "data set"],
  [registerLoss, "loss"],
  [registerMetric, "metric"],
  [registerModel, "model"],
  [registerOptimizer, "optimizer"],
  [registerScheduler, "scheduler"],
];

for (const [register, kind] of rows) {
  test(`${register.name} refuses what is no class or function`, () => {
    for (const made of [undefined, null, 3, "mse", {}, { name: "Thing" }, []]) {
      assert.throws(() => register("Thing", made as never), (error) => {
        const { name, message } = error as Error;
        assert.equal(name, "ConfigError", String(error));
        const start = `cannot register the ${kind} Thing: must be a `;
        assert.ok(message.startsWith(start), message);
        assert.match(message, /: must be a (rule, (wrapper, )?)?class or function, received /);
        return !message.includes("\n");
      });
    }
  });
}
