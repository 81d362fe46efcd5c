/** tf.LayersModel as a model of this library: `fromLayers`, and the registered type `Layers`. */
import { ConfigError, oneLine, show } from "../core/errors.ts";
import { fileSystem, resolvePath } from "../core/host.ts";
import { anyObject, either, object, parseOptions, text, type z } from "../core/options.ts";
import { type RandomStream, randomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { drawWeights } from "./layers_init.ts";
import { noiseOf, withNoise } from "./layers_noise.ts";
import {
  labelled,
  type LayerNode,
  type NamedLayer,
  walkLayers,
  walkWeights,
} from "./layers_tree.ts";
import type { Batch, ForwardContext, ForwardOutput, Model, ModelContext } from "./model.ts";

/** Options of {@link fromLayers}. */
export interface FromLayersOptions {
  /** Random numbers for the initial weights, for example a model factory's `context.random`. */
  readonly random?: RandomStream;
  /** Used where `random` is not given. @default 0 */
  readonly seed?: number;
  /** Keeps the weights that the model has, for example loaded ones. @default false */
  readonly keepInitialWeights?: boolean;
}

/**
 * Wraps a tf.LayersModel.
 *
 * Parameters are its trainable weights, `dense_Dense1.kernel`, under names that do not depend on
 * what else was built in the process; buffers are the others (batch-norm averages, frozen layers).
 * Initial weights are drawn anew from our random numbers by each layer's own initializer. Dropout
 * and noise layers, and the dropout of recurrent ones, draw from the forward context's stream.
 *
 * A model with one input reads the field `inputs`; with several, the fields named like its input
 * layers. The first output is `prediction`, others are named like the layers that make them.
 *
 * The wrapped model shares its variables and may be used for `predict` or `save` at any time; a layer
 * of your own must not draw from `tf.random*`, which no seed of ours reaches.
 *
 * @throws {ConfigError} If the model is empty or has what this library would not honour:
 *   regularizers, constraints, stateful recurrent layers, random image layers, or an initializer of
 *   your own without `keepInitialWeights`.
 */
export function fromLayers(model: tf.LayersModel, options: FromLayersOptions = {}): Model {
  const { seed = 0, random = randomStream(seed, "model"), keepInitialWeights = false } = options;
  const root = model as unknown as LayerNode;
  if (model.outputs.length === 0) throw new ConfigError("", "fromLayers: the model has no layers");
  const layers = walkLayers(root);
  layers.forEach(refuse);
  const replacements = noiseOf(layers);
  const weights = walkWeights(root);
  if (!keepInitialWeights) drawWeights(weights, random);

  const trainable = new Set(root.trainableWeights.map(({ id }) => id));
  const variables = (wanted: boolean): Record<string, tf.Variable> =>
    Object.fromEntries(
      weights.filter(({ weight }) => trainable.has(weight.id) === wanted)
        .map(({ name, weight }) => [name, weight.read() as tf.Variable]),
    );
  const labels = new Map(labelled(root.layers ?? []).map(({ name, layer }) => [layer.name, name]));
  const label = (name: string) => labels.get(name) ?? name;
  const fields = model.inputs.length === 1 ? ["inputs"] : model.inputNames.map(label);
  const outputs = model.outputNames.map(label);

  return {
    parameters: variables(true),
    buffers: variables(false),
    forward(batch: Batch, context: ForwardContext): ForwardOutput {
      const inputs = fields.map((field) => fieldOf(batch, field));
      const { training } = context;
      const result = withNoise(
        replacements,
        context.random,
        () => model.apply(inputs.length === 1 ? inputs[0] : inputs, { training }),
      ) as tf.Tensor | tf.Tensor[];
      if (!Array.isArray(result)) return result;
      const [prediction, ...others] = result;
      return {
        ...Object.fromEntries(others.map((tensor, i) => [outputs[i + 1], tensor])),
        prediction,
      };
    },
    dispose: () => void model.dispose(),
  };
}

/** Options of the registered type `Layers`: one of the two. */
export interface LayersOptions {
  /** Keras JSON: what `model.toJSON()` gives, as an object or text. */
  readonly json?: Record<string, unknown> | string;
  /** A file of it; a relative path starts at the config file. Weights beside it are not read. */
  readonly path?: string;
}

const schema = object({
  json: either("must be Keras JSON, an object or text", anyObject(), text()).optional(),
  path: text().optional(),
});

/** Schema of {@link LayersOptions}. */
export const layersSchema: z.ZodObject = schema;

/** Builds a model from Keras JSON and wraps it with {@link fromLayers}. */
export async function layersFromJson(
  params: LayersOptions,
  context: ModelContext,
  path = "params",
): Promise<Model> {
  const { json, path: file } = parseOptions(schema, params, path, "Layers");
  if ((json === undefined) === (file === undefined)) {
    throw new ConfigError(
      path,
      `give 'json' or 'path', received ${json === undefined ? "neither" : "both"}`,
    );
  }
  const at = `${path}.${json === undefined ? "path" : "json"}`;
  const { baseDirectory = "" } = context;
  const model = await build(json ?? readText(resolvePath(baseDirectory, file!), at), at);
  try {
    return fromLayers(model, { random: context.random });
  } catch (error) {
    model.dispose();
    throw error instanceof ConfigError ? new ConfigError(at, error.message) : error;
  }
}

function readText(file: string, path: string): string {
  try {
    return fileSystem().readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(path, `cannot read ${show(file)}: ${oneLine(error)}`);
  }
}

async function build(json: unknown, path: string): Promise<tf.LayersModel> {
  try {
    const parsed = (typeof json === "string" ? JSON.parse(json) : json) as Record<string, unknown>;
    const topology = parsed.modelTopology ?? parsed;
    return await tf.models.modelFromJSON(topology as Parameters<typeof tf.models.modelFromJSON>[0]);
  } catch (error) {
    throw new ConfigError(path, `must be the Keras JSON of a model: ${oneLine(error)}`);
  }
}

function fieldOf(batch: Batch, field: string): tf.Tensor {
  const tensor = batch[field];
  if (tensor === undefined) {
    throw new ConfigError(
      "",
      `Layers: the batch needs a field ${show(field)}, received ${show(Object.keys(batch))}`,
    );
  }
  return tensor;
}

/** Throws if the layer has a setting that training here would drop without a word. */
function refuse({ name, layer }: NamedLayer): void {
  const own = layer as unknown as Record<string, unknown>;
  const fail = (what: string): never => {
    throw new ConfigError("", `fromLayers: layer ${name} ${what}`);
  };
  for (const [key, value] of Object.entries(own)) {
    if (value === null || value === undefined) continue;
    if (key.endsWith("Regularizer")) {
      fail(`has a ${key}, which is not applied here; use the optimizer's weight_decay`);
    }
    if (key.endsWith("Constraint")) fail(`has a ${key}, which the optimizers do not keep`);
  }
  if (own.stateful === true) fail("is stateful: its state would depend on the batches before");
  if (layer.getClassName() === "BatchNormalization" && !(own.scale && own.center)) {
    fail("has scale or center false, which tfjs cannot train");
  }
}
