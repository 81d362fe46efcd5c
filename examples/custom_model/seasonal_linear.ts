/**
 * A model of one's own, as `model.type: "SeasonalLinear"`.
 *
 *     deno run -A cli.ts train examples/custom_model/seattle.json \
 *       --import examples/custom_model/seasonal_linear.ts
 *
 * Outside this repository the imports are `from "downhill"` (npm) or `"@downhill/downhill"` (JSR).
 */
import {
  type Batch,
  type ForwardContext,
  type Model,
  type ModelContext,
  nn,
  registerModel,
  tf,
} from "../../mod.ts";

/** Params of `SeasonalLinear`; `outputLength` is at most `season`, `season` at most `inputLength`. */
export interface SeasonalLinearOptions {
  readonly inputLength: number;
  readonly outputLength: number;
  /** Rows after which the series repeats. */
  readonly season: number;
  /** @default {0} */
  readonly dropout?: number;
}

/** The value a season ago, plus a linear map of the window's distance to its last season's mean. */
export class SeasonalLinear implements Model {
  readonly parameters: Record<string, tf.Variable>;
  readonly #options: SeasonalLinearOptions;

  constructor(options: SeasonalLinearOptions, { random }: ModelContext) {
    const { inputLength, outputLength } = options;
    const bound = 0.1 / Math.sqrt(inputLength);
    const weight = new Float32Array(inputLength * outputLength);
    // Initial weights draw from the run's random numbers: equal seeds give equal runs.
    random.fork("weight").uniform(weight, -bound, bound);
    this.#options = options;
    // Variables hold copies: tidy frees the tensors that they are made from.
    this.parameters = tf.tidy(() => ({
      weight: tf.variable(tf.tensor2d(weight, [inputLength, outputLength])),
      bias: tf.variable(tf.zeros([outputLength])),
    }));
  }

  /** `inputs` [batch, inputLength, channels] to [batch, outputLength, channels]. */
  forward({ inputs }: Batch, { training, random }: ForwardContext): tf.Tensor {
    const { inputLength, outputLength, season, dropout = 0 } = this.#options;
    const { weight, bias } = this.parameters;
    const repeated = tf.slice(inputs, [0, inputLength - season, 0], [-1, outputLength, -1]);
    const recent = tf.slice(inputs, [0, inputLength - season, 0], [-1, season, -1]);
    const mean = tf.mean(recent, 1, true);
    const series = tf.transpose(tf.sub(inputs, mean), [0, 2, 1]);
    const kept = nn.dropout(series, dropout, { training, random });
    const change = nn.linear(kept, weight, bias);
    return tf.add(repeated, tf.transpose(change, [0, 2, 1]));
  }

  dispose(): void {
    tf.dispose(this.parameters);
  }
}

registerModel("SeasonalLinear", SeasonalLinear);
