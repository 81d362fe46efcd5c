/**
 * Muon, momentum orthogonalised by Newton-Schulz iterations (Jordan et al., 2024), as
 * `torch.optim.Muon`, with the iterations in float32 where torch rounds to bfloat16: a direction
 * differs from torch's by up to 1.2e-2 an element, about as much as torch's on two kinds of hardware.
 *
 * It trains matrices only. With `aux` one Muon trains a whole model: embeddings, output heads and
 * what is no matrix go to an AdamW of their own.
 */
import {
  atLeast,
  below,
  either,
  flag,
  integer,
  list,
  number,
  object,
  oneOf,
  pair,
  parseOptions,
  text,
  z,
} from "../core/options.ts";
import { applyUpdate } from "../fuse/apply.ts";
import { addScaled, gradient, lerp, neg, scalar, slot, type Update } from "../fuse/expression.ts";
import * as tf from "../tensor/tf.ts";
import { adamw } from "./adamw.ts";
import { squaredNorm } from "./clip.ts";
import { type OptimizerRule, scaledGradient, type Share, type UpdateEntry } from "./rule.ts";
import { decayed, decayOptions, lerpTensors, shrinkOf } from "./terms.ts";

/** What is embedding or head by its name, in the usual models. */
const usual = [
  "embed",
  "(^|[./_])(wte|wpe)([./_]|$)",
  "(^|[./_])(head|classifier|logits)([./_]|$)",
];

const auxOptions = object({
  /** Regular expressions of names, in any case, that AdamW trains whatever their rank. */
  match: list(expression()).default(usual),
  lr: atLeast(0).optional(),
  betas: pair(below(0, 1), below(0, 1)).default([0.9, 0.95]),
  eps: atLeast(0).default(1e-10),
  weight_decay: atLeast(0).optional(),
});

const options = object({
  lr: atLeast(0).default(1e-3),
  weight_decay: atLeast(0).default(0.1),
  momentum: atLeast(0).default(0.95),
  nesterov: flag().default(true),
  ns_coefficients: z.tuple([number(), number(), number()], {
    error: "must be an array of 3 numbers",
  }).default([3.4445, -4.775, 2.0315]),
  eps: atLeast(0).default(1e-7),
  ns_steps: integer(0).lt(100, { error: "must be an integer in [0, 100)" }).default(5),
  adjust_lr_fn: oneOf(["original", "match_rms_adamw", "spectral_unclamped"]).nullable().default(
    null,
  ),
  /** How matrices lie: "torch" is [out, in], "tfjs" is [in, out]; the rate of wide and tall ones differs. */
  layout: oneOf(["torch", "tfjs"]).default("torch"),
  maximize: flag().default(false),
  aux: either("must be true, false or an object", flag(), auxOptions).optional(),
  ...decayOptions,
});

type Options = z.output<typeof options>;

/**
 *     b = lerp(b, g, 1 - momentum);   u = nesterov ? lerp(g, b, momentum) : b
 *     X = u / max(|u|, eps), then ns_steps times  A = X X',  X = a X + (b A + c A A) X
 *     p = p (1 - lr weight_decay) - lr ratio X
 *
 * For [out, in] matrices the ratio is sqrt(max(1, out / in)); `match_rms_adamw` makes it
 * 0.2 sqrt(max(out, in)), which suits AdamW's rate and decay; `spectral_unclamped` sqrt(out / in).
 */
export const muon: OptimizerRule = {
  name: "Muon",
  options,
  slots: { momentum_buffer: {} },
  obeysGuards: true,
  refuses: ({ rank, shape }) =>
    rank === 2
      ? undefined
      : `cannot be trained by Muon, which takes matrices only: shape [${shape}]; ` +
        "set params.aux, or give it a group with another optimizer",
  divide: (o) => sharesOf(o as Options),
  step(entries) {
    for (const entry of entries) tf.tidy(() => update(entry));
  },
};

const remember: Update = {
  slots: { momentum_buffer: lerp(slot("momentum_buffer"), gradient, scalar("take")) },
};

