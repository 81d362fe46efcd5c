/** Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`. */
import { atLeast, below, flag, object, pair, type z } from "../core/options.ts";
import {
  type AdamForm,
  adamForm,
  adamMeasure,
  adamScalars,
  adamSlots,
  adamUpdate,
} from "./adam.ts";
import { elementwise } from "./elementwise.ts";
import type { OptimizerRule } from "./rule.ts";
import { cautiousOption, decayOptions } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1e-3),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.999]),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(1e-2),
  amsgrad: flag().default(false),
  maximize: flag().default(false),
  ...cautiousOption,
  ...decayOptions,
});

/** Adam's rule with p = p (1 - lr weight_decay) before the step. */
export const adamw: OptimizerRule = elementwise<z.output<typeof options>, AdamForm>({
  name: "AdamW",
  options,
  slots: adamSlots,
  numbers: () => ({ step: 0 }),
  form: (o) => adamForm(o, true),
  scalars: adamScalars,
  measure: adamMeasure,
  update: adamUpdate,
});
