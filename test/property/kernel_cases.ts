/** Operations on random shapes, a row for each kernel that has a gradient. */
import type { RandomStream } from "../../src/core/random.ts";
import * as tf from "../../src/tensor/tf.ts";

/** A tensor argument: its shape, and the range of its values if that is not -2 to 2. */
export type Argument = readonly number[] | {
  readonly shape: readonly number[];
  readonly from: number;
  readonly to: number;
};

/** An operation with its attributes, and the arguments that it takes. */
export interface Made {
  readonly inputs: readonly Argument[];
  readonly op: (...inputs: tf.Tensor[]) => tf.Tensor;
}

/** Draws sizes and attributes. */
export interface Draw {
  readonly random: RandomStream;
  /** From 1 to `most`; at times 0, where the draw has empty tensors. */
  size(most: number): number;
  /** Sizes, the first of which may be 0. */
  shape(rank: number): number[];
  /** From 0 or, negative, counted from the end. */
  axis(rank: number): number;
  pick<T>(from: readonly T[]): T;
}

/** A kernel's name, how to draw a call, and whether it treats each element alike. */
export interface Case {
  readonly kernel: string;
  readonly make: (draw: Draw) => Made;
  readonly isElementwise: boolean;
}

const rows: Case[] = [];
const add = (kernel: string, make: Case["make"], isElementwise = false): void =>
  void rows.push({ kernel, make, isElementwise });

type Unary = (x: tf.Tensor) => tf.Tensor;
const UNARY: readonly [string, Unary, number?, number?][] = [
  ["Abs", tf.abs],
  ["Acos", tf.acos, -0.9, 0.9],
  ["Acosh", tf.acosh, 1.1, 4],
  ["Asin", tf.asin, -0.9, 0.9],
  ["Asinh", tf.asinh],
  ["Atan", tf.atan],
  ["Atanh", tf.atanh, -0.9, 0.9],
  ["Cast", (x) => tf.cast(x, "float32")],
  ["Ceil", tf.ceil],
  ["ClipByValue", (x) => tf.clipByValue(x, -0.7, 1.1)],
  ["Cos", tf.cos],
  ["Cosh", tf.cosh],
  ["Elu", tf.elu],
  ["Erf", tf.erf],
  ["Exp", tf.exp],
  ["Expm1", tf.expm1],
  ["Floor", tf.floor],
  ["Identity", tf.clone],
  ["IsFinite", (x) => tf.mul(tf.cast(tf.isFinite(x), "float32"), x)],
  ["IsInf", (x) => tf.mul(tf.cast(tf.isInf(x), "float32"), x)],
  ["IsNan", (x) => tf.mul(tf.cast(tf.isNaN(x), "float32"), x)],
  ["LeakyRelu", (x) => tf.leakyRelu(x, 0.3)],
  ["Log", tf.log, 0.1, 4],
  ["Log1p", tf.log1p, -0.9, 4],
  ["LogicalNot", (x) => tf.mul(tf.cast(tf.logicalNot(tf.greater(x, 0.3)), "float32"), x)],
  ["Neg", tf.neg],
  ["OneHot", (x) => tf.mul(tf.oneHot(tf.cast(x, "int32"), 3), 1), 0, 3],
  ["OnesLike", (x) => tf.mul(tf.onesLike(x), x)],
  ["Reciprocal", tf.reciprocal, 0.2, 3],
  ["Relu", tf.relu],
  ["Relu6", tf.relu6, -3, 9],
  ["Round", tf.round],
  ["Rsqrt", tf.rsqrt, 0.1, 4],
  ["Selu", tf.selu],
  ["Sigmoid", tf.sigmoid],
  ["Sign", tf.sign],
  ["Sin", tf.sin],
  ["Sinh", tf.sinh],
  ["Softplus", tf.softplus],
  ["Sqrt", tf.sqrt, 0.1, 4],
  ["Square", tf.square],
  ["Step", (x) => tf.step(x, 0.3)],
  ["Tan", tf.tan, -1.2, 1.2],
  ["Tanh", tf.tanh],
  ["ZerosLike", (x) => tf.add(tf.zerosLike(x), x)],
];
for (const [kernel, op, from = -2, to = 2] of UNARY) {
  add(
    kernel,
    (draw) => ({ inputs: [{ shape: draw.shape(draw.pick([0, 1, 2, 3])), from, to }], op }),
  );
}

