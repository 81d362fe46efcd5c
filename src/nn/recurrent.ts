/** LSTM and GRU over whole sequences. Axes: [batch, time, features]. */
import { ConfigError, show } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import { differentiable, isFused, runKernel } from "./fused.ts";

/** The weights of one layer in torch's shapes and order of gates; both biases or none. */
export interface RecurrentWeights {
  /** [gates * hidden, features] */
  readonly w_ih: tf.Tensor;
  /** [gates * hidden, hidden] */
  readonly w_hh: tf.Tensor;
  /** [gates * hidden] */
  readonly b_ih?: tf.Tensor;
  /** [gates * hidden] */
  readonly b_hh?: tf.Tensor;
}

/** The state before the first step, [batch, hidden]; zeros if left out. */
export interface GruState {
  readonly h0?: tf.Tensor;
}

/** The states before the first step, [batch, hidden]; zeros if left out. */
export interface LstmState extends GruState {
  readonly c0?: tf.Tensor;
}

/** What a {@link gru} answers. */
export interface GruResult {
  /** The hidden state after every step, [batch, time, hidden]. */
  readonly output: tf.Tensor;
  /** The last hidden state, [batch, hidden]. */
  readonly h: tf.Tensor;
}

/** What an {@link lstm} answers. */
export interface LstmResult extends GruResult {
  /** The last cell state, [batch, hidden]. */
  readonly c: tf.Tensor;
}

/**
 * One layer of long short-term memory (Hochreiter and Schmidhuber 1997; torch's `LSTM`), the gates in
 * the order i, f, g, o:
 *
 *     i, f, g, o = s(W_ih x + b_ih + W_hh h + b_hh), for g tanh
 *     c <- f c + i g;   h <- o tanh(c)
 *
 * Layers are stacked by giving one's `output` to the next; the other direction reads
 * `tf.reverse(x, 1)`.
 *
 * @param x [batch, time, features].
 * @throws {ConfigError} If a shape does not fit.
 */
export function lstm(x: tf.Tensor, weights: RecurrentWeights, state: LstmState = {}): LstmResult {
  const { batch, time, hidden } = check("lstm", 4, x, weights, state);
  const { output, last } = isFusedOn("DownhillLstm", x, weights, state)
    ? fusedLstm(x, weights, state, time, hidden)
    : composedLstm(x, weights, state, batch, time, hidden);
  return { output, h: stepOf(output, time - 1), c: last };
}

/**
 * One layer of gated recurrent units (Cho et al. 2014; torch's `GRU`), the gates in the order r, z, n:
 *
 *     r, z = s(W_ih x + b_ih + W_hh h + b_hh)
 *     n = tanh(W_ih x + b_ih + r (W_hh h + b_hh));   h <- (1 - z) n + z h
 *
 * @param x [batch, time, features].
 * @throws {ConfigError} If a shape does not fit.
 */
export function gru(x: tf.Tensor, weights: RecurrentWeights, state: GruState = {}): GruResult {
  const { batch, time, hidden } = check("gru", 3, x, weights, state);
  const output = isFusedOn("DownhillGru", x, weights, state)
    ? fusedGru(x, weights, state)
    : composedGru(x, weights, state, batch, time, hidden);
  return { output, h: stepOf(output, time - 1) };
}

/** [batch, time, n] -> [batch, n]. */
function stepOf(x: tf.Tensor, t: number): tf.Tensor {
  const [batch, , n] = x.shape;
  return tf.reshape(tf.slice(x, [0, t, 0], [batch, 1, n]), [batch, n]);
}

function check(
  name: string,
  gates: number,
  x: tf.Tensor,
  { w_ih, w_hh, b_ih, b_hh }: RecurrentWeights,
  { h0, c0 }: LstmState,
): { batch: number; time: number; hidden: number } {
  const refuse = (rule: string, received: unknown): never => {
    throw new ConfigError("", `${name}: ${rule}, received ${show(received)}`);
  };
  if (x.rank !== 3 || x.shape[1] === 0) {
    refuse("x must be [batch, time, features] with at least one step", x.shape);
  }
  const [batch, time, features] = x.shape;
  const hidden = w_hh.shape[w_hh.rank - 1];
  const width = gates * hidden;
  const wanted: [string, tf.Tensor | undefined, number[]][] = [
    ["w_ih", w_ih, [width, features]],
    ["w_hh", w_hh, [width, hidden]],
    ["b_ih", b_ih, [width]],
    ["b_hh", b_hh, [width]],
    ["h0", h0, [batch, hidden]],
    ["c0", c0, [batch, hidden]],
  ];
  for (const [key, tensor, shape] of wanted) {
    if (tensor !== undefined && !tf.util.arraysEqual(tensor.shape, shape)) {
      refuse(`${key} must have shape ${show(shape)}`, tensor.shape);
    }
  }
  if ((b_ih === undefined) !== (b_hh === undefined)) {
    refuse(
      "needs both of b_ih and b_hh, or none",
      b_ih === undefined ? "b_hh alone" : "b_ih alone",
    );
  }
  return { batch, time, hidden };
}

function isFusedOn(
  kernel: string,
  x: tf.Tensor,
  { w_ih, w_hh, b_ih, b_hh }: RecurrentWeights,
  { h0, c0 }: LstmState,
): boolean {
  return x.size > 0 && w_hh.size > 0 && isFused(kernel, x, w_ih, w_hh, b_ih, b_hh, h0, c0);
}

