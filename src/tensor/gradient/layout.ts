/** Gradients of kernels that move elements. */
import * as core from "@tensorflow/tfjs-core";

/** The entries of the gradient registry. */
export const layoutGradients: readonly core.GradConfig[] = [
  {
    kernelName: core.DepthToSpace,
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attributes) => {
      const { blockSize: block, dataFormat } = attributes as unknown as {
        blockSize: number;
        dataFormat: "NHWC" | "NCHW";
      };
      const [x] = saved;
      const isFirst = dataFormat === "NCHW";
      const [n, h, w, c] = isFirst ? x.shape.map((_, i) => x.shape[[0, 2, 3, 1][i]]) : x.shape;
      const depth = c / block ** 2;
      return {
        x: () => {
          const blocks = core.reshape(
            dy as core.Tensor,
            isFirst ? [n, depth, h, block, w, block] : [n, h, block, w, block, depth],
          );
          const perm = isFirst ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 2, 4, 5];
          return core.reshape(core.transpose(blocks, perm), x.shape);
        },
      };
    },
  },
  {
    kernelName: core.Diag,
    inputsToSave: ["x"],
    gradFunc: (dy, saved) => {
      const { size, shape } = saved[0];
      return {
        x: () => {
          const at = core.range(0, size * size, size + 1, "int32");
          return core.reshape(
            core.gather(core.reshape(dy as core.Tensor, [size * size]), at),
            shape,
          );
        },
      };
    },
  },
  {
    kernelName: core.FlipLeftRight,
    gradFunc: (dy) => ({ image: () => core.image.flipLeftRight(dy as core.Tensor4D) }),
  },
  {
    kernelName: core.StridedSlice,
    inputsToSave: ["x"],
    gradFunc: (dy, saved, attributes) => {
      const [x] = saved;
      const a = attributes as unknown as Record<"begin" | "end" | "strides", number[]> & Masks;
      const slice = (t: core.Tensor): core.Tensor =>
        core.stridedSlice(
          t,
          ...[a.begin, a.end, a.strides, a.beginMask, a.endMask, a.ellipsisMask] as const,
          ...[a.newAxisMask, a.shrinkAxisMask] as const,
        );
      return {
        x: () => {
          // The slice of the positions says where every element came from.
          const positions = slice(core.reshape(core.range(0, x.size, 1, "int32"), x.shape));
          const flat = core.reshape(dy as core.Tensor, [positions.size]);
          const ids = core.reshape(positions, [positions.size]) as core.Tensor1D;
          return core.reshape(core.unsortedSegmentSum(flat, ids, x.size), x.shape);
        },
      };
    },
  },
];

type Masks = Record<
  "beginMask" | "endMask" | "ellipsisMask" | "newAxisMask" | "shrinkAxisMask",
  number
>;
