/** Inputs and outputs of `downhill predict`: CSV of the newest window, or safetensors of any batch. */
import { decodeSafetensors, encodeSafetensors } from "../checkpoint/safetensors.ts";
import { writeFile } from "../checkpoint/file_store.ts";
import { readTensors, toField } from "../checkpoint/tensors.ts";
import { ConfigError, DataError, show } from "../core/errors.ts";
import { makeFolders } from "../core/folders.ts";
import { fileSystem, pathModule } from "../core/host.ts";
import { calendarFeatures, requireOrder } from "../data/calendar.ts";
import { readCsv } from "../data/csv.ts";
import type { DataSplits, HostArray } from "../data/dataset.ts";
import type * as tf from "../tensor/tf.ts";

/** What was read, with what the CSV writer needs to name rows and columns. */
export interface PredictionInputs {
  readonly fields: { readonly inputs: HostArray; readonly [field: string]: HostArray };
  /** The names of the predicted channels. */
  readonly columns: readonly string[] | undefined;
  /** The time stamps of the predicted rows. */
  readonly times: Float64Array | undefined;
}

/**
 * A .csv file gives one window: its last `inputLength` rows (all rows if the run's data has no
 * such length), with the calendar features that the run's data has. A .safetensors file gives its
 * tensors as fields, `inputs` among them.
 */
export function readInputs(path: string, { series }: DataSplits): PredictionInputs {
  if (kindOf(path, "--input") === "safetensors") {
    return { fields: readFields(path), columns: undefined, times: undefined };
  }
  const table = readCsv({
    path: pathModule().resolve(path),
    columns: series?.columns,
    timeColumn: series?.timeColumn,
  });
  const width = table.columns.length;
  const rows = table.values.length / width;
  const { inputLength = rows, outputLength = 0, timeFeatures = [], targetColumns } = series ?? {};
  if (rows < inputLength) {
    throw new DataError(`${path}: must have at least ${inputLength} rows, received ${rows}`);
  }
  const inputs: HostArray = {
    data: table.values.subarray((rows - inputLength) * width),
    shape: [1, inputLength, width],
    dtype: "float32",
  };
  const times = table.times?.subarray(rows - inputLength);
  if (times !== undefined) requireOrder(times, table.name, table.lines);
  const next = outputLength === 0 ? times : following(times, outputLength);
  const fields: Record<string, HostArray> & PredictionInputs["fields"] = { inputs };
  if (timeFeatures.length > 0) {
    if (times === undefined) {
      throw new DataError(
        `${path}: must have a column of time stamps for the time features ${show(timeFeatures)}`,
      );
    }
    const features = (stamps: Float64Array): HostArray => ({
      data: calendarFeatures(stamps, timeFeatures),
      shape: [1, stamps.length, timeFeatures.length],
      dtype: "float32",
    });
    fields.inputsTime = features(times);
    if (next !== undefined) fields.targetsTime = features(next);
  }
  return { fields, columns: targetColumns ?? table.columns, times: next };
}

function readFields(path: string): PredictionInputs["fields"] {
  const { tensors } = decodeSafetensors(new Uint8Array(readBytes(path)), path);
  if (tensors.inputs === undefined) {
    throw new DataError(
      `${path}: must have a tensor named inputs, received ${show(Object.keys(tensors))}`,
    );
  }
  const fields = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      try {
        return [name, toField(tensor)];
      } catch (error) {
        throw new DataError(`${path}: ${name}: ${(error as Error).message}`);
      }
    }),
  );
  return fields as PredictionInputs["fields"];
}

/**
 * Refuses, before anything is computed, an output that could not be written: its folder is made.
 *
 * @throws {ConfigError} If the name is of another kind, or a folder stands in the way or cannot be made.
 */
export function prepareOutput(path: string): void {
  kindOf(path, "--output");
  const { statSync } = fileSystem();
  const { dirname, resolve } = pathModule();
  try {
    makeFolders(dirname(resolve(path)));
  } catch (error) {
    const { code = String(error) } = error as { code?: string };
    throw new ConfigError("--output", `cannot make the folder of ${show(path)}: ${code}`);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new ConfigError("--output", `must be a file, received the folder ${show(path)}`);
  }
}

/** Writes every tensor (.safetensors), or `prediction` of the first sample as rows (.csv). */
export async function writeOutputs(
  path: string,
  answer: Record<string, tf.Tensor>,
  inputs: PredictionInputs,
): Promise<void> {
  if (kindOf(path, "--output") === "safetensors") {
    return await writeFile(path, encodeSafetensors(await readTensors(answer)));
  }
  const { prediction } = answer;
  if (prediction.shape[0] !== 1 || prediction.rank > 3) {
    throw new ConfigError(
      "--output",
      `.csv takes one sample of rank at most 2, received shape [${prediction.shape}]; use .safetensors`,
    );
  }
  const width = prediction.rank === 3 ? prediction.shape[2]! : 1;
  const values = await prediction.data();
  const rows = values.length / width;
  const names = inputs.columns?.length === width
    ? inputs.columns
    : Array.from({ length: width }, (_, i) => `channel_${i}`);
  const stamps = inputs.times?.length === rows ? inputs.times : undefined;
  const lines = [[...(stamps === undefined ? [] : ["date"]), ...names].map(quote).join(",")];
  for (let row = 0; row < rows; row++) {
    const cells = Array.from(values.subarray(row * width, (row + 1) * width), String);
    lines.push([...(stamps === undefined ? [] : [stamp(stamps[row])]), ...cells].join(","));
  }
  await writeFile(path, new TextEncoder().encode(`${lines.join("\n")}\n`));
}

/** The time stamps of the rows that follow, when the inputs are evenly spaced. */
function following(times: Float64Array | undefined, rows: number): Float64Array | undefined {
  if (times === undefined || times.length < 2) return undefined;
  const step = times[1] - times[0];
  for (let i = 2; i < times.length; i++) if (times[i] - times[i - 1] !== step) return undefined;
  return Float64Array.from({ length: rows }, (_, i) => times[times.length - 1] + step * (i + 1));
}

function stamp(time: number): string {
  return new Date(time).toISOString().replace(/(\.000)?Z$/, "");
}

function quote(name: string): string {
  return /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}

function kindOf(path: string, option: string): "csv" | "safetensors" {
  if (path.endsWith(".csv")) return "csv";
  if (path.endsWith(".safetensors")) return "safetensors";
  throw new ConfigError(option, `must end in .csv or .safetensors, received ${show(path)}`);
}

function readBytes(path: string): Uint8Array {
  try {
    return fileSystem().readFileSync(path);
  } catch (error) {
    throw new DataError(
      `cannot read ${path}: ${(error as { code?: string }).code ?? String(error)}`,
    );
  }
}
