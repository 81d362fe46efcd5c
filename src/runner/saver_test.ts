import { strict as assert } from "node:assert";
import { test } from "node:test";
import { CheckpointDirectory, type CheckpointState } from "../checkpoint/checkpoint.ts";
import { MemoryStore } from "../checkpoint/memory_store.ts";
import { CheckpointError } from "../core/errors.ts";
import { Saver } from "./saver.ts";

const state = (value: number): CheckpointState => ({
  tensors: { w: { dtype: "F32", shape: [1], data: new Float32Array([value]) } },
  meta: {},
});

/** A store that writes when it is let, and tells the order. */
class SlowStore extends MemoryStore {
  readonly begun: string[] = [];
  fault: Error | undefined;
  /** Lets everything through from now on. */
  open: () => void = () => {};
  readonly #opened = new Promise<void>((resolve) => this.open = resolve);
  /** Resolves when the first write has begun. */
  begin: () => void = () => {};
  readonly first = new Promise<void>((resolve) => this.begin = resolve);

  override async write(name: string, bytes: Uint8Array): Promise<void> {
    this.begun.push(name.replace(/^checkpoints\//, ""));
    this.begin();
    await this.#opened;
    if (this.fault !== undefined) throw this.fault;
    await super.write(name, bytes);
  }
}

function saver(onError: "stop" | "continue" = "stop") {
  const store = new SlowStore();
  const checkpoints = new CheckpointDirectory(store);
  const lines: string[] = [];
  const output = { line: (text: string) => void lines.push(text) };
  return {
    store,
    lines,
    checkpoints,
    saver: new Saver({ checkpoints, output, settings: { keep: { keep: null }, onError } }),
  };
}

test("Saver.save() returns at once, and the third one waits for room", async () => {
  const { store, saver: it, checkpoints } = saver();
  const done: number[] = [];
  const train = (async () => {
    for (let i = 1; i <= 4; i++) {
      await it.room();
      it.save(i, state(i), async () => {});
      done.push(i);
    }
  })();
  await store.first;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(done, [1, 2]);
  assert.deepEqual(store.begun, ["step-00000001.safetensors"]);
  store.open();
  await train;
  await it.settle();
  assert.deepEqual(done, [1, 2, 3, 4]);
  assert.deepEqual(await checkpoints.iterations(), [1, 2, 3, 4]);
});

test("Saver writes what a checkpoint refers to, then the best weights, then the checkpoint", async () => {
  const { store, saver: it } = saver();
  it.keepBest(1, state(1));
  it.save(1, state(1), () => Promise.resolve(void store.begun.push("flush")));
  store.open();
  await it.settle();
  assert.deepEqual(store.begun, [
    "best.safetensors",
    "flush",
    "step-00000001.safetensors",
    "latest",
  ]);
});

test("Saver.check() throws the fault of a job, once, under onError stop", async () => {
  const { store, saver: it, lines } = saver();
  store.fault = new CheckpointError("cannot write: ENOSPC");
  it.save(1, state(1), async () => {});
  it.save(2, state(2), async () => {});
  store.open();
  await assert.rejects(it.settle(), /^CheckpointError: cannot write: ENOSPC$/);
  it.check();
  assert.deepEqual(lines, []);
});

test("Saver says a fault under onError continue, and writes the best weights with the next checkpoint", async () => {
  const { store, saver: it, lines, checkpoints } = saver("continue");
  store.fault = new CheckpointError("cannot write: ENOSPC");
  it.keepBest(1, state(1));
  it.save(1, state(1), async () => {});
  store.open();
  await it.settle();
  assert.equal(lines.length, 2);
  assert.equal(lines[0], "cannot write: ENOSPC; going on, as checkpoint.onError says");
  assert.equal(await checkpoints.best(), undefined);
  assert.equal((await it.best())?.iteration, 1);

  store.fault = undefined;
  it.save(2, state(2), async () => {});
  store.open();
  await it.settle();
  assert.equal((await checkpoints.best())?.iteration, 1);
  assert.deepEqual(await checkpoints.iterations(), [2]);
});

test("Saver lets no error pass that is not of the files", async () => {
  const { saver: it } = saver("continue");
  it.save(1, state(1), () => Promise.reject(new TypeError("a bug")));
  await assert.rejects(it.settle(), TypeError);
});

test("Saver.check() finds that the lock was lost", () => {
  const { saver: it } = saver("continue");
  it.lock = {
    check: () => {
      throw new CheckpointError("the lock is gone");
    },
    release: () => {},
  };
  assert.throws(() => it.check(), /the lock is gone/);
});

test("Saver.settle() waits for what is queued, not for what is queued meanwhile", async () => {
  const { store, saver: it } = saver();
  store.open();
  let queued = 0;
  const save = (): void => void it.save(++queued, state(queued), more);
  const more = (): Promise<void> => Promise.resolve(queued < 50 ? save() : undefined);
  save();
  await it.settle();
  assert.ok(queued < 10, `${queued}`);
  while (queued < 50) await it.settle();
  await it.settle();
});
