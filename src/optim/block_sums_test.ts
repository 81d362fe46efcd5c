import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import {
  blockCount,
  blockSquares,
  hostSquaredNorm,
  squareBlocksMemory,
  treeSum,
} from "./block_sums.ts";

const draw = (size: number, std = 1): Float32Array =>
  randomStream(9, size).normal(new Float32Array(size), 0, std);

const sizes = [0, 1, 7, 8, 9, 63, 4095, 4096, 4097, 8192, 20001];

function onArrays(values: Float32Array): Float64Array {
  const out = new Float64Array(blockCount(values.length));
  blockSquares(values, 0, values.length, out, 0);
  return out;
}

test("blockSquares() gives each block's sum of squares, within float64's rounding", () => {
  for (const size of sizes) {
    const values = draw(size, 1e3);
    const out = onArrays(values);
    out.forEach((sum, b) => {
      const block = values.subarray(4096 * b, 4096 * (b + 1));
      const exact = block.reduce((sum, x) => sum + x * x, 0);
      assert.ok(Math.abs(sum - exact) <= 1e-13 * exact, `${size}: ${sum}, expected ${exact}`);
    });
  }
});

test("blockSquares() gives the same bits for any slice, in JavaScript and in WebAssembly", () => {
  for (const shared of [false, true]) {
    for (const size of sizes) {
      const values = draw(size);
      const whole = onArrays(values);
      for (const gap of [1, 4]) {
        const pages = Math.ceil((4 * (size + gap) + 64) / 65536);
        const memory = new WebAssembly.Memory(
          shared ? { initial: pages, maximum: pages, shared } : { initial: pages },
        );
        const heap = new Float32Array(memory.buffer);
        heap.fill(7);
        heap.set(values, gap);
        for (const blocks of [1, 2, 100]) {
          const [arrays, wasm] = [0, 1].map(() => new Float64Array(whole.length + 1));
          for (let start = 0; start < size; start += 4096 * blocks) {
            const end = Math.min(size, start + 4096 * blocks), at = start / 4096;
            blockSquares(values, start, end, arrays, at);
            squareBlocksMemory(memory, 4 * (gap + start), end - start, wasm, at);
          }
          assert.deepEqual(arrays, Float64Array.of(...whole, 0), `${size} in JavaScript`);
          assert.deepEqual(wasm, arrays, `${size} on memory behind ${gap}`);
        }
      }
    }
  }
});

test("treeSum() adds n values as those below the largest power of two under n, and the rest", () => {
  const [a, b, c, d, e, f, g] = draw(7, 1e8);
  const rows: [number[], number][] = [
    [[], 0],
    [[a], a],
    [[a, b], a + b],
    [[a, b, c], (a + b) + c],
    [[a, b, c, d], (a + b) + (c + d)],
    [[a, b, c, d, e], ((a + b) + (c + d)) + e],
    [[a, b, c, d, e, f, g], ((a + b) + (c + d)) + ((e + f) + g)],
  ];
  for (const [values, sum] of rows) {
    assert.equal(treeSum(values), sum);
    assert.equal(treeSum(Float64Array.from(values)), sum);
  }
});

/** The same in every runtime and on both backends. */
const EXPECTED = 24110.966407571832;

for (const backend of ["cpu", "wasm"] as const) {
  test(`hostSquaredNorm() has one value to the bit on ${backend}, and keeps what is not finite`, async () => {
    await useBackend(backend);
    const tensors = [
      tf.tensor(draw(20001), [3, 6667]),
      tf.tensor([]),
      tf.tensor(draw(4096)),
      tf.tensor([3, -4], [2], "int32"),
      tf.tensor(draw(5)),
    ];
    const before = tf.memory().numTensors;
    const norm = hostSquaredNorm(tensors);
    assert.equal(norm, EXPECTED);
    let exact = 0;
    for (const tensor of tensors) for (const x of tensor.dataSync()) exact += x * x;
    assert.ok(Math.abs(norm - exact) < 1e-12 * exact, `${norm}, expected ${exact}`);
    assert.equal(hostSquaredNorm([]), 0);
    const rows: [number, number][] = [
      [3e38, 2 * Math.fround(3e38) ** 2],
      [Infinity, Infinity],
      [NaN, NaN],
    ];
    for (const [value, sum] of rows) {
      const large = tf.fill([9000], 0);
      const ends = tf.tensor([value, 0, value]);
      assert.equal(hostSquaredNorm([large, ends]), sum);
      tf.dispose([large, ends]);
    }
    assert.equal(tf.memory().numTensors, before);
    tf.dispose(tensors);
  });
}

test("hostSquaredNorm() follows tensors that lie on another backend", async () => {
  await useBackend("cpu");
  const tensor = tf.tensor(draw(9000));
  const expected = hostSquaredNorm([tensor]);
  await useBackend("wasm");
  assert.equal(hostSquaredNorm([tensor]), expected);
  tensor.dispose();
});
