import { strict as assert } from "node:assert";
import { test } from "node:test";
import { assertClose } from "../../../test/support/close.ts";
import {
  assertRounded,
  type Convolution,
  correlate,
  slopes,
} from "../../../test/support/convolution.ts";
import { modes, noise, onBoth, take, useKernels } from "../../../test/support/kernels.ts";
import { buildOptimizer } from "../../optim/builder.ts";
import * as tf from "../../tensor/tf.ts";
import type { WasmBackend } from "./context.ts";
import { instantiateKernels } from "./module.ts";
import { TILES } from "./tiles.ts";

/** Rounding of sums of some tens of terms below 1. */
const TOLERANCE = 3e-6;

function tensor(shape: number[], seed: number): tf.Tensor {
  return tf.tensor(noise(tf.util.sizeFromShape(shape), seed), shape);
}

type Pad = "same" | "valid" | number | [[0, 0], [number, number], [number, number], [0, 0]];
const explicit = (
  t: number,
  b: number,
  l: number,
  r: number,
): Pad => [[0, 0], [t, b], [l, r], [0, 0]];

/** Image [n, h, w, c], filter [h, w, out], strides, dilations, padding. */
const CASES: readonly (readonly [number[], number[], [number, number], [number, number], Pad])[] = [
  [[2, 7, 6, 3], [3, 3, 5], [1, 1], [1, 1], "same"],
  [[1, 8, 9, 4], [3, 2, 8], [1, 1], [1, 1], "valid"],
  [[2, 9, 7, 1], [5, 3, 4], [1, 1], [1, 1], "same"],
  [[1, 11, 10, 5], [3, 3, 7], [2, 2], [1, 1], "same"],
  [[2, 10, 9, 2], [2, 3, 3], [3, 2], [1, 1], "valid"],
  [[1, 9, 9, 3], [1, 1, 6], [2, 3], [1, 1], "valid"],
  [[3, 4, 5, 9], [1, 1, 10], [1, 1], [1, 1], "same"],
  [[1, 12, 11, 2], [3, 3, 3], [1, 1], [2, 3], "same"],
  [[1, 12, 13, 6], [3, 2, 9], [1, 1], [3, 2], "valid"],
  [[2, 8, 7, 3], [3, 4, 5], [1, 1], [1, 1], 2],
  [[1, 7, 8, 2], [3, 3, 4], [2, 1], [1, 1], explicit(0, 2, 3, 1)],
  [[1, 6, 6, 13], [6, 6, 11], [1, 1], [1, 1], "valid"],
  [[1, 1, 30, 2], [1, 7, 3], [1, 2], [1, 1], "same"],
  [[2, 3, 3, 2], [5, 5, 2], [1, 1], [1, 1], "same"],
  [[1, 20, 20, 17], [3, 3, 19], [1, 1], [1, 1], "same"],
];

function convolutionOf(
  [image, filter, strides, dilations, pad]: typeof CASES[number],
): Convolution {
  const shape: number[] = [filter[0], filter[1], image[3], filter[2]];
  const info = tf.backend_util.computeConv2DInfo(
    ...[image, shape] as [[number, number, number, number], [number, number, number, number]],
    ...[strides, dilations, pad] as const,
  );
  return {
    image: [image[0], 1, ...image.slice(1)],
    filter: [1, ...shape],
    out: [image[0], 1, info.outHeight, info.outWidth, shape[3]],
    strides: [1, ...strides],
    dilations: [1, ...dilations],
    pad: [0, info.padInfo.top, info.padInfo.left],
  };
}

type Format = "NHWC" | "NCHW";

/** The kernel `name` on channels last, whatever the format it is run in. */
async function run(
  name: string,
  inputs: Readonly<Record<string, tf.Tensor>>,
  attributes: Readonly<Record<string, unknown>>,
  format: Format,
): Promise<ArrayLike<number>> {
  const isFirst = format === "NCHW";
  const y = tf.tidy(() => {
    const placed = Object.entries(inputs).map(([key, value]) =>
      [key, isFirst && key !== "filter" ? tf.transpose(value, [0, 3, 1, 2]) : value] as const
    );
    const { pad, inputShape } = attributes;
    const first = <T>([n, h, w, c]: readonly T[]): T[] => [n, c, h, w];
    const changed = {
      ...attributes,
      dataFormat: format,
      ...isFirst && typeof pad === "object" ? { pad: first(pad as number[]) } : {},
      ...isFirst && inputShape !== undefined ? { inputShape: first(inputShape as number[]) } : {},
    };
    const out = tf.engine().runKernel(name, Object.fromEntries(placed), changed) as tf.Tensor;
    return isFirst && name !== "Conv2DBackpropFilter" ? tf.transpose(out, [0, 2, 3, 1]) : out;
  });
  return await take(y);
}

