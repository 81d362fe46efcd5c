/**
 * The forms of an update expression against one another and against float64.
 *
 * JavaScript and WebAssembly must give the bits of float32 arithmetic; of a NaN only that it is
 * one. WebGPU may fuse, flush subnormal numbers and assume that there are no NaNs and infinities:
 * it gets finite numbers and a wider bound.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { applyUpdate } from "../../src/fuse/apply.ts";
import { param as leaf, type Update } from "../../src/fuse/expression.ts";
import { updateArrays, updateMemory } from "../../src/fuse/memory.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import {
  elementOf,
  float32Value,
  float64Value,
  type Leaves,
  randomLeaves,
  randomNumbers,
  randomUpdate,
  slotNames,
} from "./fuse_cases.ts";

const SEED = 20250;
const scalars = { s: 0.3, t: -1.7 };
const rounding = { relative: 2 ** -24, absolute: 2 ** -149 };
const sizes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4095, 4096, 4097];

type Arrays = Leaves<Float32Array>;

const listOf = ({ param, gradient, slots }: Arrays): Float32Array[] => [
  param,
  gradient,
  ...slotNames.map((name) => slots[name]),
];

function fromList<T>([param, gradient, a, b]: T[]): Leaves<T> {
  return { param, gradient, slots: { a, b } };
}

/** A run of an update on copies of `leaves`: what is there afterwards. */
type Form = (update: Update, leaves: Arrays) => Arrays;

const javaScript: Form = (update, leaves) => {
  const arrays = fromList(listOf(leaves).map((array) => array.slice()));
  updateArrays(update, { ...arrays, scalars });
  return arrays;
};

const words = (bytes: number): number => Math.ceil(bytes / 65536);

/** On a memory, private or shared, each tensor behind a gap, in slices that end at `cuts`. */
function onMemory(shared: boolean, gap: number, cuts: (count: number) => number[]): Form {
  return (update, leaves) => {
    const arrays = listOf(leaves);
    const [{ length: count }] = arrays;
    const initial = words(4 * arrays.length * (count + gap) + 64);
    const memory = new WebAssembly.Memory(shared ? { initial, maximum: 99, shared } : { initial });
    const offsets = arrays.map((_, i) => (i + 1) * gap + i * count);
    const heap = new Float32Array(memory.buffer);
    heap.fill(7);
    arrays.forEach((array, i) => heap.set(array, offsets[i]));
    let start = 0;
    for (const end of [...cuts(count), count]) {
      const addresses = fromList(offsets.map((offset) => 4 * (offset + start)));
      updateMemory(update, memory, { ...addresses, scalars }, end - start);
      start = end;
    }
    for (const offset of offsets) assert.equal(heap[offset - 1], 7, "before the first element");
    assert.equal(heap[offsets[3] + count], 7, "after the last element");
    return fromList(offsets.map((offset) => heap.slice(offset, offset + count)));
  };
}

function assertSameBits(actual: Arrays, expected: Arrays, what: string): void {
  listOf(expected).forEach((array, k) => {
    const other = listOf(actual)[k];
    assert.equal(other.length, array.length);
    const i = array.findIndex((value, i) => !Object.is(value, other[i]));
    assert.equal(i, -1, `${what}, tensor ${k}[${i}]: ${other[i]}, expected ${array[i]}`);
  });
}

/** The float32 bits that every form must give. */
function expectedBits(update: Update, leaves: Arrays): Arrays {
  const results = fromList(listOf(leaves).map((array) => array.slice()));
  for (let i = 0; i < leaves.param.length; i++) {
    const element = elementOf(leaves, i);
    results.param[i] = float32Value(update.param!, element, scalars);
    for (const [name, e] of Object.entries(update.slots!)) {
      results.slots[name][i] = float32Value(e, element, scalars);
    }
  }
  return results;
}

test(`JavaScript and WASM give the float32 bits of 300 random updates (seed ${SEED})`, () => {
  const random = randomNumbers(SEED);
  for (let k = 0; k < 300; k++) {
    const update = randomUpdate(random);
    const leaves = randomLeaves(random, 1 + random() * 40 | 0, true);
    const expected = expectedBits(update, leaves);
    const what = `update ${k} ${JSON.stringify(update)}`;
    assertSameBits(javaScript(update, leaves), expected, `${what} in JavaScript`);
    const wasm = onMemory(false, 1 + k % 5, () => []);
    assertSameBits(wasm(update, leaves), expected, `${what} in WASM`);
  }
});

