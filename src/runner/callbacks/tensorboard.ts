/** Writes TensorBoard event files. */
import { object, parseOptions, type z } from "../../core/options.ts";
import { EventWriter } from "../../report/tensorboard.ts";
import type { Callback, Phase, Values } from "../hooks.ts";
import type { RunView } from "../run_view.ts";
import type { Summary } from "../state.ts";

/** Options of {@link TensorBoard}: none. */
export const tensorBoardOptions: z.ZodObject = object({});

/** Every record as scalars `train/loss`, `val/mse`, ...; the step is the iteration for every phase. */
export class TensorBoard implements Callback {
  readonly name = "TensorBoard";
  #writer: EventWriter | undefined;

  constructor(params: Record<string, unknown> = {}, path = "callbacks.TensorBoard") {
    parseOptions(tensorBoardOptions, params, path, "TensorBoard");
  }

  setup(): void {
    this.#writer = undefined;
  }

  trainStart(run: RunView): void {
    const { iteration } = run.state;
    this.#writer = new EventWriter(
      run.store,
      iteration === 0 ? {} : { resumeIteration: iteration },
    );
  }

  log(phase: Phase, iteration: number, values: Values): void {
    const tagged = Object.entries(values).map(([name, value]) => [`${phase}/${name}`, value]);
    this.#writer?.scalars(Object.fromEntries(tagged), iteration);
  }

  async save(): Promise<void> {
    await this.#flush();
  }

  async finish(_: Summary, run: RunView): Promise<void> {
    await run.writing(() => this.#flush());
  }

  async exception(_: unknown, run: RunView): Promise<void> {
    await run.writing(() => this.#flush());
  }

  async #flush(): Promise<void> {
    await this.#writer?.flush();
  }
}
