/** Signals to a training process: it stops soon with a checkpoint, and a resumed run changes nothing. */
import { strict as assert } from "node:assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inPairs, libraryUrl, startDownhill } from "../support/command_line.ts";
import { withFolder } from "../support/runs.ts";
import { writeFiles } from "./files.ts";

/**
 * A callback that says `paused` at a hook of an iteration and waits for a signal (or for ever, or not),
 * and a data set whose validation takes minutes.
 */
const PAUSE = `
import process from "node:process";
import { registerCallback, registerDataset } from "${libraryUrl}";
const [hook, iteration, until] = (process.env.PAUSE ?? "").split(" ");
const pause = async (run) => {
  if (run.state.iteration !== Number(iteration)) return;
  run.output.line("paused");
  if (until === "not") return;
  const alive = setInterval(() => {}, 1000);
  await new Promise((go) => until === "ever" || process.once("SIGTERM", go).once("SIGINT", go));
  clearInterval(alive);
};
const at = (name, run) => name === hook ? pause(run) : undefined;
registerCallback("Pause", () => ({
  name: "Pause",
  iterationEnd: (run) => at("iterationEnd", run),
  evaluationStart: (run) => at("evaluationStart", run),
  trainEnd: (_, run) => at("trainEnd", run),
}));
const field = (rows, row) => ({
  data: new Float32Array(rows * row * 2).fill(0.5),
  shape: [rows, row, 2],
  dtype: "float32",
});
const set = (length) => ({
  length,
  gather: ({ length: rows }) => ({ inputs: field(rows, 12), targets: field(rows, 4) }),
});
registerDataset("Long", () => ({ train: set(100), validation: set(1e8) }));
`;

/** What is waited for takes minutes or for ever; a busy machine may take seconds to end a process. */
const SOON_MS = 30_000;

const TRAIN = ["train", "configs/waves.json", "--import", "pause.js"];

function prepare(folder: string): void {
  writeFiles(folder, { callbacks: ["Pause"] });
  writeFileSync(join(folder, "pause.js"), PAUSE);
}

const file = (folder: string, name: string): string =>
  readFileSync(join(folder, "runs", "waves", name), "utf8");

/** The last record of metrics.jsonl as `phase iteration`, if there is one. */
function lastRecord(folder: string): string | undefined {
  if (!existsSync(join(folder, "runs", "waves", "metrics.jsonl"))) return undefined;
  const line = file(folder, "metrics.jsonl").trim().split("\n").at(-1) ?? "";
  if (line === "") return undefined;
  const { phase, iteration } = JSON.parse(line);
  return `${phase} ${iteration}`;
}

interface Row {
  readonly pause: string;
  readonly signal: "SIGTERM" | "SIGINT";
  readonly latest: string;
  /** The last record of metrics.jsonl when the process has ended. */
  readonly last: string | undefined;
  readonly resumed: RegExp;
}

const rows: Row[] = [
  {
    pause: "iterationEnd 17",
    signal: "SIGTERM",
    latest: "step-00000017.safetensors",
    last: "train 15",
    resumed: /^resuming .*waves after iteration 17$/m,
  },
  {
    pause: "evaluationStart 20",
    signal: "SIGINT",
    latest: "step-00000020.safetensors",
    last: "train 20",
    resumed: /^resuming .*waves after iteration 20$/m,
  },
  {
    pause: "evaluationStart 0",
    signal: "SIGTERM",
    latest: "step-00000000.safetensors",
    last: undefined,
    resumed: /^resuming .*waves after iteration 0$/m,
  },
  {
    pause: "trainEnd 30",
    signal: "SIGTERM",
    latest: "step-00000030.safetensors",
    last: "val 30",
    resumed: /^.*waves has finished \(iterations, iteration 30\); testing only$/m,
  },
];