type Binary = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
const factor = (test: Binary): Binary => (a, b) =>
  tf.mul(tf.cast(test(a, b), "float32"), tf.sub(a, b));
const logical = (test: typeof tf.logicalAnd): Binary =>
  factor((a, b) => test(tf.greater(a, 0), tf.less(b, 0.5)));
const positive = [0.3, 2] as const;
const BINARY: readonly [
  string,
  Binary,
  (readonly [number, number])?,
  (readonly [number, number])?,
][] = [
  ["Add", tf.add],
  ["Atan2", tf.atan2],
  ["Equal", factor(tf.equal)],
  ["Greater", factor(tf.greater)],
  ["GreaterEqual", factor(tf.greaterEqual)],
  ["Less", factor(tf.less)],
  ["LessEqual", factor(tf.lessEqual)],
  ["LogicalAnd", logical(tf.logicalAnd)],
  ["LogicalOr", logical(tf.logicalOr)],
  ["Maximum", tf.maximum],
  ["Minimum", tf.minimum],
  ["Mod", tf.mod, undefined, positive],
  ["Multiply", tf.mul],
  ["NotEqual", factor(tf.notEqual)],
  ["Pow", tf.pow, positive],
  ["Prelu", tf.prelu],
  ["RealDiv", tf.div, undefined, positive],
  ["SquaredDifference", tf.squaredDifference],
  ["Sub", tf.sub],
  ["Select", (a, b) => tf.where(tf.greater(a, 0), a, b)],
];
for (const [kernel, op, left = [-2, 2], right = [-2, 2]] of BINARY) {
  add(kernel, (draw) => {
    const shape = draw.shape(draw.pick([1, 2, 3]));
    // Of a few axes of one side or both only the size 1 is left, or nothing at all.
    const thin = (): number[] => {
      const sizes = shape.map((size) => draw.random.integer(3) === 0 ? 1 : size);
      return sizes.slice(draw.random.integer(sizes.length + 1));
    };
    const isSame = draw.random.integer(3) === 0;
    const [a, b] = isSame ? [shape, shape] : draw.pick([[shape, thin()], [thin(), shape]]);
    return {
      inputs: [
        { shape: kernel === "Prelu" ? shape : a, from: left[0], to: left[1] },
        { shape: b, from: right[0], to: right[1] },
      ],
      op,
    };
  }, true);
}
add("AddN", (draw) => {
  const shape = draw.shape(2);
  return { inputs: [shape, shape, shape], op: (...all) => tf.addN(all) };
});

type Reduction = (x: tf.Tensor, axis?: number | number[], keepDims?: boolean) => tf.Tensor;
const REDUCTIONS: readonly [string, Reduction][] = [
  ["Max", tf.max],
  ["Mean", tf.mean],
  ["Min", tf.min],
  ["Prod", tf.prod],
  ["Sum", tf.sum],
];
for (const [kernel, reduce] of REDUCTIONS) {
  add(kernel, (draw) => {
    const rank = 1 + draw.random.integer(3);
    const axes = draw.pick([undefined, draw.axis(rank), rank > 1 ? [0, -1] : [0]]);
    const keep = draw.pick([true, false]);
    const shape = draw.shape(rank);
    // The cpu backend says NaN for the largest and 0 for the mean of nothing; wasm -Infinity and NaN.
    const isDefined = kernel === "Sum" || kernel === "Prod";
    return {
      inputs: [isDefined ? shape : shape.map((n) => Math.max(1, n))],
      op: (x) => reduce(x, axes, keep),
    };
  });
}
for (const [kernel, find] of [["ArgMax", tf.argMax], ["ArgMin", tf.argMin]] as const) {
  add(kernel, (draw) => {
    // Without elements there is no largest.
    const axis = draw.axis(2);
    const shape = [3, 4].map((most) => Math.max(1, draw.size(most)));
    return {
      inputs: [shape],
      op: (x) => tf.mul(tf.expandDims(tf.cast(find(x, axis), "float32"), axis), x),
    };
  });
}
for (const [kernel, op] of [["Softmax", tf.softmax], ["LogSoftmax", tf.logSoftmax]] as const) {
  add(kernel, (draw) => ({ inputs: [draw.shape(draw.pick([1, 2, 3]))], op: (x) => op(x) }));
}
for (const [kernel, op] of [["Cumsum", tf.cumsum], ["Cumprod", tf.cumprod]] as const) {
  add(kernel, (draw) => {
    const axis = draw.axis(3);
    const [exclusive, reverse] = [draw.pick([true, false]), draw.pick([true, false])];
    // tfjs' cpu kernels fail for axes counted from the end; gradients_test.ts has those on wasm.
    const along = (axis + 3) % 3;
    return { inputs: [draw.shape(3)], op: (x) => op(x, along, exclusive, reverse) };
  });
}

