import { strict as assert } from "node:assert";
import { test } from "node:test";
import { randomStream } from "../core/random.ts";
import { ArrayDataset, type ArrayField } from "./array_dataset.ts";
import { rowSize } from "./batch.ts";

test("ArrayDataset.gather() copies rows of every dtype and rank", () => {
  const data = new ArrayDataset({
    scalar: { data: Int32Array.of(10, 11, 12), shape: [3] },
    matrix: { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2] },
    image: { data: Uint8Array.of(0, 1, 2, 3, 4, 255), shape: [3, 1, 2], dtype: "float32" },
    flag: { data: Uint8Array.of(1, 0, 1), shape: [3], dtype: "bool" },
    plain: { data: [0.5, -1, 2], shape: [3, 1] },
  });
  assert.equal(data.length, 3);
  const batch = data.gather([2, 0, 2]);
  assert.deepEqual(batch, {
    scalar: { data: Int32Array.of(12, 10, 12), shape: [3], dtype: "int32" },
    matrix: { data: Float32Array.of(5, 6, 1, 2, 5, 6), shape: [3, 2], dtype: "float32" },
    image: { data: Uint8Array.of(4, 255, 0, 1, 4, 255), shape: [3, 1, 2], dtype: "float32" },
    flag: { data: Uint8Array.of(1, 1, 1), shape: [3], dtype: "bool" },
    plain: { data: Float32Array.of(2, 0.5, 2), shape: [3, 1], dtype: "float32" },
  });
  batch.matrix.data.fill(0);
  assert.deepEqual(data.gather([0]).matrix.data, Float32Array.of(1, 2));
});

test("ArrayDataset.subset() shares memory and gathers the same rows, for random shapes", () => {
  const random = randomStream(5);
  for (let round = 0; round < 50; round++) {
    const n = 1 + random.integer(9);
    const shape = [n, ...Array.from({ length: random.integer(3) }, () => 1 + random.integer(4))];
    const data = random.uniform(new Float32Array(n * rowSize(shape)));
    const whole = new ArrayDataset({ x: { data, shape } });
    const start = random.integer(n + 1);
    const end = start + random.integer(n - start + 1);
    const part = whole.subset(start, end);
    assert.equal(part.length, end - start);
    assert.equal(part.fields.x.data.buffer, data.buffer);
    const indices = Array.from({ length: part.length }, (_, i) => part.length - 1 - i);
    assert.deepEqual(part.gather(indices), whole.gather(indices.map((i) => start + i)));
  }
});

test("ArrayDataset names the fault in one line", () => {
  const rows: [Record<string, unknown>, RegExp][] = [
    [{}, /at least one field, received none/],
    [{ x: 3 }, /^field "x": must be \{ data, shape \}, received 3$/],
    [{ x: [1, 2] }, /^field "x": must be \{ data, shape \}, received \[1,2\]$/],
    [{ x: { data: [1, 2, 3], shape: [2] } }, /^field "x": shape \[2\] needs 2 values, received 3$/],
    [{ x: { data: [1], shape: [] } }, /^field "x": shape must be .* received \[\]$/],
    [{ x: { data: new Float64Array(1), shape: [1] } }, /received a Float64Array of length 1$/],
    [{ x: { data: "a", shape: [1] } }, /array of numbers, received "a"$/],
    [
      { x: { data: [1, 2, 3, "a"], shape: [2, 2] } },
      /^field "x", row 1: must be a float32 number, or NaN where missing, received "a"$/,
    ],
    [{ x: { data: [1, 1e39], shape: [2] } }, /^field "x", row 1: must be a float32 .* 1e\+39$/],
    [
      { x: { data: Float32Array.of(NaN, -Infinity), shape: [2] } },
      /^field "x", row 1: must be a float32 number, or NaN where missing, received -Infinity$/,
    ],
    [
      { x: { data: [1, 1.5], shape: [2], dtype: "int32" } },
      /^field "x", row 1: must be a 32-bit integer, received 1\.5$/,
    ],
    [
      { x: { data: [1, 2 ** 33 + 1], shape: [2], dtype: "int32" } },
      /^field "x", row 1: must be a 32-bit integer, received 8589934593$/,
    ],
    [
      { x: { data: Float32Array.of(0.5), shape: [1], dtype: "int32" } },
      /^field "x", row 0: must be a 32-bit integer, received 0\.5$/,
    ],
    [
      { x: { data: [2], shape: [1], dtype: "bool" } },
      /^field "x", row 0: must be 0 or 1, rec.* 2$/,
    ],
    [
      { x: { data: [1], shape: [1], dytpe: "int32" } },
      /^field "x": unknown option "dytpe"; did you mean 'dtype'\? known: data, shape, dtype$/,
    ],
    [{ x: { data: [1], shape: [1], dtype: "int8" } }, /dtype must be one of .* received "int8"$/],
    [
      { x: { data: [1, 2], shape: [2] }, y: { data: [1], shape: [1] } },
      /equal first axes, received x 2, y 1$/,
    ],
  ];
  for (const [fields, message] of rows) {
    assert.throws(() => new ArrayDataset(fields as Record<string, ArrayField>), {
      name: "DataError",
      message,
    });
  }
  const data = new ArrayDataset({ x: { data: [1, 2], shape: [2] } });
  for (const index of [-1, 2, 0.5, NaN]) {
    assert.throws(() => data.gather([0, index]), {
      name: "RangeError",
      message: `a sample index must be an integer in [0, 2), received ${index}`,
    });
  }
  assert.throws(() => data.subset(1, 3), /subset of 2 samples must lie in it, received 1 to 3/);
});
