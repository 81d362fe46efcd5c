import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../../test/support/backend.ts";
import { modes, take, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";
import type { WasmBackend } from "./context.ts";
import { contextOf, installKernels, uninstallKernels } from "./install.ts";
import { kernels } from "./table.ts";

const names = Object.keys(kernels);
const entries = (): unknown[] => [
  (tf.backend() as WasmBackend).move,
  ...names.map((name) => tf.getKernel(name, "wasm")?.kernelFunc),
];
const heapBytes = (): number => (tf.backend() as WasmBackend).wasm.HEAPU8.byteLength;

/** Forward and gradients of a dense layer with a softmax, and a few copies. */
function step(): void {
  tf.tidy(() => {
    const x = tf.ones([20, 30]) as tf.Tensor2D;
    const loss = (w: tf.Tensor): tf.Scalar => {
      const y = tf.softmax(tf.matMul(x, tf.reshape(tf.transpose(w), [30, 25])));
      return tf.mean(tf.square(tf.sub(tf.concat(tf.split(y, 5, 1), 0), 0.1)));
    };
    tf.grad(loss)(tf.mul(tf.ones([25, 30]), 0.01));
  });
}

test("installKernels() replaces tfjs' entries once, uninstallKernels() puts them back", async () => {
  await useBackend("wasm");
  uninstallKernels();
  const stock = entries();
  installKernels();
  const ours = entries();
  assert.ok(ours.every((f, i) => f !== undefined && f !== stock[i]));
  installKernels();
  assert.deepEqual(entries(), ours);
  uninstallKernels();
  assert.deepEqual(entries(), stock);
  uninstallKernels();
  assert.deepEqual(entries(), stock);
  installKernels();
});

test("the kernels serve the backend instance that they are called with", async () => {
  await useKernels();
  const first = tf.backend();
  assert.deepEqual([...await take(tf.add([1, 2], [3, 4]))], [4, 6]);
  tf.engine().reset();
  await useKernels();
  assert.notEqual(tf.backend(), first);
  assert.notEqual(contextOf(tf.backend()), undefined);
  assert.deepEqual([...await take(tf.matMul([[1, 2]], [[3], [4]]))], [11]);
  step();
});

test("a change of the options reaches a live backend", async () => {
  // 1 + 2^-12 squared is 1 + 2^-11 + 2^-24: the last term survives only where nothing is rounded.
  const x = 1 + 2 ** -12;
  const lost = 1 + 2 ** -11;
  for (const fused of [...modes, ...modes]) {
    await useKernels({ fused });
    const product = await take(tf.matMul([[lost, x]], [[-1], [x]]));
    assert.equal(product[0], fused ? 2 ** -24 : 0);
  }
  await useKernels();
});

test("inputs that a kernel does not take go to tfjs' own, or are named", async () => {
  await useKernels();
  assert.deepEqual([...await take(tf.sum(tf.tensor1d([1, 2, 3], "int32")))], [6]);
  const stringTensors = (): unknown => tf.add(tf.tensor1d(["a"]), tf.tensor1d(["b"]));
  assert.throws(stringTensors);
});

test("500 steps leave no tensor and no byte of the heap behind", async () => {
  await useKernels();
  for (let i = 0; i < 20; i++) step();
  const [tensors, bytes, ids] = [
    tf.memory().numTensors,
    heapBytes(),
    tf.engine().backend.numDataIds(),
  ];
  for (let i = 0; i < 500; i++) step();
  assert.equal(tf.memory().numTensors, tensors);
  assert.equal(tf.engine().backend.numDataIds(), ids);
  assert.equal(heapBytes(), bytes);
});

test("results are right after the heap has grown", async () => {
  await useKernels();
  const before = heapBytes();
  const large = tf.zeros([before / 4]);
  assert.ok(heapBytes() > before);
  assert.deepEqual([...await take(tf.sum(tf.ones([3, 5]), 0))], [3, 3, 3, 3, 3]);
  assert.deepEqual([...await take(tf.matMul(tf.ones([2, 40]), tf.ones([40, 1])))], [40, 40]);
  large.dispose();
});

test("a tensor that does not fit is an error, and leaves nothing behind", async () => {
  await useKernels();
  const before = tf.memory().numTensors;
  for (const size of [2 ** 15, 2 ** 15 - 1]) { // 4 GiB, which is 0 modulo 2^32, and a little less
    const [x, y] = [tf.zeros([size, 1]), tf.zeros([1, size])];
    assert.throws(() => tf.add(x, y), {
      message: `out of memory: a float32 tensor of shape [${size},${size}] does not fit`,
    });
    tf.dispose([x, y]);
  }
  assert.equal(tf.memory().numTensors, before);
  assert.deepEqual([...await take(tf.exp([0]))], [1]);
});

test("a full heap is one line from kernels and uploads, and numbers are right again afterwards", async () => {
  await useKernels();
  const backend = tf.backend() as WasmBackend;
  const counts = (): number[] => [tf.memory().numTensors, backend.numDataIds()];
  const atFirst = counts();
  const full = (shape: string, dtype = "float32"): { message: string } => ({
    message: `out of memory: a ${dtype} tensor of shape [${shape}] does not fit`,
  });
  const [x, row, tall] = [tf.ones([300, 1]), tf.ones([1, 300]), tf.ones([2000, 20])];
  // Elements that nobody sets take addresses and no memory.
  const hole = backend.makeOutput([100_000], "bool");
  const blocks: tf.TensorInfo[] = [];
  for (let bytes = 2 ** 27; bytes >= 2 ** 16; bytes /= 2) {
    assert.throws(() => {
      for (let i = 0; i < 100; i++) blocks.push(backend.makeOutput([bytes], "bool"));
    }, full(`${bytes}`, "bool"));
  }
  const check = (what: string, compute: () => tf.Tensor, shape: string, dtype?: string): void => {
    const before = counts();
    assert.throws(() => tf.tidy(compute), full(shape, dtype), what);
    assert.deepEqual(counts(), before, what);
  };
  check("a kernel of ours", () => tf.add(x, row), "300,300");
  check("a product", () => tf.matMul(x, row), "300,300");
  check("tfjs' Fill", () => tf.fill([300, 300], 2), "300,300");
  check("tfjs' LinSpace", () => tf.linspace(0, 1, 90000), "90000");
  check("an upload", () => tf.tensor1d(new Float32Array(90000).fill(3)), "90000");
  check("integers", () => tf.tensor1d(new Int32Array(90000).fill(3)), "90000", "int32");
  check("zeros", () => tf.zeros([1000, 100]), "1000,100");
  check("a gradient", () => tf.grad((x) => tf.sum(tf.mul(x, row)))(x), "300,300");
  // Room for one of two outputs, which goes again.
  backend.disposeData(hole.dataId);
  check("a split", () => tf.split(tall, 2)[0], "1000,20");
  for (const { dataId } of blocks) backend.disposeData(dataId);
  assert.deepEqual(
    [...await take(tf.tidy(() => tf.sum(tf.matMul(x, row), 1)))],
    Array(300).fill(300),
  );
  const last = tf.tidy(() => tf.slice(tf.fill([25e6], 7), [25e6 - 2], [2]));
  assert.deepEqual([...await take(last)], [7, 7]);
  tf.dispose([x, row, tall]);
  assert.deepEqual(counts(), atFirst);
});
