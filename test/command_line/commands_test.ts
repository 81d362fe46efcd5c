/** train, test and predict as processes: what they print, write and answer. */
import { strict as assert } from "node:assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner, type RunConfig, tf } from "../../mod.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { main } from "../../src/config/command_line.ts";
import { runtime } from "../../src/core/host.ts";
import { formatNumber } from "../../src/report/format.ts";
import { downhill, libraryUrl, startDownhill } from "../support/command_line.ts";
import { Lines, series, withFolder } from "../support/runs.ts";
import { webgpuEnvironment } from "../support/webgpu.ts";
import { config, wavesCsv, writeFiles } from "./files.ts";

/** A linear map of the last row of the window, for every step: y = last w + b. */
const OWN_MODEL = `
import { registerModel, tf } from "${libraryUrl}";
registerModel("LastLinear", ({ steps }) => {
  const parameters = { weight: tf.variable(tf.eye(2)), bias: tf.variable(tf.zeros([2])) };
  return {
    parameters,
    forward({ inputs }) {
      const [batch, length, channels] = inputs.shape;
      const last = tf.reshape(tf.slice(inputs, [0, length - 1, 0], [batch, 1, channels]), [batch, channels]);
      const next = tf.add(tf.matMul(last, parameters.weight), parameters.bias);
      return tf.tile(tf.expandDims(next, 1), [1, steps, 1]);
    },
  };
});
`;

/** 2 s are promised; a busy machine is given more. */
const SOON_MS = 5000;

const OWN = { model: { type: "LastLinear", params: { steps: 4 } } };

const summaryOf = (folder: string) =>
  JSON.parse(readFileSync(join(folder, "runs", "waves", "summary.json"), "utf8"));

function assertPlain(text: string): void {
  assert.ok(!text.includes("\x1b") && !text.includes("\r"), JSON.stringify(text));
}

test("train, train again, test and predict with a model brought by --import", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder, OWN);
    writeFileSync(join(folder, "own.js"), OWN_MODEL);
    writeFileSync(join(folder, "new.csv"), wavesCsv(30));
    const common = ["configs/waves.json", "--import", "own.js"];

    const run = startDownhill(["train", ...common, "--set", "test.savePredictions=true"], folder);
    await run.printed(/^ended .*\n/m);
    const printedAt = Date.now();
    const trained = await run.ended;
    assert.ok(Date.now() - printedAt < SOON_MS, "ends after its last line");
    assert.deepEqual([trained.status, trained.stderr], [0, ""]);
    assertPlain(trained.stdout);
    const summary = summaryOf(folder);
    assert.equal(summary.finished, "iterations");
    assert.deepEqual(Object.keys(summary.naive), ["last", "seasonal"]);
    const { test: values, naive } = summary;
    for (const name of ["mse", "mae"]) {
      const cells = [values, naive.last, naive.seasonal].map((column) =>
        formatNumber(column[name])
      );
      assert.match(trained.stdout, new RegExp(`^${name} +${cells.join(" +")}$`, "m"));
    }

    const again = await downhill(
      ["train", ...common, "--set", "test.savePredictions=true"],
      folder,
    );
    assert.deepEqual([again.status, again.stderr], [0, ""]);
    assert.match(
      again.stdout,
      /^.*waves has finished \(iterations, iteration 30\); testing only$/m,
    );
    assert.deepEqual({ ...summaryOf(folder), seconds: 0, samplesPerSecond: 0 }, {
      ...summary,
      seconds: 0,
      samplesPerSecond: 0,
    });

    const tested = await downhill(["test", ...common], folder);
    assert.deepEqual([tested.status, tested.stderr], [0, ""]);
    assert.equal(
      tested.stdout,
      `${Object.entries(values).map(([k, v]) => `${k} ${formatNumber(v as number)}`).join("  ")}\n`,
    );

    const answer = ["--input", "new.csv", "--output", "out.csv"];
    const predicted = await downhill(["predict", ...common, ...answer], folder);
    assert.deepEqual([predicted.status, predicted.stderr], [0, ""]);
    assert.equal(predicted.stdout, "out.csv: prediction [1,4,2]\n");

    const runner = await createRunner(folder);
    const inputs = series(30).subarray(18 * 2);
    const { prediction } = await runner.predict(
      { inputs: { data: inputs, shape: [1, 12, 2], dtype: "float32" } } as never,
    );
    const expected = [...await prediction.data()];
    assert.equal(expected.length, 8);
    const [header, ...lines] = readFileSync(join(folder, "out.csv"), "utf8").trim().split("\n");
    assert.equal(header, "date,a,b");
    assert.deepEqual(
      lines.map((line) => line.split(",")[0]),
      [6, 7, 8, 9].map((hour) => `2020-01-02T0${hour}:00:00`),
    );
    assert.deepEqual(lines.flatMap((line) => line.split(",").slice(1).map(Number)), expected);

    await predictOtherFormats(folder, expected, runner);
    tf.dispose(prediction);
    runner.dispose();
  });
});

