/** A script: updates on webgpu; prints what was found as one JSON line. */
import { applyUpdate, applyUpdates } from "../../src/fuse/apply.ts";
import {
  add,
  div,
  gradient as g,
  mul,
  param as p,
  scalar,
  slot,
  sub,
  type Update,
} from "../../src/fuse/expression.ts";
import * as tf from "../../src/tensor/tf.ts";
import { countDispatches, useWebgpu } from "../support/webgpu.ts";
import {
  elementOf,
  float64Value,
  randomLeaves,
  randomNumbers,
  randomUpdate,
} from "./fuse_cases.ts";

/** What the script prints. */
export interface Found {
  /** Why there is no WebGPU; then nothing else is there. */
  readonly skipped?: string;
  /** Values outside their bound, at most a few. */
  readonly wrong: string[];
  readonly checked: number;
  readonly all: number;
  readonly values: Record<string, number[]>;
  readonly counts: Record<string, number>;
}

/** WGSL: division within 2.5 ulp, sqrt a little more, subnormal numbers may be flushed. */
const rounding = { relative: 2 ** -21, absolute: 2 ** -120 };
const scalars = { s: 0.3, t: -1.7 };
const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097];

const wrong: string[] = [];
let checked = 0, all = 0;

async function randomUpdates(seed: number, count: number): Promise<void> {
  const random = randomNumbers(seed);
  for (let k = 0; k < count; k++) {
    const update = randomUpdate(random);
    const size = sizes[k % sizes.length];
    const leaves = randomLeaves(random, size, false);
    const [param, a, b] = [leaves.param, leaves.slots.a, leaves.slots.b].map((values) =>
      tf.variable(tf.tensor(values))
    );
    const gradient = tf.tensor(leaves.gradient);
    applyUpdate(update, { param, gradient, slots: { a, b }, scalars });
    const results = [
      [update.param!, await param.data()],
      [update.slots!.a, await a.data()],
    ] as const;
    for (const [expression, values] of results) {
      for (let i = 0; i < Math.min(size, 200); i++) {
        const element = elementOf(leaves, i);
        const { value, error } = float64Value(expression, element, scalars, rounding);
        all++;
        if (Number.isNaN(value) || !(error < Infinity)) continue;
        if (error < 1e-3 * (1 + Math.abs(value))) checked++;
        if (!(Math.abs(values[i] - value) <= error) && wrong.length < 9) {
          wrong.push(`update ${k} [${i}]: ${values[i]}, expected ${value} within ${error}`);
        }
      }
    }
  }
}

/** The order of reads and steps, kept tensors, tensors that share data, scalars of the device. */
async function behaviour(): Promise<Pick<Found, "values" | "counts">> {
  const values: Record<string, number[]> = {};
  const counts: Record<string, number> = {};
  const note = async (name: string, tensor: tf.Tensor): Promise<void> => {
    values[name] = [...await tensor.data()];
  };
  const backend = tf.backend() as unknown as {
    tensorMap: { get(dataId: object): { resource: GPUBuffer } };
    queue: GPUQueue;
  };
  const bufferOf = (tensor: tf.Tensor) => backend.tensorMap.get(tensor.dataId).resource;

  const initial = tf.tensor([1, 2, 3]);
  const param = tf.variable(initial);
  const gradient = tf.tensor([1, 1, 2]);
  const step: Update = { param: sub(p, mul(scalar("lr"), g)) };
  const operands = { param, gradient, slots: {}, scalars: { lr: 0.5 } };
  await note("before", param);
  applyUpdate(step, operands);
  await note("after a step", param);
  await note("kept", initial);
  const buffer = bufferOf(param);
  const inFlight = param.data();
  applyUpdate(step, operands);
  values["read before the second step"] = [...await inFlight];
  await note("after the second step", param);
  counts["same buffer"] = Number(buffer === bufferOf(param));

  const view = tf.reshape(param, [3, 1]);
  applyUpdate(step, { ...operands, gradient: param });
  await note("with itself as the gradient", param);
  await note("view", view);

  const rate = tf.scalar(0.25);
  const half = tf.scalar(0.5);
  const state = tf.variable(tf.zeros([3]));
  const update: Update = {
    param: sub(p, mul(scalar("lr"), add(slot("m"), g))),
    slots: { m: div(g, scalar("q")) },
  };
  const device = { param, gradient, slots: { m: state }, scalars: { lr: rate, q: 2 }, scale: half };
  applyUpdate(update, device);
  await note("scalars of the device: parameter", param);
  await note("scalars of the device: slot", state);
  for (const [name, flag] of [["NaN", NaN], ["Infinity", -Infinity], ["finite", 1e38]] as const) {
    // 0 * x is NaN for the first two; the guard itself is made on the device.
    const guard = tf.mul(tf.tensor([1, flag]), tf.scalar(1));
    applyUpdate(update, { ...device, guard });
    await note(`guard ${name}`, param);
  }

  const many = Array.from({ length: 40 }, () => tf.variable(tf.ones([10])));
  const ones = tf.ones([10]);
  await many[0].data();
  let submissions = 0;
  const submit = backend.queue.submit;
  backend.queue.submit = function (...args) {
    submissions++;
    return submit.apply(this, args);
  };
  const tensors = tf.memory().numTensors;
  // Warm: each variable has data of its own from now on.
  const tasks = many.map((param) => ({
    update: step,
    operands: { param, gradient: ones, slots: {}, scalars: { lr: 0.5 }, scale: half },
  }));
  applyUpdates(tasks);
  await many[39].data();
  submissions = 0;
  const counter = countDispatches();
  applyUpdates(tasks);
  counts.dispatches = counter.count;
  counts.submissions = submissions;
  counts.leaked = tf.memory().numTensors - tensors;
  await note("the last of many", many[39]);

  const large = tf.variable(tf.zeros([4_300_000]));
  applyUpdate(step, { ...operands, param: large, gradient: tf.ones([4_300_000]) });
  const sum = tf.sum(large);
  const ends = tf.concat([tf.slice(large, 0, 1), tf.slice(large, 4_299_999, 1)]);
  await note("sum of a large one", sum);
  await note("ends of a large one", ends);
  return { values, counts };
}

async function main(): Promise<Found | Pick<Found, "skipped">> {
  const skipped = await useWebgpu();
  if (skipped !== undefined) return { skipped };
  await randomUpdates(77, 60);
  return { ...await behaviour(), wrong, checked, all };
}

console.log(JSON.stringify(await main()));
