/** Several schedules at once, as torch's ChainedScheduler. */
import { object } from "../core/options.ts";
import { Composite } from "./composite.ts";
import type { SchedulerContext, SchedulerRule } from "./schedule.ts";

/**
 * Each step steps every part in order, on the rate that the one before left. Schedules that multiply
 * the rate give the product of their factors; one that knows only its base rate (LambdaLR,
 * CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR, those of Hugging Face and timm) overwrites what
 * came before it. Parts with different targets are independent.
 */
export const chainedScheduler: SchedulerRule = {
  name: "ChainedScheduler",
  options: object({}),
  composite: true,
  create: (context) => new ChainedScheduler(context),
};

class ChainedScheduler extends Composite {
  constructor(context: SchedulerContext) {
    super(chainedScheduler.name, context, (again) => new ChainedScheduler(again));
  }

  protected advance(): void {
    for (const part of this.parts) part.step();
  }

  begin(): void {
    this.k = 0;
    for (const part of this.parts) part.begin();
  }

  /** The first part starts from the base rates, the others from what it set, as when they were made. */
  restart(): void {
    this.k = 0;
    this.parts.forEach((part, i) => i === 0 ? part.restart() : part.begin());
  }
}
