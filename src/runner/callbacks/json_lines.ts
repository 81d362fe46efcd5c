/** Writes `metrics.jsonl` and `timings.jsonl`. */
import { object, parseOptions, type z } from "../../core/options.ts";
import { hostProcess } from "../../core/host.ts";
import { JsonLines as Lines } from "../../report/json_lines.ts";
import * as tf from "../../tensor/tf.ts";
import type { Callback, CallbackState, Phase, Values } from "../hooks.ts";
import type { RunView } from "../run_view.ts";

/** Options of {@link JsonLines}: none. */
export const jsonLinesOptions: z.ZodObject = object({});

/**
 * `metrics.jsonl`: one line a record, `{ iteration, phase, ...values }`, a function of config, data
 * and iteration only, so that equal runs write equal bytes. Checkpoints store its length and a
 * resumed run cuts it there. `timings.jsonl`: time, throughput and memory beside each record.
 */
export class JsonLines implements Callback {
  readonly name = "JsonLines";
  #metrics: Lines | undefined;
  #timings: Lines | undefined;
  #length = 0;

  constructor(params: Record<string, unknown> = {}, path = "callbacks.JsonLines") {
    parseOptions(jsonLinesOptions, params, path, "JsonLines");
  }

  setup(): void {
    this.#metrics = this.#timings = undefined;
    this.#length = 0;
  }

  async trainStart(run: RunView): Promise<void> {
    this.#metrics = new Lines(run.store, "metrics.jsonl");
    await this.#metrics.resume(this.#length);
    this.#timings = new Lines(run.store, "timings.jsonl");
    const written = run.state.iteration === 0 ? undefined : await run.store.read("timings.jsonl");
    await this.#timings.resume(written?.length ?? 0);
  }

  log(phase: Phase, iteration: number, values: Values, run: RunView): void {
    this.#metrics?.write({ iteration, phase, ...values });
    this.#timings?.write({
      iteration,
      phase,
      seconds: run.timing.seconds,
      ...(phase === "train" ? run.timing.lap() : {}),
      numTensors: tf.memory().numTensors,
      numBytes: tf.memory().numBytes,
      rss: hostProcess?.memoryUsage().rss,
    });
  }

  async save(): Promise<void> {
    await this.#commit();
  }

  async trainEnd(): Promise<void> {
    await this.#commit();
  }

  async exception(): Promise<void> {
    await this.#commit();
  }

  /** The final test is not counted: a run that goes on, to more iterations, is tested anew. */
  async finish(): Promise<void> {
    await this.#metrics?.flush();
    await this.#timings?.flush();
  }

  async #commit(): Promise<void> {
    this.#length = await this.#metrics?.flush() ?? this.#length;
    await this.#timings?.flush();
  }

  state(): CallbackState {
    return { meta: { length: this.#length } };
  }

  load({ meta }: { meta: Record<string, unknown> }): void {
    this.#length = meta.length as number;
  }
}
