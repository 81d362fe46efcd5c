/**
 * Batch normalization layers of tfjs-layers where tfjs refuses or fails: inputs of rank 5 and more,
 * and training without scale or center.
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
 * Inputs of more than four axes are [before, channels, after] for the layer's own `call`, and
 * weights that it does not have are ones and zeros; calling this again changes nothing.
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
      const along = axis < 0 ? axis + x.rank : axis;
      const product = core.util.sizeFromShape;
      const flat = x.rank <= 4 ? x : core.reshape(x, [
        ...[product(x.shape.slice(0, along)), x.shape[along], product(x.shape.slice(along + 1))],
      ]);
      try {
        if (flat !== x) this.axis = 1;
        const shape = this.movingMean.read().shape;
        this.gamma ??= { read: () => core.ones(shape) };
        this.beta ??= { read: () => core.zeros(shape) };
        return core.reshape(call.call(this, flat, kwargs), x.shape);
      } finally {
        Object.assign(this, { axis, gamma, beta });
      }
    });
  };
  Object.defineProperty(prototype.call, PATCHED, { value: true });
}