test("a signal stops training with exit code 75; the resumed run ends with the same bytes", async () => {
  await withFolder(async (plain) => {
    prepare(plain);
    const whole = await startDownhill(TRAIN, plain).ended;
    assert.equal(whole.status, 0, whole.stderr);
    const expected = JSON.parse(file(plain, "summary.json"));
    await inPairs(rows, ({ pause, signal, latest, last, resumed }) =>
      withFolder(async (folder) => {
        prepare(folder);
        const run = startDownhill(TRAIN, folder, { PAUSE: pause });
        await run.printed(/^paused$/m);
        const began = Date.now();
        run.kill(signal);
        const stopped = await run.ended;
        assert.equal(stopped.status, 75, `${pause}: ${stopped.stdout}${stopped.stderr}`);
        assert.equal(stopped.stderr, "", pause);
        assert.match(stopped.stdout, new RegExp(`^${signal}: stopping$`, "m"));
        assert.ok(Date.now() - began < SOON_MS, `${pause}: ${Date.now() - began} ms`);
        assert.equal(JSON.parse(file(folder, "summary.json")).finished, "signal", pause);
        assert.equal(file(folder, "checkpoints/latest"), latest);
        assert.equal(lastRecord(folder), last, pause);

        const again = await startDownhill(TRAIN, folder).ended;
        assert.equal(again.status, 0, again.stderr);
        assert.match(again.stdout, resumed);
        const { seconds: _, samplesPerSecond: __, ...summary } = JSON.parse(
          file(folder, "summary.json"),
        );
        const { seconds: ___, samplesPerSecond: ____, ...wanted } = expected;
        assert.deepEqual(summary, wanted, pause);
        assert.equal(file(folder, "metrics.jsonl"), file(plain, "metrics.jsonl"), pause);
      }));
  });
});

test("a signal breaks a long validation off", async () => {
  await withFolder(async (folder) => {
    prepare(folder);
    const long = ['data={"type":"Long"}', "validation.sanity=0", "validation.interval=1"];
    const run = startDownhill([...TRAIN, ...long.flatMap((value) => ["--set", value])], folder, {
      PAUSE: "evaluationStart 1 not",
    });
    await run.printed(/^paused$/m);
    await new Promise((resolve) => setTimeout(resolve, 200));
    run.kill("SIGTERM");
    const began = Date.now();
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 75, stdout + stderr);
    assert.ok(Date.now() - began < SOON_MS, `${Date.now() - began} ms`);
    assert.equal(file(folder, "checkpoints/latest"), "step-00000001.safetensors");
  });
});

test("a reader that goes away does not stop training", async () => {
  await withFolder(async (folder) => {
    prepare(folder);
    const run = startDownhill(TRAIN, folder, { PAUSE: "iterationEnd 5 until" });
    await run.printed(/^paused$/m);
    run.stopReading();
    run.kill("SIGTERM");
    const stopped = await run.ended;
    assert.deepEqual([stopped.status, stopped.stderr], [75, ""]);
    assert.equal(file(folder, "checkpoints/latest"), "step-00000005.safetensors");
    const again = startDownhill(TRAIN, folder, { PAUSE: "iterationEnd 6 not" });
    await again.printed(/^paused$/m);
    again.stopReading();
    const { status, stderr } = await again.ended;
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(JSON.parse(file(folder, "summary.json")).finished, "iterations");
  });
});

test("a second signal ends the process at once", async () => {
  await withFolder(async (folder) => {
    prepare(folder);
    const run = startDownhill(TRAIN, folder, { PAUSE: "iterationEnd 5 ever" });
    await run.printed(/^paused$/m);
    run.kill("SIGINT");
    await run.printed(/^SIGINT: stopping$/m);
    // A repeat within half a second counts as the same signal.
    run.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 800));
    run.kill("SIGTERM");
    const began = Date.now();
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 75, stdout + stderr);
    assert.ok(Date.now() - began < SOON_MS, `${Date.now() - began} ms`);
    assert.ok(!existsSync(join(folder, "runs", "waves", "checkpoints", "latest")));
  });
});