async function createRunner(folder: string): Promise<IterationRunner> {
  const runner = await IterationRunner.create({
    ...config,
    ...OWN,
    checkpoint: { directory: join(folder, "runs") },
    log: { ...config.log, progress: false },
  } as RunConfig, {
    baseDirectory: join(folder, "configs"),
    imports: [new URL(`file://${join(folder, "own.js")}`).href],
    output: new Lines(),
  });
  assert.ok(await runner.restore());
  return runner;
}

/** The same numbers through .safetensors, and what is refused; in this process, which is quicker. */
async function predictOtherFormats(
  folder: string,
  expected: number[],
  runner: IterationRunner,
): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const predict = async (input: string, output: string): Promise<[number, string]> => {
    const told: string[] = [];
    const line = (text: string) => void told.push(text);
    const code = await main([
      ...["predict", at("configs/waves.json"), "--import", at("own.js")],
      ...["--set", `checkpoint.directory=${at("runs")}`],
      ...["--input", at(input), "--output", at(output)],
    ], { line, error: line });
    return [code, told.join("\n").replaceAll(`${folder}/`, "")];
  };
  const tensors = (name: string) => decodeSafetensors(readFileSync(at(name)), name).tensors;

  assert.deepEqual(await predict("new.csv", "out.safetensors"), [
    0,
    "out.safetensors: prediction [1,4,2]",
  ]);
  assert.deepEqual(tensors("out.safetensors").prediction.shape, [1, 4, 2]);
  assert.deepEqual([...tensors("out.safetensors").prediction.data], expected);

  // 21 windows: more than one batch of the run.
  const values = series(40);
  const windows = new Float32Array(21 * 24);
  for (let i = 0; i < 21; i++) windows.set(values.subarray(2 * i, 2 * i + 24), 24 * i);
  const inputs = { dtype: "F32" as const, shape: [21, 12, 2], data: windows };
  writeFileSync(at("in.safetensors"), encodeSafetensors({ inputs }));
  assert.equal((await predict("in.safetensors", "many.safetensors"))[0], 0);
  const { prediction } = await runner.predict(
    { inputs: { data: windows, shape: [21, 12, 2], dtype: "float32" } } as never,
  );
  assert.deepEqual([...tensors("many.safetensors").prediction.data], [...await prediction.data()]);
  tf.dispose(prediction);

  writeFileSync(at("one.csv"), "a\n1\n");
  writeFileSync(at("short.csv"), "a,b\n1,2\n");
  writeFileSync(at("odd.safetensors"), encodeSafetensors({ x: inputs }));
  const wide = { ...inputs, shape: [14, 12, 3] };
  writeFileSync(at("wide.safetensors"), encodeSafetensors({ inputs: wide }));
  const flat = { ...inputs, shape: [252, 2] };
  writeFileSync(at("flat.safetensors"), encodeSafetensors({ inputs: flat }));
  writeFileSync(at("bad.safetensors"), "not a file");
  const refused: [string, string, RegExp][] = [
    ["in.safetensors", "x.csv", /^--output: \.csv takes one sample .*received shape \[21,4,2\]/],
    ["new.csv", "x.txt", /^--output: must end in \.csv or \.safetensors, received "x\.txt"$/],
    ["new.txt", "x.csv", /^--input: must end in \.csv or \.safetensors, received "new\.txt"$/],
    ["none.csv", "x.csv", /^cannot read none\.csv: no such file$/],
    ["none.safetensors", "x.csv", /^cannot read none\.safetensors: ENOENT$/],
    ["one.csv", "x.csv", /^one\.csv:1: no column "b"/],
    ["short.csv", "x.csv", /^short\.csv: must have at least 12 rows, received 1$/],
    [
      "odd.safetensors",
      "x.csv",
      /^odd\.safetensors: must have a tensor named inputs, received \["x"\]$/,
    ],
    [
      "wide.safetensors",
      "x.csv",
      /^inputs: must have 2 channels on its last axis, received shape \[14,12,3\]$/,
    ],
    ["flat.safetensors", "x.csv", /^inputs: do not fit the model: .* \(inputs \[8, 2\]\)$/],
    ["bad.safetensors", "x.csv", /^bad\.safetensors: /],
  ];
  for (const [input, output, message] of refused) {
    const [code, told] = await predict(input, output);
    assert.equal(code, 2, told);
    assert.match(told, message);
    assert.ok(!told.includes("\n"), told);
  }
  assert.ok(!existsSync(at("x.csv")));
}