add("BroadcastTo", (draw) => {
  const shape = draw.shape(3);
  const thin = shape.map((size) => draw.pick([1, size])).slice(draw.random.integer(3));
  return { inputs: [thin], op: (x) => tf.broadcastTo(x, shape) };
});
add("Concat", (draw) => {
  const [shape, axis] = [draw.shape(3), draw.axis(3)];
  const along = axis < 0 ? axis + 3 : axis;
  const parts = [0, 1, 2].map(() => shape.map((n, i) => i === along ? draw.size(3) : n));
  return { inputs: parts, op: (...all) => tf.concat(all, axis) };
});
add("DepthToSpace", (draw) => ({
  inputs: [[draw.size(2), draw.size(3), draw.size(3), 4 * draw.pick([1, 2])]],
  op: (x) => tf.depthToSpace(x as tf.Tensor4D, 2, "NHWC"),
}));
add("Diag", (draw) => ({ inputs: [[Math.max(1, draw.size(6))]], op: (x) => tf.diag(x) }));
add("ExpandDims", (draw) => {
  const axis = draw.axis(3);
  return { inputs: [draw.shape(2)], op: (x) => tf.expandDims(x, axis) };
});
add("FlipLeftRight", (draw) => ({
  inputs: [draw.shape(4)],
  op: (x) => tf.image.flipLeftRight(x as tf.Tensor4D),
}));
add("Pack", (draw) => {
  const [shape, axis] = [draw.shape(2), draw.pick([0, 1, 2])];
  return { inputs: [shape, shape], op: (...all) => tf.stack(all, axis) };
});
add("Unpack", (draw) => {
  const [shape, axis] = [[3, ...draw.shape(2)], draw.pick([0, 1, -1])];
  const along = axis < 0 ? axis + 3 : axis;
  [shape[0], shape[along]] = [shape[along], 3];
  return {
    inputs: [shape],
    op: (x) => {
      const [a, b, c] = tf.unstack(x, axis);
      return tf.add(tf.mul(a, b), c);
    },
  };
});
add("PadV2", (draw) => {
  const pads = [0, 1, 2].map((): [
    number,
    number,
  ] => [draw.random.integer(3), draw.random.integer(3)]);
  return { inputs: [draw.shape(3)], op: (x) => tf.pad(x, pads, 0.5) };
});
add("MirrorPad", (draw) => {
  const mode = draw.pick(["reflect", "symmetric"] as const);
  const shape = [0, 1].map(() => 2 + draw.random.integer(3));
  const pads = shape.map((size): [number, number] => [
    draw.random.integer(size),
    draw.random.integer(size),
  ]);
  return { inputs: [shape], op: (x) => tf.mirrorPad(x, pads, mode) };
});
add("Reshape", (draw) => ({ inputs: [draw.shape(3)], op: (x) => tf.reshape(x, [x.size]) }));
add("Reverse", (draw) => {
  const axes = draw.pick([0, -1, [0, 2], undefined]);
  return { inputs: [draw.shape(3)], op: (x) => tf.reverse(x, axes) };
});
add("Slice", (draw) => {
  const shape = draw.shape(3);
  const begin = shape.map((n) => n === 0 ? 0 : draw.random.integer(n));
  const size = shape.map((n, i) => draw.random.integer(n - begin[i] + 1));
  return { inputs: [shape], op: (x) => tf.slice(x, begin, size) };
});
add("StridedSlice", (draw) => {
  const shape = [2 + draw.random.integer(4), 2 + draw.random.integer(4)];
  const strides = [draw.pick([1, 2, 3]), draw.pick([-1, -2])];
  return { inputs: [shape], op: (x) => tf.stridedSlice(x, [0, -1], [shape[0], 0], strides) };
});
add("SplitV", (draw) => {
  const [shape, axis] = [draw.shape(3), draw.axis(3)];
  shape[axis < 0 ? axis + 3 : axis] = 5;
  return {
    inputs: [shape],
    op: (x) => {
      const [a, b, c] = tf.split(x, [2, 1, 2], axis);
      return tf.add(tf.mul(a, b), c);
    },
  };
});
add("SpaceToBatchND", (draw) => ({
  inputs: [[draw.size(2), 3, 4, draw.size(3)]],
  op: (x) => tf.spaceToBatchND(x, [2, 3], [[1, 0], [0, 2]]),
}));
add("BatchToSpaceND", (draw) => ({
  inputs: [[6 * draw.size(2), 3, 2, draw.size(3)]],
  op: (x) => tf.batchToSpaceND(x, [2, 3], [[1, 0], [0, 2]]),
}));
add("Tile", (draw) => {
  const repeats = [0, 1, 2].map(() => 1 + draw.random.integer(3));
  return { inputs: [draw.shape(3)], op: (x) => tf.tile(x, repeats) };
});
add("Transpose", (draw) => {
  const perm = draw.pick([[2, 0, 1], [1, 0, 2], [0, 2, 1], [2, 1, 0], undefined]);
  return { inputs: [draw.shape(3)], op: (x) => tf.transpose(x, perm) };
});

