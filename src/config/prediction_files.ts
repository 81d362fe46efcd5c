/** Inputs and outputs of `downhill predict`: CSV of the newest window, or safetensors of any batch. */
import { decodeSafetensors, encodeSafetensors } from "../checkpoint/safetensors.ts";
import { readTensors } from "../checkpoint/tensors.ts";
import { ConfigError, DataError, show } from "../core/errors.ts";
import { fileSystem, pathModule } from "../core/host.ts";
import { readCsv } from "../data/csv.ts";
import type { HostArray } from "../data/dataset.ts";
import { ForecastingCsv, ForecastingSplits } from "../data/forecasting.ts";
import type * as tf from "../tensor/tf.ts";
import type { IterationRunner } from "./iteration_runner.ts";

/** What was read, with what the CSV writer needs to name rows and columns. */
export interface PredictionInputs {
  readonly fields: { readonly inputs: HostArray; readonly [field: string]: HostArray };
  readonly columns: readonly string[] | undefined;
  readonly times: Float64Array | undefined;
}

/**
 * A .csv file gives one window: its last `inputLength` rows (all rows if the run's data has no
 * such length). A .safetensors file gives its tensors as fields, `inputs` among them.
 */
export function readInputs(path: string, runner: IterationRunner): PredictionInputs {
  const kind = kindOf(path, "--input");
  if (kind === "csv") {
    const { data } = runner;
    const wanted = data instanceof ForecastingCsv ? data.columns : undefined;
    const { columns, times, values } = readCsv({
      path: pathModule().resolve(path),
      columns: wanted,
    });
    const rows = values.length / columns.length;
    const length = data instanceof ForecastingSplits ? data.inputLength : rows;
    if (rows < length) {
      throw new DataError(`${path}: must have at least ${length} rows, received ${rows}`);
    }
    const window = values.subarray((rows - length) * columns.length);
    return {
      fields: { inputs: { data: window, shape: [1, length, columns.length], dtype: "float32" } },
      columns,
      times: times?.subarray(rows - length),
    };
  }
  const { tensors } = decodeSafetensors(new Uint8Array(readBytes(path)), path);
  if (tensors.inputs === undefined) {
    throw new DataError(
      `${path}: must have a tensor named inputs, received ${show(Object.keys(tensors))}`,
    );
  }
  const fields = Object.fromEntries(
    Object.entries(tensors).map(([name, { data, shape, dtype }]) => {
      if (dtype !== "F32" && dtype !== "I32") {
        throw new DataError(`${path}: ${name} must be F32 or I32, received ${dtype}`);
      }
      return [name, {
        data: data as Float32Array,
        shape,
        dtype: dtype === "F32" ? "float32" as const : "int32" as const,
      }];
    }),
  );
  return { fields: fields as PredictionInputs["fields"], columns: undefined, times: undefined };
}

/** Writes every tensor (.safetensors), or `prediction` of the first sample as rows (.csv). */
export async function writeOutputs(
  path: string,
  answer: Record<string, tf.Tensor>,
  inputs: PredictionInputs,
): Promise<void> {
  if (kindOf(path, "--output") === "safetensors") {
    fileSystem().writeFileSync(path, encodeSafetensors(await readTensors(answer)));
    return;
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
  const times = nextTimes(inputs.times, rows);
  const lines = [[...(times === undefined ? [] : ["date"]), ...names].map(quote).join(",")];
  for (let row = 0; row < rows; row++) {
    const cells = Array.from(values.subarray(row * width, (row + 1) * width), String);
    lines.push([...(times === undefined ? [] : [times[row]]), ...cells].join(","));
  }
  fileSystem().writeFileSync(path, `${lines.join("\n")}\n`);
}

/** The time stamps that follow, when the inputs are evenly spaced. */
function nextTimes(times: Float64Array | undefined, rows: number): string[] | undefined {
  if (times === undefined || times.length < 2) return undefined;
  const step = times[1] - times[0];
  for (let i = 2; i < times.length; i++) if (times[i] - times[i - 1] !== step) return undefined;
  return Array.from(
    { length: rows },
    (_, i) => new Date(times[times.length - 1] + step * (i + 1)).toISOString().slice(0, 19),
  );
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
