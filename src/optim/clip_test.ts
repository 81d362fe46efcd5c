import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import { readFixture } from "../../test/support/fixture.ts";
import { notFinite } from "../../test/support/clip_cases.ts";
import { backends } from "../../test/support/kernels.ts";
import * as tf from "../tensor/tf.ts";
import { clipGradNorm, clipGradValue, gradNorm, squaredNorm } from "./clip.ts";

type Values = Record<string, number[]>;

const fixture = readFixture<{
  shapes: Values;
  grads: Values;
  norm: { normType: number | "Infinity"; maxNorm: number; norm: number; grads: Values }[];
  value: { clipValue: number; grads: Values };
}>("torch/clip.json");

function tensors(): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(fixture.grads).map(([name, values]) => [
      name,
      tf.tensor(values, fixture.shapes[name]),
    ]),
  );
}

for (const backend of ["cpu", "wasm"] as const) {
  test(`clipGradNorm() and clipGradValue() follow torch on ${backend}`, async () => {
    await useBackend(backend);
    for (const { normType, maxNorm, norm, grads } of fixture.norm) {
      const input = tensors();
      const before = tf.memory().numTensors;
      const clipped = clipGradNorm({ ...input, absent: null }, maxNorm, Number(normType));
      assert.equal(tf.memory().numTensors, before + 4);
      assert.deepEqual(Object.keys(clipped.grads), Object.keys(grads));
      assertClose(clipped.norm.dataSync(), [norm], 1e-6, `norm of order ${normType}`);
      for (const [name, expected] of Object.entries(grads)) {
        assertClose(clipped.grads[name].dataSync(), expected, 1e-6, `${name}, p ${normType}`);
        assertClose(input[name].dataSync(), fixture.grads[name], 1e-7, name);
      }
      tf.dispose([input, clipped.grads, clipped.norm]);
    }
    const input = tensors();
    const { grads } = clipGradValue(input, fixture.value.clipValue);
    for (const [name, expected] of Object.entries(fixture.value.grads)) {
      assertClose(grads[name].dataSync(), expected, 1e-7, name);
    }
    tf.dispose([input, grads]);
  });

  test(`squaredNorm() keeps float32 precision over many elements on ${backend}`, async () => {
    await useBackend(backend);
    const sizes = [300_001, 5, 70_000, 9000, 4096];
    const host = sizes.map((size, k) =>
      Float32Array.from({ length: size }, (_, i) => ((i * 7919 + k) % 1000) / 1000 + 0.1)
    );
    const grads = host.map((values) => tf.tensor1d(values));
    const expected = host.flatMap((values) => [...values]).reduce((sum, x) => sum + x * x, 0);
    const squared = squaredNorm(grads);
    assert.ok(Math.abs(squared.dataSync()[0] / expected - 1) < 1e-6);
    tf.dispose([grads, squared]);
  });
}

test("gradNorm() of nothing is 0, and bad arguments are refused", async () => {
  await useBackend("cpu");
  for (const p of [1, 2, Infinity]) assert.equal(gradNorm([], p).dataSync()[0], 0);
  assert.throws(() => clipGradNorm({}, -1), /^ConfigError: maxNorm: must be a number >= 0, rec/);
  assert.throws(() => clipGradNorm({}, 1, 0), /^ConfigError: normType: must be a number > 0, rec/);
  assert.throws(() => clipGradValue({}, NaN), /clipValue: must be a number >= 0, received NaN$/);
});

test("clipGradNorm() and clipGradValue() take tfjs' list, in which tensors may be absent", async () => {
  await useBackend("cpu");
  const list = [{ name: "a", tensor: tf.tensor([3, -4]) }, { name: "b", tensor: undefined }];
  const { grads, norm } = clipGradNorm(list, 1);
  assert.deepEqual(Object.keys(grads), ["a"]);
  assertClose(grads.a.dataSync(), [0.6, -0.8], 1e-6);
  assert.equal(norm.dataSync()[0], 5);
  assert.deepEqual([...clipGradValue(list, 3.5).grads.a.dataSync()], [3, -3.5]);
});

// Last, since kernels of our own stay installed.
for (const [backend, use] of backends) {
  test(`clipping keeps NaN and takes empty tensors on ${backend}`, async () => {
    await use();
    const { clipped, norms } = await notFinite();
    assert.deepEqual(clipped, [NaN, 1, -1, 0.5, NaN]);
    assert.deepEqual(norms, [4, 5, 7, 0]);
  });
}
