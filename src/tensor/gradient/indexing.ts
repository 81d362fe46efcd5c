/** Gradients of kernels that take elements by index: what was taken goes back, and adds up. */
import * as core from "@tensorflow/tfjs-core";

type Tensors = [core.Tensor, core.Tensor, core.Tensor];

/** The entries of the gradient registry. */
export const indexGradients: readonly core.GradConfig[] = [
  {
    kernelName: core.GatherV2,
    inputsToSave: ["x", "indices"],
    gradFunc: (dy, saved, attributes) => {
      const [x, indices] = saved as Tensors;
      const { axis, batchDims } = attributes as unknown as { axis: number; batchDims: number };
      return { x: () => gatherGradient(dy as core.Tensor, x, indices, axis, batchDims) };
    },
  },
  {
    kernelName: core.GatherNd,
    inputsToSave: ["params", "indices"],
    gradFunc: (dy, saved) => {
      const [params, indices] = saved as Tensors;
      return { params: () => core.scatterND(indices, dy as core.Tensor, params.shape) };
    },
  },
  {
    kernelName: core.ScatterNd,
    inputsToSave: ["indices"],
    gradFunc: (dy, saved) => ({
      updates: () => core.gatherND(dy as core.Tensor, saved[0]),
    }),
  },
  {
    kernelName: core.TensorScatterUpdate,
    inputsToSave: ["indices", "updates"],
    gradFunc: (dy, saved) => {
      const [indices, updates] = saved as Tensors;
      return {
        // Of a copy: tfjs' cpu kernel writes into its argument.
        tensor: () =>
          core.tensorScatterUpdate(
            core.mul(dy as core.Tensor, 1),
            indices,
            core.zerosLike(updates),
          ),
        updates: () => core.gatherND(dy as core.Tensor, indices),
      };
    },
  },
  {
    kernelName: core.TopK,
    inputsToSave: ["x"],
    outputsToSave: [false, true],
    gradFunc: (dy, saved) => {
      const [x, indices] = saved as Tensors;
      return {
        x: () => {
          const n = x.shape[x.rank - 1];
          const k = indices.shape[x.rank - 1];
          const rows = x.size / n;
          const starts = core.reshape(core.range(0, x.size, n, "int32"), [rows, 1]);
          const at = core.add(core.reshape(indices, [rows, k]), starts);
          return core.reshape(
            core.unsortedSegmentSum(
              core.reshape((dy as unknown as core.Tensor[])[0], [rows * k]),
              core.reshape(at, [rows * k]) as core.Tensor1D,
              x.size,
            ),
            x.shape,
          );
        },
      };
    },
  },
];

function gatherGradient(
  dy: core.Tensor,
  x: core.Tensor,
  indices: core.Tensor,
  axis: number,
  batchDims: number,
): core.Tensor {
  const [along] = core.util.parseAxisParam(axis, x.shape);
  const size = x.shape[along];
  const product = core.util.sizeFromShape;
  const batch = product(x.shape.slice(0, batchDims));
  const outer = product(x.shape.slice(batchDims, along));
  const inner = product(x.shape.slice(along + 1));
  const count = indices.size / batch;
  // Every batch has rows of its own: with the batch before the axis, its row b counts as b size + i.
  const order = core.transpose(core.reshape(dy, [batch, outer, count, inner]), [0, 2, 1, 3]);
  const first = core.reshape(core.range(0, batch * size, size, "int32"), [batch, 1]);
  const ids = batch === 1 ? indices : core.add(core.reshape(indices, [batch, count]), first);
  const sums = core.unsortedSegmentSum(
    core.reshape(order, [batch * count, outer * inner]),
    core.reshape(ids, [batch * count]) as core.Tensor1D,
    batch * size,
  );
  const back = core.transpose(core.reshape(sums, [batch, size, outer, inner]), [0, 2, 1, 3]);
  return core.reshape(back, x.shape);
}
