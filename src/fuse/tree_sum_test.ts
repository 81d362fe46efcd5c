import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { addTree } from "./tree_sum.ts";

/** The sum as leaves of an iteration are added: equal subtrees merge, the rest from the right. */
function counterSum(arrays: readonly Float32Array[]): Float32Array {
  return tf.tidy(() => {
    const tree: { sum: tf.Tensor; leaves: number }[] = [];
    const merge = () => {
      const right = tree.pop()!, left = tree.pop()!;
      tree.push({ sum: tf.add(left.sum, right.sum), leaves: left.leaves + right.leaves });
    };
    for (const array of arrays) {
      tree.push({ sum: tf.tensor(array), leaves: 1 });
      while (tree.length > 1 && tree[tree.length - 1].leaves === tree[tree.length - 2].leaves) {
        merge();
      }
    }
    while (tree.length > 1) merge();
    return tree[0].sum.dataSync().slice() as Float32Array;
  });
}

const bits = (values: Float32Array): number[] => [...new Uint32Array(values.slice().buffer)];

for (const [backend, shared] of [["wasm", false], ["wasm", true], ["cpu", true]] as const) {
  const kind = shared ? "shared" : "private";
  test(`addTree() on ${kind} memory gives the bits of tf.add in a binary counter on ${backend}`, async () => {
    await useBackend(backend);
    const counts = [...Array.from({ length: 20 }, (_, i) => i + 1), 64, 67];
    for (const [c, k] of counts.entries()) {
      for (const size of [1, 8, 37]) {
        const arrays = Array.from(
          { length: k },
          (_, i) => randomStream(7, i, size).normal(new Float32Array(size), 0, 10 ** (i % 5)),
        );
        const expected = bits(counterSum(arrays));
        const memory = new WebAssembly.Memory(
          shared ? { initial: 1, maximum: 1, shared } : { initial: 1 },
        );
        const heap = new Float32Array(memory.buffer);
        // An odd number of elements apart, so that most are aligned to 4 bytes only.
        const stride = size + 2 + size % 2;
        const sources = arrays.map((_, i) => 4 * (1 + stride * i));
        for (const target of [4 * (1 + stride * k), sources[0], sources[c % k]]) {
          heap.fill(7);
          arrays.forEach((array, i) => heap.set(array, sources[i] / 4));
          // Two slices, as two workers take them.
          const cut = Math.floor(size / 3);
          for (const [start, end] of [[0, cut], [cut, size]]) {
            const slice = sources.map((address) => address + 4 * start);
            addTree(memory, slice, target + 4 * start, end - start);
          }
          const sum = heap.slice(target / 4, target / 4 + size);
          assert.deepEqual(bits(sum), expected, `${k} arrays of ${size} to ${target}`);
          for (let i = 0; i <= k; i++) assert.equal(heap[stride * i], 7, "between the arrays");
          if (k > 8) continue;
          sources.forEach((address, i) => {
            if (address === target) return;
            const source = heap.slice(address / 4, address / 4 + size);
            assert.deepEqual(source, arrays[i], "sources of one loop stay");
          });
        }
      }
    }
  });
}
