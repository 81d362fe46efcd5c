import { strict as assert } from "node:assert";
import { test } from "node:test";
import { IterationRunner } from "../../mod.ts";
import { Lines, smallConfig } from "../support/runs.ts";

test("a run refuses a call beside another one, and goes on unharmed", async () => {
  const plain = await IterationRunner.create(smallConfig(), { output: new Lines() });
  const expected = await plain.train();
  plain.dispose();

  const run = await IterationRunner.create(smallConfig(), { output: new Lines() });
  const training = run.train();
  for (const call of [() => run.train(), () => run.validate(), () => run.test()]) {
    await assert.rejects(call(), /^ConfigError: cannot \w+ during train\(\) of the same run/);
  }
  assert.equal((await training).weightsSha256, expected.weightsSha256);
  await run.validate();
  run.dispose();
});

test("predict scales integers as it scales floats", async () => {
  const run = await IterationRunner.create(smallConfig(), { output: new Lines() });
  const values = Array.from({ length: 24 }, (_, i) => i % 5);
  const [ints, floats] = [Int32Array.from(values), Float32Array.from(values)];
  const a = await run.predict({ inputs: { data: ints, shape: [1, 12, 2], dtype: "int32" } });
  const b = await run.predict({ inputs: { data: floats, shape: [1, 12, 2], dtype: "float32" } });
  assert.deepEqual([...await a.prediction.data()], [...await b.prediction.data()]);
  a.prediction.dispose();
  b.prediction.dispose();
  run.dispose();
});
