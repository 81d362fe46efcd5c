/** What is wrong comes as one line on standard error and exit code 2, and nothing is written. */
import { strict as assert } from "node:assert";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { main } from "../../src/config/command_line.ts";
import { downhill, inPairs } from "../support/command_line.ts";
import { withFolder } from "../support/runs.ts";
import { writeFiles } from "./files.ts";

const set = (
  ...values: string[]
): string[] => ["train", "configs/waves.json", ...values.flatMap((value) => ["--set", value])];

const rows: [args: string[], message: RegExp][] = [
  [set("train.iterations=ten"), /^train\.iterations: must be an integer >= 1, received "ten"$/],
  [set("trian.iterations=5"), /^trian: unknown option "trian"; did you mean 'train'\? known: /],
  [
    set("optimizer.params.weight_decay=-1"),
    /^optimizer\.params\.weight_decay: must be .*received -1$/,
  ],
  [set("model.type=NLinaer"), /^model\.type: unknown model "NLinaer"; did you mean 'NLinear'\?/],
  [set("model.params.channels=7"), /^model: NLinear does not fit the training data: /],
  [
    set(
      "model.type=Layers",
      'model.params={"json":{"class_name":"Sequential","config":{"layers":[{"class_name":"Dense",' +
        '"config":{"units":2,"batch_input_shape":[null,12,5]}}]}}}',
    ),
    /^model: Layers does not fit the training data: Input 0 is incompatible/,
  ],
  [set("data.params.path=none.csv"), /^cannot read .*configs\/none\.csv: no such file$/],
  [
    set("data.params.path=text.csv"),
    /^.*configs\/text\.csv:3:2 b: must be a number, received "x"$/,
  ],
  [set("name=../up"), /^name: must be 1 to 100 of the characters/],
  [set('log={"__proto__":{"x":1}}'), /^--set: must not have the key __proto__$/],
  [set("fineTune.path=none.safetensors"), /^configs\/none\.safetensors: there is no such file$/],
  [
    set("checkpoint.resume=required"),
    /^checkpoint\.resume is "required" and .*holds no checkpoint$/,
  ],
  [["test", "configs/waves.json"], /^.*runs\/waves holds no checkpoint; train first$/],
  [["train", "configs/none.json"], /^cannot read the config configs\/none\.json: ENOENT$/],
  [["train", "configs/broken.json"], /^configs\/broken\.json: must be JSON: /],
  [["train", "configs/list.json"], /^configs\/list\.json: must hold an object, received \[1\]$/],
  [
    ["trian", "configs/waves.json"],
    /^unknown command "trian"; did you mean 'train'\? known: train, test, predict, lr, schema$/,
  ],
  [["train"], /^train: must have one CONFIG file, received none$/],
  [
    ["train", "configs/waves.json", "--workers", "2"],
    /^unknown option --workers; what the config sets is given as --set workers=VALUE$/,
  ],
  [["train", "configs/waves.json", "--set"], /--set/],
  [
    ["train", "configs/waves.json", "--input", "x.csv"],
    /^train: takes no --input, only --set, --import$/,
  ],
  [["schema", "--set", "a=1"], /^schema: takes no --set, only --import$/],
  [["predict", "configs/waves.json"], /^predict: must have --input FILE and --output FILE$/],
];

function writeAll(folder: string): void {
  writeFiles(folder);
  writeFileSync(join(folder, "configs", "broken.json"), "{,\n}");
  writeFileSync(join(folder, "configs", "list.json"), "[1]");
  writeFileSync(join(folder, "configs", "text.csv"), "a,b\n1,2\n3,x\n");
}

test("main refuses what is wrong in one line with exit code 2 and writes nothing", async () => {
  await withFolder(async (folder) => {
    writeAll(folder);
    const runs = join(folder, "runs");
    const faults: string[] = [];
    for (const [args, message] of rows) {
      const placed = args.map((arg) => arg.startsWith("configs/") ? join(folder, arg) : arg);
      const directory = args[1]?.endsWith("waves.json")
        ? ["--set", `checkpoint.directory=${runs}`]
        : [];
      const errors: string[] = [];
      const output = { line: () => {}, error: (text: string) => void errors.push(text) };
      const code = await main([...placed.slice(0, 2), ...directory, ...placed.slice(2)], output);
      const told = errors.join("\n").replaceAll(`${folder}/`, "");
      const good = code === 2 && message.test(told) && !told.includes("\n");
      if (!good) faults.push(`${args.join(" ")}: exit ${code}, ${JSON.stringify(told)}`);
    }
    assert.deepEqual(faults, []);
    assert.ok(!existsSync(runs));
  });
});

test("downhill as a process does the same", async () => {
  await withFolder(async (folder) => {
    writeAll(folder);
    const some = rows.filter((_, i) => i % 4 === 0);
    const faults = await inPairs(some, async ([args, message]) => {
      const { status, stderr } = await downhill(args, folder);
      const line = stderr.replace(/\r?\n$/, "");
      const good = status === 2 && message.test(line) && !line.includes("\n");
      return good ? [] : [`${args.join(" ")}: exit ${status}, ${JSON.stringify(stderr)}`];
    });
    assert.deepEqual(faults.flat(), []);
    assert.ok(!existsSync(join(folder, "runs")));
  });
});
