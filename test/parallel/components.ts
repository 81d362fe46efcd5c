/** Components for the tests of workers, which import this module as the coordinator does. */
import { appendFileSync } from "node:fs";
import { isMainThread, threadId } from "node:worker_threads";
import {
  type Batch,
  type Callback,
  ConfigError,
  DataError,
  type ForwardContext,
  type Model,
  type ModelContext,
  NonFiniteError,
  type RandomStream,
  registerCallback,
  registerModel,
  tf,
} from "../../mod.ts";

/**
 * What is unlike a plain matrix, over inputs [rows, 3] and targets [rows, 2], `towers` times: a
 * parameter of three blocks, one under two names, one that some leaves do not reach, one that none
 * reaches, one to freeze, and buffers of every type.
 */
class Parts implements Model {
  readonly parameters: Record<string, tf.Variable> = {};
  readonly buffers: Record<string, tf.Variable> = {
    mean: held(() => tf.zeros([7])),
    passes: held(() => tf.scalar(0, "int32")),
    odd: held(() => tf.tensor1d([false, false, true], "bool")),
    fixed: held(() => tf.tensor1d([0.1, 1 / 3, 1e-7, 123.456])),
  };
  readonly #towers: number;

  constructor({ towers = 1 }: { towers?: number }, { random }: ModelContext) {
    this.#towers = towers;
    for (let t = 0; t < towers; t++) {
      for (const [name, shape] of Object.entries(shapes)) {
        const full = `tower${t}.${name}`;
        const values = new Float32Array(tf.util.sizeFromShape(shape));
        random.fork(full).normal(values, 0, 0.3);
        this.parameters[full] = tf.tidy(() => tf.variable(tf.tensor(values, shape)));
      }
      this.parameters[`tower${t}.again`] = this.parameters[`tower${t}.tied`];
    }
  }

  forward({ inputs }: Batch, { training, random }: ForwardContext) {
    if (training) tf.tidy(() => this.#count(inputs));
    const towers = Array.from(
      { length: this.#towers },
      (_, t) => this.#tower(t, inputs, training, random.fork(t)),
    );
    return {
      prediction: tf.div(tf.addN(towers.map(({ prediction }) => prediction)), towers.length),
      aux_loss: tf.addN(towers.map(({ rows }) => tf.mean(tf.square(rows)))),
    };
  }

  #tower(t: number, inputs: tf.Tensor, training: boolean, random: RandomStream) {
    const named = (name: string): tf.Tensor2D =>
      this.parameters[`tower${t}.${name}`] as tf.Tensor2D;
    const times = (x: tf.Tensor, name: string) => tf.matMul(x as tf.Tensor2D, named(name));
    let x: tf.Tensor = tf.tanh(tf.sub(times(inputs, "in"), this.buffers.mean));
    x = times(tf.tanh(times(x, "tied")), "again");
    // Most leaves go another way, in some iterations all.
    const [draw] = random.uniform(new Float32Array(1));
    if (!training || draw < 0.2) x = tf.add(x, times(x, "branch"));
    x = tf.add(x, times(x, "frozen"));
    const rows = tf.gather(named("table"), tf.tensor1d([1, 96, 40], "int32"));
    const prediction = tf.add(tf.add(times(x, "out"), named("bias")), tf.mean(rows));
    return { prediction, rows };
  }

  #count(inputs: tf.Tensor): void {
    const { mean, passes, odd } = this.buffers;
    const now = tf.mul(tf.mean(inputs), 0.1);
    mean.assign(tf.add(tf.mul(mean, 0.9), now));
    passes.assign(tf.add(passes, tf.scalar(1, "int32")));
    odd.assign(tf.logicalNot(odd));
  }
}

const shapes: Record<string, number[]> = {
  in: [3, 7],
  table: [97, 89],
  tied: [7, 7],
  branch: [7, 7],
  unused: [5],
  frozen: [7, 7],
  out: [7, 2],
  bias: [2],
};

function held(make: () => tf.Tensor): tf.Variable {
  return tf.tidy(() => tf.variable(make(), false));
}

registerModel("TestParts", Parts);

