/**
 * Dropout and noise of tfjs' layers from our random numbers.
 *
 * tfjs draws from generators of its own: with a seed it repeats one mask for ever, without one no run
 * can be repeated. For the length of a forward pass the layers' `call` (in recurrent cells:
 * `dropoutFunc`) is put aside for ours. The rules of the layers stay.
 */
import { ConfigError } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import { dropout, dropoutMask } from "../nn/dropout.ts";
import * as tf from "../tensor/tf.ts";
import type { NamedLayer } from "./layers_tree.ts";

/** A function that a layer carries and that is replaced during a forward pass. */
export interface Replacement {
  readonly name: string;
  readonly target: object;
  readonly key: "call" | "dropoutFunc";
  /** The function in its place, drawing from `random`. */
  make(random: RandomStream): (...args: never[]) => tf.Tensor;
}

/** Applies noise to a layer's input while training. */
type Noise = (x: tf.Tensor, random: RandomStream) => tf.Tensor;

/** What is read of noise layers and recurrent cells. */
interface NoiseLayer {
  readonly rate?: number;
  readonly stddev?: number;
  readonly noiseShape?: number[] | null;
  readonly dropout?: number;
  readonly recurrentDropout?: number;
  readonly randomGenerator?: unknown;
  getNoiseShape?(x: tf.Tensor): number[] | null | undefined;
}

/** The replacements for `layers`. */
export function noiseOf(layers: readonly NamedLayer[]): Replacement[] {
  return layers.flatMap(({ name, layer }): Replacement[] => {
    const node = layer as unknown as NoiseLayer;
    if (node.randomGenerator !== undefined) {
      throw new ConfigError(
        "",
        `fromLayers: the random numbers of layer ${name} (${layer.getClassName()}) cannot be replaced; augment in the data set`,
      );
    }
    const noise = noiseOfLayer(layer.getClassName(), node);
    if (noise !== undefined) {
      const make = (random: RandomStream) => (inputs: tf.Tensor | tf.Tensor[], kwargs: unknown) => {
        const x = Array.isArray(inputs) ? inputs[0] : inputs;
        const { training } = (kwargs ?? {}) as { training?: boolean };
        return training === true ? noise(x, random) : x;
      };
      return [{ name, target: layer, key: "call", make }];
    }
    if ((node.dropout ?? 0) === 0 && (node.recurrentDropout ?? 0) === 0) return [];
    if (!("dropoutMask" in layer)) return [];
    const make = (random: RandomStream) => (ones: tf.Tensor, rate: number) =>
      dropout(ones, rate, { training: true, random });
    return [{ name, target: layer, key: "dropoutFunc", make }];
  });
}

/** Runs `f` with the replacements in place, each on a stream forked by its name. */
export function withNoise<T>(
  replacements: readonly Replacement[],
  random: RandomStream,
  f: () => T,
): T {
  const saved = replacements.map(({ target, key }) => Object.getOwnPropertyDescriptor(target, key));
  try {
    for (const { target, key, name, make } of replacements) {
      const value = make(random.fork(name));
      Object.defineProperty(target, key, { value, configurable: true, writable: true });
    }
    replacements.forEach(clearMasks);
    return f();
  } finally {
    replacements.forEach(clearMasks);
    replacements.forEach(({ target, key }, i) => {
      const own = saved[i];
      if (own === undefined) delete (target as Record<string, unknown>)[key];
      else Object.defineProperty(target, key, own);
    });
  }
}

/** Recurrent cells keep their masks from call to call; some never draw new ones by themselves. */
function clearMasks({ target, key }: Replacement): void {
  if (key !== "dropoutFunc") return;
  const cell = target as Record<"dropoutMask" | "recurrentDropoutMask", tf.Tensor[] | null>;
  for (const mask of ["dropoutMask", "recurrentDropoutMask"] as const) {
    if (cell[mask] !== null) tf.dispose(cell[mask]);
    cell[mask] = null;
  }
}

function noiseOfLayer(kind: string, layer: NoiseLayer): Noise | undefined {
  const { rate = 0 } = layer;
  const off = rate <= 0 || rate >= 1;
  switch (kind) {
    case "Dropout":
    case "SpatialDropout1D":
      return (x, random) =>
        off ? x : tf.mul(x, dropoutMask(layer.getNoiseShape?.(x) ?? x.shape, rate, random));
    case "GaussianNoise":
      return (x, random) => tf.add(x, normal(x.shape, 0, layer.stddev ?? 0, random));
    case "GaussianDropout":
      return (x, random) =>
        off ? x : tf.mul(x, normal(x.shape, 1, Math.sqrt(rate / (1 - rate)), random));
    case "AlphaDropout":
      return (x, random) =>
        off ? x : alphaDropout(x, rate, dropoutMask(layer.noiseShape ?? x.shape, rate, random));
    default:
      return undefined;
  }
}

function normal(
  shape: readonly number[],
  mean: number,
  std: number,
  random: RandomStream,
): tf.Tensor {
  const values = new Float32Array(tf.util.sizeFromShape([...shape]));
  return tf.tensor(random.normal(values, mean, std), [...shape]);
}

/** Klambauer et al. 2017: dropped elements become -lambda alpha, then mean and variance are restored. */
function alphaDropout(x: tf.Tensor, rate: number, mask: tf.Tensor): tf.Tensor {
  const low = -1.0507009873554805 * 1.6732632423543772;
  const scale = 1 / Math.sqrt((1 - rate) * (1 + rate * low * low));
  const kept = tf.cast(tf.greater(mask, 0), "float32");
  const dropped = tf.add(tf.mul(x, kept), tf.mul(tf.sub(1, kept), low));
  return tf.add(tf.mul(dropped, scale), -scale * low * rate);
}
