/**
 * Downhill trains neural networks in TypeScript: a run is a plain object, from which model, data,
 * optimizer and learning-rate scheduler are built and training, validation, testing and prediction
 * are driven, counted in iterations.
 *
 * @module
 */
export * as tf from "./src/tensor/tf.ts";
export * as nn from "./src/nn/nn.ts";
/** Metrics by name, for custom loops: sums per sample, and a rule for the totals. */
export * as metrics from "./src/metric/metrics.ts";
export {
  crossEntropy,
  type CrossEntropyOptions,
  huber,
  type Loss,
  type LossResult,
  mae,
  mape,
  mse,
  smape,
  smoothL1,
  wape,
} from "./src/loss/losses.ts";

// The run.
export { type CreateOptions, IterationRunner } from "./src/config/iteration_runner.ts";
export { configSchema, type JsonSchema } from "./src/config/json_schema.ts";
export {
  type ComponentConfig,
  defineConfig,
  type RunConfig,
  runConfigSchema,
} from "./src/config/schema.ts";
export { BaseIterationRunner, type RunParts } from "./src/runner/base_iteration_runner.ts";
export type { PredictField, PredictInputs } from "./src/runner/predict.ts";
export type { RunSettings } from "./src/runner/settings.ts";
export type { Best, FinishReason, RunState, Summary } from "./src/runner/state.ts";
export { selectBackend, type SelectedBackend } from "./src/backend/select.ts";

// Components by name, and what components of one's own are written with.
export { type DataFactory, registerDataset } from "./src/data/registry.ts";
export { type LossFactory, type LossFunction, registerLoss } from "./src/loss/registry.ts";
export type { Metric } from "./src/metric/metric.ts";
export { type MetricFactory, registerMetric } from "./src/metric/registry.ts";
export { type ModelFactory, registerModel } from "./src/model/registry.ts";
export { type OptimizerFactory, registerOptimizer } from "./src/optim/registry.ts";
export { registerScheduler, type SchedulerFactory } from "./src/schedule/registry.ts";
export { type CallbackFactory, registerCallback } from "./src/runner/callbacks/registry.ts";
/** Schemas of options: the vocabulary (`object`, `atLeast`, `flag`, ...), and `parseOptions`. */
export * as options from "./src/core/options.ts";
/** Elementwise updates as expressions: `param`, `gradient`, `slot`, `scalar`, and what to do with them. */
export * as expression from "./src/fuse/expression.ts";
/** Pieces that many update rules share: the sign of maximize, weight decay, cautious masking. */
export * as terms from "./src/optim/terms.ts";
export {
  elementwise,
  type ElementwiseSpec,
  type Measure,
  type ScalarContext,
} from "./src/optim/elementwise.ts";
export { type GroupPlan, singleGroup } from "./src/optim/builder.ts";
export {
  type OptimizerRule,
  type ParameterState,
  type PlanEntry,
  scaledGradient,
  type Slot,
  type UpdateEntry,
  type UpdatePlan,
  type UpdateScope,
} from "./src/optim/rule.ts";
export type { OptimizerWrapper } from "./src/optim/wrapper.ts";
export {
  absoluteSchedule,
  factorSchedule,
  schedule,
  type SchedulerContext,
  type SchedulerRule,
  type ScheduleSpec,
} from "./src/schedule/schedule.ts";

// Optimizers and schedules, also without a run.
export {
  buildOptimizer,
  type GroupConfig,
  type OptimizerConfig,
  type Patterns,
} from "./src/optim/builder.ts";
export { clipGradNorm, clipGradValue } from "./src/optim/clip.ts";
export {
  type Closure,
  type ClosureResult,
  type HostClosure,
  type HostClosureResult,
  Optimizer,
  type OptimizerStateDict,
  type ParamGroup,
  type Point,
  type SavedState,
} from "./src/optim/optimizer.ts";
export { type AveragingOptions, WeightAverage } from "./src/optim/averaging.ts";
export { buildScheduler, type SchedulerConfig } from "./src/schedule/builder.ts";
export type { Schedulable, Scheduler } from "./src/schedule/scheduler.ts";

// Data.
export { ArrayDataset } from "./src/data/array_dataset.ts";
export type {
  Allocate,
  DataContext,
  Dataset,
  DataSplits,
  HostArray,
  HostBatch,
  IterableDataset,
  Sample,
  SeriesForm,
} from "./src/data/dataset.ts";
export { ForecastingArray, ForecastingCsv } from "./src/data/forecasting.ts";
export { DataLoader, StreamLoader } from "./src/data/loader.ts";
export { type AffineScaler, fitScaler } from "./src/data/scaler.ts";

// Models.
export { fromLayers } from "./src/model/layers.ts";
export type {
  Batch,
  ForwardContext,
  ForwardOutput,
  Model,
  ModelContext,
} from "./src/model/model.ts";

// Weights and files.
export {
  type FromTorchOptions,
  fromTorchStateDict,
  type TorchStateDict,
} from "./src/checkpoint/torch_state.ts";
export { loadWeights, saveWeights } from "./src/checkpoint/weights.ts";
export { FileStore } from "./src/checkpoint/file_store.ts";
export { MemoryStore } from "./src/checkpoint/memory_store.ts";
export { OpfsStore } from "./src/checkpoint/opfs_store.ts";
export type { Store, StoreLock } from "./src/checkpoint/store.ts";

// Callbacks.
export type {
  Callback,
  CallbackState,
  GradientValue,
  OutputValue,
  Phase,
  TapeContext,
  Values,
} from "./src/runner/hooks.ts";
export type { RunView } from "./src/runner/run_view.ts";
export { AuxiliaryLoss } from "./src/runner/callbacks/auxiliary_loss.ts";
export { Checkpoint } from "./src/runner/callbacks/checkpoint.ts";
export { ClipGradients } from "./src/runner/callbacks/clip_gradients.ts";
export { Curriculum } from "./src/runner/callbacks/curriculum.ts";
export { EarlyStopping } from "./src/runner/callbacks/early_stopping.ts";
export { ExponentialMovingAverage } from "./src/runner/callbacks/exponential_moving_average.ts";
export { JsonLines } from "./src/runner/callbacks/json_lines.ts";
export { LearningRateMonitor } from "./src/runner/callbacks/learning_rate_monitor.ts";
export { ProgressBar } from "./src/runner/callbacks/progress_bar.ts";
export { TensorBoard } from "./src/runner/callbacks/tensorboard.ts";

// What a caller may catch, and draw from.
export {
  CheckpointError,
  ConfigError,
  DataError,
  NonFiniteError,
  WorkerError,
} from "./src/core/errors.ts";
export { RandomStream, randomStream } from "./src/core/random.ts";