test("--set reaches new sections, and --import takes TypeScript where the runtime does", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder, OWN);
    const source = OWN_MODEL.replace("({ steps })", "({ steps }: { steps: number })")
      .replace("forward({ inputs })", "forward({ inputs }: Record<string, tf.Tensor>)")
      .replace("inputs.shape", "inputs.shape as [number, number, number]");
    writeFileSync(join(folder, "own.ts"), source);
    const set = [
      ...["train.iterations=3", "scheduler.type=StepLR", 'scheduler.params={"step_size":1}'],
      ...["name=other name".replace(" ", "-"), "earlyStopping.patience=2", "log.tensorboard=false"],
    ];
    const { status, stdout, stderr } = await downhill([
      ...["train", "configs/waves.json", "--import", "own.ts"],
      ...set.flatMap((value) => ["--set", value]),
    ], folder);
    if (runtime === "node") {
      assert.equal(status, 2);
      assert.match(
        stderr,
        /^imports\[0\]: this runtime cannot import TypeScript \(.*own\.ts\); .*\n$/,
      );
      assert.ok(!existsSync(join(folder, "runs")));
      return;
    }
    assert.deepEqual([status, stderr], [0, ""], stdout);
    const run = join(folder, "runs", "other-name");
    const resolved = JSON.parse(readFileSync(join(run, "config.json"), "utf8"));
    assert.equal(resolved.train.iterations, 3);
    assert.deepEqual(resolved.scheduler, { type: "StepLR", params: { step_size: 1 } });
    assert.deepEqual(resolved.earlyStopping, { patience: 2 });
    assert.ok(!existsSync(join(run, "tensorboard")));
    const rates = readFileSync(join(run, "metrics.jsonl"), "utf8").trim().split("\n")
      .map((line) => JSON.parse(line)).filter(({ phase }) => phase === "train")
      .map(({ lr }) => lr);
    assert.equal(rates.length, 1);
    assert.ok(Math.abs(rates[0] - 0.01 * 0.1 ** 2) < 1e-12, String(rates));
  });
});

test("no command prints the usage, and a fault of ours exits with 1 and its trace", async () => {
  const lines: string[] = [], errors: string[] = [];
  const output = {
    line: (text: string) => void lines.push(text),
    error: (text: string) => void errors.push(text),
  };
  assert.equal(await main([], output), 2);
  assert.equal(await main(["--help"], output), 0);
  assert.match(lines[0], /^downhill train CONFIG/);
  assert.equal(lines[0], lines[1]);
  await withFolder(async (folder) => {
    writeFiles(folder, { callbacks: ["Broken"], checkpoint: false });
    writeFileSync(
      join(folder, "broken.js"),
      `import { registerCallback } from "${libraryUrl}";
      registerCallback("Broken", () => ({ name: "Broken", setup() { null.x; } }));`,
    );
    const path = join(folder, "configs", "waves.json");
    assert.equal(await main(["train", path, "--import", join(folder, "broken.js")], output), 1);
    assert.match(errors[0], /TypeError[^]*broken\.js/);
  });
});

test("nothing keeps the process alive after the last line: webgpu", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder, { backend: "webgpu", train: { iterations: 2, batchSize: 8 } });
    // Where there is no adapter at all, another backend stands in, with a line that says so.
    const run = startDownhill(["train", "configs/waves.json"], folder, webgpuEnvironment());
    await run.printed(/^ended .*\n/m);
    const printedAt = Date.now();
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 0, stdout + stderr);
    assert.ok(Date.now() - printedAt < SOON_MS, `${Date.now() - printedAt} ms`);
    assertPlain(stdout);
  });
});

test("schema prints the JSON schema of a config, with what --import brings, and takes no CONFIG", async () => {
  const output = new Lines();
  assert.equal(await main(["schema"], output), 0);
  const { properties, definitions } = JSON.parse(output.lines.join("\n"));
  assert.ok("optimizer" in properties && "optimizerType.AdamW" in definitions);
  assert.equal(await main(["schema", "config.json"], output), 2);
  assert.equal(output.lines.at(-1), 'schema: takes no CONFIG, received "config.json"');
});
