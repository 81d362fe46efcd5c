/** Sums of arrays in a fixed binary tree, whoever adds them and in whatever slices. */
import { add, type Expression, slot, type Update } from "./expression.ts";
import { updateMemory } from "./memory.ts";

/** Arrays in one loop; a power of two, so that groups of them are subtrees. */
const WIDTH = 8;

/** Where a subtree of `count` >= 2 leaves splits: the largest power of two below. */
export const splitOf = (count: number): number => 1 << 31 - Math.clz32(count - 1);

/**
 * target[i] = sources[0][i] + ... + sources[k - 1][i] in float32, in the tree of a binary counter:
 * equal subtrees merge, then what is left merges from the right, so that k arrays split at the
 * largest power of two below k.
 *
 * @param sources Addresses of `count` elements each in bytes, multiples of 4, at least one. Beyond
 * eight arrays they are overwritten by sums of them.
 * @param target May be one of the sources.
 */
export function addTree(
  memory: WebAssembly.Memory,
  sources: readonly number[],
  target: number,
  count: number,
): void {
  addFew(memory, addGroups(memory, sources, count), target, count);
}

/** Adds groups of arrays up, each into its first, until they are few enough for one loop; answers those left. */
export function addGroups(
  memory: WebAssembly.Memory,
  sources: readonly number[],
  count: number,
): readonly number[] {
  let level = sources;
  while (level.length > WIDTH) {
    const sums: number[] = [];
    for (let i = 0; i < level.length; i += WIDTH) {
      sums.push(level[i]);
      addFew(memory, level.slice(i, i + WIDTH), level[i], count);
    }
    level = sums;
  }
  return level;
}

function addFew(
  memory: WebAssembly.Memory,
  sources: readonly number[],
  target: number,
  count: number,
): void {
  const [first] = sources;
  if (sources.length > 1) {
    const slots = Object.fromEntries(sources.map((address, k) => [k, address]));
    const operands = { param: first, gradient: first, slots, scalars: {} };
    updateMemory(updateOf(sources.length), memory, operands, count, { slots: { 0: target } });
  } else if (first !== target) {
    new Uint8Array(memory.buffer).copyWithin(target, first, first + 4 * count);
  }
}

const updates: Update[] = [];

/** Slot 0 becomes the sum of slots 0 to k - 1. */
function updateOf(k: number): Update {
  return updates[k] ??= { slots: { 0: sumOf(0, k) } };
}

function sumOf(start: number, end: number): Expression {
  const count = end - start;
  if (count === 1) return slot(`${start}`);
  const middle = start + splitOf(count);
  return add(sumOf(start, middle), sumOf(middle, end));
}
