/**
 * The register tiles of the matrix product (as/gemm_tiles.ts), and which one a runtime runs fastest.
 *
 * Every tile gives the same bits, so the choice is one of speed alone. It is fixed: a measurement at
 * the start would time code that the runtime has not optimised yet.
 */
import { runtime } from "../../core/host.ts";

/** Rows * 100 + columns of each tile. */
export const TILES: readonly number[] = [408, 508, 608, 312];

/**
 * The fastest tile of bench/kernel_table.ts: V8 before version 12 (Node 20) spills more than eight
 * or nine sums, later ones keep twelve; JavaScriptCore gains a little by the wider one.
 */
export function fastestTile(fused: boolean): number {
  if (runtime === "node") return fused ? 312 : 408;
  if (runtime === "bun") return 312;
  return fused ? 608 : 508;
}
