/** `downhill predict` on files: without the training data, with what the training data said of rows and columns. */
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { registerModel, tf } from "../../mod.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/checkpoint/safetensors.ts";
import { main } from "../../src/config/command_line.ts";
import { series, withFolder } from "../support/runs.ts";
import { config, wavesCsv, writeFiles } from "./files.ts";

/** Runs a command line with everything it names below `folder`. */
async function tell(folder: string, command: string, ...more: string[]): Promise<[number, string]> {
  const told: string[] = [];
  const line = (text: string) => void told.push(text);
  const code = await main([
    ...[command, join(folder, "configs/waves.json")],
    ...["--set", `checkpoint.directory=${join(folder, "runs")}`, "--set", "log.progress=false"],
    ...more,
  ], { line, error: line });
  return [code, told.join("\n").replaceAll(`${folder}/`, "")];
}

const predict = (folder: string, input: string, output: string) =>
  tell(folder, "predict", "--input", join(folder, input), "--output", join(folder, output));

async function train(folder: string): Promise<void> {
  const [code, told] = await tell(folder, "train", "--set", "train.iterations=10");
  assert.equal(code, 0, told);
}

/** {@link config} with other params of the data, and other sections. */
const withData = (params: object, more: object = {}) => ({
  ...more,
  data: { type: "ForecastingCsv", params: { ...config.data.params, ...params } },
});

const cells = (folder: string, file: string): string[][] =>
  readFileSync(join(folder, file), "utf8").trim().split("\n").map((line) => line.split(","));

test("predict: the training file may be gone, or have grown; test and train refuse it then", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder);
    await train(folder);
    writeFileSync(join(folder, "new.csv"), wavesCsv(30));
    assert.equal((await predict(folder, "new.csv", "before.csv"))[0], 0);
    const path = join(folder, "configs/data/waves.csv");
    writeFileSync(path, wavesCsv(230));
    assert.equal((await predict(folder, "new.csv", "grown.csv"))[0], 0);
    for (const command of ["test", "train"]) {
      const [code, told] = await tell(folder, command, "--set", "train.iterations=10");
      assert.equal(code, 2);
      assert.match(
        told,
        /^runs\/waves.*: contents\.\S+ was \d+ in the checkpoint and is \d+ in the data; .*$/,
      );
    }
    rmSync(path);
    assert.equal((await predict(folder, "new.csv", "gone.csv"))[0], 0);
    const expected = cells(folder, "before.csv");
    assert.equal(expected.length, 5);
    for (const file of ["grown.csv", "gone.csv"]) assert.deepEqual(cells(folder, file), expected);
  });
});

test("predict: null values of a CSV are missing cells, and target columns name the forecast", async () => {
  await withFolder(async (folder) => {
    const model = { type: "TwoOfThree" };
    const holed = (rows: number, hole: string) =>
      wavesCsv(rows).trim().split("\n").map((line, i) => {
        const [date, a, b] = line.split(",");
        return i === 0 ? "when,c,a,b" : `${date},${i % 11 === 4 ? hole : Number(a) * 2},${a},${b}`;
      }).join("\n");
    writeFiles(
      folder,
      withData({ nullValue: -999, targetColumns: ["b", "a"], timeColumn: "when" }, { model }),
    );
    writeFileSync(join(folder, "configs/data/waves.csv"), holed(200, "-999"));
    await train(folder);
    for (const hole of ["-999", "NaN", "-998.999"]) {
      writeFileSync(join(folder, "new.csv"), holed(30, hole));
      assert.equal((await predict(folder, "new.csv", `${hole}.csv`))[0], 0);
    }
    const [header, ...rows] = cells(folder, "-999.csv");
    assert.deepEqual(header, ["date", "b", "a"]);
    assert.equal(rows[0][0], "2020-01-02T06:00:00");
    for (const other of ["NaN.csv", "-998.999.csv"]) {
      assert.deepEqual(cells(folder, other).slice(1), rows);
    }
  });
});

registerModel("TwoOfThree", () => {
  const weight = tf.tidy(() => tf.variable(tf.ones([36, 8])));
  return {
    parameters: { weight },
    forward: ({ inputs }) =>
      tf.reshape(tf.matMul(tf.reshape(inputs, [-1, 36]), weight as tf.Tensor2D), [-1, 4, 2]),
  };
});

/** What TimeReader was shown last. */
let shown: Record<string, number[][][]> = {};
registerModel("TimeReader", () => {
  const weight = tf.tidy(() => tf.variable(tf.scalar(1)));
  return {
    parameters: { weight },
    forward: ({ inputs, inputsTime, targetsTime }) => {
      shown = {
        inputsTime: inputsTime.arraySync() as number[][][],
        targetsTime: targetsTime.arraySync() as number[][][],
      };
      const hour = tf.slice(targetsTime, [0, 0, 0], [-1, -1, 1]);
      return tf.mul(tf.tile(hour, [1, 1, inputs.shape[2]!]), weight);
    },
  };
});

