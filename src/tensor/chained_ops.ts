/**
 * The chained ops (`x.reshape([2, -1])`, `x.matMul(y)`) on the tensor class.
 *
 * The CommonJS bundle of tfjs-core that Node and Deno resolve leaves them out, and its module that
 * adds them cannot be imported there. Almost all are the functional op of the same name with the
 * tensor as first argument; the rest are spelt out below.
 */
import * as core from "@tensorflow/tfjs-core";
import { batchNorm } from "./batch_norm.ts";
import { depthwiseConv2d, separableConv2d } from "./dilated_convolutions.ts";
import { mirrorPad } from "./mirror_pad.ts";

type Method = (this: core.Tensor, ...args: never[]) => unknown;

/** Methods that call the functional op of the same name: `x.op(...args) = op(x, ...args)`. */
const SAME_NAME = [
  ..."abs acos acosh add all any argMax argMin asin asinh atan atan2 atanh avgPool".split(" "),
  ..."batchNorm batchToSpaceND broadcastTo cast ceil clipByValue conv1d conv2d".split(" "),
  ..."conv2dTranspose cos cosh cumprod cumsum depthToSpace depthwiseConv2d dilation2d".split(" "),
  ..."div divNoNan dot elu equal erf euclideanNorm exp expandDims expm1 fft floor".split(" "),
  ..."floorDiv gather greater greaterEqual ifft irfft isFinite isInf isNaN leakyRelu".split(" "),
  ..."less lessEqual localResponseNormalization log log1p logSigmoid logSoftmax".split(" "),
  ..."logSumExp logicalAnd logicalNot logicalOr logicalXor matMul max maxPool maximum".split(" "),
  ..."mean min minimum mod mul neg norm notEqual oneHot onesLike pad pool".split(" "),
  ..."pow prelu prod reciprocal relu relu6 reshape reverse rfft round rsqrt selu".split(" "),
  ..."separableConv2d sigmoid sign sin sinh slice softmax softplus spaceToBatchND".split(" "),
  ..."split sqrt square squaredDifference squeeze step stridedSlice sub sum tan tanh".split(" "),
  ..."tile topk transpose unique unsortedSegmentSum unstack zerosLike".split(" "),
] as (keyof typeof core)[];

/**
 * Operations with gradients of our own, in place of those of the same name. Not `avgPool`: tfjs' tests
 * ask for its gradient of the chained one.
 */
const OURS = { batchNorm, depthwiseConv2d, separableConv2d };

const OTHERS: Record<string, Method> = {
  as1D: flatten,
  as2D: asShape,
  as3D: asShape,
  as4D: asShape,
  as5D: asShape,
  asScalar(): core.Tensor {
    core.util.assert(this.size === 1, () => "The array must have only 1 element.");
    return core.reshape(this, []);
  },
  asType(dtype: core.DataType): core.Tensor {
    return core.cast(this, dtype);
  },
  concat(x: core.Tensor | core.Tensor[], axis?: number): core.Tensor {
    return core.concat([this, ...list(x)], axis);
  },
  flatten,
  mirrorPad(paddings: [number, number][], mode: "reflect" | "symmetric"): core.Tensor {
    return mirrorPad(this, paddings, mode);
  },
  reshapeAs(x: core.Tensor): core.Tensor {
    return core.reshape(this, x.shape);
  },
  resizeBilinear(size: [number, number], align?: boolean, half?: boolean): core.Tensor {
    return core.image.resizeBilinear(this as core.Tensor3D, size, align, half);
  },
  resizeNearestNeighbor(size: [number, number], align?: boolean, half?: boolean): core.Tensor {
    return core.image.resizeNearestNeighbor(this as core.Tensor3D, size, align, half);
  },
  stack(x: core.Tensor | core.Tensor[], axis?: number): core.Tensor {
    return core.stack([this, ...list(x)], axis);
  },
  toBool(): core.Tensor {
    return core.cast(this, "bool");
  },
  toFloat(): core.Tensor {
    return core.cast(this, "float32");
  },
  toInt(): core.Tensor {
    return core.cast(this, "int32");
  },
  where(condition: core.Tensor, x: core.Tensor): core.Tensor {
    return core.where(condition, this, x);
  },
};

/** The names of all chained ops. */
export const CHAINED_OPS: readonly string[] = [...SAME_NAME, ...Object.keys(OTHERS)].sort();

/** Puts the chained ops on the prototype of the tensor class; calling it again changes nothing. */
export function registerChainedOps(): void {
  // With several copies of tfjs-core in a process, all tensors are of the class of the first copy.
  const globals = (globalThis as { _tfGlobals?: Map<string, typeof core.Tensor> })._tfGlobals;
  const { prototype } = globals?.get("Tensor") ?? core.Tensor;
  const ops = { ...core, ...OURS };
  for (const name of SAME_NAME) {
    const op = ops[name] as (...args: unknown[]) => unknown;
    define(prototype, name, function (...args: unknown[]) {
      return op(this, ...args);
    });
  }
  for (const [name, method] of Object.entries(OTHERS)) define(prototype, name, method);
}

function define(prototype: core.Tensor, name: string, method: Method): void {
  const value = function (this: core.Tensor & { throwIfDisposed(): void }, ...args: never[]) {
    this.throwIfDisposed();
    return method.apply(this, args);
  };
  Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
}

function flatten(this: core.Tensor): core.Tensor {
  return core.reshape(this, [this.size]);
}

function asShape(this: core.Tensor, ...shape: number[]): core.Tensor {
  return core.reshape(this, shape);
}

function list(x: core.Tensor | core.Tensor[]): core.Tensor[] {
  return Array.isArray(x) ? x : [x];
}
