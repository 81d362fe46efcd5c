/** Rows of kernel_rows.ts on tfjs' own wasm kernels, in a worker with a registry of its own. */
import "@tensorflow/tfjs-backend-wasm";
import * as tf from "../src/tensor/tf.ts";
import { prepared, ROWS } from "./kernel_rows.ts";

/** What the worker is asked: which rows cannot run here, or calls of one. */
export type Request = { readonly row: number; readonly calls: number } | "missing";

interface Scope {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(answer: readonly number[]): void;
}

const scope = globalThis as unknown as Scope;

function canRun(row: number): boolean {
  try {
    prepared(ROWS[row])();
    return true;
  } catch (error) {
    if (!`${error}`.includes("not registered")) throw error;
    return false;
  }
}

scope.onmessage = async ({ data }) => {
  await tf.setBackend("wasm");
  if (data === "missing") {
    // tfjs has every product of matrices, and its large ones take seconds.
    const all = [...ROWS.keys()].filter((row) => !ROWS[row].name.startsWith("matMul"));
    scope.postMessage(all.filter((row) => !canRun(row)));
    return;
  }
  const run = prepared(ROWS[data.row]);
  for (let i = 0; i < data.calls; i++) run();
  scope.postMessage([]);
};
