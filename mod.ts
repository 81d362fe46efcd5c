/**
 * Downhill trains neural networks in TypeScript: a run is a plain object, from which model, data,
 * optimizer and learning-rate scheduler are built and training, validation, testing and prediction
 * are driven, counted in iterations.
 *
 * @module
 */
export * as tf from "./src/tensor/tf.ts";
export * as nn from "./src/nn/nn.ts";

export { type SelectedBackend, selectBackend } from "./src/backend/select.ts";
export { type CreateOptions, IterationRunner } from "./src/config/iteration_runner.ts";
export { type ComponentConfig, defineConfig, type RunConfig } from "./src/config/schema.ts";
export { CheckpointError, ConfigError, DataError, NonFiniteError } from "./src/core/errors.ts";
export { RandomStream, randomStream } from "./src/core/random.ts";