test("predict: time features come from the time stamps of the CSV, for the rows to predict too", async () => {
  await withFolder(async (folder) => {
    writeFiles(
      folder,
      withData({ timeFeatures: ["timeOfDay", "dayOfWeek"] }, { model: { type: "TimeReader" } }),
    );
    await train(folder);
    writeFileSync(join(folder, "new.csv"), wavesCsv(30));
    const [code, told] = await predict(folder, "new.csv", "out.csv");
    assert.equal(code, 0, told);
    // Rows 18 to 29 are hours 18 to 5 of a Wednesday and a Thursday; 6 to 9 follow.
    const hours = (from: number, n: number) =>
      Array.from(
        { length: n },
        (_, i) => [(from + i) % 24 / 24, from + i < 24 ? 2 / 7 : 3 / 7].map(Math.fround),
      );
    assert.deepEqual(shown, { inputsTime: [hours(18, 12)], targetsTime: [hours(30, 4)] });
    const refused: [string, RegExp][] = [
      [
        wavesCsv(30).replaceAll(/^[^,]*,/gm, ""),
        /^\S*new\.csv: must have a column of time stamps for the time features \["timeOfDay","dayOfWeek"\]$/,
      ],
      [
        reversed(wavesCsv(30)),
        /^\S*new\.csv:5: must be in order of time, received 2020-01-01T\S+ after 2020-01-01T\S+$/,
      ],
    ];
    for (const [text, message] of refused) {
      writeFileSync(join(folder, "new.csv"), text);
      const [code, told] = await predict(folder, "new.csv", "no.csv");
      assert.equal(code, 2);
      assert.match(told, message);
    }
    assert.ok(!existsSync(join(folder, "no.csv")));
  });
});

function reversed(csv: string): string {
  const [header, ...rows] = csv.trim().split("\n");
  return [header, ...rows.reverse()].join("\n");
}

test("predict: filled gaps carry the time stamps of their own rows", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder, {
      ...withData({ task: "imputation", outputLength: 0, season: undefined }),
      model: { type: "Mlp", params: { inputLength: 12, outputLength: 12, channels: 2 } },
    });
    await train(folder);
    const lines = wavesCsv(30).trim().split("\n");
    lines[25] = lines[25].replace(/,[^,]*$/, ",");
    writeFileSync(join(folder, "new.csv"), lines.join("\n"));
    assert.equal((await predict(folder, "new.csv", "out.csv"))[0], 0);
    const [, ...rows] = cells(folder, "out.csv");
    assert.equal(rows.length, 12);
    rows.forEach(([date, ...values], i) => {
      const [given, ...observed] = lines[19 + i].split(",");
      assert.equal(date, given.replace(" ", "T"));
      values.forEach((value, c) => {
        if (observed[c] !== "") assert.ok(Math.abs(Number(value) - Number(observed[c])) < 1e-5);
        else assert.ok(Number.isFinite(Number(value)));
      });
    });
  });
});

test("predict: makes the output's folder, leaves nothing half written, refuses early in one line", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder);
    await train(folder);
    writeFileSync(join(folder, "new.csv"), wavesCsv(30));
    assert.deepEqual(await predict(folder, "new.csv", "a/b/out.csv"), [
      0,
      "a/b/out.csv: prediction [1,4,2]",
    ]);
    assert.deepEqual(readdirSync(join(folder, "a/b")), ["out.csv"]);
    writeFileSync(join(folder, "file"), "");
    mkdirSync(join(folder, "folder.csv"));
    const refused: [string, string, RegExp][] = [
      // The input does not exist either: the output is looked at first.
      [
        "none.csv",
        "file/out.csv",
        /^--output: cannot make the folder of "file\/out\.csv": (ENOTDIR|EEXIST)$/,
      ],
      ["none.csv", "folder.csv", /^--output: must be a file, received the folder "folder\.csv"$/],
    ];
    for (const [input, output, message] of refused) {
      const [code, told] = await predict(folder, input, output);
      assert.equal(code, 2, told);
      assert.match(told, message);
    }
  });
});

