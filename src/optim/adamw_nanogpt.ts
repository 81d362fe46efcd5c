/** AdamW as nanoGPT and BasicTS set it up: matrices decay, vectors do not. */
import { adamw } from "./adamw.ts";
import type { OptimizerRule } from "./rule.ts";

/** Two groups of AdamW: parameters of rank >= 2 with `weight_decay`, then the others without. */
export const adamwNanoGpt: OptimizerRule = {
  ...adamw,
  name: "AdamWnanoGPT",
  divide: (options) => [
    { label: "rank >= 2", rule: adamwNanoGpt, options, takes: (_, { rank }) => rank >= 2 },
    {
      label: "rank < 2",
      rule: adamwNanoGpt,
      options: { ...options, weight_decay: 0 },
      takes: () => true,
    },
  ],
};
