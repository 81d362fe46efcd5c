/**
 * `downhill train|test|predict CONFIG`: the same run as `IterationRunner.create(config)`; `downhill lr
 * CONFIG` draws its learning rates, `downhill schema` writes the JSON schema of a config.
 *
 * Exit codes: 0 done, 2 the config or the data is wrong, 75 stopped and resumable, 1 a fault of ours.
 */
import {
  CheckpointError,
  ConfigError,
  DataError,
  NonFiniteError,
  oneLine,
  show,
  suggest,
  WorkerError,
} from "../core/errors.ts";
import { fileSystem, pathModule, urlModule, utilModule } from "../core/host.ts";
import { consoleOutput, type Output } from "../report/console.ts";
import { formatNumber } from "../report/format.ts";
import { RESUMABLE } from "../runner/signals.ts";
import type { Summary } from "../runner/state.ts";
import { importModules } from "../core/import_modules.ts";
import { IterationRunner } from "./iteration_runner.ts";
import { configSchema } from "./json_schema.ts";
import { setPath } from "./overrides.ts";
import { prepareOutput, readInputs, writeOutputs } from "./prediction_files.ts";
import { rateLines } from "./rate_chart.ts";
import type { RunConfig } from "./schema.ts";

const USAGE = `downhill train CONFIG [--set path=value]... [--import FILE]...
downhill test CONFIG [--set path=value]... [--import FILE]...
downhill predict CONFIG --input FILE --output FILE [--set path=value]... [--import FILE]...
downhill lr CONFIG [--set path=value]... [--import FILE]...
downhill schema [--import FILE]...

CONFIG is a JSON file; paths in it are relative to it, the run directory to the working directory.
--set train.iterations=100 changes one value (text where the option is text, like name; else JSON, or
text where it is none); --import registers components of your own.
predict reads and writes .csv or .safetensors and needs no training data. lr draws the learning rate of every iteration.
schema prints the JSON schema of a config, for editors.`;

/** The options of each command. */
const OPTIONS: Record<string, readonly string[]> = {
  train: ["set", "import"],
  test: ["set", "import"],
  predict: ["set", "import", "input", "output"],
  lr: ["set", "import"],
  schema: ["import"],
};

const COMMANDS = Object.keys(OPTIONS);

/** Runs a command line and resolves to the exit code. */
export async function main(
  args: readonly string[],
  output: Output = consoleOutput(),
): Promise<number> {
  const fail = (text: string): void =>
    output.error === undefined ? output.line(text) : output.error(text);
  try {
    return await run(args, output);
  } catch (error) {
    if (
      error instanceof ConfigError || error instanceof DataError ||
      error instanceof CheckpointError || error instanceof NonFiniteError
    ) {
      fail(`${error.message}`);
      return 2;
    }
    if (error instanceof WorkerError) {
      fail(error.message);
      return RESUMABLE;
    }
    fail(error instanceof Error ? error.stack ?? error.message : String(error));
    return 1;
  }
}

async function run(args: readonly string[], output: Output): Promise<number> {
  const { values, positionals } = parse(args);
  const [command, file, ...rest] = positionals;
  if (values.help || command === undefined) {
    output.line(USAGE);
    return values.help ? 0 : 2;
  }
  if (!COMMANDS.includes(command)) {
    throw new ConfigError("", `unknown command ${show(command)}${suggest(command, COMMANDS)}`);
  }
  const other = Object.keys(values).find((option) => !OPTIONS[command].includes(option));
  if (other !== undefined) {
    throw new ConfigError(
      "",
      `${command}: takes no --${other}, only ${
        OPTIONS[command].map((option) => `--${option}`).join(", ")
      }`,
    );
  }
  const imports = (values.import ?? []).map((path) =>
    urlModule().pathToFileURL(pathModule().resolve(path)).href
  );
  if (command === "schema") {
    if (file !== undefined) {
      throw new ConfigError("", `schema: takes no CONFIG, received ${show(file)}`);
    }
    await importModules(imports);
    output.line(JSON.stringify(configSchema(), null, 2));
    return 0;
  }
  if (file === undefined || rest.length > 0) {
    throw new ConfigError(
      "",
      `${command}: must have one CONFIG file, received ${
        file === undefined ? "none" : show([file, ...rest])
      }`,
    );
  }
  const config = readConfig(file);
  for (const override of values.set ?? []) setPath(config, override);
  const baseDirectory = pathModule().dirname(pathModule().resolve(file));
  if (command === "lr") {
    const options = { imports, baseDirectory };
    for (const line of await rateLines(config as unknown as RunConfig, options)) {
      output.line(line);
    }
    return 0;
  }
  const create = () =>
    IterationRunner.create(config as unknown as RunConfig, {
      imports,
      baseDirectory,
      output,
      purpose: command as "train" | "test" | "predict",
    });
  if (command === "predict") {
    if (values.input === undefined || values.output === undefined) {
      throw new ConfigError("", "predict: must have --input FILE and --output FILE");
    }
    prepareOutput(values.output);
    return await predict(await create(), values.input, values.output, output);
  }
  const runner = await create();
  try {
    return command === "train" ? await train(runner, output) : await test(runner, output);
  } finally {
    runner.dispose();
  }
}

