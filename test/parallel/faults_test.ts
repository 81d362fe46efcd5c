/** Workers that are lost: the run goes on with others, and ends with the same bits. */
import { strict as assert } from "node:assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { here, launch } from "../durability/processes.ts";
import { type Running, startDownhill } from "../support/command_line.ts";
import type { Fault } from "../support/mortal.ts";
import {
  mortalConfig,
  mortalModule,
  type MortalOptions,
  trainMortal,
} from "../support/mortal_runs.ts";
import { withFolder } from "../support/runs.ts";

test("a run whose workers are lost in every phase ends with the bits of one in process", async () => {
  const faults: Fault[] = [
    { phase: "start", way: "exit" },
    { phase: "update", way: "throw", access: 9 },
    { phase: "evaluation", way: "exit", access: 2 },
  ];
  const queued: Fault[] = [
    { phase: "gradient", way: "throw", after: 1 },
    { phase: "barrier", way: "exit" },
    { phase: "update", way: "hang", access: 3 },
  ];
  // Deno ends no thread that hangs before its process ends.
  const strikes = launch(
    here,
    "worker_faults",
    [faults, queued].map((list) => JSON.stringify(list)),
  );
  const { status, output } = await strikes.ended;
  assert.equal(status, 0, output);
  assert.equal(JSON.parse(output.trim().split("\n").at(-1)!).struck, 6);
});

test("what another team would only repeat ends the run at once", async () => {
  await withFolder(async (folder) => {
    const { error, lines } = await trainMortal(folder, {
      faults: [{ phase: "gradient", way: "refuse", times: 9 }],
    });
    assert.equal(error?.name, "ConfigError");
    assert.equal(error?.message, "model: refuses this batch");
    // A worker of a slow machine may have been taken for lost before.
    const replaced = lines.filter((line) => line.includes("replacing"));
    assert.deepEqual(replaced.filter((line) => !line.includes("no sign of life")), []);
  });
});

test("too many lost workers, and SIGTERM, end the command with exit code 75; resumed, the bits are the same", async () => {
  await withFolder(async (folder) => {
    const plain = await trainMortal(join(folder, "plain"), { workers: 1, iterations: 14 });
    const times = 9;
    const faults: Fault[] = [
      { phase: "update", way: "throw", after: 6, times },
      { phase: "update", way: "slow", after: 4 },
    ];

    // The same error with every team.
    const broken = await start(folder, { faults, maxWorkerRestarts: 1 }).ended;
    assert.equal(broken.status, 75, broken.stdout + broken.stderr);
    const line =
      /^iteration \d+: worker [12]: struck by the test; workers were replaced 1 time, as maxWorkerRestarts says\n$/;
    assert.match(broken.stderr, line);
    for (let n = 0; n < times; n++) writeFileSync(join(folder, "marks", `0-${n}`), "");

    const stopped = start(folder, { faults });
    await stopped.printed(
      /^resuming .* after iteration [3-9], where it ended with: iteration \d+: worker [12]: struck .* says$/m,
    );
    await appears(join(folder, "marks", "1-0"));
    stopped.kill("SIGTERM");
    const { status, stdout, stderr } = await stopped.ended;
    assert.deepEqual([status, stderr], [75, ""], stdout);

    const again = await start(folder, { faults }).ended;
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stdout, /^resuming .* after iteration \d+$/m);
    const summary = JSON.parse(readFileSync(join(folder, "runs/run/summary.json"), "utf8"));
    assert.equal(summary.weightsSha256, plain.summary?.weightsSha256);
    const metrics = readFileSync(join(folder, "runs/run/metrics.jsonl"), "utf8").trim();
    assert.equal(metrics, plain.metrics);
  });
});

function start(folder: string, options: MortalOptions): Running {
  const config = {
    ...mortalConfig(folder, { iterations: 14, ...options }),
    // None at a cadence: the one of the error is another.
    checkpoint: { interval: 1000 },
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return startDownhill(["train", "config.json", "--import", mortalModule], folder);
}

async function appears(file: string): Promise<void> {
  while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 20));
}