/** Random integers below `most`. */
const integers = (draw: Draw, shape: number[], most: number): tf.TypedArray =>
  Int32Array.from({ length: tf.util.sizeFromShape(shape) }, () => draw.random.integer(most));
add("GatherV2", (draw) => {
  const [shape, axis, many] = [draw.shape(3), draw.axis(3), [draw.size(3), draw.size(3)]];
  const along = axis < 0 ? axis + 3 : axis;
  shape[along] = Math.max(1, shape[along]);
  const ids = integers(draw, many, shape[along]);
  return { inputs: [shape], op: (x) => tf.gather(x, tf.tensor(ids, many, "int32"), axis) };
});
add("GatherNd", (draw) => {
  const [shape, count] = [[3, 4, 1 + draw.random.integer(3)], draw.size(5)];
  const ids = integers(draw, [count, 2], 3);
  return { inputs: [shape], op: (x) => tf.gatherND(x, tf.tensor(ids, [count, 2], "int32")) };
});
add("ScatterNd", (draw) => {
  const [count, width] = [draw.size(5), 1 + draw.random.integer(3)];
  const ids = integers(draw, [count, 1], 4);
  return {
    inputs: [[count, width]],
    op: (x) => tf.scatterND(tf.tensor(ids, [count, 1], "int32"), x, [4, width]),
  };
});
add("TensorScatterUpdate", (draw) => {
  const width = 1 + draw.random.integer(3);
  // No row twice: which of two updates stays is nobody's promise.
  const ids = draw.pick([[2, 0], [1, 3], [3, 2]]);
  return {
    inputs: [[4, width], [2, width]],
    op: (x, y) => tf.tensorScatterUpdate(x, tf.tensor(ids, [2, 1], "int32"), y),
  };
});
add("TopK", (draw) => {
  // The cpu kernel of its gradient knows no sums of nothing.
  const shape = [1 + draw.random.integer(3), 1 + draw.size(6)];
  const k = 1 + draw.random.integer(shape[1]);
  return { inputs: [shape], op: (x) => tf.topk(x, k).values };
});
add("UnsortedSegmentSum", (draw) => {
  const shape = [Math.max(1, draw.size(5)), draw.size(3)];
  const ids = integers(draw, [shape[0]], 3);
  return {
    inputs: [shape],
    op: (x) => tf.unsortedSegmentSum(x, tf.tensor1d(ids, "int32"), 4),
  };
});

