import * as core from "@tensorflow/tfjs-core";

/**
 * A second tensor of the same data: `tf.clone` without a kernel and without a node of the tape, at a
 * tenth of its time. Not for complex tensors, which are two.
 */
export function alias<T extends core.Tensor>(tensor: T): T {
  const engine = core.engine();
  engine.backend.incRef(tensor.dataId);
  return engine.makeTensorFromTensorInfo(tensor) as T;
}
