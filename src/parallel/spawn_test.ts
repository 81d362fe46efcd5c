import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { withFolder } from "../../test/support/runs.ts";
import { bundle, runScript } from "../../test/support/script.ts";
import type { UnrulyWorker } from "../../test/support/unruly_worker.ts";
import { runtime } from "../core/host.ts";
import { spawnWorker, type WorkerHandle } from "./spawn.ts";
import type { TrainWorker } from "./train_worker.ts";

const unruly = new URL("../../test/support/unruly_worker.ts", import.meta.url);
const throwing = new URL("../../test/support/throwing_worker.ts", import.meta.url);
const limit = 60_000;
/** Whether a thread that computes can be ended: not in Deno 2.9, whose process ends none the less. */
const interrupts = runtime !== "deno";

test("spawnWorker() starts workers/train_worker.ts, which answers", async () => {
  const worker = spawnWorker<TrainWorker>();
  try {
    assert.equal(await worker.call(worker.remote.ping(), limit, "ping"), "pong");
  } finally {
    await worker.terminate();
  }
});

test("spawnWorker() sends typed arrays, shares shared memory", async () => {
  const worker = spawnWorker<UnrulyWorker>({ url: unruly });
  try {
    const values = Float32Array.of(1, NaN, -0);
    assert.deepEqual(await worker.call(worker.remote.echo(values), limit, "echo"), values);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const echo = worker.remote.echo(memory) as Promise<WebAssembly.Memory>;
    const returned = await worker.call(echo, limit, "echo");
    new Int32Array(memory.buffer)[0] = 77;
    assert.equal(new Int32Array(returned.buffer)[0], 77);
  } finally {
    await worker.terminate();
  }
});

test("a worker refuses whatever is no call of a method of its own, and nothing is polluted", async () => {
  const worker = spawnWorker<UnrulyWorker>({ url: unruly });
  try {
    // deno-lint-ignore no-explicit-any
    const remote = worker.remote as any;
    const set = async (path: string[], value: unknown): Promise<void> => {
      const parent = path.slice(0, -1).reduce((at, name) => at[name], remote);
      // Not answered; what it did is looked at below.
      parent[path[path.length - 1]] = value;
      await worker.call(worker.remote.echo(0), limit, "echo");
    };
    await set(["__proto__", "polluted"], 1);
    await set(["__proto__", "__proto__", "polluted"], 1);
    await set(["constructor", "prototype", "echo"], 1);
    const calls: [string, () => Promise<unknown>][] = [
      ["a function of code", () => remote.constructor.constructor("return 1")],
      ["a method of a method", () => remote.echo.call(null, 1)],
      ["a method of all objects", () => remote.valueOf()],
      ["the constructor", () => remote.constructor()],
      ["a setter of prototypes", () => remote.__defineGetter__("echo", 1)],
      ["a property", () => Promise.resolve(remote.echo)],
      ["an object of its class", () => Promise.resolve(new remote.constructor())],
    ];
    for (const [what, ask] of calls) {
      await assert.rejects(
        worker.call(ask(), limit, what),
        { name: "TypeError", message: "a worker answers calls of its methods only" },
        what,
      );
    }
    assert.deepEqual(await worker.call(worker.remote.inherited(), limit, "inherited"), []);
    assert.equal(await worker.call(worker.remote.echo(5), limit, "echo"), 5);
    const hostile = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":1}}');
    const echo = await worker.call(worker.remote.echo(hostile), limit, "echo") as object;
    assert.deepEqual(Object.keys(echo), ["__proto__", "constructor"]);
    assert.equal((echo as { polluted?: unknown }).polluted, undefined);
  } finally {
    await worker.terminate();
  }
});

