/** The workloads on tfjs' own wasm backend and optimizer, in a worker with a registry of its own. */
import "@tensorflow/tfjs-backend-wasm";
import * as tf from "../src/tensor/tf.ts";
import { lossAfter, type Steps, withAdam } from "./step_variants.ts";
import { workloads } from "./workloads.ts";

/** What the worker is asked: prepare a workload and answer a loss, or time steps of the last one. */
export type Request =
  | { readonly prepare: string; readonly checkSteps: number; readonly backend: "cpu" | "wasm" }
  | { readonly time: number };

/** The answer; `error` where the workload cannot run. */
export interface Answer {
  readonly value?: number;
  readonly error?: string;
}

interface Scope {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(answer: Answer): void;
}

const scope = globalThis as unknown as Scope;
let steps: Steps = () => 0;

async function answer(request: Request): Promise<number> {
  if ("time" in request) return steps(request.time);
  const { prepare, checkSteps, backend } = request;
  if (backend === "cpu") await import("@tensorflow/tfjs-backend-cpu");
  await tf.setBackend(backend);
  tf.disposeVariables();
  const checked = workloads[prepare]();
  const loss = lossAfter(checkSteps, checked, checked.plain);
  const workload = workloads[prepare]();
  steps = withAdam(workload, workload.plain);
  return loss;
}

scope.onmessage = async ({ data }) => {
  try {
    scope.postMessage({ value: await answer(data) });
  } catch (error) {
    scope.postMessage({ error: (error as Error).message.split("\n")[0] });
  }
};