function size(shape: readonly number[]): number {
  return tf.util.sizeFromShape([...shape]);
}

const magnitude = (values: Float32Array): Float32Array => values.map(Math.abs);

for (const fused of modes) {
  for (const row of CASES) {
    const [image, , strides, dilations, pad] = row;
    const title = `${image} * ${row[1]}, strides ${strides}, dilations ${dilations}, ${pad}`;
    test(`Conv2D and its gradients keep their bound: ${title}${fused ? ", fused" : ""}`, async () => {
      await useKernels({ fused });
      const convolution = convolutionOf(row);
      const filterShape = convolution.filter.slice(1);
      const outShape = convolution.out.filter((_, axis) => axis !== 1);
      const values = [noise(size(image), 1), noise(size(filterShape), 2), noise(size(outShape), 3)];
      const [x, w, dy] = values;
      const [absX, absW, absDy] = values.map(magnitude);
      const exact = slopes(convolution, x, w, dy);
      const sizes = slopes(convolution, absX, absW, absDy);
      const [terms, positions] = [size(filterShape.slice(0, 3)), size(outShape.slice(0, 3))];
      const inputs = {
        x: tf.tensor(x, image),
        filter: tf.tensor(w, filterShape),
        dy: tf.tensor(dy, outShape),
      };
      const attributes = { strides, pad, dilations };
      for (const format of ["NHWC", "NCHW"] as const) {
        const y = await run("Conv2D", { x: inputs.x, filter: inputs.filter }, attributes, format);
        const yExact = correlate(convolution, x, w);
        assertRounded(y, yExact, correlate(convolution, absX, absW), terms + 1, "y");
        const ofFilter = { ...attributes, filterShape };
        const dw = await run(
          "Conv2DBackpropFilter",
          { x: inputs.x, dy: inputs.dy },
          ofFilter,
          format,
        );
        assertRounded(dw, exact.filter, sizes.filter, positions + 1, "dw");
        const ofInput = { ...attributes, inputShape: image };
        const { dy: slope, filter } = inputs;
        const dx = await run("Conv2DBackpropInput", { dy: slope, filter }, ofInput, format);
        assertRounded(dx, exact.image, sizes.image, size(filterShape) + 1, "dx");
      }
    });
  }
}

test("Conv2D's gradients are the differences of the float64 convolution", async () => {
  await useKernels();
  const convolution: Convolution = {
    image: [2, 1, 6, 5, 2],
    filter: [1, 3, 2, 2, 3],
    out: [2, 1, 2, 3, 3],
    strides: [1, 2, 1],
    dilations: [1, 1, 2],
    pad: [0, 0, 0],
  };
  const x = Float64Array.from(noise(120, 1));
  const w = Float64Array.from(noise(36, 2));
  const dy = noise(36, 3);
  const loss = (): number => correlate(convolution, x, w).reduce((sum, y, i) => sum + y * dy[i], 0);
  const differences = (values: Float64Array): Float64Array =>
    values.map((value, i) => {
      const [high, low] = [value + 0.5, value - 0.5].map((moved) => {
        values[i] = moved;
        return loss();
      });
      values[i] = value;
      return high - low;
    });
  const attributes = { strides: [2, 1], dilations: [1, 2], pad: "valid" };
  const slope = tf.tensor(dy, [2, 2, 3, 3]);
  const image = tf.tensor(Float32Array.from(x), [2, 6, 5, 2]);
  const filter = tf.tensor(Float32Array.from(w), [3, 2, 2, 3]);
  const dw = await run(
    "Conv2DBackpropFilter",
    { x: image, dy: slope },
    { ...attributes, filterShape: [3, 2, 2, 3] },
    "NHWC",
  );
  assertClose(dw, differences(w), TOLERANCE, "dw");
  const dx = await run(
    "Conv2DBackpropInput",
    { dy: slope, filter },
    { ...attributes, inputShape: [2, 6, 5, 2] },
    "NHWC",
  );
  assertClose(dx, differences(x), TOLERANCE, "dx");
});

