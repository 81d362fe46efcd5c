/**
 * The rules that are a loss and a metric alike, by name: one table for both registries.
 *
 * The names are those of the field; torch's and BasicTS' names are aliases. Every rule of this
 * table that compares numbers also takes `nullValue`: targets equal to it are left out (within
 * 5e-5 + 1e-5 * |nullValue|; `"NaN"`, or NaN in a program, means NaN).
 */
import { above, atLeast, below, either, list, number } from "../core/options.ts";
import { object, parseOptions, z } from "../core/options.ts";
import { crossEntropyItems } from "./cross_entropy.ts";
import { huberItems, smoothL1Items } from "./huber.ts";
import { type ItemRule, withoutNulls } from "./items.ts";
import { maeItems } from "./mae.ts";
import { mapeItems } from "./mape.ts";
import { mseItems } from "./mse.ts";
import { smapeItems } from "./smape.ts";
import { wapeItems } from "./wape.ts";

/** A named rule with options. */
export interface ItemKind {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly options: z.ZodObject;
  /** The rule for plain options; `path` is where they stand in the config. */
  rule(params: unknown, path: string): ItemRule;
}

/** The `nullValue` option. */
export const nullValue: z.ZodType<number | undefined> = either(
  'must be a number or "NaN"',
  number(),
  z.nan(),
  z.literal("NaN"),
).transform((value) => value === "NaN" ? NaN : value).optional();

const labelled = object({
  labelSmoothing: below(0, 1).optional(),
  ignoreIndex: z.int({ error: "must be an integer" }).optional(),
  weight: list(atLeast(0), "must be an array of numbers, one a class").min(1).optional(),
});

/** The built-in rules. */
export const itemKinds: readonly ItemKind[] = [
  numeric("mae", ["L1Loss", "L1", "maskedMae"], {}, () => maeItems),
  numeric("mse", ["MSELoss", "L2", "maskedMse"], {}, () => mseItems),
  numeric("mape", ["maskedMape"], {}, () => mapeItems),
  numeric("smape", ["maskedSmape"], {}, () => smapeItems),
  numeric("wape", ["maskedWape"], {}, () => wapeItems),
  numeric(
    "huber",
    ["HuberLoss", "maskedHuber"],
    { delta: above(0).default(1) },
    ({ delta }) => huberItems(delta),
  ),
  numeric(
    "smoothL1",
    ["SmoothL1Loss"],
    { beta: atLeast(0).default(1) },
    ({ beta }) => smoothL1Items(beta),
  ),
  {
    name: "crossEntropy",
    aliases: ["CrossEntropyLoss"],
    options: labelled,
    rule: (params, path) => crossEntropyItems(parseOptions(labelled, params, path, "crossEntropy")),
  },
];

/** A rule on numbers: its own options and `nullValue`. */
function numeric<T extends z.ZodRawShape>(
  name: string,
  aliases: readonly string[],
  shape: T,
  make: (options: z.output<z.ZodObject<T>>) => ItemRule,
): ItemKind {
  const schema = object({ ...shape, nullValue });
  return {
    name,
    aliases,
    options: schema,
    rule: (params, path) => {
      const options = parseOptions(schema, params, path, name);
      return withoutNulls(
        make(options as z.output<z.ZodObject<T>>),
        (options as { nullValue?: number }).nullValue,
      );
    },
  };
}
