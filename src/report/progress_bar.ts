/** How far a run is: a bar on a terminal, now and then a plain line elsewhere. */
import { type Clock, systemClock } from "../core/clock.ts";
import type { Output } from "./console.ts";
import { formatDuration, formatValues } from "./format.ts";

/** What a bar counts. */
export interface ProgressBarOptions {
  /** The last iteration. */
  readonly total: number;
  /** Iterations done before this start (a resumed run); they do not enter the rate. */
  readonly start?: number;
  /** A word before the bar. */
  readonly label?: string;
  readonly clock?: Clock;
}

const REDRAW_MS = 100;
const LINE_MS = 10_000;
const TENTH_MS = 1_000;
const CELLS = 20;

/**
 * Counts iterations on an output.
 *
 *     eta = elapsed * (total - iteration) / (iteration - start)
 *
 * A terminal is redrawn at most 10 times a second. Other outputs get a line every 10 s, and at each
 * tenth of the run if a second has passed since the line before.
 */
export class ProgressBar {
  readonly #output: Output;
  readonly #clock: Clock;
  readonly #total: number;
  readonly #start: number;
  readonly #label: string;
  readonly #began: number;
  #iteration: number;
  #values: Readonly<Record<string, number | string>> = {};
  #shownAt: number;
  #shownTenth: number;

  constructor(output: Output, options: ProgressBarOptions) {
    this.#output = output;
    this.#clock = options.clock ?? systemClock;
    this.#total = options.total;
    this.#start = options.start ?? 0;
    this.#label = options.label ?? "";
    this.#iteration = this.#start;
    this.#began = this.#clock.now();
    this.#shownAt = output.status === undefined ? this.#began : -Infinity;
    this.#shownTenth = this.#tenth();
  }

  /** `iteration` is done; `values` (loss, samples/s) are shown in their order. */
  update(iteration: number, values: Readonly<Record<string, number | string>> = {}): void {
    this.#iteration = iteration;
    this.#values = values;
    const since = this.#clock.now() - this.#shownAt;
    const due = this.#output.status !== undefined
      ? since >= REDRAW_MS
      : since >= LINE_MS || (since >= TENTH_MS && this.#tenth() > this.#shownTenth);
    if (due) this.#show();
  }

  /** Removes the bar from a terminal and writes its last state as a line. */
  finish(): void {
    this.#output.status?.("");
    this.#output.line(this.#text(""));
  }

  /** Removes the bar without a last line. */
  clear(): void {
    this.#output.status?.("");
  }

  #show(): void {
    this.#shownAt = this.#clock.now();
    this.#shownTenth = this.#tenth();
    if (this.#output.status === undefined) this.#output.line(this.#text(""));
    else this.#output.status(this.#text(` ${this.#bar()}`));
  }

  #text(bar: string): string {
    const elapsed = (this.#clock.now() - this.#began) / 1000;
    const left = this.#total - this.#iteration;
    const done = this.#iteration - this.#start;
    const eta = left > 0 ? `, eta ${formatDuration(elapsed * left / done)}` : "";
    const percent = `${Math.floor(100 * this.#share())}%`.padStart(5);
    const count = `${String(this.#iteration).padStart(String(this.#total).length)}/${this.#total}`;
    const values = formatValues(this.#values);
    return `${this.#label === "" ? "" : `${this.#label} `}${count}${percent}${bar}` +
      ` ${formatDuration(elapsed)}${eta}${values === "" ? "" : `  ${values}`}`;
  }

  #bar(): string {
    const full = Math.floor(CELLS * this.#share());
    return `[${"=".repeat(full)}${" ".repeat(CELLS - full)}]`;
  }

  #share(): number {
    return this.#total === 0 ? 1 : Math.min(1, this.#iteration / this.#total);
  }

  #tenth(): number {
    return Math.floor(10 * this.#share());
  }
}
