/** The register tiles of the matrix product, on operands that stay in the cache: what it can reach. */
import { instantiateKernels, type KernelExports } from "../src/kernels/wasm/module.ts";

/** A tile on one panel of each side, over and over. */
export interface RegisterTile {
  readonly name: string;
  /** Floating-point operations of a run. */
  readonly work: number;
  /** GFLOP/s of the best round. */
  readonly speed: number;
  readonly run: () => void;
}

/** Milliseconds a call. */
export function time(run: () => void, calls: number): number {
  const start = performance.now();
  for (let i = 0; i < calls; i++) run();
  return (performance.now() - start) / calls;
}

/** The tiles of the plain or the fused module, measured. */
export function registerTiles(isFused: boolean): RegisterTile[] {
  const memory = new WebAssembly.Memory({ initial: 8 });
  new Float32Array(memory.buffer).fill(0.5);
  const k = 256;
  const exports = instantiateKernels(memory, isFused);
  const names = Object.keys(exports).filter((key) => key.startsWith("f32_gemm_tile__"));
  return names.map((name) => {
    const [m, n] = name.slice("f32_gemm_tile__".length).split("x").map(Number);
    const tile = exports[name as keyof KernelExports] as KernelExports["f32_gemm_tile__4x8"];
    const run = (): void => tile(k, 64, 65536, 4 * n, 131072, 4 * n, 0);
    time(run, 30000);
    const ms = Math.min(...Array.from({ length: 60 }, () => time(run, 300)));
    return { name: `${m}x${n}`, work: 2 * m * n * k, run, speed: 2 * m * n * k / ms / 1e6 };
  });
}
