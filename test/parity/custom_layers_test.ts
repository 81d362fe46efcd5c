/** Attention as layers of one's own in tfjs-layers, trained on wasm as on the cpu backend. */
import * as nn from "../../src/nn/nn.ts";
import * as tf from "../../src/tensor/tf.ts";
import { type Family, testFamilies } from "../support/layers.ts";

const HEADS = 2;

type Weight = ReturnType<tf.layers.Layer["addWeight"]>;

/** Self-attention of [batch, time, width] with a projection in and one out, in operations of tf. */
class SelfAttention extends tf.layers.Layer {
  static className = "SelfAttention";
  protected wide!: Weight;
  protected out!: Weight;
  protected gain!: Weight;
  protected bias!: Weight;

  override build(shape: tf.Shape | tf.Shape[]): void {
    const width = (shape as tf.Shape).at(-1) as number;
    const initializer = tf.initializers.glorotUniform({});
    this.wide = this.addWeight("wide", [width, 3 * width], "float32", initializer);
    this.out = this.addWeight("out", [width, width], "float32", initializer);
    this.gain = this.addWeight("gain", [width], "float32", tf.initializers.ones());
    this.bias = this.addWeight("bias", [width], "float32", tf.initializers.zeros());
    super.build(shape);
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return shape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = [inputs].flat()[0];
      const [batch, time, width] = x.shape;
      const projected = this.project(x, this.wide.read());
      const heads = tf.reshape(projected, [batch, time, 3, HEADS, width / HEADS]);
      const [query, key, value] = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]));
      const mixed = tf.transpose(this.attend(query, key, value), [0, 2, 1, 3]);
      const output = this.project(tf.reshape(mixed, [batch, time, width]), this.out.read());
      return this.normalize(tf.add(x, output));
    });
  }

  protected project(x: tf.Tensor, weight: tf.Tensor): tf.Tensor {
    const rows = tf.reshape(x, [-1, x.shape.at(-1)!]) as tf.Tensor2D;
    const y = tf.matMul(rows, weight as tf.Tensor2D);
    return tf.reshape(y, [...x.shape.slice(0, -1), weight.shape[1]!]);
  }

  protected attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor): tf.Tensor {
    const scores = tf.div(tf.matMul(query, key, false, true), Math.sqrt(query.shape.at(-1)!));
    return tf.matMul(tf.softmax(scores), value);
  }

  protected normalize(x: tf.Tensor): tf.Tensor {
    const { mean, variance } = tf.moments(x, -1, true);
    const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(normal, this.gain.read()), this.bias.read());
  }
}

/** The same with functions of `nn`. */
class FusedSelfAttention extends SelfAttention {
  static override className = "FusedSelfAttention";

  protected override project(x: tf.Tensor, weight: tf.Tensor): tf.Tensor {
    return nn.linear(x, weight);
  }

  protected override attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor): tf.Tensor {
    return nn.attention(query, key, value, { causal: true });
  }

  protected override normalize(x: tf.Tensor): tf.Tensor {
    return nn.gelu(nn.layerNorm(x, this.gain.read(), this.bias.read()));
  }
}

/** An nn.lstm as a layer, with the weights of torch. */
class TorchLstm extends tf.layers.Layer {
  static className = "TorchLstm";
  private held: Record<string, Weight> = {};

  override build(shape: tf.Shape | tf.Shape[]): void {
    const inputs = (shape as tf.Shape).at(-1) as number;
    const initializer = tf.initializers.glorotUniform({});
    const shapes = { w_ih: [16, inputs], w_hh: [16, 4], b_ih: [16, 1], b_hh: [16, 1] };
    for (const [name, size] of Object.entries(shapes)) {
      this.held[name] = this.addWeight(name, size, "float32", initializer);
    }
    super.build(shape);
  }

  override computeOutputShape([batch]: tf.Shape): tf.Shape {
    return [batch, 4];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const { w_ih, w_hh, b_ih, b_hh } = this.held;
    const bias = (weight: Weight): tf.Tensor => tf.reshape(weight.read(), [16]);
    return nn.lstm([inputs].flat()[0], {
      ...{ w_ih: w_ih.read(), w_hh: w_hh.read(), b_ih: bias(b_ih), b_hh: bias(b_hh) },
    }).h;
  }
}

const embedded = (): unknown => tf.layers.dense({ units: 6, inputShape: [5, 3] });

const FAMILIES: readonly Family[] = [
  [
    "attention of tf's operations",
    () => [embedded(), new SelfAttention({}), new SelfAttention({})],
  ],
  ["attention of nn", () => [embedded(), new FusedSelfAttention({}), new FusedSelfAttention({})]],
  ["lstm of nn", () => [embedded(), new TorchLstm({})]],
];

testFamilies(FAMILIES);