/** The entries that are given, in this order. */
function given(inputs: Readonly<Record<string, tf.Tensor | undefined>>): [string, tf.Tensor][] {
  return Object.entries(inputs).filter((entry): entry is [string, tf.Tensor] =>
    entry[1] !== undefined
  );
}

/**
 * A recurrent kernel and its gradient. `gradients` are the names of what the gradient kernel answers;
 * a name may serve for two inputs.
 */
function recurrent(
  kernel: string,
  x: tf.Tensor,
  { w_ih, w_hh, b_ih, b_hh }: RecurrentWeights,
  { h0, c0 }: LstmState,
  keys: readonly string[],
  gradients: readonly (readonly string[])[],
): tf.Tensor {
  const inputs = given({ x, w_ih, w_hh, b_ih, b_hh, h0, c0 });
  return differentiable(
    inputs.map(([, tensor]) => tensor),
    () => {
      const [out, ...kept] = runKernel(kernel, Object.fromEntries(inputs));
      return [out, x, w_ih, w_hh, ...kept];
    },
    (dy, x, w_ih, w_hh, ...kept) => {
      const saved = Object.fromEntries(keys.map((key, i) => [key, kept[i]]));
      const results = runKernel(`${kernel}Grad`, { x, w_ih, w_hh, ...saved, dy });
      return inputs.map(([name]) => {
        const at = gradients.findIndex((names) => names.includes(name));
        // Two inputs never share one tensor, which each may dispose.
        return gradients[at][0] === name ? results[at] : tf.clone(results[at]);
      });
    },
  );
}

function fusedLstm(
  x: tf.Tensor,
  weights: RecurrentWeights,
  state: LstmState,
  time: number,
  hidden: number,
): { output: tf.Tensor; last: tf.Tensor } {
  const packed = recurrent("DownhillLstm", x, weights, state, ["gates", "before", "cells"], [
    ...[["x"], ["w_ih"], ["w_hh"], ["b_ih", "b_hh"], ["h0"], ["c0"]],
  ]);
  const output = tf.slice(packed, [0, 0, 0], [x.shape[0], time, hidden]);
  const last = stepOf(packed, time);
  return { output, last };
}

function fusedGru(x: tf.Tensor, weights: RecurrentWeights, state: GruState): tf.Tensor {
  return recurrent("DownhillGru", x, weights, state, ["gates", "before", "products"], [
    ...[["x"], ["w_ih"], ["w_hh"], ["b_ih"], ["b_hh"], ["h0"]],
  ]);
}

/** W_ih x + b_ih of all steps, [batch, time, gates * hidden]. */
function inputSums(x: tf.Tensor, { w_ih, b_ih }: RecurrentWeights): tf.Tensor {
  const [batch, time, features] = x.shape;
  const rows = tf.matMul(tf.reshape(x, [batch * time, features]), w_ih, false, true);
  const sums = b_ih === undefined ? rows : tf.add(rows, b_ih);
  return tf.reshape(sums, [batch, time, w_ih.shape[0]]);
}

function hiddenSums(h: tf.Tensor, { w_hh, b_hh }: RecurrentWeights): tf.Tensor {
  const sums = tf.matMul(h, w_hh, false, true);
  return b_hh === undefined ? sums : tf.add(sums, b_hh);
}

function composedLstm(
  x: tf.Tensor,
  weights: RecurrentWeights,
  { h0, c0 }: LstmState,
  batch: number,
  time: number,
  hidden: number,
): { output: tf.Tensor; last: tf.Tensor } {
  let h: tf.Tensor = h0 ?? tf.zeros([batch, hidden]);
  let c: tf.Tensor = c0 ?? tf.zeros([batch, hidden]);
  const outputs: tf.Tensor[] = [];
  const sums = inputSums(x, weights);
  for (let t = 0; t < time; t++) {
    const [i, f, g, o] = tf.split(tf.add(stepOf(sums, t), hiddenSums(h, weights)), 4, 1);
    c = tf.add(tf.mul(tf.sigmoid(f), c), tf.mul(tf.sigmoid(i), tf.tanh(g)));
    h = tf.mul(tf.sigmoid(o), tf.tanh(c));
    outputs.push(h);
  }
  return { output: tf.stack(outputs, 1), last: c };
}

function composedGru(
  x: tf.Tensor,
  weights: RecurrentWeights,
  { h0 }: GruState,
  batch: number,
  time: number,
  hidden: number,
): tf.Tensor {
  let h: tf.Tensor = h0 ?? tf.zeros([batch, hidden]);
  const outputs: tf.Tensor[] = [];
  const sums = inputSums(x, weights);
  for (let t = 0; t < time; t++) {
    const [r, z, n] = tf.split(stepOf(sums, t), 3, 1);
    const [u, v, m] = tf.split(hiddenSums(h, weights), 3, 1);
    const reset = tf.sigmoid(tf.add(r, u));
    const update = tf.sigmoid(tf.add(z, v));
    const next = tf.tanh(tf.add(n, tf.mul(reset, m)));
    h = tf.add(tf.mul(tf.sub(1, update), next), tf.mul(update, h));
    outputs.push(h);
  }
  return tf.stack(outputs, 1);
}
