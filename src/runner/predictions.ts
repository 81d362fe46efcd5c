/** Collects inputs, predictions and targets of a test for `predictions.safetensors`. */
import { encodeSafetensors } from "../checkpoint/safetensors.ts";
import type * as tf from "../tensor/tf.ts";

type Named = Record<string, tf.Tensor>;

/** Rows of every named tensor, one batch after the other. */
export class PredictionCollector {
  readonly #parts = new Map<string, { row: number[]; chunks: Float32Array[] }>();

  /** Reads a batch; the tensors stay the caller's. */
  async add(
    batch: { inputs?: tf.Tensor; prediction: tf.Tensor; target: tf.Tensor },
  ): Promise<void> {
    for (const [name, tensor] of Object.entries(batch as Named)) {
      const part = this.#parts.get(name) ?? { row: tensor.shape.slice(1), chunks: [] };
      this.#parts.set(name, part);
      part.chunks.push(Float32Array.from(await tensor.data()));
    }
  }

  /** The file: each name with all rows. */
  encode(): Uint8Array {
    const tensors: Parameters<typeof encodeSafetensors>[0] = {};
    for (const [name, { row, chunks }] of this.#parts) {
      const data = new Float32Array(chunks.reduce((n, chunk) => n + chunk.length, 0));
      let at = 0;
      for (const chunk of chunks) {
        data.set(chunk, at);
        at += chunk.length;
      }
      const width = row.reduce((a, b) => a * b, 1);
      tensors[name] = {
        dtype: "F32",
        shape: [width === 0 ? 0 : data.length / width, ...row],
        data,
      };
    }
    return encodeSafetensors(tensors);
  }
}