async function train(runner: IterationRunner, output: Output): Promise<number> {
  const summary = await runner.train();
  printSummary(summary, output);
  const rate = summary.samplesPerSecond;
  const speed = rate === 0 ? "" : `, ${formatNumber(rate)} samples/s`;
  output.line(
    `ended (${summary.finished}) at iteration ${summary.iterations}${speed}: ${runner.store.location}`,
  );
  return summary.finished === "signal" ? RESUMABLE : 0;
}

async function test(runner: IterationRunner, output: Output): Promise<number> {
  if (!await runner.restore()) {
    throw new CheckpointError(`${runner.store.location} holds no checkpoint; train first`);
  }
  const values = await runner.test();
  output.line(
    Object.entries(values).map(([name, value]) => `${name} ${formatNumber(value)}`).join("  "),
  );
  return 0;
}

async function predict(
  runner: IterationRunner,
  input: string,
  target: string,
  output: Output,
): Promise<number> {
  try {
    const inputs = readInputs(input, runner.data);
    const answer = await runner.predict(inputs.fields);
    await writeOutputs(target, answer, inputs);
    output.line(
      `${target}: ${
        Object.entries(answer).map(([name, tensor]) => `${name} [${tensor.shape}]`).join(", ")
      }`,
    );
    Object.values(answer).forEach((tensor) => tensor.dispose());
    return 0;
  } finally {
    runner.dispose();
  }
}

/** Test metrics, with those of the naive forecasts beside them. */
function printSummary({ test, naive }: Summary, output: Output): void {
  if (test === undefined) return;
  const columns = { model: test, ...naive };
  const names = Object.keys(columns);
  const width = Math.max(12, ...names.map((name) => name.length + 2));
  const label = Math.max(8, ...Object.keys(test).map((key) => key.length + 2));
  output.line(["test".padEnd(label), ...names.map((name) => name.padStart(width))].join(""));
  for (const key of Object.keys(test)) {
    const cells = names.map((name) => {
      const value = (columns as Record<string, Record<string, number>>)[name][key];
      return (value === undefined ? "" : formatNumber(value)).padStart(width);
    });
    output.line([key.padEnd(label), ...cells].join(""));
  }
}

function parse(args: readonly string[]) {
  try {
    return utilModule().parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        set: { type: "string", multiple: true },
        import: { type: "string", multiple: true },
        input: { type: "string" },
        output: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    const message = oneLine(error);
    const [, name] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
    throw new ConfigError(
      "",
      name === undefined
        ? message
        : `unknown option --${name}; what the config sets is given as --set ${name}=VALUE`,
    );
  }
}

function readConfig(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = fileSystem().readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(
      "",
      `cannot read the config ${file}: ${(error as { code?: string }).code ?? String(error)}`,
    );
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new ConfigError("", `${file}: must be JSON: ${(error as Error).message}`);
  }
  if (config === null || typeof config !== "object" || Array.isArray(config)) {
    throw new ConfigError("", `${file}: must hold an object, received ${show(config)}`);
  }
  return config as Record<string, unknown>;
}
