/** Rows of a table by number and their gradient, on as/embedding.ts: see src/nn. */
import * as tf from "../../tensor/tf.ts";
import type { KernelRows } from "./kernel.ts";

/** The rows of the kernel table. */
export const embeddingKernels: KernelRows = {
  DownhillEmbedding: (context, { table, ids }) => {
    const [vocabulary, width] = table.shape;
    const y = context.output([...ids.shape, width], "float32");
    const [from, at, to] = [table, ids, y].map((x) => context.address(x));
    const n = tf.util.sizeFromShape(ids.shape);
    context.exports.f32_embedding(n, vocabulary, width, from, at, to);
    return y;
  },
  DownhillEmbeddingGrad: (context, { dy, ids }, attributes) => {
    const { vocabulary } = attributes as { vocabulary: number };
    const width = dy.shape[dy.shape.length - 1];
    const dTable = context.output([vocabulary, width], "float32");
    const [from, at, to] = [dy, ids, dTable].map((x) => context.address(x));
    const n = tf.util.sizeFromShape(ids.shape);
    context.exports.f32_embedding_grad(n, vocabulary, width, from, at, to);
    return dTable;
  },
};
