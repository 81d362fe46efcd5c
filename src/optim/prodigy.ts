/** Prodigy, Adam that finds its own learning rate (Mishchenko and Defazio, 2023). */
import { powInt } from "../core/math.ts";
import {
  above,
  atLeast,
  below,
  either,
  flag,
  integer,
  object,
  oneOf,
  pair,
  type z,
} from "../core/options.ts";
import { ConfigError, show } from "../core/errors.ts";
import { applyUpdate } from "../fuse/apply.ts";
import {
  add,
  addcdiv,
  addcmul,
  addScaled,
  mul,
  neg,
  param,
  scalar,
  slot,
  sqrt,
  type Update,
} from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { total } from "./clip.ts";
import { type OptimizerRule, scaledGradient, type UpdateEntry } from "./rule.ts";
import { ascent, withL2 } from "./terms.ts";

const options = object({
  lr: atLeast(0).default(1),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.999]),
  beta3: below(0, 1).nullable().default(null),
  eps: atLeast(0).default(1e-8),
  weight_decay: atLeast(0).default(0),
  decouple: flag().default(true),
  use_bias_correction: flag().default(false),
  safeguard_warmup: flag().default(false),
  d0: above(0).default(1e-6),
  d_coef: above(0).default(1),
  growth_rate: either('must be a number > 0 or "inf"', above(0), oneOf(["inf"])).default("inf"),
  slice_p: integer(1).default(1),
  maximize: flag().default(false),
});

type Options = z.output<typeof options>;

/** The scalars that all parameters share, kept on the device. */
type Shared = Readonly<Record<"d" | "d_max" | "d_numerator", tf.Variable>>;

/**
 *     dlr = d lr (use_bias_correction ? sqrt(1 - b2^t) / (1 - b1^t) : 1);   b3 = sqrt(b2)
 *     num = b3 num + sum over parameters of d / d0 dlr <g, p0 - p>
 *     m = b1 m + d (1 - b1) g;   v = b2 v + d^2 (1 - b2) g^2
 *     s = b3 s + d / d0 (safeguard_warmup ? d : dlr) g
 *     dhat = d_coef num / sum |s|;   if d = d0: d = max(d, dhat)
 *     d_max = max(d_max, dhat);   d' = min(d_max, d growth_rate)
 *     p = p - dlr weight_decay p;   p = p - dlr m / (sqrt(v) + d' eps)
 *
 * lr is a multiplier, 1 or a schedule of it, the same for all groups (or 0). Only every `slice_p`-th
 * element enters num and s. d0, d_coef, growth_rate and b3 are one for all groups.
 */
export const prodigy: OptimizerRule = {
  name: "Prodigy",
  options,
  slots: {
    exp_avg: {},
    exp_avg_sq: {},
    s: { initial: (o, p) => tf.zerosLike(sliced(p, o as Options)) },
    p0: { initial: (o, p) => sliced(p, o as Options) },
  },
  numbers: () => ({ step: 0 }),
  shared: {
    d: (o) => (o as Options).d0,
    d_max: (o) => (o as Options).d0,
    d_numerator: () => 0,
  },
  whole(options) {
    const o = options as Options;
    const { d0, d_coef, growth_rate } = o;
    return { d0, d_coef, growth_rate, beta3: beta3Of(o) };
  },
  step(entries, shared) {
    const active = entries.filter(({ options }) => options.lr !== 0);
    checkRates(active);
    if (active.length > 0) tf.tidy(() => update(active, shared as Shared));
  },
};

function update(entries: readonly UpdateEntry[], { d, d_max, d_numerator }: Shared): void {
  const first = entries[0].options as Options;
  const beta3 = beta3Of(first);
  const before = tf.clone(d) as tf.Scalar;
  const numerators: tf.Tensor[] = [];
  const denominators: tf.Tensor[] = [];
  for (const entry of entries) {
    const o = entry.options as Options;
    entry.state.numbers.step++;
    applyUpdate(o.weight_decay !== 0 && !o.decouple ? rememberL2(o) : remember(o), {
      ...entry,
      slots: entry.state.slots,
      scalars: momentScalars(o, before),
    });
    const products = advanceSlice(entry, before);
    numerators.push(products);
    denominators.push(tf.abs(entry.state.slots.s));
  }
  const numerator = tf.add(tf.mul(d_numerator, beta3), total(numerators));
  const denominator = total(denominators);
  // Nothing has moved yet: gradients were all zero.
  const moved = tf.greater(denominator, 0);
  const estimate = tf.mul(
    tf.div(numerator, tf.where(moved, denominator, tf.scalar(1))),
    first.d_coef,
  );
  const grown = tf.where(
    tf.equal(before, Math.fround(first.d0)),
    tf.maximum(before, estimate),
    before,
  );
  const highest = tf.maximum(d_max, estimate);
  const next = first.growth_rate === "inf"
    ? highest
    : tf.minimum(highest, tf.mul(grown, first.growth_rate));
  d_numerator.assign(tf.where(moved, numerator, d_numerator));
  d_max.assign(tf.where(moved, highest, d_max));
  d.assign(tf.where(moved, next, before));
  const go = tf.cast(moved, "float32");
  for (const entry of entries) {
    const o = entry.options as Options;
    const dlr = tf.mul(tf.mul(before, rateOf(o, entry.state.numbers.step)), go) as tf.Scalar;
    applyUpdate(o.weight_decay !== 0 && o.decouple ? moveDecayed : move, {
      ...entry,
      slots: entry.state.slots,
      scalars: {
        dlr,
        decay: tf.sub(1, tf.mul(dlr, o.weight_decay)) as tf.Scalar,
        eps: tf.mul(d, o.eps) as tf.Scalar,
      },
    });
  }
}

