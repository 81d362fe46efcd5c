/**
 * What hooks that may change a value return: another value of its kind, or nothing, which keeps it as
 * it was. Anything else is refused in a line that names callback and hook.
 */
import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";

/** Hooks that may change a value. */
export type ChangeName = "batch" | "output" | "loss" | "gradients" | "deviceGradients" | "values";

interface Kind {
  /** What the hook must return, in words. */
  readonly rule: string;
  /** Looks at types only. */
  accepts(value: Record<string, unknown>): boolean;
}

const kinds: Readonly<Record<ChangeName, Kind>> = {
  batch: {
    rule: "a batch, { data, shape, dtype } by field name,",
    accepts: (fields) => Object.values(fields).every((field) => isRecord(field) && "data" in field),
  },
  output: {
    rule: "{ prediction, target, mask }",
    accepts: ({ prediction, target, mask }) =>
      isTensor(prediction) && isTensor(target) && (mask === undefined || isTensor(mask)),
  },
  loss: {
    rule: "{ sum, count } with a scalar sum",
    accepts: ({ sum, count }) =>
      isTensor(sum) && sum.rank === 0 && (typeof count === "number" || isTensor(count)),
  },
  gradients: {
    rule: "{ grads, scale }",
    accepts: ({ grads, scale }) => isRecord(grads) && typeof scale === "number",
  },
  deviceGradients: {
    rule: "{ grads, scale }",
    accepts: ({ grads, scale }) =>
      isRecord(grads) && (typeof scale === "number" || isTensor(scale)),
  },
  values: {
    rule: "numbers by name",
    accepts: (values) => Object.values(values).every((value) => typeof value === "number"),
  },
};

/**
 * What has become of `value` in a hook that returned `returned`.
 *
 * @throws {ConfigError} If that is neither such a value nor nothing.
 */
export function changed<T>(
  { name }: { readonly name: string },
  hook: ChangeName,
  value: T,
  returned: T | void,
): T {
  if (returned === undefined) return value;
  const { rule, accepts } = kinds[hook];
  if (isRecord(returned) && accepts(returned)) return returned;
  throw new ConfigError(
    "callbacks",
    `${show(name)}.${hook} must return ${rule} or nothing, received ${show(returned)}`,
  );
}

function isTensor(value: unknown): value is tf.Tensor {
  return value instanceof tf.Tensor;
}

/** An object of named values. */
function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value) &&
    !isTensor(value) && !(value instanceof Promise);
}
