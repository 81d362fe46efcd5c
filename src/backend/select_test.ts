import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../test/support/root.ts";
import { runScript } from "../../test/support/script.ts";
import { runtime } from "../core/host.ts";
import * as tf from "../tensor/tf.ts";
import { type BackendPreference, disposeBackend, selectBackend } from "./select.ts";
import { hasFusedRelaxedSimd } from "./wasm_features.ts";

/** No Vulkan driver: the WebGPU of Deno, Node and Bun finds no adapter on Linux. */
const NO_ADAPTER = { VK_DRIVER_FILES: "/nonexistent.json", DENO_WEBGPU_BACKEND: "vulkan" };

async function choose(preference: BackendPreference): Promise<[unknown, string[]]> {
  const lines: string[] = [];
  return [await selectBackend(preference, { log: (line) => lines.push(line) }), lines];
}

test("selectBackend() makes cpu and wasm current without a word", async () => {
  const relaxedSimd = hasFusedRelaxedSimd();
  for (const name of ["cpu", "wasm"] as const) {
    const chosen = { name, simd: true, relaxedSimd, adapter: null };
    assert.deepEqual(await choose(name), [chosen, []]);
    assert.equal(tf.getBackend(), name);
    assert.deepEqual([...await tf.matMul([[1, 2]], [[3], [4]]).data()], [11]);
  }
});

test("selectBackend() again reuses the live backend, also when asked twice at once", async () => {
  await selectBackend("wasm");
  const { wasm } = tf.engine().registry;
  await Promise.all([choose("cpu"), choose("wasm"), choose("cpu"), choose("wasm")]);
  assert.equal(tf.getBackend(), "wasm");
  assert.equal(tf.engine().registry.wasm, wasm);
});

test("selectBackend() works after removeBackend(), engine().reset() and disposeBackend()", async () => {
  const acts = [
    () => tf.removeBackend("wasm"),
    () => tf.engine().reset(),
    () => disposeBackend(),
  ];
  for (const act of acts) {
    await selectBackend("wasm");
    act();
    assert.deepEqual((await choose("wasm"))[1], []);
    assert.deepEqual([...await tf.exp([0]).data()], [1]);
  }
  tf.engine().reset();
  await tf.setBackend("wasm");
  assert.deepEqual([...await tf.exp([0]).data()], [1]);
});

test("selectBackend() leaves no tensor behind", async () => {
  disposeBackend();
  await selectBackend("cpu");
  const before = tf.memory().numTensors;
  await selectBackend("wasm");
  assert.equal(tf.memory().numTensors, before);
});

test("a backend that fails the self-test falls back with one line that says why", async () => {
  await selectBackend("cpu");
  disposeBackend();
  const exp = tf.getKernel("Exp", "wasm");
  tf.unregisterKernel("Exp", "wasm");
  tf.registerKernel({ ...tf.getKernel("Abs", "wasm"), kernelName: "Exp" });
  try {
    const [{ name }, lines] = await choose("wasm") as [{ name: string }, string[]];
    assert.equal(name, "cpu");
    assert.deepEqual(lines, [
      "backend: cpu instead of wasm (wasm: the self-test fails: exp gives 4 at 0, expected 0.018315638888734)",
    ]);
    assert.equal(tf.getBackend(), "cpu");
  } finally {
    tf.unregisterKernel("Exp", "wasm");
    tf.registerKernel(exp);
  }
  assert.deepEqual((await choose("wasm"))[1], []);
});

test("an unknown preference or option is one line with the nearest name", async () => {
  const rows: [unknown, unknown, string][] = [
    [
      "wgpu",
      {},
      `backend: unknown backend "wgpu"; did you mean 'webgpu'? known: auto, webgpu, wasm, cpu`,
    ],
    [null, {}, "backend: unknown backend null; known: auto, webgpu, wasm, cpu"],
    [
      "cpu",
      { lof: 1 },
      `lof: unknown option "lof" for selectBackend; did you mean 'log'? known: deterministic, log, wasmPath`,
    ],
    ["cpu", { deterministic: 1 }, "deterministic: must be true or false, received 1"],
    ["cpu", { log: "x" }, `log: must be a function, received "x"`],
  ];
  for (const [preference, options, message] of rows) {
    await assert.rejects(
      selectBackend(preference as BackendPreference, options as Record<string, never>),
      { name: "ConfigError", message },
    );
  }
});

test("without an adapter auto and webgpu take wasm, each with one line", () => {
  const { status, stdout } = runScript(
    `import { selectBackend } from "./src/backend/select.ts";
     await selectBackend("auto");
     await selectBackend("auto", { deterministic: true });
     await selectBackend("webgpu");`,
    NO_ADAPTER,
  );
  assert.equal(status, 0);
  assert.deepEqual(stdout.trim().split("\n"), [
    "backend: wasm with SIMD (webgpu: no adapter answers)",
    "backend: wasm with SIMD (webgpu: no adapter answers)",
    "backend: wasm with SIMD instead of webgpu (webgpu: no adapter answers)",
  ]);
});

test("in Node and Bun webgpu without its optional package falls back with one line", () => {
  if (runtime === "deno") return;
  const folder = mkdtempSync(join(tmpdir(), "downhill-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    for (const name of ["@tensorflow", "zod"]) {
      symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
    }
    const script = `import { selectBackend } from "./src/backend/select.ts";
      await selectBackend("webgpu");`;
    const { status, stdout, stderr } = runScript(script, {}, folder);
    const reason = "webgpu: the optional npm package webgpu is not installed";
    assert.deepEqual(
      [status, stdout, stderr],
      [0, `backend: wasm with SIMD instead of webgpu (${reason})\n`, ""],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("nothing of tfjs is printed, and the process listeners stay as they were", () => {
  const { status, stdout, stderr } = runScript(
    `import process from "node:process";
     import { disposeBackend, selectBackend } from "./src/backend/select.ts";
     import * as tf from "./src/tensor/tf.ts";
     const events = ["uncaughtException", "unhandledRejection", "exit"];
     for (const event of events) process.on(event, function own() {});
     const before = JSON.stringify(events.map((event) => process.listeners(event).map(String)));
     const check = (when) => {
       const now = JSON.stringify(events.map((event) => process.listeners(event).map(String)));
       if (now !== before) console.log(when, now);
     };
     for (const name of ["cpu", "wasm"]) {
       await selectBackend(name);
       tf.print(tf.tensor1d([name.length]));
       check(name);
     }
     disposeBackend();
     check("dispose");
     await selectBackend("wasm");
     check("again");`,
  );
  assert.deepEqual([status, stdout, stderr], [0, "Tensor\n    [3]\nTensor\n    [4]\n", ""]);
});
