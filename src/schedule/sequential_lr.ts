/** One schedule after another, as torch's SequentialLR. */
import { ConfigError, show } from "../core/errors.ts";
import { integer, join, list, object } from "../core/options.ts";
import { Composite } from "./composite.ts";
import type { SchedulerContext, SchedulerRule } from "./schedule.ts";

/**
 * Part i runs from step milestones[i - 1] on, counting its own steps from 0 there.
 *
 * At its milestone a part with a closed form, or one that knows only its base rate, starts from the
 * initial rate; MultiplicativeLR and SWALR go on from the rate in force. The parts are made in
 * order for the same groups, so that one that sets `initial_lr` (OneCycleLR) sets where the sequence starts.
 * A part may be a composite, which then runs as if it stood alone; torch cannot restart one, and steps
 * a first one twice.
 */
export const sequentialLr: SchedulerRule = {
  name: "SequentialLR",
  options: object({ milestones: list(integer(0), "must be an array of integers >= 0") }),
  composite: true,
  create: (context) => new SequentialLr(context),
};

class SequentialLr extends Composite {
  readonly #milestones: readonly number[];

  constructor(context: SchedulerContext) {
    super(sequentialLr.name, context, (again) => new SequentialLr(again));
    const milestones = context.options.milestones as number[];
    const path = join(context.path, "milestones");
    if (milestones.length !== this.parts.length - 1) {
      throw new ConfigError(
        path,
        `must hold one step fewer than there are schedulers (${this.parts.length}), received ${
          show(milestones)
        }`,
      );
    }
    if (milestones.some((milestone, i) => i > 0 && milestone < milestones[i - 1])) {
      throw new ConfigError(path, `must be in rising order, received ${show(milestones)}`);
    }
    this.#milestones = milestones;
    for (const group of this.optimizer.paramGroups) group.lr = group.initial_lr as number;
    this.hold();
    this.begin();
  }

  protected advance(k: number): void {
    const i = this.#partAt(k);
    if (i > 0 && this.#milestones[i - 1] === k) this.parts[i].restart();
    else this.parts[i].step();
  }

  begin(): void {
    this.k = 0;
    this.parts[this.#partAt(0)].begin();
  }

  restart(): void {
    this.k = 0;
    this.parts[this.#partAt(0)].restart();
  }

  #partAt(k: number): number {
    return this.#milestones.filter((milestone) => milestone <= k).length;
  }
}
