/** Our kernels on the wasm backend, and comparing them with the cpu backend. */
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import { hasFusedRelaxedSimd } from "../../src/backend/wasm_features.ts";
import type { KernelOptions } from "../../src/kernels/wasm/context.ts";
import { loadHostKernels } from "../../src/kernels/wasm/host.ts";
import { installKernels } from "../../src/kernels/wasm/install.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "./backend.ts";

/** Makes the wasm backend current, with our kernels. */
export async function useKernels(options: KernelOptions = {}): Promise<void> {
  await useBackend("wasm");
  await loadHostKernels();
  installKernels(options);
}

/** Without fused multiply-add, and with it where the runtime has it. */
export const modes: readonly boolean[] = hasFusedRelaxedSimd() ? [false, true] : [false];

/** Makes a backend current: tfjs' cpu and wasm with their own kernels, then wasm with ours. */
export const backends: readonly (readonly [string, () => Promise<void>])[] = [
  ["cpu", () => useBackend("cpu")],
  ["wasm", () => useBackend("wasm")],
  ...modes.map((fused) =>
    [`wasm, our kernels${fused ? ", fused" : ""}`, () => useKernels({ fused })] as const
  ),
];

/** The tensor's values, and it is disposed. */
export async function take(tensor: tf.Tensor): Promise<Float32Array | Int32Array | Uint8Array> {
  const values = await tensor.data();
  tensor.dispose();
  return values;
}

/** What `compute` answers on the cpu backend and on wasm, which is current afterwards. */
export async function onBoth(compute: () => tf.Tensor): Promise<{
  shape: number[];
  cpu: ArrayLike<number>;
  wasm: ArrayLike<number>;
}> {
  const results: [number[], ArrayLike<number>][] = [];
  for (const name of ["cpu", "wasm"] as const) {
    await useBackend(name);
    const tensor = tf.tidy(compute);
    results.push([tensor.shape, await take(tensor)]);
  }
  const [[shape, cpu], [wasmShape, wasm]] = results;
  if (`${shape}` !== `${wasmShape}`) throw new Error(`shape [${wasmShape}], expected [${shape}]`);
  return { shape, cpu, wasm };
}

/** |actual - exact| in units in the last place of a float32 near `exact`; equal NaN and Inf are 0. */
export function ulps(actual: number, exact: number): number {
  if (Object.is(actual, Math.fround(exact)) || (actual !== actual && exact !== exact)) return 0;
  if (!Number.isFinite(actual) || !Number.isFinite(Math.fround(exact))) return Infinity;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(exact))), -126);
  return Math.abs(actual - exact) / 2 ** (exponent - 23);
}

/** Numbers between -1 and 1 with full mantissas, the same for the same seed. */
export function noise(length: number, seed = 1): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}
