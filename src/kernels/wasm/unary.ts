/** Elementwise functions of one tensor: as/unary.ts, in float32. */
import type { KernelContext } from "./context.ts";
import { float32Bits } from "./gemm.ts";
import type { Attributes, Kernel, KernelRows } from "./kernel.ts";
import * as tf from "../../tensor/tf.ts";

/** One function of the module. */
type Loop = (n: number, x: number, y: number, alpha: number) => void;

/** tfjs' kernel name, the module's function, and the function's parameter, if it has one. */
interface Row {
  readonly kernel: string;
  readonly loop: (context: KernelContext) => Loop;
  readonly alpha?: (attributes: Attributes) => number;
}

const alpha = (attributes: Attributes): number => attributes.alpha as number;

const ROWS: readonly Row[] = [
  { kernel: "Abs", loop: ({ exports }) => exports.f32_abs },
  { kernel: "Ceil", loop: ({ exports }) => exports.f32_ceil },
  { kernel: "Cos", loop: ({ exports }) => exports.f32_cos },
  { kernel: "Elu", loop: ({ exports }) => exports.f32_elu },
  { kernel: "Erf", loop: ({ exports }) => exports.f32_erf },
  { kernel: "Exp", loop: ({ exports }) => exports.f32_exp },
  { kernel: "Expm1", loop: ({ exports }) => exports.f32_expm1 },
  { kernel: "Floor", loop: ({ exports }) => exports.f32_floor },
  { kernel: "LeakyRelu", loop: ({ exports }) => exports.f32_leaky_relu, alpha },
  { kernel: "Log", loop: ({ exports }) => exports.f32_log },
  { kernel: "Log1p", loop: ({ exports }) => exports.f32_log1p },
  { kernel: "Neg", loop: ({ exports }) => exports.f32_neg },
  { kernel: "Reciprocal", loop: ({ exports }) => exports.f32_reciprocal },
  { kernel: "Relu", loop: ({ exports }) => exports.f32_relu },
  { kernel: "Relu6", loop: ({ exports }) => exports.f32_relu6 },
  { kernel: "Round", loop: ({ exports }) => exports.f32_round },
  { kernel: "Rsqrt", loop: ({ exports }) => exports.f32_rsqrt },
  { kernel: "Sigmoid", loop: ({ exports }) => exports.f32_sigmoid },
  { kernel: "Sign", loop: ({ exports }) => exports.f32_sign },
  { kernel: "Sin", loop: ({ exports }) => exports.f32_sin },
  { kernel: "Softplus", loop: ({ exports }) => exports.f32_softplus },
  { kernel: "Sqrt", loop: ({ exports }) => exports.f32_sqrt },
  { kernel: "Square", loop: ({ exports }) => exports.f32_square },
  { kernel: "Step", loop: ({ exports }) => exports.f32_step, alpha },
  { kernel: "Tanh", loop: ({ exports }) => exports.f32_tanh },
];

/** The rows of the kernel table. */
export const unaryKernels: KernelRows = {
  ...Object.fromEntries(ROWS.map((row) => [row.kernel, unary(row)])),
  ClipByValue: (context, { x }, { clipValueMin, clipValueMax }) => {
    if (x.dtype !== "float32") return undefined;
    const y = context.output(x.shape, x.dtype);
    const [from, to] = [context.address(x), context.address(y)];
    const [low, high] = [clipValueMin, clipValueMax] as [number, number];
    context.exports.f32_clip(tf.util.sizeFromShape(x.shape), from, to, low, high);
    return y;
  },
  Selu: (context, { x }) => {
    if (x.dtype !== "float32") return undefined;
    const y = context.output(x.shape, x.dtype);
    const [size, to] = [tf.util.sizeFromShape(x.shape), context.address(y)];
    const { exports } = context;
    // scale (x > 0 ? x : alpha (e^x - 1)) in three passes; nobody is in a hurry with it.
    exports.f32_elu(size, context.address(x), to, 0);
    exports.f32_leaky_relu(
      size,
      to,
      to,
      tf.backend_util.SELU_SCALEALPHA / tf.backend_util.SELU_SCALE,
    );
    const scale = context.list([float32Bits(tf.backend_util.SELU_SCALE)]);
    exports.f32_mul(1, size, to, size, 1, scale, 0, 0, to);
    return y;
  },
};

function unary({ loop, alpha }: Row): Kernel {
  return (context, { x }, attributes) => {
    if (x.dtype !== "float32") return undefined;
    const y = context.output(x.shape, x.dtype);
    const size = tf.util.sizeFromShape(x.shape);
    loop(context)(size, context.address(x), context.address(y), alpha?.(attributes) ?? 0);
    return y;
  };
}