test("predict: safetensors of other number types give the same forecast; odd files are one line", async () => {
  await withFolder(async (folder) => {
    writeFiles(folder);
    await train(folder);
    const at = (name: string) => join(folder, name);
    const values = Float64Array.from(series(12), Math.fround);
    const shape = [1, 12, 2];
    const write = (name: string, tensors: Record<string, unknown>) =>
      writeFileSync(at(name), encodeSafetensors(tensors as never));
    write("f32.safetensors", { inputs: { dtype: "F32", shape, data: Float32Array.from(values) } });
    write("f64.safetensors", { inputs: { dtype: "F64", shape, data: values } });
    const integers = values.map(Math.round);
    write("i32.safetensors", { inputs: { dtype: "I32", shape, data: Int32Array.from(integers) } });
    write("i64.safetensors", {
      inputs: { dtype: "I64", shape, data: BigInt64Array.from([...integers].map(BigInt)) },
    });
    const answers: Float32Array[] = [];
    for (const kind of ["f32", "f64", "i32", "i64"]) {
      const [code, told] = await predict(folder, `${kind}.safetensors`, `${kind}.out.safetensors`);
      assert.equal(code, 0, told);
      const { tensors } = decodeSafetensors(readFileSync(at(`${kind}.out.safetensors`)), kind);
      answers.push(Float32Array.from(tensors.prediction.data as Float32Array));
    }
    assert.deepEqual(answers[1], answers[0]);
    assert.deepEqual(answers[3], answers[2]);
    assert.notDeepEqual(answers[2], answers[0]);

    write("u8.safetensors", { inputs: { dtype: "U8", shape, data: new Uint8Array(24) } });
    write("big.safetensors", {
      inputs: { dtype: "I64", shape, data: new BigInt64Array(24).fill(2n ** 40n) },
    });
    write("scalar.safetensors", { inputs: { dtype: "F32", shape: [], data: new Float32Array(1) } });
    write("none.safetensors", {
      inputs: { dtype: "F32", shape: [0, 12, 2], data: new Float32Array(0) },
    });
    const text = wavesCsv(30);
    writeFileSync(at("empty.csv"), "");
    writeFileSync(at("header.csv"), "date,a,b\n");
    writeFileSync(at("more.csv"), text.replace(/\n/, "\n2020-01-01 00:00:00,1,2,3\n"));
    writeFileSync(at("less.csv"), text.replace("date,a,b", "date,a"));
    writeFileSync(at("word.csv"), text.replace(/,[^,]*\n$/, ",x\n"));
    writeFileSync(at("huge.csv"), text.replace(/,[^,]*\n$/, ",1e39\n"));
    writeFileSync(at("date.csv"), text.replace(/2020-01-01 05/, "2020-13-01 05"));
    const refused: [string, RegExp][] = [
      ["u8.safetensors", /^u8\.safetensors: inputs: a tensor of dtype U8 .* has no tfjs form$/],
      ["big.safetensors", /^big\.safetensors: inputs: a tensor of dtype I64 /],
      [
        "scalar.safetensors",
        /^field "inputs": shape must be an array of at least one integer >= 0, received \[\]$/,
      ],
      [
        "none.safetensors",
        /^inputs: must have at least one row on its first axis, received shape \[0,12,2\]$/,
      ],
      ["empty.csv", /^empty\.csv: must have a header row, received no text$/],
      ["header.csv", /^header\.csv:1: has a header and no rows$/],
      ["more.csv", /^more\.csv:2:4: must have 3 cells as the header has, received 4$/],
      ["less.csv", /^less\.csv:2:3: must have 2 cells as the header has, received 3$/],
      ["word.csv", /^word\.csv:31:3 b: must be a number, received "x"$/],
      ["huge.csv", /^huge\.csv:31:3 b: must be a float32 number, received "1e39"$/],
      ["date.csv", /^date\.csv:7:1 date: must be a time like .* received "2020-13-01 05:00:00"$/],
    ];
    for (const [input, message] of refused) {
      const [code, told] = await predict(folder, input, "x.csv");
      assert.equal(code, 2, told);
      assert.match(told, message);
    }
    assert.ok(!existsSync(at("x.csv")));
  });
});

test("--set name=2024 is text; files of a model and of weights are found from the config file", async () => {
  await withFolder(async (folder) => {
    const shaped = [
      { class_name: "Flatten", config: { name: "flat", batch_input_shape: [null, 12, 2] } },
      { class_name: "Dense", config: { units: 8, name: "head" } },
      { class_name: "Reshape", config: { target_shape: [4, 2], name: "steps" } },
    ];
    writeFiles(folder, { model: { type: "Layers", params: { path: "models/dense.json" } } });
    mkdirSync(join(folder, "configs/models"));
    writeFileSync(
      join(folder, "configs/models/dense.json"),
      JSON.stringify({ class_name: "Sequential", config: { name: "net", layers: shaped } }),
    );
    const short = ["--set", "train.iterations=2", "--set", "validation.interval=2"];
    const [code, told] = await tell(folder, "train", ...short, "--set", "name=2024");
    assert.equal(code, 0, told);
    const weights = join(folder, "runs/2024/checkpoints/best.safetensors");
    writeFileSync(join(folder, "configs/start.safetensors"), readFileSync(weights));
    const [tuned, lines] = await tell(
      folder,
      "train",
      ...short,
      "--set",
      "fineTune.path=start.safetensors",
    );
    assert.equal(tuned, 0, lines);
    assert.match(lines, /^fine-tuning from configs\/start\.safetensors$/m);
    const [rates] = await tell(folder, "lr");
    assert.equal(rates, 0);
  });
});
