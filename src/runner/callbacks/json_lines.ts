/** Writes `metrics.jsonl` and `timings.jsonl`. */
import { object, parseOptions, type z } from "../../core/options.ts";
import { hostProcess } from "../../core/host.ts";
import { JsonLines as Lines } from "../../report/json_lines.ts";
import * as tf from "../../tensor/tf.ts";
import type { Callback, CallbackState, Phase, Values } from "../hooks.ts";
import type { RunView } from "../run_view.ts";
import type { FinishReason, Summary } from "../state.ts";

/** Options of {@link JsonLines}: none. */
export const jsonLinesOptions: z.ZodObject = object({});

const METRICS = "metrics.jsonl";
const NEWLINE = 10;

/**
 * `metrics.jsonl`: one line a record, `{ iteration, phase, ...values }`, a function of config, data
 * and iteration only, so that equal runs write equal bytes. Checkpoints store its length and a
 * resumed run cuts it there. `timings.jsonl`: time, throughput, worker restarts and memory beside each record.
 */
export class JsonLines implements Callback {
  readonly name = "JsonLines";
  #metrics: Lines | undefined;
  #timings: Lines | undefined;
  /** What a checkpoint counts while nothing of the training is written. */
  #length = 0;
  /** Whether the training has ended: what is written after it is not counted. */
  #isOver = false;

  constructor(params: Record<string, unknown> = {}, path = "callbacks.JsonLines") {
    parseOptions(jsonLinesOptions, params, path, "JsonLines");
  }

  setup(): void {
    this.#metrics = this.#timings = undefined;
    this.#length = 0;
    this.#isOver = false;
  }

  async trainStart(run: RunView): Promise<void> {
    // A checkpoint meanwhile counts what is kept.
    this.#metrics = this.#timings = undefined;
    this.#length = await lengthToKeep(run, this.#length);
    const metrics = new Lines(run.store, METRICS);
    await metrics.resume(this.#length);
    const timings = new Lines(run.store, "timings.jsonl");
    const written = run.state.iteration === 0 ? undefined : await run.store.read("timings.jsonl");
    await timings.resume(written?.length ?? 0);
    this.#metrics = metrics;
    this.#timings = timings;
    this.#isOver = false;
  }

  log(phase: Phase, iteration: number, values: Values, run: RunView): void {
    this.#metrics?.write({ iteration, phase, ...values });
    this.#timings?.write({
      iteration,
      phase,
      seconds: run.timing.seconds,
      ...(phase === "train" ? run.timing.lap() : {}),
      restarts: run.timing.restarts,
      numTensors: tf.memory().numTensors,
      numBytes: tf.memory().numBytes,
      rss: hostProcess?.memoryUsage().rss,
    });
  }

  async save(): Promise<void> {
    await this.#flush();
  }

  async trainEnd(_: FinishReason, run: RunView): Promise<void> {
    // What is written by now: the flush may come to fail.
    this.#length = this.#counted;
    this.#isOver = true;
    await run.writing(() => this.#flush());
  }

  async exception(_: unknown, run: RunView): Promise<void> {
    await run.writing(async () => {
      await this.#flush();
      this.#length = this.#counted;
    });
  }

  /** What the final test adds is not counted: a later start tests and writes it again. */
  async finish(_: Summary, run: RunView): Promise<void> {
    await run.writing(() => this.#flush());
  }

  async #flush(): Promise<void> {
    await this.#metrics?.flush();
    await this.#timings?.flush();
  }

  /** The length the file will have when the checkpoint is written, which comes after `save`. */
  state(): CallbackState {
    return { meta: { length: this.#counted } };
  }

  get #counted(): number {
    return this.#isOver ? this.#length : this.#metrics?.total ?? this.#length;
  }

  load({ meta }: { meta: Record<string, unknown> }): void {
    this.#length = meta.length as number;
    // What is counted is less than the file holds until `trainStart` cuts it.
    this.#metrics = undefined;
    this.#isOver = false;
  }
}

/** What a checkpoint counts; where some of it is gone, the whole lines that are left, with a line. */
async function lengthToKeep({ store, output }: RunView, counted: number): Promise<number> {
  const written = counted === 0 ? undefined : await store.read(METRICS) ?? new Uint8Array();
  if (written === undefined || written.length >= counted) return counted;
  output.line(
    `${store.location}/${METRICS}: has ${written.length} bytes, the checkpoint counts ${counted}: ` +
      "records are missing; going on with what is there",
  );
  return written.lastIndexOf(NEWLINE) + 1;
}
