/** The callbacks that a config has without listing them. */
import { ConfigError } from "../core/errors.ts";
import { Checkpoint } from "../runner/callbacks/checkpoint.ts";
import { ClipGradients } from "../runner/callbacks/clip_gradients.ts";
import { EarlyStopping } from "../runner/callbacks/early_stopping.ts";
import { JsonLines } from "../runner/callbacks/json_lines.ts";
import { ProgressBar } from "../runner/callbacks/progress_bar.ts";
import { TensorBoard } from "../runner/callbacks/tensorboard.ts";
import type { Callback } from "../runner/hooks.ts";
import type { ResolvedConfig } from "./schema.ts";

/** The callbacks in their order: the user's, the shorthands', the reports, the checkpoints. */
export function withDefaults(
  user: readonly Callback[],
  config: ResolvedConfig,
  persistent: boolean,
): Callback[] {
  const has = (name: string): boolean => user.some((callback) => callback.name === name);
  const { train, earlyStopping, checkpoint } = config;
  const more: Callback[] = [];
  const shorthand = (path: string, name: string, callback: () => Callback): void => {
    if (has(name)) {
      throw new ConfigError(
        path,
        `is shorthand for the callback ${name}, which callbacks has too; give one of them`,
      );
    }
    more.push(callback());
  };
  if (train.clipGrad !== undefined) {
    shorthand("train.clipGrad", "ClipGradients", () => new ClipGradients(train.clipGrad));
  }
  if (earlyStopping !== undefined) {
    shorthand("earlyStopping", "EarlyStopping", () => new EarlyStopping(earlyStopping));
  }
  if (persistent && !has("JsonLines")) more.push(new JsonLines());
  if (persistent && config.log.tensorboard && !has("TensorBoard")) more.push(new TensorBoard());
  if (config.log.progress && !has("ProgressBar")) more.push(new ProgressBar());
  const own = user.find((callback) => callback instanceof Checkpoint);
  const { directory: _, resume: __, onError: ___, allowChanged: ____, ...params } = checkpoint ||
    {};
  if (own === undefined) more.push(new Checkpoint(params));
  else if (Object.values(params).some((value) => value !== undefined)) {
    shorthand("checkpoint", "Checkpoint", () => own);
  }
  return [...user.filter((callback) => callback !== own), ...more, ...(own ? [own] : [])];
}
