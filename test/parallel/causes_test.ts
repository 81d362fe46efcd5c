/** What a worker throws reaches the caller with its stack, as the cause of the error in one line. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { registerModel, type RunConfig } from "../../mod.ts";
import { linear } from "../runner/support.ts";
import { partsConfig, runOf } from "./support.ts";

/** The workers do not import this file. */
registerModel("CoordinatorOnly", linear());

const failing = (type: string, params: Record<string, unknown>) =>
  partsConfig({
    workers: 2,
    maxWorkerRestarts: 0,
    validation: { interval: 2 },
    callbacks: [{ type, params: { iteration: 1, ...params } }],
  });

/** How a run fails, and what that comes of. */
async function failure(config: RunConfig): Promise<[error: Error, cause: Error]> {
  try {
    await runOf(config);
  } catch (error) {
    return [error as Error, (error as Error).cause as Error];
  }
  assert.fail("it did not fail");
}

const ways: [way: string, line: RegExp][] = [
  ["at once", /^iteration 1: worker [12]: it fails at once; workers were replaced 0 times, as /],
  ["in a promise", /worker [12] ended: it fails in a promise; workers were replaced 0 times, as /],
  ["in a timer", /worker [12] ended: it fails in a timer; workers were replaced 0 times, as /],
];

for (const [way, line] of ways) {
  test(`the WorkerError of a worker that fails ${way} has the worker's error as its cause`, async () => {
    const [error, cause] = await failure(failing("FailsLater", { way }));
    assert.equal(error.name, "WorkerError");
    assert.match(error.message, line);
    assert.equal(error.message.split("\n").length, 1);
    assert.equal(cause.name, "RangeError");
    assert.equal(cause.message, `it fails ${way}\nin two lines`);
    assert.match(cause.stack!, /components/);
  });
}

test("a worker that fails while nobody waits for it counts among those that are replaced", async () => {
  const config = failing("FailsLater", { way: "in a while" });
  const idle = {
    name: "Idle",
    iterationEnd: () => new Promise<void>((resolve) => setTimeout(resolve, 600)),
  };
  const [error, cause] = await failure({
    ...config,
    // Workers hear timers between evaluations and iterations.
    validation: { interval: 1 },
    callbacks: [...config.callbacks as never[], idle as never],
  });
  assert.equal(error.name, "WorkerError");
  assert.match(error.message, /ended: it fails in a while; workers were replaced 0 times, as /);
  assert.equal(cause.name, "RangeError");
});

test("an error that another team would only repeat has the worker's error as its cause", async () => {
  const [error, cause] = await failure(failing("FailsAt", {}));
  assert.deepEqual([error.name, error.message], ["DataError", "a fault of iteration 1"]);
  assert.deepEqual([cause.name, cause.message], [error.name, error.message]);
  assert.match(cause.stack!, /components/);
});

test("what keeps a worker from being built has the worker's error as its cause", async () => {
  const config = { ...failing("FailsAt", {}), model: { type: "CoordinatorOnly" } };
  const [error, cause] = await failure(config as never);
  assert.equal(error.name, "ConfigError");
  assert.match(error.message, /^workers: a worker cannot build what this thread has built: model/);
  assert.equal(cause.name, "ConfigError");
  assert.match(cause.stack!, /registry/);
});
