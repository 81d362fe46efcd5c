/**
 * The one place that imports TensorFlow.js.
 *
 * Importing `@tensorflow/tfjs-layers` registers every gradient in all runtimes (the CommonJS
 * bundles of tfjs-core that Node and Deno resolve to register none by themselves), and
 * `chained_ops.ts` puts the chained ops (`x.reshape()`), which they lack too, on the tensor class.
 */
import * as core from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-layers";

export * from "@tensorflow/tfjs-core";
export * from "@tensorflow/tfjs-layers";

void core;