type Pads = [[number, number], [number, number], [number, number], [number, number]];
const padding = (draw: Draw): "same" | "valid" | number | Pads =>
  draw.pick<"same" | "valid" | number | Pads>(["same", "valid", 1, [[0, 0], [1, 0], [0, 1], [
    0,
    0,
  ]]]);
const two = (draw: Draw): [number, number] => [draw.pick([1, 2]), draw.pick([1, 2, 3])];
const image = (draw: Draw, channels = draw.size(3)): number[] => [
  ...[Math.max(1, draw.size(2)), 3 + draw.random.integer(3), 4 + draw.random.integer(3), channels],
];
for (const [kernel, op] of [["AvgPool", tf.avgPool], ["MaxPool", tf.maxPool]] as const) {
  add(kernel, (draw) => {
    const pad = padding(draw);
    // tfjs counts the windows of one axis for both where the padding is a number.
    const square = (sizes: [number, number]): [number, number] =>
      typeof pad === "number" ? [sizes[0], sizes[0]] : sizes;
    const strides = square(two(draw));
    // A padding as wide as the window leaves windows without inputs.
    const window = square(two(draw)).map((n) => n + 1) as [number, number];
    return { inputs: [image(draw)], op: (x) => op(x as tf.Tensor4D, window, strides, pad) };
  });
}
for (const [kernel, op] of [["AvgPool3D", tf.avgPool3d], ["MaxPool3D", tf.maxPool3d]] as const) {
  add(kernel, (draw) => {
    const [filter, stride, pad] = [2, draw.pick([1, 2]), draw.pick(["same", "valid", 1] as const)];
    return {
      inputs: [[1, 3, 2, 4, draw.size(3)]],
      op: (x) => op(x as tf.Tensor5D, filter, stride, pad),
    };
  });
}
const dilated = (draw: Draw): [[number, number], [number, number]] =>
  draw.pick([true, false]) ? [[1, 1], two(draw)] : [two(draw), [1, 1]];
