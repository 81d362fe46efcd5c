import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import { squareBlocksMemory } from "./block_squares.ts";
import { addTreeSquares } from "./tree_squares.ts";
import { addTree } from "./tree_sum.ts";

test("addTreeSquares() gives the bits of addTree() and squareBlocksMemory()", async () => {
  await useBackend("wasm");
  for (const shared of [false, true]) {
    for (const k of [2, 3, 4, 5, 7, 8, 9, 17]) {
      for (const size of [0, 5, 4096, 4096 * 2 + 13]) {
        const length = 1 + k * size;
        const initial = Math.ceil(4 * length / 65536);
        const [apart, together] = [0, 1].map(() =>
          new WebAssembly.Memory(shared ? { initial, maximum: initial, shared } : { initial })
        );
        const values = randomStream(3, k, size).normal(new Float32Array(length), 0, 1e3);
        for (const { buffer } of [apart, together]) new Float32Array(buffer).set(values);
        // Aligned to 4 bytes only; the sum replaces an array.
        const sources = Array.from({ length: k }, (_, i) => 4 * (1 + i * size));
        const target = sources[k % 2];
        const blocks = 2 + Math.ceil(size / 4096);
        const [expected, squares] = [0, 1].map(() => new Float64Array(blocks).fill(7));

        addTree(apart, sources, target, size);
        squareBlocksMemory(apart, target, size, expected, 1);
        addTreeSquares(together, sources, target, size, squares, 1);

        assert.deepEqual(squares, expected, `squares of ${k} arrays of ${size}`);
        const bits = [apart, together].map(({ buffer }) => new Uint32Array(buffer, 0, length));
        assert.deepEqual(bits[1], bits[0], `sum of ${k} arrays of ${size}`);
      }
    }
  }
});
