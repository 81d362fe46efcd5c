/**
 * The model `Mortal`, whose workers are lost at set instants, and a callback that sets it: a module for
 * `imports`.
 *
 * It is an Mlp with dropout and a buffer. In a worker it watches what the thread does through the shared
 * memory, and strikes at the n-th access in a phase. Faults come one after the other, each on a new team,
 * whichever worker gets there first: files in a folder mark those that are over.
 */
import { closeSync, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import {
  type Callback,
  ConfigError,
  type Model,
  registerCallback,
  registerModel,
} from "../../mod.ts";
import { Mlp } from "../../src/model/mlp.ts";
import { Arena } from "../../src/parallel/arena.ts";
import { GRADIENT } from "../../src/parallel/protocol.ts";
import * as tf from "../../src/tensor/tf.ts";

/** Where a worker is lost, and how. */
export interface Fault {
  readonly phase: "start" | "gradient" | "barrier" | "reduce" | "update" | "evaluation";
  /**
   * `refuse` throws a ConfigError; `close` ends the thread when it next hears messages; `slow` takes 3 s,
   * and goes on; `memory` fills the heap.
   */
  readonly way: "throw" | "refuse" | "exit" | "close" | "hang" | "slow" | "memory";
  /** Commands that the thread has done before; default 0. */
  readonly after?: number;
  /** The access of that phase after them, counted from 1; default 1. */
  readonly access?: number;
  /** How often it strikes; default once. */
  readonly times?: number;
}

/** Params of the model. */
export interface MortalParams {
  readonly faults: readonly Fault[];
  /** Where the marks are. */
  readonly folder: string;
  readonly hidden?: number[];
}

let phase: Fault["phase"] | undefined = "start";
let commands = 0;
let accesses = 0;
/** What this thread has ahead of it, and the files that say that it is behind. */
let fault: Fault | undefined;
let marks: string[] = [];

/** The thread comes to an instant of its phase. */
function touch(): void {
  if (fault === undefined || fault.phase !== phase || commands < (fault.after ?? 0)) return;
  if (++accesses !== (fault.access ?? 1)) return;
  const { way } = fault;
  if (marks.some(isFirst)) strike(way);
}

/** Takes the first fault that has not struck as often as it is to. */
function arm({ faults, folder }: MortalParams): void {
  for (const [i, it] of faults.entries()) {
    marks = Array.from({ length: it.times ?? 1 }, (_, n) => join(folder, `${i}-${n}`));
    fault = it;
    if (!marks.every((mark) => existsSync(mark))) return;
  }
  fault = undefined;
}

function isFirst(mark: string): boolean {
  try {
    closeSync(openSync(mark, "wx"));
    return true;
  } catch {
    return false;
  }
}

function strike(way: Fault["way"]): void {
  switch (way) {
    case "throw":
      throw new TypeError("struck by the test\nin two lines");
    case "refuse":
      throw new ConfigError("model", "refuses this batch");
    case "exit":
      process.exit(3);
      break;
    case "close":
      if ("close" in globalThis) globalThis.close();
      else process.exit(0);
      break;
    case "memory":
      for (const hoard: unknown[] = [];;) {
        hoard.push(Array.from({ length: 1e5 }, (_, i) => ({ i })));
      }
    case "slow":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
      break;
    case "hang":
      while (true);
  }
}

/** Has a method of the shared memory tell of its calls. */
function watch<K extends keyof Arena>(
  name: K,
  wrap: (call: (...args: unknown[]) => unknown, arena: Arena, args: unknown[]) => unknown,
): void {
  const original = Arena.prototype[name] as (...args: unknown[]) => unknown;
  Object.defineProperty(Arena.prototype, name, {
    value(this: Arena, ...args: unknown[]): unknown {
      return wrap((...args) => original.apply(this, args), this, args);
    },
  });
}

function watchAll(): void {
  watch("nextCommand", (call, _, args) => {
    phase = undefined;
    const kind = call(...args);
    phase = kind === GRADIENT ? "gradient" : kind === undefined ? "evaluation" : "update";
    return kind;
  });
  watch("meet", (call, _, args) => {
    phase = "barrier";
    touch();
    const isThere = call(...args);
    phase = "reduce";
    return isThere;
  });
  watch("done", (call, _, args) => {
    const isNews = call(...args);
    commands++;
    return isNews;
  });
  for (const name of ["floatsAt", "wordsAt", "gradientAt", "beat"] as const) {
    watch(name, (call, _, args) => {
      touch();
      return call(...args);
    });
  }
}

/** Between gradient and update, sets a parameter and the buffer by what both are: never twice the same. */
registerCallback("Meddles", (): Callback => ({
  name: "Meddles",
  gradients(value, { model: { parameters, buffers } }) {
    const [first] = Object.values(parameters);
    const { mean } = buffers!;
    tf.tidy(() => {
      first.assign(tf.add(tf.mul(first, 0.99), tf.mul(mean, 0.01)));
      mean.assign(tf.add(mean, tf.mean(first)));
    });
    return value;
  },
}));

registerModel<MortalParams>("Mortal", (params, context): Model => {
  const { hidden = [16] } = params;
  if (!isMainThread) {
    arm(params);
    watchAll();
    touch();
    phase = "evaluation";
  }
  const mlp = new Mlp(
    { inputLength: 12, outputLength: 4, channels: 2, hidden, dropout: 0.2 },
    context,
  );
  const mean = tf.tidy(() => tf.variable(tf.scalar(0), false));
  return {
    parameters: mlp.parameters,
    buffers: { mean },
    forward(batch, forwardContext) {
      touch();
      if (forwardContext.training) {
        mean.assign(tf.add(tf.mul(0.9, mean), tf.mul(0.1, tf.mean(batch.inputs))));
      }
      return mlp.forward(batch, forwardContext);
    },
  };
});