/** Fails in the forward pass of an iteration. */
registerCallback("FailsAt", ({ iteration: bad }): Callback => ({
  name: "FailsAt",
  loss(value, { iteration }) {
    if (iteration === bad) throw new DataError(`a fault of iteration ${iteration}`);
    return value;
  },
}));

/** Writes into a file how many tensors each thread has when a leaf's loss is computed. */
registerCallback("TensorLog", ({ file }): Callback => ({
  name: "TensorLog",
  loss(value, { iteration }) {
    appendFileSync(String(file), `${threadId} ${iteration} ${tf.memory().numTensors}\n`);
    return value;
  },
}));

/**
 * A matrix, a bias, which is reached after `late` leaves, an empty parameter, and `more` biases. With
 * `assigns` its forward pass assigns the bias after two iterations, in training or outside of it.
 */
registerModel<
  { late?: number; frozen?: boolean; more?: number; assigns?: "training" | "evaluation" }
>(
  "TestLinear",
  ({ late = 0, frozen = false, more = 0, assigns }) => {
    const learned = (make: () => tf.Tensor) => tf.tidy(() => tf.variable(make()));
    const weight = learned(() => tf.tensor2d([0.3, -0.2, 0.1, 0.4, -0.5, 0.2], [3, 2]));
    const bias = tf.tidy(() => tf.variable(tf.tensor1d([0.05, -0.1]), !frozen));
    const parameters: Record<string, tf.Variable> = { weight, bias };
    parameters.empty = learned(() => tf.zeros([0, 2]));
    for (let i = 0; i < more; i++) parameters[`more${i}`] = learned(() => tf.zeros([2]));
    const buffers = { leaves: held(() => tf.scalar(0)) };
    return {
      parameters,
      buffers,
      forward({ inputs }, { training }) {
        const leaves = buffers.leaves.dataSync()[0];
        const isReached = leaves >= late;
        if (assigns === (training ? "training" : "evaluation") && leaves >= 2) {
          bias.assign(tf.zeros([2]));
        }
        if (training) tf.tidy(() => buffers.leaves.assign(tf.add(buffers.leaves, 1)));
        let y: tf.Tensor = tf.matMul(inputs as tf.Tensor2D, weight as tf.Tensor2D);
        if (isReached) y = tf.add(y, bias);
        for (let i = 0; i < more; i++) y = tf.add(y, parameters[`more${i}`]);
        return tf.add(y, tf.sum(parameters.empty));
      },
    };
  },
);

/** Fails in a leaf of an iteration, at once or when nobody looks any more. */
registerCallback("FailsLater", ({ iteration: bad, way }): Callback => ({
  name: "FailsLater",
  loss(_, { iteration }) {
    if (iteration !== bad) return;
    const fail = (): never => {
      throw new RangeError(`it fails ${way}\nin two lines`);
    };
    if (way === "at once") fail();
    if (way === "in a promise") Promise.resolve().then(fail);
    if (way === "in a timer") setTimeout(fail);
    if (way === "in a while") setTimeout(fail, 150);
  },
}));

/** Has one hook, which returns always the same. */
registerCallback("Returns", ({ hook, value }) => ({
  name: "Returns",
  [String(hook)]: () => value,
}));

/** Every leaf of some iterations takes so many ms. */
registerCallback("SlowLeaves", (params) => ({
  name: "SlowLeaves",
  loss(value, { iteration }) {
    const ms = (params.ms as Record<string, number>)[iteration] ?? 0;
    for (const end = performance.now() + ms; performance.now() < end;);
    return value;
  },
}));

/** Tells of a loss that is not finite itself. */
registerCallback("ThrowsNonFinite", () => ({
  name: "ThrowsNonFinite",
  loss(value, { iteration }) {
    if (Number.isFinite(value.sum.dataSync()[0])) return value;
    throw new NonFiniteError(iteration, "the hook says so");
  },
}));

/** Can be built by the coordinator alone. */
registerCallback("OnlyHere", (_, path): Callback => {
  if (!isMainThread) throw new ConfigError(path, "must not be in a worker");
  return { name: "OnlyHere", loss: (value) => value };
});