function update(entry: UpdateEntry): void {
  const { param, guard, state: { slots }, baseLr } = entry;
  const o = entry.options as Options;
  const given = scaledGradient(entry);
  const g = o.maximize ? tf.neg(given) : given;
  applyUpdate(remember, { param, gradient: g, guard, slots, scalars: { take: 1 - o.momentum } });
  const buffer = slots.momentum_buffer;
  const u = o.nesterov ? lerpTensors(g, buffer, o.momentum) : buffer;
  const [out, into] = o.layout === "torch" ? param.shape : [...param.shape].reverse();
  const scalars = {
    step: o.lr * rateRatio(o.adjust_lr_fn, out, into),
    shrink: shrinkOf(o, baseLr),
  };
  const direction = orthogonalize(u as tf.Tensor2D, o);
  applyUpdate(o.cautious_weight_decay ? moveCautiously : move, {
    param,
    gradient: direction,
    guard,
    slots,
    scalars,
  });
}

/** The parameter moves along `gradient`, which here is the orthogonalised direction. */
const move: Update = { param: addScaled(decayed(true), gradient, neg(scalar("step"))) };
const moveCautiously: Update = {
  param: addScaled(decayed(true, true, gradient), gradient, neg(scalar("step"))),
};

/** How many times lr the orthogonal matrix is taken. */
function rateRatio(rule: Options["adjust_lr_fn"], out: number, into: number): number {
  switch (rule) {
    case "match_rms_adamw":
      return 0.2 * Math.sqrt(Math.max(out, into));
    case "spectral_unclamped":
      return Math.sqrt(out / into);
    default:
      return Math.sqrt(Math.max(1, out / into));
  }
}

/** U V' of the singular value decomposition of `u`, roughly: singular values end near 1. */
export function orthogonalize(
  u: tf.Tensor2D,
  { ns_coefficients: [a, b, c], ns_steps, eps }: Pick<
    Options,
    "ns_coefficients" | "ns_steps" | "eps"
  >,
): tf.Tensor2D {
  return tf.tidy(() => {
    const tall = u.shape[0] > u.shape[1];
    const wide = tall ? tf.transpose(u) : u;
    let x = tf.div(wide, tf.maximum(tf.sqrt(squaredNorm([u])), eps)) as tf.Tensor2D;
    for (let i = 0; i < ns_steps; i++) {
      const square = tf.matMul(x, x, false, true);
      const mixed = tf.add(tf.mul(square, b), tf.mul(tf.matMul(square, square), c));
      x = tf.add(tf.mul(x, a), tf.matMul(mixed as tf.Tensor2D, x));
    }
    return tall ? tf.transpose(x) : x;
  });
}

/** The source of a regular expression. */
function expression(): z.ZodString {
  return text().refine((source) => {
    try {
      new RegExp(source);
      return true;
    } catch {
      return false;
    }
  }, { error: "must be a regular expression" });
}

/** Muon's matrices, and the rest for AdamW; undefined without `aux`. */
function sharesOf(o: Options): readonly Share[] | undefined {
  if (o.aux === undefined || o.aux === false) return undefined;
  const { match, ...given } = parseOptions(auxOptions, o.aux === true ? {} : o.aux, "params.aux");
  const shared = o.adjust_lr_fn === "match_rms_adamw";
  const { lr = shared ? o.lr : 3e-4, weight_decay = shared ? o.weight_decay : 0, ...rest } = given;
  const aux = { ...rest, lr, weight_decay, maximize: o.maximize };
  const patterns = match.map((source, i) => ({
    source,
    regex: new RegExp(source, "i"),
    path: `params.aux.match[${i}]`,
  }));
  return [
    {
      label: "matrices",
      rule: muon,
      options: o,
      takes: (names, { shape }) =>
        shape.length === 2 && Math.min(...shape) > 1 &&
        !names.some((name) => patterns.some(({ regex }) => regex.test(name))),
    },
    {
      label: "embeddings, heads and vectors",
      rule: adamw,
      options: parseOptions(adamw.options, aux, "params.aux", "AdamW"),
      takes: () => true,
      // The usual ones may find nothing.
      patterns: patterns.filter(({ source }) => !usual.includes(source)),
    },
  ];
}
