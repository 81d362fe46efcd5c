/**
 * Every kernel that has a gradient, on random shapes with sizes 0 and 1, broadcasting and negative
 * axes: gradients are finite differences in float64, and wasm answers what the cpu backend answers,
 * for NaN, infinities, -0 and subnormal numbers too, and for int32 and bool.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type RandomStream, randomStream } from "../../src/core/random.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { inDouble } from "../support/double.ts";
import { modes, useKernels } from "../support/kernels.ts";
import { type Argument, type Case, CASES, type Draw, type Made } from "./kernel_cases.ts";

type Values = Float64Array;

/** Draws of each kernel; one in three has empty tensors. */
const DRAWS = 6;
/** Central differences at x +- STEP are good to about STEP ^ 2. */
const STEP = 1e-5;
/** Of the largest value, or of 1: float32 rounding through a gradient of a few operations. */
const TOLERANCE = 1e-5;
/** As many elements of an argument are moved. */
const MOVED = 10;

function drawOf(random: RandomStream, isEmpty: boolean): Draw {
  const size = (most: number): number =>
    isEmpty && random.integer(4) === 0 ? 0 : 1 + random.integer(most);
  return {
    random,
    size,
    shape: (rank) => Array.from({ length: rank }, (_, i) => isEmpty && i === 0 ? 0 : size(5)),
    axis: (rank) => random.integer(2 * rank) - rank,
    pick: (from) => from[random.integer(from.length)],
  };
}

const shapeOf = (argument: Argument): number[] => [
  ...("shape" in argument ? argument.shape : argument),
];

/** Float32 values of an argument, uniform in its range. */
function valuesOf(argument: Argument, random: RandomStream): Values {
  const [from, to] = "shape" in argument ? [argument.from, argument.to] : [-2, 2];
  const values = new Float32Array(tf.util.sizeFromShape(shapeOf(argument)));
  return Float64Array.from(random.uniform(values, from, to));
}

const tensorsOf = ({ inputs }: Made, values: readonly Values[]): tf.Tensor[] =>
  inputs.map((argument, i) => tf.tensor([...values[i]], shapeOf(argument), "float32"));

interface Outcome {
  readonly shape: number[];
  readonly output: ArrayLike<number>;
  readonly gradients: ArrayLike<number>[];
}

/** Output and gradients of the weighted sum on the current backend. */
function outcome(made: Made, values: readonly Values[], weights: Values): Outcome {
  return tf.tidy(() => {
    const inputs = tensorsOf(made, values);
    const y = made.op(...inputs);
    const dy = tf.tensor([...weights].slice(0, y.size), y.shape, "float32");
    const gradients = tf.grads((...all) => made.op(...all))(inputs, dy);
    gradients.forEach((gradient, i) => assert.deepEqual(gradient.shape, inputs[i].shape));
    return {
      shape: y.shape,
      output: y.dataSync(),
      gradients: gradients.map((gradient) => gradient.dataSync()),
    };
  });
}

