/**
 * The layers of a tf.LayersModel under names that do not depend on tfjs' global counters.
 *
 * tfjs calls an unnamed layer `dense_Dense7` if six others were made in the process before it. Here
 * such layers are counted within their own model, in its order, so that building a model twice
 * gives equal names. Names of the user's own are kept. Wrappers and recurrent layers add nothing to
 * the name of what they hold, `Bidirectional` adds `forward` and `backward`, a layer of the user's
 * own adds the property under which it keeps another.
 */
import type * as tf from "../tensor/tf.ts";

/** What is read of a tfjs layer beside its public interface. */
export interface LayerNode {
  readonly name: string;
  readonly weights: WeightNode[];
  readonly trainableWeights: WeightNode[];
  getClassName(): string;
  /** Containers. */
  readonly layers?: LayerNode[];
  /** Bidirectional, which copies the `layer` that it is given and leaves it unused. */
  readonly forwardLayer?: LayerNode;
  readonly backwardLayer?: LayerNode;
  /** StackedRNNCells. */
  readonly cells?: LayerNode[];
}

/** A tfjs LayerVariable. */
export interface WeightNode {
  readonly id: number;
  readonly originalName: string;
  read(): tf.Tensor;
}

/** A layer and its dotted name. */
export interface NamedLayer {
  readonly name: string;
  readonly layer: LayerNode;
}

/** A weight, its dotted name, and the layer that made it. */
export interface NamedWeight {
  readonly name: string;
  /** The weight's name within its layer: `kernel`, `moving_mean`. */
  readonly role: string;
  readonly weight: WeightNode;
  readonly owner: NamedLayer;
}

/** The direct members of a container with their labels. */
export function labelled(layers: readonly LayerNode[]): NamedLayer[] {
  const counts = new Map<string, number>();
  return layers.map((layer) => {
    const stem = automaticStem(layer);
    if (stem === undefined) return { name: layer.name.replaceAll(/[^\w.\-]/g, "_"), layer };
    const count = (counts.get(stem) ?? 0) + 1;
    counts.set(stem, count);
    return { name: `${stem}${count}`, layer };
  });
}

/** Every layer below `model`, holders before what they hold, without the model itself. */
export function walkLayers(model: LayerNode): NamedLayer[] {
  const out: NamedLayer[] = [];
  const visit = (named: NamedLayer) => {
    out.push(named);
    children(named).forEach(visit);
  };
  labelled(model.layers ?? []).forEach(visit);
  return out;
}

/** Every weight of `model` once, under the innermost layer that holds it. */
export function walkWeights(model: LayerNode): NamedWeight[] {
  const seen = new Set<number>();
  const names = new Set<string>();
  const out: NamedWeight[] = [];
  const visit = (owner: NamedLayer) => {
    children(owner).forEach(visit);
    for (const weight of owner.layer.weights) {
      if (seen.has(weight.id)) continue;
      seen.add(weight.id);
      const role = weight.originalName.slice(weight.originalName.lastIndexOf("/") + 1);
      let name = `${owner.name}.${role}`;
      for (let n = 2; names.has(name); n++) name = `${owner.name}.${role}_${n}`;
      names.add(name);
      out.push({ name, role, weight, owner });
    }
  };
  labelled(model.layers ?? []).forEach(visit);
  return out;
}

function children({ name, layer }: NamedLayer): NamedLayer[] {
  if (layer.layers !== undefined) {
    return labelled(layer.layers).map((child) => ({ ...child, name: `${name}.${child.name}` }));
  }
  if (layer.forwardLayer !== undefined && layer.backwardLayer !== undefined) {
    return [
      { name: `${name}.forward`, layer: layer.forwardLayer },
      { name: `${name}.backward`, layer: layer.backwardLayer },
    ];
  }
  if (layer.cells !== undefined) {
    return layer.cells.map((cell, i) => ({ name: `${name}.${i}`, layer: cell }));
  }
  return Object.entries(layer).flatMap(([key, value]) => {
    if (!isLayer(value)) return [];
    return [{ name: key === "layer" || key === "cell" ? name : `${name}.${key}`, layer: value }];
  });
}

/** By its methods, because the layer may come from another copy of tfjs. */
function isLayer(value: unknown): value is LayerNode {
  if (value === null || typeof value !== "object") return false;
  const { call, computeOutputShape } = value as Record<string, unknown>;
  return typeof call === "function" && typeof computeOutputShape === "function";
}

/** `dense_Dense` of `dense_Dense7`, where tfjs made the name itself. */
function automaticStem(layer: LayerNode): string | undefined {
  const kind = layer.getClassName();
  const stem = layer.name.replace(/\d+$/, "");
  if (stem === layer.name) return undefined;
  const automatic = stem.endsWith(`_${kind}`) || stem === kind.toLowerCase() ||
    stem === `${kind.toLowerCase()}_` || (kind === "InputLayer" && stem === "input");
  return automatic ? stem : undefined;
}