add("Conv2D", (draw) => {
  const [c, pad, [strides, dilations]] = [draw.size(3), padding(draw), dilated(draw)];
  return {
    inputs: [image(draw, c), [2, 2, c, draw.size(4)]],
    op: (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, strides, pad, "NHWC", dilations),
  };
});
add("DepthwiseConv2dNative", (draw) => {
  const [c, [strides, dilations]] = [draw.size(4), dilated(draw)];
  const pad = draw.pick(["same", "valid"] as const);
  return {
    inputs: [image(draw, c), [2, 2, c, draw.size(3)]],
    op: (x, w) => {
      const [image, filter] = [x as tf.Tensor4D, w as tf.Tensor4D];
      return tf.depthwiseConv2d(image, filter, strides, pad, "NHWC", dilations);
    },
  };
});
add("Conv2DBackpropInput", (draw) => {
  const [shape, c, stride] = [image(draw), draw.size(3), draw.pick([1, 2])];
  const [n, h, w] = shape;
  return {
    inputs: [shape, [2, 2, c, shape[3]]],
    op: (x, filter) =>
      tf.conv2dTranspose(
        ...[x as tf.Tensor4D, filter as tf.Tensor4D] as const,
        [n, h * stride, w * stride, c],
        stride,
        "same",
      ),
  };
});
add("Conv3D", (draw) => {
  const [c, stride, pad] = [draw.size(3), draw.pick([1, 2]), draw.pick(["same", "valid"] as const)];
  return {
    inputs: [[1, 3, 2, 4, c], [2, 2, 2, c, draw.size(3)]],
    op: (x, w) => tf.conv3d(x as tf.Tensor5D, w as tf.Tensor5D, stride, pad),
  };
});
add("Conv3DBackpropInputV2", (draw) => {
  const [c, o, stride] = [draw.size(3), draw.size(3), draw.pick([1, 2])];
  return {
    inputs: [[1, 2, 3, 2, c], [2, 2, 2, o, c]],
    op: (x, w) =>
      tf.conv3dTranspose(
        ...[x as tf.Tensor5D, w as tf.Tensor5D] as const,
        [1, 2 * stride, 3 * stride, 2 * stride, o],
        stride,
        "same",
      ),
  };
});
add("Dilation2D", (draw) => {
  const c = draw.size(3);
  const pad = draw.pick(["same", "valid"] as const);
  return {
    inputs: [image(draw, c), [2, 2, c]],
    op: (x, w) => tf.dilation2d(x as tf.Tensor4D, w as tf.Tensor3D, 1, pad),
  };
});
add("Einsum", (draw) => {
  const [a, b, i, j, k] = [2, 3, 4, 5, 3].map((most) => draw.size(most));
  const [equation, ...inputs] = draw.pick<[string, ...number[][]]>([
    ["bij,bjk->kbi", [b, i, j], [b, j, k]],
    ["aij,bjk->abik", [a, i, j], [b, j, k]],
    ["ij,j->i", [i, j], [j]],
    ["i,j->ij", [i], [j]],
  ]);
  return { inputs, op: (...all) => tf.einsum(equation, ...all) };
});
add("BatchMatMul", (draw) => {
  const [m, k, n, left, right] = [5, 6, 7, 1, 1].map((most) => draw.size(most));
  const [flipA, flipB] = [draw.pick([true, false]), draw.pick([true, false])];
  const [a, b] = [flipA ? [k, m] : [m, k], flipB ? [n, k] : [k, n]];
  // The cpu kernel broadcasts the batch of one side only; gemm_test.ts has both on wasm.
  const batch = draw.pick([[[], []], [[2], [2]], [[2], [1]], [[1, right], [left, right]]]);
  return {
    inputs: [[...batch[0], ...a], [...batch[1], ...b]],
    op: (a, b) => tf.matMul(a, b, flipA, flipB),
  };
});
add("_FusedMatMul", (draw) => {
  const [m, k, n] = [5, 6, 7].map((most) => draw.size(most));
  const activation = draw.pick(["relu", "linear", "relu6", "elu", "sigmoid"] as const);
  return {
    inputs: [[m, k], [k, n], [n]],
    op: (a, b, bias) =>
      tf.fused.matMul({ a: a as tf.Tensor2D, b: b as tf.Tensor2D, bias, activation }),
  };
});
add("FusedConv2D", (draw) => {
  const [c, o, pad] = [draw.size(3), draw.size(4), draw.pick(["same", "valid"] as const)];
  const activation = draw.pick(["relu", "linear", "relu6"] as const);
  return {
    inputs: [image(draw, c), [2, 2, c, o], [o]],
    op: (x, filter, bias) => {
      const [image, weights] = [x as tf.Tensor4D, filter as tf.Tensor4D];
      return tf.fused.conv2d({ x: image, filter: weights, strides: 1, pad, bias, activation });
    },
  };
});
add("FusedBatchNorm", (draw) => {
  const shape = draw.shape(draw.pick([2, 3, 4]));
  const row = shape.slice(-1);
  const variance = { shape: row, from: 0.3, to: 2 };
  return {
    inputs: [shape, row, variance, row, row],
    op: (x, mean, variance, offset, scale) =>
      tf.batchNorm(
        ...[x, mean as tf.Tensor1D, variance as tf.Tensor1D] as const,
        ...[offset as tf.Tensor1D, scale as tf.Tensor1D, 0.01] as const,
      ),
  };
});
add("LRN", (draw) => {
  const radius = draw.pick([1, 2]);
  return {
    inputs: [image(draw)],
    op: (x) => tf.localResponseNormalization(x as tf.Tensor4D, radius, 1, 0.5, 0.75),
  };
});
for (const kernel of ["ResizeBilinear", "ResizeNearestNeighbor"] as const) {
  add(kernel, (draw) => {
    const resize = kernel === "ResizeBilinear"
      ? tf.image.resizeBilinear
      : tf.image.resizeNearestNeighbor;
    const size: [number, number] = [draw.pick([1, 3, 7, 8]), draw.pick([1, 2, 5, 12])];
    const [align, half] = draw.pick([[false, false], [true, false], [false, true]]);
    return { inputs: [image(draw)], op: (x) => resize(x as tf.Tensor4D, size, align, half) };
  });
}

/** Every case. */
export const CASES: readonly Case[] = rows;