test("spawnWorker() takes a module that is no file", async () => {
  const url = await withFolder((folder) => {
    const file = join(folder, "worker.js");
    bundle(`import "./test/support/unruly_worker.ts";`, file, ["--platform=node"]);
    return Promise.resolve(`data:text/javascript;base64,${readFileSync(file, "base64")}`);
  });
  const worker = spawnWorker<UnrulyWorker>({ url });
  assert.equal(await worker.call(worker.remote.echo(5), limit, "echo"), 5);
  await assert.rejects(worker.call(worker.remote.crash() as Promise<never>, limit, "crash"), {
    name: "WorkerError",
    message: /^worker: cannot crash: .*first line$/,
  });
  await worker.terminate();
});

const failures: [string, string | URL, RegExp][] = [
  [
    "throws",
    throwing,
    /^w1: cannot ping: (Uncaught )?(\(in promise\) )?(Error: )?thrown at start$/,
  ],
  ["is missing", new URL("./missing.js", unruly), /^w1: cannot ping: .*missing\.js.*$/],
  ["is no URL", "missing.js", /^w1: cannot ping: .*URL.*$/],
];
for (const [what, url, message] of failures) {
  test(`call() and onEnd tell in one line that the module ${what}`, async () => {
    const worker = spawnWorker<TrainWorker>({ url, name: "w1" });
    const reasons: string[] = [];
    worker.onEnd = (reason) => reasons.push(reason);
    const rejected = { name: "WorkerError", message };
    await assert.rejects(worker.call(worker.remote.ping(), limit, "ping"), rejected);
    await assert.rejects(worker.call(worker.remote.ping(), limit, "ping"), rejected);
    await worker.terminate();
    assert.equal(reasons.length, 1);
    assert.match(`w1: cannot ping: ${reasons[0]}`, message);
  });
}

const ends: [
  what: string,
  begin: (worker: WorkerHandle<UnrulyWorker>) => Promise<unknown>,
  reason: string,
  cause?: string,
][] = [
  ["exits", ({ remote }) => remote.exit(3), "it exited with code 3"],
  ["throws outside a call", ({ remote }) => remote.crash(), "first line", "Error"],
  ["rejects outside a call", ({ remote }) => remote.neglect(), "first line", "RangeError"],
];
for (const [what, begin, reason, name] of ends) {
  test(`call() and onEnd tell that the thread ${what}, with its error as the cause`, async () => {
    const worker = spawnWorker<UnrulyWorker>({ url: unruly });
    const told: [string, unknown][] = [];
    worker.onEnd = (...all) => told.push(all as [string, unknown]);
    const ended = await worker.call(begin(worker), limit, "begin").catch((error) => error) as Error;
    await worker.terminate();
    assert.equal(told.length, 1);
    const [[why, cause]] = told;
    assert.equal(why, reason);
    assert.equal(ended.message, `worker: cannot begin: ${reason}`);
    assert.equal(ended.cause, cause);
    if (name === undefined) return assert.equal(cause, undefined);
    assert.equal((cause as Error).name, name);
    assert.equal((cause as Error).message, "first line\nsecond line");
    assert.match((cause as Error).stack!, /unruly_worker/);
  });
}

for (const method of ["crash", "neglect"]) {
  test(`what a worker does not catch is printed by nobody: ${method}`, () => {
    const { status, stdout, stderr } = runScript(`
      import { spawnWorker } from "./src/parallel/spawn.ts";
      const worker = spawnWorker({ url: ${JSON.stringify(unruly.href)} });
      const error = await worker.call(worker.remote.${method}(), ${limit}, "work").catch((e) => e);
      await worker.terminate();
      console.log(error.message);`);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(stdout.trim(), "worker: cannot work: first line");
  });
}

test("a machine that has no room for a thread is told as it is: another try may have some", async () => {
  const { getBuiltinModule } = process;
  const shortage = Object.assign(new Error("no thread is left"), {
    code: "ERR_WORKER_INIT_FAILED",
  });
  class Worker {
    constructor() {
      throw shortage;
    }
  }
  process.getBuiltinModule =
    ((name: string) =>
      name === "node:worker_threads" ? { Worker } : getBuiltinModule(name)) as never;
  const worker = spawnWorker();
  process.getBuiltinModule = getBuiltinModule;
  await assert.rejects(worker.call(new Promise(() => {}), limit, "start"), {
    name: "WorkerError",
    message: "worker: cannot start: no thread is left",
    cause: shortage,
  });
  await worker.terminate();
});

