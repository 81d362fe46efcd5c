/** What the chunks of a gradient say of it: the same numbers in every thread. */
import { blockCount, treeSum } from "../optim/block_sums.ts";
import { BinaryCounter } from "../runner/binary_counter.ts";
import type { Arena } from "./arena.ts";
import { HEADER } from "./layout.ts";
import type { Turn } from "./protocol.ts";

/** Sums over a batch. */
export interface ChunkTotals {
  readonly lossSum: number;
  readonly count: number;
  /** The squared norm of the gradient. */
  readonly square: number;
  /** For each gradient whether there is one. */
  readonly present: readonly boolean[];
}

/** The totals of `chunks` chunks, added in the tree of the leaves. */
export function chunkTotals(arena: Arena, turn: Turn, chunks: number): ChunkTotals {
  const { layout } = arena;
  const losses = new BinaryCounter<number>((a, b) => Math.fround(a + b));
  const counts = new BinaryCounter<{ value: number; exact: boolean }>((a, b) => {
    const exact = a.exact && b.exact;
    const sum = exact
      ? a.value + b.value
      : Math.fround(Math.fround(a.value) + Math.fround(b.value));
    return { value: sum, exact };
  });
  const present = new Array<boolean>(layout.gradients.length).fill(false);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const header = arena.headerOf(chunk, turn);
    losses.push(header[HEADER.loss]);
    counts.push({ value: header[HEADER.count], exact: header[HEADER.countIsTensor] === 0 });
    arena.presentIn(chunk, turn).forEach((is, g) => present[g] ||= is === 1);
  }
  const squares = layout.gradients.flatMap(({ block, size }, g) => {
    const blocks = present[g] ? blockCount(size) : 0;
    return [...arena.doublesAt(arena.squaresAt(turn) + 8 * block, blocks)];
  });
  return {
    lossSum: losses.total(),
    count: counts.total().value,
    square: treeSum(squares),
    present,
  };
}
