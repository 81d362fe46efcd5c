/** Clipping what is not finite, and what is empty, on the current backend. */
import { clipGradNorm, clipGradValue } from "../../src/optim/clip.ts";
import * as tf from "../../src/tensor/tf.ts";

/** `clipped`: [NaN, 5, -Infinity, 0.5, NaN] at 1; `norms`: of [3, -4] and two empty tensors, of orders inf, 2, 1, then of an empty one alone. */
export interface NotFinite {
  readonly clipped: number[];
  readonly norms: number[];
}

export async function notFinite(): Promise<NotFinite> {
  const given = tf.tensor([NaN, 5, -Infinity, 0.5, NaN]);
  const { grads } = clipGradValue({ given }, 1);
  const clipped = [...await grads.given.data()];
  const [a, empty, flat] = [tf.tensor([3, -4]), tf.zeros([0, 3]), tf.zeros([0])];
  const norms: number[] = [];
  for (const order of [Infinity, 2, 1]) {
    const { grads, norm } = clipGradNorm({ empty, a, flat }, 1, order);
    norms.push((await norm.data())[0]);
    tf.dispose([grads, norm]);
  }
  const { grads: none, norm } = clipGradNorm({ empty }, 1, Infinity);
  norms.push((await norm.data())[0]);
  tf.dispose([given, grads, a, empty, flat, none, norm]);
  return { clipped, norms };
}
