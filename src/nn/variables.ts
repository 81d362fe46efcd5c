/** Named variables of a model under construction. */
import { ConfigError, show } from "../core/errors.ts";
import type { RandomStream } from "../core/random.ts";
import * as tf from "../tensor/tf.ts";
import { type Initializer, kaimingUniform, linearBias, ones, zeros } from "./init.ts";

/** The variables of a linear map, as `linear` takes them. */
export interface LinearVariables {
  /** [in, out] */
  readonly weight: tf.Variable;
  /** [out] */
  readonly bias: tf.Variable;
}

/**
 * Makes parameters and buffers; each initial value is a function of the stream's key and the
 * variable's own name, so adding a layer does not change the weights of another.
 */
export class Variables {
  /** Trainable, by name. */
  readonly parameters: Record<string, tf.Variable> = {};
  /** Not trainable, by name. */
  readonly buffers: Record<string, tf.Variable> = {};
  readonly #random: RandomStream;

  constructor(random: RandomStream) {
    this.#random = random;
  }

  /** A trainable variable. */
  parameter(name: string, shape: readonly number[], init: Initializer): tf.Variable {
    return this.parameters[name] = this.#make(name, shape, init, true);
  }

  /** A variable that is saved and not trained. */
  buffer(name: string, shape: readonly number[], init: Initializer): tf.Variable {
    return this.buffers[name] = this.#make(name, shape, init, false);
  }

  /** `name.weight` [in, out] and `name.bias` [out], both uniform within 1 / sqrt(in), as torch's Linear. */
  linear(name: string, inputs: number, outputs: number): LinearVariables {
    return {
      weight: this.parameter(`${name}.weight`, [inputs, outputs], kaimingUniform()),
      bias: this.parameter(`${name}.bias`, [outputs], linearBias(inputs)),
    };
  }

  /** `name.gain` of ones and `name.bias` of zeros. */
  norm(name: string, features: number): { gain: tf.Variable; bias: tf.Variable } {
    return {
      gain: this.parameter(`${name}.gain`, [features], ones),
      bias: this.parameter(`${name}.bias`, [features], zeros),
    };
  }

  /** Disposes every variable. */
  dispose(): void {
    tf.dispose([...Object.values(this.parameters), ...Object.values(this.buffers)]);
  }

  #make(name: string, shape: readonly number[], init: Initializer, trainable: boolean) {
    if (name in this.parameters || name in this.buffers) {
      throw new ConfigError("", `a model cannot have two variables named ${show(name)}`);
    }
    const values = init(shape, this.#random.fork(name));
    return tf.tidy(() => tf.variable(tf.tensor(values, [...shape]), trainable));
  }
}