test("Conv3D and its gradients keep their bound", async () => {
  await useKernels();
  const rows: [number[], number[], [number, number, number], number[], "same" | "valid"][] = [
    [[2, 4, 5, 6, 3], [2, 3, 3, 3, 4], [1, 1, 1], [1, 1, 1], "same"],
    [[1, 7, 6, 5, 2], [3, 2, 1, 2, 5], [2, 1, 2], [1, 1, 1], "valid"],
    [[1, 7, 8, 9, 2], [2, 3, 2, 2, 3], [1, 1, 1], [2, 1, 3], "same"],
  ];
  for (const [image, filter, strides, dilations, pad] of rows) {
    const info = tf.backend_util.computeConv3DInfo(
      ...[image, filter] as unknown as [Shape5D, Shape5D],
      ...[strides, dilations as [number, number, number], pad] as const,
    );
    const { front, top, left } = info.padInfo;
    const out = info.outShape;
    const convolution = { image, filter, out, strides, dilations, pad: [front, top, left] };
    const values = [noise(size(image), 1), noise(size(filter), 2), noise(size(out), 3)];
    const [x, w, dy] = values;
    const [absX, absW, absDy] = values.map(magnitude);
    const exact = slopes(convolution, x, w, dy);
    const sizes = slopes(convolution, absX, absW, absDy);
    const tensors = { x: tf.tensor(x, image), w: tf.tensor(w, filter), dy: tf.tensor(dy, out) };
    const attributes = { strides, pad, dilations };
    const kernel = (name: string, inputs: tf.NamedTensorMap, more: object) =>
      take(tf.engine().runKernel(name, inputs, { ...attributes, ...more }) as tf.Tensor);
    const y = await kernel("Conv3D", { x: tensors.x, filter: tensors.w }, {});
    const terms = size(filter);
    assertRounded(y, correlate(convolution, x, w), correlate(convolution, absX, absW), terms, "y");
    const dw = await kernel(
      "Conv3DBackpropFilterV2",
      { x: tensors.x, dy: tensors.dy },
      { filterShape: filter },
    );
    assertRounded(dw, exact.filter, sizes.filter, size(out), "dw");
    const dx = await kernel(
      "Conv3DBackpropInputV2",
      { dy: tensors.dy, filter: tensors.w },
      { inputShape: image },
    );
    assertRounded(dx, exact.image, sizes.image, terms, "dx");
  }
});

type Shape5D = [number, number, number, number, number];

test("fused.conv2d adds a bias and applies each activation, in both formats", async () => {
  await useKernels();
  const rows: [string, number[] | undefined, number[]][] = [
    ["linear", [5], []],
    ["relu", [], []],
    ["relu6", [1, 1, 1, 5], []],
    ["elu", undefined, []],
    ["sigmoid", [5], []],
    ["leakyrelu", [5], []],
    ["prelu", [5], [5]],
    ["prelu", undefined, [1]],
    ["prelu", [5], [1, 1, 5]],
    ["prelu", undefined, [6, 7, 5]],
  ];
  for (const [activation, biasShape, slopeShape] of rows) {
    for (const size of [1, 3]) {
      for (const format of ["NHWC", "NCHW"] as const) {
        const first = format === "NCHW";
        // tfjs takes no such operands with channels first.
        if (first && Math.max(biasShape?.length ?? 0, slopeShape.length) > 1) continue;
        const shape = (last: number[]): number[] => {
          if (!first || last.length < 3) return last;
          return [...last.slice(0, -3), last.at(-1)!, ...last.slice(-3, -1)];
        };
        const { cpu, wasm } = await onBoth(() =>
          tf.fused.conv2d({
            x: tensor(shape([2, 6, 7, 3]), 1) as tf.Tensor4D,
            filter: tensor([size, size, 3, 5], 2) as tf.Tensor4D,
            strides: 1,
            pad: "same",
            dataFormat: format,
            bias: biasShape && tensor(shape(biasShape), 3),
            activation: activation as "linear",
            preluActivationWeights: activation === "prelu"
              ? tensor(shape(slopeShape), 4)
              : undefined,
            leakyreluAlpha: 0.3,
          })
        );
        assertClose(wasm, cpu, TOLERANCE, `${activation} [${biasShape}] [${slopeShape}] ${format}`);
      }
    }
  }
});

