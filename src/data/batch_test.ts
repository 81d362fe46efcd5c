import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import * as tf from "../tensor/tf.ts";
import { batchSize, ownBatch, sliceBatch, stackSamples, toTensors } from "./batch.ts";
import type { Allocate, HostBatch } from "./dataset.ts";

const batch: HostBatch = {
  x: { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2], dtype: "float32" },
  label: { data: Int32Array.of(7, 8, 9), shape: [3], dtype: "int32" },
};

test("sliceBatch() gives views of the same memory", () => {
  const part = sliceBatch(batch, 1, 3);
  assert.deepEqual(part, {
    x: { data: Float32Array.of(3, 4, 5, 6), shape: [2, 2], dtype: "float32" },
    label: { data: Int32Array.of(8, 9), shape: [2], dtype: "int32" },
  });
  assert.equal(part.x.data.buffer, batch.x.data.buffer);
  assert.equal(batchSize(sliceBatch(batch, 2, 2)), 0);
  assert.throws(
    () => sliceBatch(batch, 1, 4),
    /slice of 3 samples must lie in it, received 1 to 4/,
  );
});

test("ownBatch() copies what lies elsewhere than in the arrays that it gives", async () => {
  const given: unknown[] = [];
  const allocate: Allocate = (type, length) => {
    const array = new type(length);
    given.push(array);
    return array;
  };
  const out = await ownBatch((allocate) => {
    const { x } = batch;
    const data = allocate(Float32Array, 6);
    data.set(x.data);
    return { ...batch, x: { ...x, data } };
  }, allocate);
  assert.deepEqual(out, batch);
  assert.deepEqual([out.x.data, out.label.data].map((data) => given.indexOf(data)), [0, 1]);
  assert.notEqual((await ownBatch(() => batch)).x.data, batch.x.data);
  class Bytes extends Uint8Array {}
  const bytes = { data: Bytes.of(1, 2), shape: [2], dtype: "float32" } as const;
  assert.equal((await ownBatch(() => ({ bytes }))).bytes.data.constructor, Uint8Array);
  assert.equal(stackSamples([{ bytes }]).bytes.data.constructor, Uint8Array);
  await assert.rejects(ownBatch(() => null as never), /^DataError: a batch must be an object/);
});

test("batchSize() refuses fields of different sizes, none, and scalars", () => {
  assert.equal(batchSize(batch), 3);
  const y = { data: Float32Array.of(1), shape: [1], dtype: "float32" } as const;
  assert.throws(() => batchSize({ ...batch, y }), /received x 3, label 3, y 1$/);
  assert.throws(() => batchSize({ y: { ...y, shape: [] } }), /received y a scalar$/);
  const odd: [unknown, RegExp][] = [
    [undefined, /^DataError: a batch must be an object of fields, received undefined$/],
    [{ x: [1, 2] }, /^DataError: field "x" of a batch must be .* as data, received \[1,2\]$/],
    [{ x: { data: [1], shape: [1] } }, /^DataError: field "x" of a batch must be \{ data, shape, /],
    [
      { x: { data: new Float32Array(3), shape: [2, 2], dtype: "float32" } },
      /^DataError: field "x": data must have the 4 values of its shape \[2,2\], received 3$/,
    ],
    [
      { x: { data: new Float32Array(5), shape: [2, 2], dtype: "float32" } },
      /^DataError: field "x": data must have the 4 values of its shape \[2,2\], received 5$/,
    ],
    [
      { x: { data: new Float32Array(1), shape: [0.5, 2], dtype: "float32" } },
      /^DataError: field "x": shape must hold integers >= 0, received \[0.5,2\]$/,
    ],
    [
      { x: { data: new Float32Array(1), shape: [1], dtype: "float64" } },
      /^DataError: field "x": dtype must be one of float32, int32, bool, received "float64"$/,
    ],
    [
      { x: { data: new Float64Array(1), shape: [1], dtype: "float32" } },
      /^DataError: field "x" of a batch must be .* with a Float32Array, Int32Array or Uint8Array as /,
    ],
    [{ ...batch, y: null }, /^DataError: field "y" of a batch must be .*, received null$/],
  ];
  for (const [value, message] of odd) {
    assert.throws(() => batchSize(value as HostBatch), message);
  }
  assert.throws(() => batchSize({}), /at least one field, received none/);
});

test("toTensors() keeps shape, dtype and values, and widens bytes", async () => {
  await useBackend("cpu");
  const byte = Uint8Array.of(0, 1, 255);
  const tensors = toTensors({
    ...batch,
    gray: { data: byte, shape: [3, 1], dtype: "float32" },
    level: { data: byte, shape: [3], dtype: "int32" },
    flag: { data: Uint8Array.of(0, 1, 1), shape: [3], dtype: "bool" },
  });
  const found = Object.entries(tensors).map((
    [name, t],
  ) => [name, t.dtype, t.shape, [...t.dataSync()]]);
  assert.deepEqual(found, [
    ["x", "float32", [3, 2], [1, 2, 3, 4, 5, 6]],
    ["label", "int32", [3], [7, 8, 9]],
    ["gray", "float32", [3, 1], [0, 1, 255]],
    ["level", "int32", [3], [0, 1, 255]],
    ["flag", "bool", [3], [0, 1, 1]],
  ]);
  tf.dispose(tensors);
});

test("stackSamples() stacks numbers and arrays, and names the sample that differs", () => {
  const x = (...values: number[]) =>
    ({ data: Float32Array.from(values), shape: [values.length], dtype: "float32" }) as const;
  assert.deepEqual(stackSamples([{ x: x(1, 2), y: 3 }, { x: x(4, 5), y: 6 }]), {
    x: { data: Float32Array.of(1, 2, 4, 5), shape: [2, 2], dtype: "float32" },
    y: { data: Float32Array.of(3, 6), shape: [2], dtype: "float32" },
  });
  assert.throws(
    () => stackSamples([{ x: x(1, 2) }, { x: x(1) }], 4),
    /^DataError: sample 5 of the stream: field "x" must be float32 \[2\] of 2 values .* received float32 \[1\] of 1$/,
  );
  assert.throws(
    () => stackSamples([{ a: 1 }, { b: 1 }]),
    /sample 1 of the stream: lacks the field "a"/,
  );
  assert.throws(
    () => stackSamples([{ a: 1 }, { a: 1, b: 1 }]),
    /must have the fields a, received a, b/,
  );
});
