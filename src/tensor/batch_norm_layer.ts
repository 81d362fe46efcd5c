/**
 * Batch normalization layers of tfjs-layers where tfjs refuses or fails: inputs of rank 5 and more,
 * training without scale or center, and other axes than the last (see batch_norm.ts).
 */
import * as core from "@tensorflow/tfjs-core";

/** What is used of the layer. */
interface BatchNormalization {
  axis: number;
  readonly movingMean: { read(): core.Tensor };
  gamma?: Weight;
  beta?: Weight;
  call(inputs: core.Tensor | core.Tensor[], kwargs: unknown): core.Tensor;
}

type Weight = { read(): core.Tensor };

const PATCHED = Symbol.for("downhill.batchNormalization");

/**
 * Where the layer's own `call` would fail, inputs are rows of channels for it, and weights that it
 * does not have are ones and zeros; calling this again changes nothing.
 */
export function patchBatchNormalization(): void {
  const { classNameMap } = core.serialization.SerializationMap.getMap();
  const [layer] = classNameMap.BatchNormalization ?? [];
  const prototype = layer?.prototype as unknown as BatchNormalization | undefined;
  if (prototype === undefined || Object.hasOwn(prototype.call, PATCHED)) return;
  const { call } = prototype;
  prototype.call = function (this: BatchNormalization, inputs, kwargs) {
    return core.tidy(() => {
      const [x] = [inputs].flat();
      const { axis, gamma, beta } = this;
      const { shape } = this.movingMean.read();
      try {
        this.gamma ??= { read: () => core.ones(shape) };
        this.beta ??= { read: () => core.zeros(shape) };
        const along = axis < 0 ? axis + x.rank : axis;
        if (along === x.rank - 1 && x.rank <= 4) return call.call(this, x, kwargs);
        const product = core.util.sizeFromShape;
        const [before, after] = [
          product(x.shape.slice(0, along)),
          product(x.shape.slice(along + 1)),
        ];
        const last = core.transpose(core.reshape(x, [before, shape[0], after]), [0, 2, 1]);
        this.axis = -1;
        const y = call.call(this, last, kwargs);
        return core.reshape(core.transpose(y, [0, 2, 1]), x.shape);
      } finally {
        Object.assign(this, { axis, gamma, beta });
      }
    });
  };
  Object.defineProperty(prototype.call, PATCHED, { value: true });
}