test("a convolution of nothing is empty, or zero", async () => {
  await useKernels();
  const filter = tf.ones<tf.Rank.R4>([3, 3, 2, 4]);
  const empty = tf.zeros<tf.Rank.R4>([0, 5, 5, 2]);
  assert.deepEqual(tf.conv2d(empty, filter, 1, "same").shape, [0, 5, 5, 4]);
  const attributes = { strides: 1, pad: "same", dataFormat: "NHWC", filterShape: [3, 3, 2, 4] };
  const inputs = { x: empty, dy: tf.zeros([0, 5, 5, 4]) };
  const dw = await run("Conv2DBackpropFilter", inputs, attributes, "NHWC");
  assert.deepEqual(dw, new Float32Array(72));
  const dx = await run("Conv2DBackpropInput", { dy: tf.zeros([0, 5, 5, 4]), filter }, {
    ...attributes,
    inputShape: [0, 5, 5, 2],
  }, "NHWC");
  assert.equal(dx.length, 0);
  const none = tf.conv2d(tf.zeros<tf.Rank.R4>([1, 5, 5, 0]), tf.zeros([3, 3, 0, 4]), 1, "same");
  assert.deepEqual(await take(none), new Float32Array(100));
});

test("the filter's gradient over 300,000 positions is as exact as over few", async () => {
  await useKernels();
  const image = [12, 160, 160, 1];
  const x = noise(size(image), 1).map((value) => 1 + value / 8);
  const dy = noise(size(image), 2).map((value) => 1 + value / 8);
  const inputs = { x: tf.tensor(x, image), dy: tf.tensor(dy, image) };
  const attributes = { strides: 1, pad: 0, filterShape: [1, 1, 1, 1] };
  const padded = { ...attributes, pad: "same", filterShape: [3, 3, 1, 1] };
  const exact = x.reduce((sum, value, i) => sum + value * dy[i], 0);
  const pointwise = await run("Conv2DBackpropFilter", inputs, attributes, "NHWC");
  const window = await run("Conv2DBackpropFilter", inputs, padded, "NHWC");
  // Blocks of 256, summed in parts of 65536 / 256: errors are far below those of one running sum.
  assert.ok(Math.abs(pointwise[0] / exact - 1) < 1e-6, `${pointwise[0]} ${exact}`);
  assert.ok(Math.abs(window[4] / exact - 1) < 1e-6, `${window[4]} ${exact}`);
});

test("f32_conv and f32_conv_filter read and write nothing past their arrays, with every tile", () => {
  const memory = new WebAssembly.Memory({ initial: 64 });
  const kernels = instantiateKernels(memory, false);
  const end = memory.buffer.byteLength;
  const list = 64;
  const low = 4 * 300_001;
  // Two images of 7 x 9 pixels with 3 channels, 3 x 4 taps, padded by 1 and 2 or not at all.
  for (const [pad, outH, outW] of [[1, 7, 10], [0, 5, 6]]) {
    const numbers = [1, outH, outW, 1, 1, 3, 0, pad, 6 * pad, 1, 7, 27, 3, 1, 12, 1, 1, 3];
    const [m, n, k] = [2 * outH * outW, 13, 36];
    const [x, w] = [noise(2 * 7 * 27, 1), noise(k * n, 2)];
    const dy = noise(m * n, 3);
    const results = TILES.flatMap((tile) =>
      [true, false].map((isImageLast) => {
        const heap = new Float32Array(memory.buffer);
        new Int32Array(memory.buffer).set(numbers, list / 4);
        const place = (values: Float32Array, isLast: boolean): number => {
          const at = isLast ? end - 4 * values.length : low;
          heap.set(values, at / 4);
          return at;
        };
        const outcome = (length: number, compute: (to: number) => void): Float32Array => {
          const to = 4 * 500_001;
          heap.fill(7, to / 4 - 1, to / 4 + length + 1);
          compute(to);
          assert.deepEqual([heap[to / 4 - 1], heap[to / 4 + length]], [7, 7], "written outside");
          return heap.slice(to / 4, to / 4 + length);
        };
        let image = place(x, isImageLast);
        const filter = place(w, !isImageLast);
        const y = outcome(m * n, (to) =>
          kernels.f32_conv(tile, m, n, k, image, list, filter, to, 4096, 0, 0, 0, 0, 0));
        image = place(x, isImageLast);
        const slope = place(dy, !isImageLast);
        const dw = outcome(k * n, (to) =>
          kernels.f32_conv_filter(tile, k, n, m, image, list, slope, to, 4096));
        return [...y, ...dw];
      })
    );
    for (const result of results) assert.deepEqual(result, results[0]);
    assert.ok(results[0].every(Number.isFinite));
  }
});

