/** The files of a run that say what it is and how it ended. */
import type { Store } from "../checkpoint/store.ts";
import { nameNonFinite } from "../report/json_lines.ts";
import type { Summary } from "./state.ts";

/** Writes a plain value for people to read; NaN and infinities as strings. */
export async function writeJson(store: Store, name: string, value: unknown): Promise<void> {
  const text = `${JSON.stringify(value, nameNonFinite, 2)}\n`;
  await store.write(name, new TextEncoder().encode(text));
}

/** The summary that a run has left, undefined if there is none that can be read. */
export async function readSummary(store: Store): Promise<Summary | undefined> {
  const bytes = await store.read("summary.json");
  try {
    return bytes && JSON.parse(new TextDecoder().decode(bytes)) as Summary;
  } catch {
    return undefined;
  }
}

/** Removes what an earlier run in the same place has reported. */
export async function clearReports(store: Store): Promise<void> {
  for (const name of ["summary.json", "predictions.safetensors"]) await store.remove(name);
  for (const name of await store.list("tensorboard")) await store.remove(`tensorboard/${name}`);
}
