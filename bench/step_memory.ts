/** What training steps of a reference workload leave behind, in tfjs, the wasm heap and JavaScript's. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import process from "node:process";
import * as tf from "../src/tensor/tf.ts";
import { withAdamW } from "./step_variants.ts";
import { workloads } from "./workloads.ts";

/** Memory after some steps. */
export interface Memory {
  readonly steps: number;
  /** Of `tf.memory()`. */
  readonly tensors: number;
  readonly tensorBytes: number;
  /** Blocks of the wasm heap that were taken and not given back since the first step. */
  readonly blocks: number;
  /** The size of the wasm heap, which never shrinks. */
  readonly heapBytes: number;
  /** In use by JavaScript, after a collection of garbage. */
  readonly scriptBytes: number;
}

/** The part of tfjs' wasm backend that takes and gives memory. */
interface Heap {
  readonly asm: { readonly memory: WebAssembly.Memory };
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/**
 * Trains the workload on the current wasm backend with the library's AdamW, in plain ops or with
 * `nn`, and looks at the memory after each count of steps in `stops`.
 */
export async function memoryOfSteps(
  name: string,
  variant: "plain" | "fused",
  stops: readonly number[],
  seen: (memory: Memory) => void = () => {},
): Promise<Memory[]> {
  const workload = workloads[name]();
  const steps = withAdamW(workload, workload[variant]!);
  const heap = (tf.backend() as unknown as { wasm: Heap }).wasm;
  const blocks = new Set<number>();
  const { _malloc: take, _free: free } = heap;
  heap._malloc = (bytes) => {
    const address = take(bytes);
    blocks.add(address);
    return address;
  };
  heap._free = (address) => {
    blocks.delete(address);
    free(address);
  };
  const result: Memory[] = [];
  try {
    let done = 0;
    for (const stop of stops) {
      // The event loop turns between pieces, as it does in a run.
      for (; done < stop; done += Math.min(50, stop - done)) {
        steps(Math.min(50, stop - done));
        await new Promise((resolve) => setTimeout(resolve));
      }
      const { numTensors, numBytes } = tf.memory();
      result.push({
        steps: done,
        tensors: numTensors,
        tensorBytes: numBytes,
        blocks: blocks.size,
        heapBytes: heap.asm.memory.buffer.byteLength,
        scriptBytes: scriptBytes(),
      });
      seen(result.at(-1)!);
    }
  } finally {
    Object.assign(heap, { _malloc: take, _free: free });
  }
  return result;
}

/** What JavaScript's heap holds once garbage is collected. */
function scriptBytes(): number {
  const { Bun } = globalThis as { Bun?: { gc(isForced: boolean): void } };
  if (Bun) Bun.gc(true);
  else {
    setFlagsFromString("--expose-gc");
    (runInNewContext("gc") as () => void)();
  }
  return process.memoryUsage().heapUsed;
}