test("training a network of convolutions holds no more memory after 60 steps than after 10", async () => {
  await useKernels();
  const shapes = [[3, 3, 2, 4], [3, 3, 4, 1], [2, 2, 4, 3], [27, 2]];
  const weights = shapes.map((shape, i) => tf.variable(tensor(shape, i)));
  const [first, depth, second, head] = weights;
  const x = tensor([3, 9, 9, 2], 9) as tf.Tensor4D;
  const y = tensor([3, 2], 10);
  const optimizer = tf.train.sgd(1e-3);
  const step = (): void => {
    optimizer.minimize(() => {
      const h = tf.relu(tf.conv2d(x, first as tf.Tensor4D, 1, "same", "NHWC", 2));
      const d = tf.depthwiseConv2d(h as tf.Tensor4D, depth as tf.Tensor4D, 2, "same");
      const p = tf.avgPool(tf.maxPool(d as tf.Tensor4D, 2, 1, "same"), 2, 1, "same");
      const c = tf.conv2d(p, second as tf.Tensor4D, 2, "same", "NHWC");
      const out = tf.matMul(tf.reshape(c, [3, 27]), head);
      return tf.losses.meanSquaredError(y, out) as tf.Scalar;
    });
  };
  const sizes = (): number[] => {
    const { numTensors, numDataBuffers } = tf.memory();
    const { wasm } = tf.backend() as WasmBackend;
    return [numTensors, numDataBuffers, wasm.asm.memory.buffer.byteLength];
  };
  for (let i = 0; i < 10; i++) step();
  const before = sizes();
  for (let i = 0; i < 50; i++) step();
  assert.deepEqual(sizes(), before);
});

test("Conv2D and its gradients keep their bound on random shapes", async () => {
  await useKernels();
  const seed = 77;
  const draws = noise(40 * 12, seed);
  let drawn = 0;
  const between = (low: number, high: number): number =>
    low + Math.floor((draws[drawn++] + 1) / 2 * (high - low + 1) * 0.9999);
  for (let round = 0; round < 40; round++) {
    const taps = [between(1, 4), between(1, 5)];
    const isDilated = between(0, 1) === 1;
    const pair = (high: number): [number, number] => [between(1, high), between(1, high)];
    const strides = isDilated ? [1, 1] as [number, number] : pair(3);
    const dilations = isDilated ? pair(3) : [1, 1] as [number, number];
    const space = taps.map((tap, i) => (tap - 1) * dilations[i] + between(1, 9));
    const row: typeof CASES[number] = [
      [between(1, 3), ...space, between(1, 13)],
      [...taps, between(1, 17)],
      strides,
      dilations,
      round % 2 === 0 ? "same" : "valid",
    ];
    const convolution = convolutionOf(row);
    const [image, filterShape] = [row[0], convolution.filter.slice(1)];
    const outShape = convolution.out.filter((_, axis) => axis !== 1);
    const values = [noise(size(image), 1), noise(size(filterShape), 2), noise(size(outShape), 3)];
    const [x, w, dy] = values;
    const [absX, absW, absDy] = values.map(magnitude);
    const inputs = tf.tensor(x, image);
    const filter = tf.tensor(w, filterShape);
    const slope = tf.tensor(dy, outShape);
    const attributes = { strides, dilations, pad: row[4], filterShape, inputShape: image };
    const what = `seed ${seed}, round ${round}, ${row.join(" | ")}: `;
    const y = await run("Conv2D", { x: inputs, filter }, attributes, "NHWC");
    const ySizes = correlate(convolution, absX, absW);
    const terms = size(filterShape) + 1;
    assertRounded(y, correlate(convolution, x, w), ySizes, terms, `${what}y`);
    const exact = slopes(convolution, x, w, dy);
    const sizes = slopes(convolution, absX, absW, absDy);
    const dw = await run("Conv2DBackpropFilter", { x: inputs, dy: slope }, attributes, "NHWC");
    assertRounded(dw, exact.filter, sizes.filter, size(outShape) + 1, `${what}dw`);
    const dx = await run("Conv2DBackpropInput", { dy: slope, filter }, attributes, "NHWC");
    assertRounded(dx, exact.image, sizes.image, terms, `${what}dx`);
  }
});