/** Fails where |actual - expected| > TOLERANCE times the largest finite value; NaN equals NaN. */
function assertNear(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: number of values`);
  const largest = Array.from(expected).reduce(
    (most, x) => Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most,
    1,
  );
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i] || (actual[i] !== actual[i] && expected[i] !== expected[i])) {
      continue;
    }
    const error = Math.abs(actual[i] - expected[i]);
    assert.ok(
      error <= TOLERANCE * largest,
      `${what}[${i}] is ${actual[i]}, expected ${expected[i]}`,
    );
  }
}

/** Differences in float64 of the weighted sum, of a few elements of each argument: [index, slope]. */
function differences(
  made: Made,
  values: readonly Values[],
  weights: Values,
  random: RandomStream,
): [number, number][][] {
  const sum = (): number =>
    inDouble(() =>
      tf.tidy(() => {
        const y = Array.from<number>(made.op(...tensorsOf(made, values)).dataSync());
        return y.reduce((total, value, i) => total + value * weights[i], 0);
      })
    );
  return values.map((list) => {
    const all = list.length <= MOVED;
    const moved = Array.from(
      { length: Math.min(list.length, MOVED) },
      (_, i) => all ? i : random.integer(list.length),
    );
    return moved.map((i): [number, number] => {
      const x = list[i];
      list[i] = x + STEP;
      const above = sum();
      list[i] = x - STEP;
      const below = sum();
      list[i] = x;
      return [i, (above - below) / (2 * STEP)];
    });
  });
}

interface Prepared {
  readonly what: string;
  readonly made: Made;
  readonly values: Values[];
  readonly weights: Values;
}

function prepare({ kernel, make }: Case, at: number): Prepared & { random: RandomStream } {
  const random = randomStream(11, kernel, at);
  const made = make(drawOf(random, at % 3 === 2));
  const values = made.inputs.map((argument) => valuesOf(argument, random));
  const weights = Float64Array.from(random.uniform(new Float32Array(4096), -1, 1));
  const shapes = made.inputs.map((argument) => `[${shapeOf(argument)}]`).join(", ");
  return { what: `${kernel}, draw ${at}, ${shapes}`, made, values, weights, random };
}

test("every kernel with a gradient has a row", () => {
  const names = (Object.values(tf) as unknown[]).filter((value) => typeof value === "string");
  const covered = new Set(CASES.map(({ kernel }) => kernel));
  const missing = names.filter((name) => tf.getGradient(name) != null && !covered.has(name));
  // What is differentiated of complex numbers is nn.rfft. tfjs gives FloorDiv, which divides integers,
  // the gradient of a division, and its tests ask for that.
  assert.deepEqual(missing, ["ComplexAbs", "FloorDiv"]);
});

test("gradients are finite differences in float64, on cpu and on wasm", async () => {
  for (const item of CASES) {
    for (let at = 0; at < DRAWS; at++) {
      const { what, made, values, weights, random } = prepare(item, at);
      await useBackend("cpu");
      const slopes = differences(made, values, weights, random);
      const cpu = outcome(made, values, weights);
      const check = ({ gradients }: Outcome, backend: string): void =>
        slopes.forEach((list, i) => {
          const actual = list.map(([at]) => gradients[i][at]);
          assertNear(actual, list.map(([, slope]) => slope), `${what}: ${backend}, gradient ${i}`);
        });
      check(cpu, "cpu");
      for (const fused of modes) {
        await useKernels({ fused });
        const wasm = outcome(made, values, weights);
        check(wasm, "wasm");
        assert.deepEqual(wasm.shape, cpu.shape, what);
        assertNear(wasm.output, cpu.output, `${what}: output`);
        wasm.gradients.forEach((gradient, i) =>
          assertNear(gradient, cpu.gradients[i], `${what}: gradient ${i}`)
        );
      }
    }
  }
});

/** Of these some stand among the values, the large ones where nothing but a broadcast is summed. */
const SPECIAL = [NaN, Infinity, -Infinity, -0, 0, 1e-40, -1e-40, 1, -1];
const LARGE = [1e37, -1e37, 1e20, -1e20, 90, -104];

/** Kernels whose special numbers are not compared, and why. */
const APART: Readonly<Record<string, string>> = {
  Dilation2D: "the cpu backend's smallest number is -2^53",
  Erf: "the cpu backend's polynomial is wrong by 1e-9 at 0; wasm is right",
  MaxPool3D: "of equal maxima the cpu backend takes the last in three dimensions, wasm the first",
  ResizeBilinear: "tfjs' wasm kernel multiplies neighbours of weight zero",
  TopK: "the cpu backend takes equal infinities in no order, wasm the first first",
  UnsortedSegmentSum: "the cpu backend multiplies by masks, so infinity becomes NaN everywhere",
};

/**
 * Kernels with special numbers in the first argument only: wasm multiplies the zeros of the padding,
 * where an infinite weight makes NaN, as in torch.
 */
const WITH_PADDING = ["Conv2D", "Conv3D", "FusedConv2D"];
/** None of them: the image's role is that of the result. */
const TRANSPOSED = ["Conv2DBackpropInput", "Conv3DBackpropInputV2"];

test("wasm answers NaN, infinities, -0, subnormal and large numbers as cpu does", async () => {
  for (const item of CASES) {
    if (item.kernel in APART || TRANSPOSED.includes(item.kernel)) continue;
    for (let at = 0; at < DRAWS; at++) {
      const { what, made, values, weights, random } = prepare(item, at);
      const special = item.isElementwise ? [...SPECIAL, ...LARGE] : SPECIAL;
      for (const list of WITH_PADDING.includes(item.kernel) ? values.slice(0, 1) : values) {
        for (let i = 0; i < list.length; i++) {
          if (random.integer(3) === 0) list[i] = special[random.integer(special.length)];
        }
      }
      await useBackend("cpu");
      const cpu = outcome(made, values, weights);
      for (const fused of modes) {
        await useKernels({ fused });
        const wasm = outcome(made, values, weights);
        const compare = item.isElementwise ? assertAlike : assertNear;
        compare(wasm.output, cpu.output, `${what}: output`);
        if (item.isElementwise) assertSigns(wasm.output, cpu.output, `${what}: output`);
        wasm.gradients.forEach((gradient, i) =>
          compare(gradient, cpu.gradients[i], `${what}: gradient ${i}`)
        );
      }
    }
  }
});

/** Kernels whose integers are not compared, and why. */
const NOT_INTEGERS: Readonly<Record<string, string>> = {
  Less: "the cpu backend's 0 - 1 of bool is 255",
  LessEqual: "as Less",
  LogSoftmax: "the cpu backend rounds exponentials to bool",
  NotEqual: "as Less",
  PadV2: "padding of 0.5 is no bool",
  Pow: "a negative power of 0 is no integer",
  RealDiv: "a quotient by 0 is no integer",
  ResizeNearestNeighbor: "the cpu backend's result is int32, wasm's float32",
  UnsortedSegmentSum: "the cpu backend's result is float32, wasm's int32",
};

test("wasm answers int32 and bool operands as cpu does, in values and dtype, or refuses", async () => {
  /** The result, or that there is none: `op` asks for another dtype, or a backend has no kernel. */
  const result = (made: Made, values: readonly Values[], dtypes: readonly tf.DataType[]) => {
    try {
      return tf.tidy(() => {
        const inputs = made.inputs.map((argument, i) =>
          tf.tensor(
            [...values[i]].map(dtypes[i] === "bool" ? (x) => Number(x > 0) : Math.trunc),
            shapeOf(argument),
            dtypes[i],
          )
        );
        const y = made.op(...inputs);
        // The cpu backend counts past 1 in bool.
        const truth = (x: number): number => y.dtype === "bool" ? Number(x !== 0) : x;
        return { shape: y.shape, dtype: y.dtype, values: [...y.dataSync()].map(truth) };
      });
    } catch (error) {
      // Out of bounds, or a division in the module.
      assert.ok(!(error instanceof WebAssembly.RuntimeError), `${error}`);
      return undefined;
    }
  };
  let compared = 0;
  for (const item of CASES) {
    if (item.kernel in NOT_INTEGERS) continue;
    for (let at = 0; at < DRAWS; at++) {
      const { what, made, values, random } = prepare(item, at);
      const some = ["int32", "bool", "float32"] as const;
      const mixed = values.map(() => some[random.integer(3)]);
      for (const dtypes of [values.map(() => some[0]), values.map(() => some[1]), mixed]) {
        await useBackend("cpu");
        const cpu = result(made, values, dtypes);
        await useKernels();
        const wasm = result(made, values, dtypes);
        if (cpu === undefined || wasm === undefined) continue;
        compared++;
        assert.deepEqual([wasm.shape, wasm.dtype], [cpu.shape, cpu.dtype], `${what}, ${dtypes}`);
        assertNear(wasm.values, cpu.values, `${what}, ${dtypes}`);
      }
    }
  }
  assert.ok(compared > 500, `${compared} results compared`);
});

/** Fails where |actual - expected| > TOLERANCE (1e-37 + |expected|); NaN equals NaN. */
function assertAlike(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i] || Object.is(actual[i], expected[i])) continue;
    const error = Math.abs(actual[i] - expected[i]);
    assert.ok(
      error <= TOLERANCE * (1e-37 + Math.abs(expected[i])),
      `${what}[${i}] is ${actual[i]}, expected ${expected[i]}`,
    );
  }
}

/** Fails where one is 0 and the other -0. */
function assertSigns(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  for (let i = 0; i < expected.length; i++) {
    const isTold = actual[i] !== 0 || expected[i] !== 0 || Object.is(actual[i], expected[i]);
    assert.ok(isTold, `${what}[${i}] is a zero of the other sign`);
  }
}
