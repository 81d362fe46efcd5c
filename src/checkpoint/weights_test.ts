import { strict as assert } from "node:assert";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { CheckpointError } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import { CheckpointDirectory } from "./checkpoint.ts";
import { MemoryStore } from "./memory_store.ts";
import { decodeSafetensors, encodeSafetensors, type HostTensor } from "./safetensors.ts";
import { hostSha256, readTensors, toTensor, weightsSha256 } from "./tensors.ts";
import { loadWeights, saveWeights } from "./weights.ts";

const f32 = (shape: number[], ...values: number[]): HostTensor => ({
  dtype: "F32",
  shape,
  data: new Float32Array(values),
});

/** Runs `use` with two zero variables and checks that it leaves no tensor behind. */
async function withVariables(
  use: (into: Record<string, tf.Variable>) => Promise<void>,
): Promise<void> {
  const into = {
    "layer.weight": tf.variable(tf.zeros([2, 2])),
    "layer.bias": tf.variable(tf.zeros([2])),
  };
  const before = tf.memory().numTensors;
  await use(into);
  assert.equal(tf.memory().numTensors, before);
  tf.dispose(into);
}

test("saveWeights() and loadWeights() carry values through a path", async () => {
  const folder = mkdtempSync(join(tmpdir(), "downhill-weights-"));
  try {
    for (const backend of ["cpu", "wasm"] as const) {
      await useBackend(backend);
      const path = join(folder, backend, "my weights.safetensors");
      const weight = tf.tensor2d([[1, -0.5], [1e-30, NaN]]);
      const bias = tf.tensor1d([3, 4]);
      await saveWeights(path, { "layer.weight": weight, "layer.bias": bias }, { note: "x" });
      assert.deepEqual(readdirSync(join(folder, backend)), ["my weights.safetensors"]);
      await withVariables(async (into) => {
        assert.deepEqual(await loadWeights(path, into), {
          missing: [],
          unexpected: [],
          mismatched: [],
        });
        assert.deepEqual(
          await into["layer.weight"].data(),
          new Float32Array([1, -0.5, 1e-30, NaN]),
        );
        assert.deepEqual(await into["layer.bias"].data(), new Float32Array([3, 4]));
      });
      tf.dispose([weight, bias]);
    }
    await assert.rejects(loadWeights(join(folder, "none"), {}), /none: there is no such file$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("loadWeights() lists all that does not fit and then assigns nothing", async () => {
  await useBackend("cpu");
  const bytes = encodeSafetensors({
    "layer.weight": f32([4], 1, 2, 3, 4),
    a: f32([], 1),
    b: f32([], 1),
    c: f32([], 1),
    d: f32([], 1),
  });
  await withVariables(async (into) => {
    await assert.rejects(loadWeights(bytes, into), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.equal(
        error.message,
        'weights: does not fit the model: missing 1: "layer.bias"; unexpected 4: "a", "b", "c", ' +
          '...; mismatched 1: "layer.weight" is F32 [4], wanted float32 [2,2]',
      );
      return true;
    });
    const half = encodeSafetensors({ "layer.weight": f32([2, 2], 1, 2, 3, 4) });
    await assert.rejects(loadWeights(half, into), CheckpointError);
    assert.deepEqual(await into["layer.weight"].data(), new Float32Array(4));
  });
});

test("loadWeights() with strict: false loads what fits and reports the rest", async () => {
  await useBackend("cpu");
  const bytes = encodeSafetensors({
    "layer.weight": f32([4], 1, 2, 3, 4),
    "layer.bias": { dtype: "F64", shape: [2], data: new Float64Array([0.1, 2]) },
    head: f32([1], 1),
  });
  await withVariables(async (into) => {
    assert.deepEqual(await loadWeights(bytes, into, { strict: false }), {
      missing: [],
      unexpected: ["head"],
      mismatched: ["layer.weight"],
    });
    assert.deepEqual(await into["layer.bias"].data(), new Float32Array([0.1, 2]));
    assert.deepEqual(await into["layer.weight"].data(), new Float32Array(4));
  });
});

test("loadWeights() takes the model out of a checkpoint, and plain names as they are", async () => {
  await useBackend("cpu");
  const store = new MemoryStore();
  const checkpoints = new CheckpointDirectory(store);
  const name = await checkpoints.save(3, {
    tensors: { "model.w": f32([1], 5), "model.model.w": f32([1], 6), "optimizer.0.m": f32([1], 7) },
    meta: {},
  });
  const best = await checkpoints.saveBest(3, {
    tensors: { w: f32([1], 8), "model.w": f32([1], 9) },
    meta: {},
  });
  const into = { w: tf.variable(tf.zeros([1])), "model.w": tf.variable(tf.zeros([1])) };
  await loadWeights({ store, name }, into);
  assert.deepEqual([...await into.w.data(), ...await into["model.w"].data()], [5, 6]);
  await loadWeights({ store, name: best }, into);
  assert.deepEqual([...await into.w.data(), ...await into["model.w"].data()], [8, 9]);
  await saveWeights({ store, name: "w.safetensors" }, into);
  const saved = decodeSafetensors((await store.read("w.safetensors"))!).tensors;
  assert.deepEqual({ ...saved }, { w: f32([1], 8), "model.w": f32([1], 9) });
  tf.dispose(into);
});

test("loadWeights() does not let variables share memory with the file", async () => {
  await useBackend("cpu");
  const bytes = encodeSafetensors({ w: f32([2], 1, 2) });
  const into = { w: tf.variable(tf.zeros([2])) };
  await loadWeights(bytes, into);
  bytes.fill(0);
  assert.deepEqual(await into.w.data(), new Float32Array([1, 2]));
  tf.dispose(into);
});

test("readTensors() copies, and toTensor() brings every dtype back", async () => {
  for (const backend of ["cpu", "wasm"] as const) {
    await useBackend(backend);
    const before = tf.memory().numTensors;
    const tensors = {
      f: tf.tensor([[0.1, -0]], [1, 2]),
      i: tf.tensor([-7, 2 ** 31 - 1], [2], "int32"),
      b: tf.tensor([true, false], [2], "bool"),
      s: tf.scalar(2.5),
      e: tf.zeros([0, 3]),
    };
    const host = await readTensors(tensors);
    assert.deepEqual({ ...host }, {
      f: f32([1, 2], 0.1, -0),
      i: { dtype: "I32", shape: [2], data: new Int32Array([-7, 2 ** 31 - 1]) },
      b: { dtype: "BOOL", shape: [2], data: new Uint8Array([1, 0]) },
      s: f32([], 2.5),
      e: f32([0, 3]),
    });
    const back = Object.fromEntries(
      Object.entries(host).map(([name, tensor]) => [name, toTensor(tensor)]),
    );
    assert.deepEqual({ ...await readTensors(back) }, { ...host });
    host.f.data[0] = 9;
    assert.deepEqual(await tensors.f.data(), new Float32Array([0.1, -0]));
    tf.dispose([tensors, back]);
    assert.equal(tf.memory().numTensors, before);
  }
});

test("toTensor() refuses what int32 cannot hold", () => {
  const i64 = (value: bigint): HostTensor => ({
    dtype: "I64",
    shape: [1],
    data: new BigInt64Array([value]),
  });
  const tensor = toTensor(i64(-(2n ** 31n)));
  assert.deepEqual(tensor.dataSync(), new Int32Array([-(2 ** 31)]));
  tensor.dispose();
  assert.throws(() => toTensor(i64(2n ** 31n)), /I64 and shape \[1\] has no tfjs form/);
});

test("weightsSha256() hashes float32 bytes in code-unit order of names", async () => {
  await useBackend("cpu");
  const tensors = {
    b: tf.tensor1d([1.5]),
    a: tf.tensor1d([2, -0.25]),
    B: tf.tensor1d([3], "int32"),
  };
  // sha256 of struct.pack("<4f", 3, 2, -0.25, 1.5), by Python's hashlib
  const expected = "25f48f7da4f88bee7f26bf5a2723c713147401e4075b3248867b8ea4f9e71637";
  assert.equal(await weightsSha256(tensors), expected);
  assert.equal(await hostSha256(await readTensors(tensors)), expected);
  assert.equal(
    await hostSha256({}),
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
  tf.dispose(tensors);
});