test("Conv2D carries NaN and Inf to the outputs that see them, and to no other", async () => {
  await useKernels();
  const x = noise(9 * 9 * 3, 1);
  x[(2 * 9 + 3) * 3 + 1] = NaN;
  x[(7 * 9 + 7) * 3] = Infinity;
  const y = await take(tf.conv2d(tf.tensor4d(x, [1, 9, 9, 3]), tf.ones([3, 3, 3, 7]), 1, "same"));
  y.forEach((value, i) => {
    const [row, column] = [Math.floor(i / 63), Math.floor(i / 7) % 9];
    if (Math.abs(row - 2) <= 1 && Math.abs(column - 3) <= 1) assert.ok(Number.isNaN(value));
    else if (Math.abs(row - 7) <= 1 && Math.abs(column - 7) <= 1) assert.equal(value, Infinity);
    else assert.ok(Number.isFinite(value));
  });
});

test("Conv2D and depthwise convolutions see weights that an optimizer updates in place", async () => {
  await useKernels();
  const x = tensor([1, 5, 5, 2], 1) as tf.Tensor4D;
  const weights = {
    full: tf.variable(tensor([3, 3, 2, 4], 2)),
    deep: tf.variable(tensor([3, 3, 4, 1], 3)),
  };
  const compute = (full: tf.Tensor, deep: tf.Tensor): tf.Tensor => {
    const y = tf.conv2d(x, full as tf.Tensor4D, 1, "same");
    return tf.depthwiseConv2d(y, deep as tf.Tensor4D, 1, "same");
  };
  const optimizer = buildOptimizer({ type: "SGD", params: { lr: 0.5 } }, weights);
  for (let i = 0; i < 3; i++) {
    const updated = await take(compute(weights.full, weights.deep));
    const [full, deep] = await Promise.all(Object.values(weights).map((weight) => weight.data()));
    const fresh = compute(
      tf.tensor(full.slice(), [3, 3, 2, 4]),
      tf.tensor(deep.slice(), [3, 3, 4, 1]),
    );
    assert.deepEqual(updated, await take(fresh));
    optimizer.applyGradients({ full: tensor([3, 3, 2, 4], i), deep: tensor([3, 3, 4, 1], i) });
  }
});

test("Conv2D and its filter's gradient have the bits of a product with the matrix of patches", async () => {
  const [n, h, w] = [2, 13, 11];
  // Padding, channels, output channels: of the patches' steps, one block or two.
  for (const [pad, c, o] of [[1, 7, 9], [0, 7, 9], [0, 1, 16], [1, 31, 3], [0, 31, 8]]) {
    const [outH, outW] = [h + 2 * pad - 2, w + 2 * pad - 2];
    const x = noise(n * h * w * c, 1);
    const patches = new Float32Array(n * outH * outW * 9 * c);
    for (let at = 0; at < patches.length; at++) {
      const [channel, tap] = [at % c, Math.floor(at / c) % 9];
      const position = Math.floor(at / c / 9);
      const row = Math.floor(position / outW) % outH + Math.floor(tap / 3) - pad;
      const column = position % outW + tap % 3 - pad;
      const image = Math.floor(position / outW / outH);
      if (row < 0 || row >= h || column < 0 || column >= w) continue;
      patches[at] = x[((image * h + row) * w + column) * c + channel];
    }
    const attributes = { strides: 1, pad, dilations: 1, filterShape: [3, 3, c, o] };
    for (const fused of modes) {
      for (const tile of TILES) {
        await useKernels({ fused, tile });
        const matrix = tf.tensor2d(patches, [n * outH * outW, 9 * c]);
        const image = tf.tensor(x, [n, h, w, c]);
        const filter = tensor([3, 3, c, o], 2);
        const y = await run("Conv2D", { x: image, filter }, attributes, "NHWC");
        assert.deepEqual(y, await take(tf.matMul(matrix, tf.reshape(filter, [9 * c, o]))));
        const dy = tensor([n, outH, outW, o], 3);
        const dw = await run("Conv2DBackpropFilter", { x: image, dy }, attributes, "NHWC");
        const rows = tf.reshape(dy, [n * outH * outW, o]);
        assert.deepEqual(dw, await take(tf.matMul(matrix, rows, true)));
      }
    }
  }
  await useKernels();
});

