/**
 * What L-BFGS remembers between steps.
 *
 * Vectors are double precision on the host while a step runs. Between steps they lie in float32
 * tensors, each with a second one that holds what rounding cut off (`d`, `d_low`), so that a saved
 * state goes on with the same bits, and torch's own states, which lack the second one, load too.
 */
import { CheckpointError, show, suggest } from "../core/errors.ts";
import * as tf from "../tensor/tf.ts";
import type { HostTensor, SavedValue } from "./state_dict.ts";

const numberNames = ["func_evals", "n_iter", "t", "H_diag", "prev_loss"] as const;
const vectorNames = ["x", "d", "prev_flat_grad"] as const;
const historyNames = ["old_dirs", "old_stps"] as const;
const tensorNames = [...vectorNames, ...historyNames];
/** Kept by torch, computed anew here. */
const derivedNames = ["al", "ro"];

/** The state under torch's names; `x` is the point, `old_dirs` [entries, n] the oldest first. */
export interface Memory {
  readonly numbers: Record<typeof numberNames[number], number>;
  readonly tensors: Readonly<Record<string, tf.Tensor>>;
}

/** The state on the host. */
export interface Work {
  readonly numbers: Memory["numbers"];
  /** The point that the parameters round. */
  x: Float64Array;
  d: Float64Array;
  previous: Float64Array;
  /** Differences of gradients, and of points, the oldest first. */
  readonly ys: Float64Array[];
  readonly ss: Float64Array[];
}

/** The state before the first step from `x`. */
export function emptyWork(x: Float64Array): Work {
  const zeros = () => new Float64Array(x.length);
  const numbers = { func_evals: 0, n_iter: 0, t: 0, H_diag: 1, prev_loss: 0 };
  return { numbers, x, d: zeros(), previous: zeros(), ys: [], ss: [] };
}

/** Reads `memory`; elements of the point that the parameters `x` no longer round to are theirs. */
export async function unpack(memory: Memory, x: Float64Array): Promise<Work> {
  const { numbers, tensors } = memory;
  const n = x.length;
  if (tensors.d.size !== n) {
    throw new CheckpointError(
      `optimizer state: d must have ${n} elements, received ${tensors.d.size}`,
    );
  }
  const [point, d, previous, ys, ss] = await Promise.all(tensorNames.map(async (name) => {
    const [high, low] = await Promise.all([tensors[name]?.data(), tensors[lowOf(name)]?.data()]);
    return high && Float64Array.from(high, (value, i) => value + (low?.[i] ?? 0));
  }));
  const rows = (flat: Float64Array): Float64Array[] =>
    Array.from({ length: flat.length / n }, (_, i) => flat.slice(i * n, (i + 1) * n));
  return {
    numbers: { ...numbers },
    x: x.map((value, i) =>
      point !== undefined && Math.fround(point[i]) === value ? point[i] : value
    ),
    d: d!,
    previous: previous!,
    ys: rows(ys!),
    ss: rows(ss!),
  };
}

/** The memory of `work`, in new tensors. */
export function pack({ numbers, x, d, previous, ys, ss }: Work): Memory {
  const tensors: Record<string, tf.Tensor> = {};
  const add = (name: string, rows: readonly Float64Array[], shape: number[]) => {
    const high = new Float32Array(rows.length * x.length);
    const low = new Float32Array(high.length);
    rows.forEach((row, i) =>
      row.forEach((value, j) => {
        const at = i * x.length + j;
        high[at] = value;
        low[at] = value - high[at];
      })
    );
    tensors[name] = tf.keep(tf.tensor(high, shape, "float32"));
    tensors[lowOf(name)] = tf.keep(tf.tensor(low, shape, "float32"));
  };
  for (const [name, row] of [["x", x], ["d", d], ["prev_flat_grad", previous]] as const) {
    add(name, [row], [x.length]);
  }
  add("old_dirs", ys, [ys.length, x.length]);
  add("old_stps", ss, [ss.length, x.length]);
  return { numbers, tensors };
}

/** Checks a saved state and copies it; undefined if there is none. */
export function readMemory(
  saved: Readonly<Record<string, SavedValue>> | undefined,
): Memory | undefined {
  if (saved === undefined || Object.keys(saved).length === 0) return undefined;
  const known = [...numberNames, ...tensorNames, ...tensorNames.map(lowOf)];
  for (const key of Object.keys(saved)) {
    if (known.includes(key) || derivedNames.includes(key)) continue;
    throw new CheckpointError(
      `optimizer state: LBFGS keeps no ${show(key)}${suggest(key, known)}`,
    );
  }
  const numbers = Object.fromEntries(
    numberNames.map((key) => [key, readNumber(saved[key], key)]),
  ) as Memory["numbers"];
  const required = ["d", "prev_flat_grad", ...historyNames];
  const faulty = required.find((key) => !isTensor(saved[key]));
  if (faulty !== undefined) {
    throw new CheckpointError(
      `optimizer state: ${faulty} must be a tensor or { data, shape }, received ${
        show(saved[faulty])
      }`,
    );
  }
  const tensors = Object.entries(saved).flatMap(([key, value]) =>
    isTensor(value) && known.includes(key) && !Object.hasOwn(numbers, key)
      ? [[key, copyOf(value)] as const]
      : []
  );
  return { numbers, tensors: Object.fromEntries(tensors) };
}

/** The direction -H g: the history, which first takes in the last step, stands for H. */
export function turn(work: Work, gradient: Float64Array, historySize: number): void {
  const { numbers, ys, ss } = work;
  const q = gradient.map((g) => -g);
  if (numbers.n_iter > 1) {
    const y = gradient.map((g, i) => g - work.previous[i]);
    const s = work.d.map((d) => d * numbers.t);
    const curvature = dot(y, s);
    if (curvature > 1e-10) {
      ys.push(y);
      ss.push(s);
      if (ys.length > historySize) ys.shift(), ss.shift();
      numbers.H_diag = curvature / dot(y, y);
    }
    const weights = ys.map((y, i) => 1 / dot(y, ss[i]));
    const along: number[] = [];
    for (let i = ys.length - 1; i >= 0; i--) {
      along[i] = dot(ss[i], q) * weights[i];
      addTo(q, ys[i], -along[i]);
    }
    q.forEach((value, i) => q[i] = value * numbers.H_diag);
    for (let i = 0; i < ys.length; i++) addTo(q, ss[i], along[i] - dot(ys[i], q) * weights[i]);
  }
  work.d = q;
}

/** a += factor b. */
function addTo(a: Float64Array, b: Float64Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] += factor * b[i];
}

/** The sum of products. */
export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

const lowOf = (name: string): string => `${name}_low`;

function readNumber(value: SavedValue | undefined, key: string): number {
  const number = isTensor(value) && !(value instanceof tf.Tensor) && value.data.length === 1
    ? value.data[0]
    : value;
  if (typeof number === "number" && Number.isFinite(number)) return number;
  throw new CheckpointError(
    `optimizer state: ${key} must be a finite number, received ${show(value)}`,
  );
}

function isTensor(value: SavedValue | undefined): value is tf.Tensor | HostTensor {
  return value !== null && typeof value === "object";
}

function copyOf(value: tf.Tensor | HostTensor): tf.Tensor {
  return tf.keep(
    value instanceof tf.Tensor
      ? tf.clone(value)
      : tf.tensor(Float32Array.from(value.data), [...value.shape], "float32"),
  );
}