/** lr with the bias correction, without d. */
function rateOf(o: Options, step: number): number {
  const [beta1, beta2] = o.betas;
  return o.use_bias_correction
    ? o.lr * Math.sqrt(1 - powInt(beta2, step)) / (1 - powInt(beta1, step))
    : o.lr;
}

const beta3Of = (o: Pick<Options, "beta3" | "betas">): number => o.beta3 ?? Math.sqrt(o.betas[1]);

/** s of this parameter moves on; returns the products whose sum is its part of the numerator. */
function advanceSlice(entry: UpdateEntry, d: tf.Scalar): tf.Tensor {
  const { param, state: { slots, numbers } } = entry;
  const o = entry.options as Options;
  const given = scaledGradient(entry);
  const raw = o.maximize ? tf.neg(given) : given;
  const whole = o.weight_decay !== 0 && !o.decouple
    ? tf.add(raw, tf.mul(param, o.weight_decay))
    : raw;
  const g = sliced(whole, o);
  const relative = tf.div(d, o.d0);
  const dlr = tf.mul(d, rateOf(o, numbers.step));
  slots.s.assign(tf.add(
    tf.mul(slots.s, beta3Of(o)),
    tf.mul(g, tf.mul(relative, o.safeguard_warmup ? d : dlr)),
  ));
  const distance = tf.sub(slots.p0, sliced(param, o));
  return tf.mul(tf.mul(g, distance), tf.mul(relative, dlr));
}

/** Every slice_p-th element. */
function sliced(x: tf.Tensor, { slice_p }: Options): tf.Tensor {
  const flat = tf.reshape(x, [-1]);
  return slice_p === 1 ? flat : tf.stridedSlice(flat, [0], [x.size], [slice_p]);
}

function momentScalars(o: Options, d: tf.Scalar): Record<string, number | tf.Scalar> {
  const [beta1, beta2] = o.betas;
  return {
    keep1: beta1,
    keep2: beta2,
    take1: tf.mul(d, 1 - beta1) as tf.Scalar,
    take2: tf.mul(tf.square(d), 1 - beta2) as tf.Scalar,
    weight_decay: o.weight_decay,
  };
}

const moments = (maximize: boolean, decay: boolean): Update => {
  const g = withL2(ascent(maximize), decay);
  return {
    slots: {
      exp_avg: addScaled(mul(slot("exp_avg"), scalar("keep1")), g, scalar("take1")),
      exp_avg_sq: addcmul(mul(slot("exp_avg_sq"), scalar("keep2")), g, g, scalar("take2")),
    },
  };
};
const plain: readonly Update[] = [moments(false, false), moments(true, false)];
const withDecay: readonly Update[] = [moments(false, true), moments(true, true)];
const remember = ({ maximize }: Options): Update => plain[Number(maximize)];
const rememberL2 = ({ maximize }: Options): Update => withDecay[Number(maximize)];

const moveFrom = (p: typeof param): Update => ({
  param: addcdiv(
    p,
    slot("exp_avg"),
    add(sqrt(slot("exp_avg_sq")), scalar("eps")),
    neg(scalar("dlr")),
  ),
});
const move: Update = moveFrom(param);
const moveDecayed: Update = moveFrom(mul(param, scalar("decay")));

/** One estimate d serves all, so the groups cannot differ in the rate. */
function checkRates(entries: readonly UpdateEntry[]): void {
  const lr = entries[0]?.options.lr;
  const other = entries.find(({ options }) => options.lr !== lr);
  if (other === undefined) return;
  throw new ConfigError(
    "paramGroups",
    `of Prodigy must have one lr, or 0, received ${show(lr)} and ${show(other.options.lr)}`,
  );
}
