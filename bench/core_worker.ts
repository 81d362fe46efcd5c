/** Times matrix products in a thread of its own: how fast its core is at the moment. */
import { selectBackend } from "../src/backend/select.ts";
import * as tf from "../src/tensor/tf.ts";

interface Scope {
  onmessage: (() => void) | null;
  postMessage(ms: number): void;
}

const scope = globalThis as unknown as Scope;
await selectBackend("wasm");
const a = tf.randomUniform<tf.Rank.R2>([256, 256]);

scope.onmessage = () => {
  const begin = performance.now();
  for (let i = 0; i < 40; i++) tf.matMul(a, a).dispose();
  scope.postMessage(performance.now() - begin);
};
scope.postMessage(0);
