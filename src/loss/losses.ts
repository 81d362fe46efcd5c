/** The losses, and how to name and register them. */
export type { Loss, LossResult } from "./loss.ts";
export { mae } from "./mae.ts";
export { mse } from "./mse.ts";
export { mape } from "./mape.ts";
export { smape } from "./smape.ts";
export { wape } from "./wape.ts";
export { huber, smoothL1 } from "./huber.ts";
export { crossEntropy, type CrossEntropyOptions } from "./cross_entropy.ts";
export {
  buildLoss,
  type LossConfig,
  type LossFactory,
  type LossFunction,
  registerLoss,
} from "./registry.ts";