test(`JavaScript and WASM stay within the float32 error of float64 (seed ${SEED + 1})`, () => {
  const random = randomNumbers(SEED + 1);
  let checked = 0, all = 0;
  for (let k = 0; k < 300; k++) {
    const update = randomUpdate(random);
    const leaves = randomLeaves(random, 32, false);
    const results = [javaScript(update, leaves), onMemory(false, 3, () => [])(update, leaves)];
    for (let i = 0; i < 32; i++) {
      const { value, error } = float64Value(update.param!, elementOf(leaves, i), scalars, rounding);
      all++;
      if (error < 1e-3 * (1 + Math.abs(value))) checked++;
      if (error === Infinity || Number.isNaN(value) || Number.isNaN(error)) continue;
      for (const { param } of results) {
        assert.ok(
          Math.abs(param[i] - value) <= error * (1 + 1e-6),
          `update ${k}: ${param[i]}, expected ${value} within ${error}: ${JSON.stringify(update)}`,
        );
      }
    }
  }
  assert.ok(checked > 0.7 * all, `${checked} of ${all} have a tight bound`);
});

for (const shared of [false, true]) {
  const kind = shared ? "shared" : "private";
  test(`updates give the same bits for every size and cut on ${kind} memory`, () => {
    const random = randomNumbers(SEED + 2);
    for (const size of sizes) {
      const update = randomUpdate(random);
      const leaves = randomLeaves(random, size, true);
      const whole = expectedBits(update, leaves);
      const cuts = (count: number) =>
        Array.from({ length: 3 }, () => random() * (count + 1) | 0).sort((a, b) => a - b);
      assertSameBits(javaScript(update, leaves), whole, `${size} in JavaScript`);
      for (const gap of [1, 2, 3, 4]) {
        const what = `${size} elements behind a gap of ${gap}`;
        assertSameBits(onMemory(shared, gap, () => [])(update, leaves), whole, what);
        assertSameBits(onMemory(shared, gap, cuts)(update, leaves), whole, `${what}, cut`);
      }
    }
  });
}

/** On a memory, in slices, from the first half of it to the second: what is there afterwards. */
function elsewhere(shared: boolean, gap: number, ends: readonly number[]): Form {
  return (update, leaves) => {
    const arrays = listOf(leaves);
    const [{ length: count }] = arrays;
    const initial = words(8 * arrays.length * (count + gap) + 64);
    const memory = new WebAssembly.Memory(shared ? { initial, maximum: 99, shared } : { initial });
    const offsets = [...arrays, ...arrays].map((_, i) => (i + 1) * gap + i * count);
    const heap = new Float32Array(memory.buffer);
    heap.fill(7);
    arrays.forEach((array, i) => heap.set(array, offsets[i]));
    let start = 0;
    for (const end of [...ends, count]) {
      const places = offsets.map((offset) => 4 * (offset + start));
      const { param, slots } = fromList(places.slice(arrays.length));
      const operands = { ...fromList(places), scalars };
      updateMemory(update, memory, operands, end - start, { param, slots });
      start = end;
    }
    const results = offsets.map((offset) => heap.slice(offset, offset + count));
    assertSameBits(fromList(results), leaves, "what was read");
    for (const offset of offsets) assert.equal(heap[offset - 1], 7, "before the first element");
    assert.equal(heap[offsets[7] + count], 7, "after the last element");
    const targets = fromList(results.slice(arrays.length));
    assert.ok(targets.gradient.every((value) => value === 7), "nothing is written to a gradient");
    return { ...targets, gradient: leaves.gradient };
  };
}

/** In JavaScript to arrays of their own, in slices. */
const elsewhereInArrays = (ends: readonly number[]): Form => (update, leaves) => {
  const { param, gradient, slots } = fromList(
    listOf(leaves).map((a) => new Float32Array(a.length)),
  );
  let start = 0;
  for (const end of [...ends, param.length]) {
    updateArrays(update, { ...leaves, scalars }, start, end, { param, slots });
    start = end;
  }
  assert.ok(gradient.every((value) => value === 0));
  return { param, slots, gradient: leaves.gradient };
};