test("call() rejects after its time, and with what the worker throws", async () => {
  const worker = spawnWorker<UnrulyWorker>({ url: unruly, name: "worker 2" });
  const { remote } = worker;
  try {
    assert.equal(await worker.call(remote.echo(1), limit, "echo"), 1);
    await assert.rejects(worker.call(remote.never(), 20, "train"), {
      name: "WorkerError",
      message: "worker 2: cannot train: no answer in 20 ms",
    });
    await assert.rejects(worker.call(remote.refuse() as Promise<never>, limit, "train"), {
      name: "RangeError",
      message: "not today",
    });
    assert.equal(await worker.call(remote.echo(2), Infinity, "echo"), 2);
  } finally {
    await worker.terminate();
  }
});

test("terminate() rejects what is under way, tells onEnd nothing, may come again", async () => {
  const worker = spawnWorker<UnrulyWorker>({ url: unruly });
  worker.onEnd = assert.fail;
  const message = "worker: cannot wait: it was terminated";
  const refused = assert.rejects(worker.call(worker.remote.never(), limit, "wait"), { message });
  await Promise.all([worker.terminate(), worker.terminate(), refused]);
  await assert.rejects(worker.call(worker.remote.never(), limit, "wait"), { message });
});

/** Runs `body` in a process of its own, which has to end by itself, and returns the last line. */
function inProcess(body: string): Record<string, number> {
  const { status, stdout, stderr } = runScript(`
    import { existsSync, readdirSync } from "node:fs";
    import { spawnWorker } from "./src/parallel/spawn.ts";
    const count = (what) =>
      existsSync("/proc/self") ? readdirSync("/proc/self/" + what).length : 0;
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    /** Waits until there are at most n threads or descriptors, for 5 s; how many more there are. */
    const above = async (what, n) => {
      for (let i = 0; i < 250 && count(what) > n; i++) await sleep(20);
      return Math.max(0, count(what) - n);
    };
    const start = () => spawnWorker({ url: ${JSON.stringify(unruly.href)} });
    const answers = (worker) => worker.call(worker.remote.echo(1), ${limit}, "answer");
    const round = async () => {
      const workers = [start(), start(), start(), start()];
      await Promise.all(workers.map(answers));
      await Promise.all(workers.map((worker) => worker.terminate()));
    };
    await round();
    await sleep(200);
    ${body}`);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

for (const method of ["spin", "park"]) {
  test(`terminate() lets go of a worker that ${method}s: thread and process end`, () => {
    const { threads } = inProcess(`
      const before = count("task");
      const worker = start();
      const word = new Int32Array(new SharedArrayBuffer(8));
      const call = worker.call(worker.remote.${method}(word), ${limit}, "work").catch((e) => e.name);
      while (Atomics.load(word, 0) === 0) await sleep(5);
      await worker.terminate();
      if (await call !== "WorkerError") throw new Error("the call did not reject");
      console.log(JSON.stringify({ threads: ${interrupts} ? await above("task", before) : 0 }));`);
    assert.equal(threads, 0);
  });
}

test("80 workers started and terminated leave no thread and no descriptor", {
  skip: process.platform === "linux" ? false : "there is no /proc",
}, () => {
  const { threads, descriptors } = inProcess(`
    const [tasks, files] = [count("task"), count("fd")];
    for (let i = 0; i < 20; i++) await round();
    const threads = await above("task", tasks + 3);
    console.log(JSON.stringify({ threads, descriptors: await above("fd", files + 3) }));`);
  // The runtimes keep a few threads of their own for later.
  assert.deepEqual({ threads, descriptors }, { threads: 0, descriptors: 0 });
});
