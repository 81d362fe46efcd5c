/** The initial weights of a tf.LayersModel, drawn from our random numbers by its own initializers. */
import { ConfigError } from "../core/errors.ts";
import { camel } from "../core/options.ts";
import type { RandomStream } from "../core/random.ts";
import * as init from "../nn/init.ts";
import * as tf from "../tensor/tf.ts";
import type { NamedWeight } from "./layers_tree.ts";

/** A tfjs Initializer. */
interface InitializerNode {
  getClassName(): string;
  getConfig(): Record<string, unknown>;
}

/**
 * Gives every weight a new value: a function of the stream's key and the weight's name.
 *
 * The rules are tfjs' (a `normal` variance scaling is truncated at two standard deviations).
 *
 * @throws {ConfigError} If a weight's initializer is none of tfjs' own.
 */
export function drawWeights(weights: readonly NamedWeight[], random: RandomStream): void {
  const initializers = weights.map(initializerOf);
  weights.forEach(({ name, weight }, i) => {
    const variable = weight.read() as tf.Variable;
    tf.tidy(() => {
      const values = initializers[i](variable.shape, random.fork(name));
      variable.assign(tf.cast(tf.tensor(values, variable.shape), variable.dtype));
    });
  });
}

function initializerOf(named: NamedWeight): init.Initializer {
  const { role, owner } = named;
  const layer = owner.layer as unknown as Record<string, unknown>;
  const node = [role, role.replace(/_kernel$/, "")]
    .map((stem) => layer[`${camel(stem)}Initializer`])
    .find((value) => typeof value === "object" && value !== null) as InitializerNode | undefined;
  const found = node === undefined ? undefined : translate(node);
  if (found === undefined) {
    const what = node === undefined ? "has no initializer" : `has the initializer ${kind(node)}`;
    throw new ConfigError(
      "",
      `fromLayers: weight ${named.name} ${what} that this library can repeat; pass keepInitialWeights: true`,
    );
  }
  const units = layer.units ?? layer.filters;
  return role === "bias" && layer.unitForgetBias === true
    ? withUnitForgetBias(found, units as number)
    : found;
}

function kind(node: InitializerNode): string {
  return node.getClassName?.() ?? node.constructor.name;
}

function translate(node: InitializerNode): init.Initializer | undefined {
  const config = node.getConfig?.() ?? {};
  const number = (key: string, otherwise = 0) => (config[key] as number | undefined) ?? otherwise;
  switch (kind(node)) {
    case "Zeros":
      return init.zeros;
    case "Ones":
      return init.ones;
    case "Constant":
      return init.constant(number("value"));
    case "RandomUniform":
      return init.uniform(number("minval"), number("maxval"));
    case "RandomNormal":
      return init.normal(number("mean"), number("stddev"));
    case "TruncatedNormal":
      return init.truncatedNormal(number("mean"), number("stddev"));
    case "VarianceScaling":
      return init.varianceScaling({
        scale: number("scale", 1),
        mode: config.mode as "fanIn" | "fanOut" | "fanAvg",
        distribution: config.distribution === "uniform" ? "uniform" : "truncatedNormal",
      });
    case "Identity":
      return init.identity(number("gain", 1));
    case "Orthogonal":
      return init.orthogonal(number("gain", 1));
    default:
      return undefined;
  }
}

/** An LSTM's bias: ones for the forget gate, the second of the four. */
function withUnitForgetBias(initializer: init.Initializer, units: number): init.Initializer {
  return (shape, random) => initializer(shape, random).fill(1, units, 2 * units);
}