test("updates that write elsewhere give the bits of those in place and copy what they leave", () => {
  const random = randomNumbers(SEED + 5);
  for (const size of sizes) {
    for (let k = 0; k < 4; k++) {
      const { param, slots } = randomUpdate(random);
      const update: Update = k < 3 ? { param, slots } : { slots };
      const leaves = randomLeaves(random, size, true);
      const expected = expectedBits({ param: leaf, ...update }, leaves);
      const before = listOf(leaves).map((array) => array.slice());
      const ends = [0, 1, 2].map(() => random() * (size + 1) | 0).sort((a, b) => a - b);
      const what = `${size} elements`;
      for (const shared of [false, true]) {
        assertSameBits(elsewhere(shared, 1 + k, [])(update, leaves), expected, what);
        assertSameBits(elsewhere(shared, 1 + k, ends)(update, leaves), expected, `${what}, cut`);
      }
      assertSameBits(elsewhereInArrays(ends)(update, leaves), expected, `${what} in JavaScript`);
      assertSameBits(leaves, fromList(before), "what was read");
    }
  }
});

test("updateMemory() gives the same bits where there is no SIMD", () => {
  const random = randomNumbers(SEED + 6);
  const { validate } = WebAssembly;
  let refused = 0;
  WebAssembly.validate = () => (refused++, false);
  try {
    for (let k = 0; k < 20; k++) {
      const update = randomUpdate(random);
      const leaves = randomLeaves(random, 1000, true);
      const expected = expectedBits(update, leaves);
      assertSameBits(
        onMemory(k % 2 === 0, 3, () => [5, 700])(update, leaves),
        expected,
        "in place",
      );
      assertSameBits(elsewhere(k % 2 === 0, 3, [5, 700])(update, leaves), expected, "elsewhere");
    }
  } finally {
    WebAssembly.validate = validate;
  }
  assert.ok(refused > 10, `${refused} loops in JavaScript`);
});

test("updateArrays() works on slices of shared memory", () => {
  const random = randomNumbers(SEED + 3);
  const update = randomUpdate(random);
  const leaves = randomLeaves(random, 2000, true);
  const shared = fromList(
    listOf(leaves).map((array) => {
      const copy = new Float32Array(new SharedArrayBuffer(array.byteLength));
      copy.set(array);
      return copy;
    }),
  );
  for (const [start, end] of [[0, 1], [1, 700], [700, 1999], [1999, 2000]]) {
    updateArrays(update, { ...shared, scalars }, start, end);
  }
  assertSameBits(shared, expectedBits(update, leaves), "in four slices");
});

for (const backend of ["cpu", "wasm"] as const) {
  test(`applyUpdate() gives the float32 bits for every size on ${backend}`, async () => {
    await useBackend(backend);
    const random = randomNumbers(SEED + 4);
    const before = tf.memory().numTensors;
    for (const [size, shared] of sizes.flatMap((size) => [[size, true], [size, false]] as const)) {
      const update = randomUpdate(random);
      const leaves = randomLeaves(random, size, true);
      const initial = listOf(leaves).map((array) => tf.tensor(array.slice()));
      const gradient = tf.clone(initial[1]);
      const [param, a, b] = [0, 2, 3].map((k) => tf.variable(initial[k]));
      if (!shared) tf.dispose(initial);
      applyUpdate(update, { param, gradient, slots: { a, b }, scalars });
      const read = (tensors: tf.Tensor[]) =>
        fromList(tensors.map((tensor) => tensor.dataSync() as Float32Array));
      const what = `${size} elements, ${shared ? "shared" : "own"} data`;
      assertSameBits(read([param, gradient, a, b]), expectedBits(update, leaves), what);
      if (shared) assertSameBits(read(initial), leaves, `${what}, those kept`);
      tf.dispose([...initial, param, gradient, a, b]);
    }
    assert.equal(tf.memory().numTensors, before);
  });
}
