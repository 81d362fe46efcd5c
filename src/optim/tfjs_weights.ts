/** tfjs' form of an optimizer's state: `<parameter>/<slot>`, numbers as scalars. */
import * as tf from "../tensor/tf.ts";
import {
  type ImportedState,
  isSharedKey,
  joinKey,
  type OptimizerState,
  splitKey,
} from "./named_state.ts";

/** A tensor with its name, as tfjs saves optimizers. */
export interface NamedTensor {
  name: string;
  tensor: tf.Tensor;
}

const numberSuffix = ":number";

/** The state without what tfjs keeps itself, the count of iterations. */
export function toWeights({ tensors, meta }: OptimizerState): NamedTensor[] {
  const weights = Object.entries(tensors).map(([name, tensor]) => ({ name, tensor }));
  for (const [name, numbers] of Object.entries(meta.numbers)) {
    for (const [key, value] of Object.entries(numbers)) {
      weights.push({ name: joinKey(name, key + numberSuffix), tensor: numberTensor(value) });
    }
  }
  return weights;
}

/** What {@link toWeights} gave. */
export async function fromWeights(weights: readonly NamedTensor[]): Promise<ImportedState> {
  const tensors: Record<string, tf.Tensor> = {};
  // In the order of the parameters, by which renamed ones are told.
  const numbers = new Map<string, Record<string, number>>();
  for (const { name, tensor } of weights) {
    const [parameter, key] = splitKey(name);
    const known = numbers.get(parameter) ?? {};
    if (key.endsWith(numberSuffix)) {
      const value = Array.from(await tensor.data()).reduce((sum, part) => sum + part, 0);
      numbers.set(parameter, { ...known, [key.slice(0, -numberSuffix.length)]: value });
    } else {
      tensors[name] = tensor;
      if (!isSharedKey(name)) numbers.set(parameter, known);
    }
  }
  return { tensors, meta: { numbers: Object.fromEntries(numbers) } };
}

/** A number as float32 parts that add up to it: a scalar if one suffices. */
function numberTensor(value: number): tf.Tensor {
  const high = Math.fround(value);
  if (high === value) return tf.scalar(value);
  const middle = Math.fround(value - high);
  return tf.tensor1d([high, middle, value - high - middle]);
}