test("Conv2D does not multiply what is around the image: infinite weights there change nothing", async () => {
  await useKernels();
  const filter = tf.tensor4d([Infinity, 2, 3, 4], [2, 2, 1, 1]);
  const x = tf.ones<tf.Rank.R4>([1, 2, 2, 1]);
  const y = await take(tf.conv2d(x, filter, 1, explicit(1, 0, 1, 0)));
  assert.deepEqual(y, new Float32Array([4, 7, 6, Infinity]));
});

test("Conv2DBackpropFilter does not multiply what is around the image by an infinite slope", async () => {
  for (const fused of modes) {
    await useKernels({ fused });
    const x = tensor([2, 12, 13, 3], 1);
    const finite = noise(2 * 12 * 13 * 9, 2);
    const slopes = finite.slice();
    slopes[0] = Infinity; // the first channel at the first corner
    slopes[slopes.length - 4] = NaN; // the sixth at the last one
    const gradient = (dy: Float32Array): tf.Tensor =>
      tf.engine().runKernel(
        "Conv2DBackpropFilter",
        { x, dy: tf.tensor4d(dy, [2, 12, 13, 9]) },
        {
          strides: [1, 1],
          dilations: [1, 1],
          pad: "same",
          dataFormat: "NHWC",
          filterShape: [3, 3, 3, 9],
        },
      );
    const { cpu, wasm } = await onBoth(() => gradient(slopes));
    const same = await take(gradient(finite));
    let finiteOfFirst = 0;
    for (let i = 0; i < same.length; i++) {
      const isTouched = i % 9 === 0 || i % 9 === 5;
      const isSame = !isTouched || Number.isFinite(cpu[i]);
      assert.equal(wasm[i], isSame ? same[i] : cpu[i], `${i}`);
      if (i % 9 === 0 && isSame) finiteOfFirst++;
    }
    assert.equal(finiteOfFirst, 5 * 3); // the taps that are around the image at that corner
  }
});

/** Image, filter [h, w, out] and strides: many positions at an edge, and products enough. */
const EDGES: readonly (readonly [number[], number[], number])[] = [
  [[1, 1, 130, 8], [1, 121, 9], 1],
  [[1, 1, 301, 6], [1, 200, 16], 2],
  [[1, 18, 17, 5], [13, 15, 5], 1],
];

test("an image that is mostly edge has the bits of two such images, gradients too", async () => {
  await useKernels();
  for (const [shape, [h, w, out], stride] of EDGES) {
    const x = tensor(shape, 1) as tf.Tensor4D;
    const filter = tensor([h, w, shape[3], out], 2) as tf.Tensor4D;
    const convolve = (x: tf.Tensor): tf.Tensor =>
      tf.conv2d(x as tf.Tensor4D, filter, stride, "same");
    const dy = tensor(tf.tidy(() => convolve(x).shape), 3);
    const { numTensors, numDataBuffers } = tf.memory();
    const [y, dx] = tf.tidy(() => [convolve(x), tf.grad(convolve)(x, dy)].map((t) => t.dataSync()));
    const twice = tf.tidy(() => {
      const [two, slopes] = [x, dy].map((t) => tf.concat([t, t]));
      return [convolve(two), tf.grad(convolve)(two, slopes)].map((t) => t.dataSync());
    });
    assert.deepEqual(twice[0].slice(y.length), y);
    assert.deepEqual(twice[1].slice(dx.length), dx);
    assert.ok(y.some((value) => Math.abs(value) > 1));
    assert.deepEqual(tf.memory().numTensors, numTensors);
    assert.deepEqual(tf.memory().numDataBuffers, numDataBuffers);
  }
});
