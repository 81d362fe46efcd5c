/** A config of every registered optimizer. */
import { registeredOptimizers } from "../../src/optim/registry.ts";

const base = { optimizer: { type: "SGD", params: { lr: 0.05, momentum: 0.9 } } };

/** Options that make a type move in a few steps, and use what state it has. */
const params: Record<string, Record<string, unknown>> = {
  ASAM: base,
  Adadelta: { lr: 1 },
  AdEMAMix: { lr: 0.05, beta3_warmup: 6, alpha_warmup: 4 },
  LBFGS: { max_iter: 3 },
  Lookahead: { k: 2, optimizer: { type: "AdamW", params: { lr: 0.05, amsgrad: true } } },
  Muon: { lr: 0.05, aux: { lr: 0.05 } },
  Prodigy: { d0: 1e-2, use_bias_correction: true },
  RMSprop: { lr: 0.05, momentum: 0.5, centered: true },
  SAM: base,
  SGD: { lr: 0.05, momentum: 0.9, dampening: 0.3 },
};

export const optimizerConfigs: readonly { type: string; params: Record<string, unknown> }[] =
  registeredOptimizers().map(({ name: type }) => ({
    type,
    params: params[type] ?? { lr: 0.05 },
  }));
