/** Registers `Unruly`: a linear forecaster that in one worker of a page, once, throws or hangs. */
import { type Batch, nn, registerModel, tf } from "../../mod.ts";

interface Params {
  readonly inputLength: number;
  readonly outputLength: number;
  readonly fault: "hangs" | "throws" | "ends";
}

const isWorker = !("document" in globalThis);

/** Whether this worker is the first to ask; the origin remembers. */
async function isFirst(fault: string): Promise<boolean> {
  const cache = await caches.open("unruly");
  if (await cache.match(`/${fault}`) !== undefined) return false;
  await cache.put(`/${fault}`, new Response());
  return true;
}

registerModel<Params>("Unruly", async ({ inputLength, outputLength, fault }, { random }) => {
  const isUnruly = isWorker && await isFirst(fault);
  const values = random.fork("weight").uniform(new Float32Array(inputLength * outputLength));
  const weight = tf.variable(tf.tensor2d(values, [inputLength, outputLength]));
  const bias = tf.variable(tf.zeros([outputLength]));
  let calls = 0;
  return {
    parameters: { weight, bias },
    forward({ inputs }: Batch): tf.Tensor {
      if (isUnruly && ++calls === 3) {
        if (fault === "throws") throw new Error("three is too much");
        if (fault === "ends") (globalThis as unknown as { close(): void }).close();
        for (; fault === "hangs";);
      }
      const series = tf.transpose(inputs, [0, 2, 1]);
      return tf.transpose(nn.linear(series, weight, bias), [0, 2, 1]);
    },
  };
});
