/** Workers in a page: the example as its README builds it, and pages whose workers fail. */
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { ISOLATION, serve } from "../../examples/browser/serve.ts";
import type { RunConfig } from "../../mod.ts";
import { runtime } from "../../src/core/host.ts";
import { findChromium, FLAGS } from "../support/chromium.ts";
import { root } from "../support/root.ts";
import { skipWithoutWebgpu } from "../support/webgpu.ts";
import type { Trained } from "./workers_page.ts";

/** The strictest policy of scripts with which WebAssembly runs at all. */
const POLICY = { "content-security-policy": "script-src 'self' 'wasm-unsafe-eval'" };

/** What the page is told beside the config; `imports` and addresses are relative to it. */
interface Options {
  readonly endAt?: number;
  readonly imports?: string[];
  readonly workerUrl?: string;
  readonly wasmPath?: string;
}

const executablePath = runtime === "node" ? findChromium() : undefined;

describe("workers in a page", {
  skip: executablePath === undefined && "runs under Node, with Chromium",
  timeout: 240_000,
}, () => {
  let folder: string;
  let browser: Browser;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "downhill-browser-"));
    buildExample(folder, ["test/browser/workers_page.ts", "test/browser/unruly_model.ts"]);
    const { chromium } = await import("playwright-core");
    browser = await chromium.launch({ executablePath, args: FLAGS });
  });

  after(async () => {
    await browser?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  /** Opens `path` of the folder, served with `headers`; `said` collects what the console shows. */
  async function open<T>(
    path: string,
    headers: Record<string, string>,
    use: (page: Page, said: string[]) => Promise<T>,
  ): Promise<T> {
    const server = await serve(folder, 0, headers);
    const page = await browser.newPage();
    try {
      const said: string[] = [];
      page.on("console", (message) => said.push(message.text()));
      page.on("pageerror", (error) => said.push(String(error)));
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`);
      return await use(page, said);
    } finally {
      await page.close();
      server.closeAllConnections();
      server.close();
    }
  }

  /** The example as a visitor sees it, when it has trained. */
  async function visit(page: Page): Promise<{ status: string; rows: string[]; progress: unknown }> {
    const done = () => /^(Done|\w*Error)/.test(document.querySelector("#status")!.textContent!);
    await page.waitForFunction(done, undefined, { timeout: 60_000 });
    return await page.evaluate(() => ({
      status: document.querySelector("#status")!.textContent!,
      rows: [...document.querySelectorAll("#losses tr")].map((row) => row.textContent!),
      progress: document.querySelector<HTMLProgressElement>("#progress")!.value,
    }));
  }

  let shown: { status: string; rows: string[]; progress: unknown };

  test("the example trains with two workers under a strict policy, to the bits of one", async () => {
    await open("?backend=wasm", { ...ISOLATION, ...POLICY }, async (page, said) => {
      shown = await visit(page);
      assert.match(shown.status, /^Done on wasm with 2 workers: test loss \d.*, weights \w{8}$/);
      assert.equal(shown.rows.length, 10);
      assert.match(shown.rows[9], /^iteration 200loss 0\.\d{5}$/);
      assert.equal(shown.progress, 1);
      const one = await page.evaluate(async () => {
        const address = "/main.js";
        const { train } = await import(address);
        const losses: number[] = [];
        const show = (_: number, loss: number) => void losses.push(loss);
        const wasm = await train(() => {}, { backend: "wasm", workers: 1 });
        return { wasm, cpu: await train(show, { backend: "cpu", workers: 1 }), losses };
      });
      assert.deepEqual([one.wasm.workers, one.wasm.shards], [1, 2]);
      assert.equal(one.wasm.weightsSha256.slice(0, 8), shown.status.slice(-8));
      assert.equal(one.cpu.backend, "cpu");
      const losses = shown.rows.map((row) => Number(row.split("loss ")[1]));
      assert.ok(losses[9] < 0.5 * losses[0], `${losses}`);
      for (const [i, loss] of one.losses.entries()) {
        assert.ok(Math.abs(losses[i] - loss) < 1e-3 * loss + 1e-5, `${i}: ${losses[i]} ${loss}`);
      }
      assert.deepEqual(said.filter(isNoAlarm), []);
    });
  });

  test("without isolation the example says so in one line and trains in the page, to the same bits", async () => {
    await open("?backend=wasm", {}, async (page, said) => {
      const { status, rows } = await visit(page);
      assert.equal(status, shown.status.replace("with 2 workers", "in the page"));
      assert.deepEqual(rows, shown.rows);
      assert.equal(said.length, 1);
      assert.match(said[0], /^workers: 2 need shared memory, .*cross-origin isolation/);
    });
  });

  test("a worker that is ended, hangs or throws is replaced, to the same bits", async () => {
    await open("assets/", ISOLATION, async (page) => {
      const whole = await train(page, { workers: 1 });
      const ended = await train(page, { workers: 2 }, { endAt: 4 });
      assert.match(
        ended.lines.join("|"),
        /worker 2 has given no sign of life for [\d.]+ s: replacing/,
      );
      assert.deepEqual({ ...ended, lines: [] }, { ...whole, workers: 2 });

      const imports = [new URL("../unruly_model.js", page.url()).href];
      const unruly = (fault: string) => ({
        model: { type: "Unruly", params: { inputLength: 24, outputLength: 6, fault } },
      });
      const ruly = await train(page, { ...unruly("never"), workers: 1 }, { imports });
      for (
        const [fault, line] of [
          ["hangs", /worker \d has given no sign of life for [\d.]+ s: replacing/],
          ["throws", /worker \d: three is too much: replacing/],
        ] as const
      ) {
        const result = await train(page, { ...unruly(fault), workers: 2 }, { imports });
        assert.match(result.lines.join("|"), line);
        assert.deepEqual({ ...result, lines: [] }, { ...ruly, workers: 2 });
      }
    });
  });

  test("workers find tfjs' files where the page does, and compute on no other backend", async () => {
    const files = readdirSync(folder);
    const moved = join(folder, "moved");
    mkdirSync(moved);
    for (const name of files.filter((it) => it.endsWith(".wasm"))) {
      cpSync(join(folder, name), join(moved, name));
    }
    await open("assets/", ISOLATION, async (page) => {
      const options = { wasmPath: "../moved" };
      const { workers, lines } = await train(page, { workers: 2 }, options);
      assert.deepEqual([workers, lines.filter(isNoAlarm)], [2, []]);
      renameSync(moved, `${moved}_again`);
      await assert.rejects(
        train(page, { workers: 2 }, options),
        /ConfigError: workers: .*cpu instead of wasm \(wasm: tfjs' \.wasm files cannot be loaded/,
      );
    });
  });

  test("a worker whose module is not there ends the run with its address", async () => {
    await open("assets/", ISOLATION, async (page) => {
      const config = { workers: 2 };
      await assert.rejects(
        train(page, config, { workerUrl: "nowhere.js" }),
        /ConfigError: options\.workerUrl: http:.*\/assets\/nowhere\.js cannot be loaded as a worker: it cannot be fetched/,
      );
    });
  });

  test("on WebGPU one worker is the default; two give its numbers", async () => {
    await open("assets/", ISOLATION, async (page) => {
      const config: Partial<RunConfig> = {
        backend: "webgpu",
        shards: 2,
        train: { iterations: 4, batchSize: 16, clipGrad: { maxNorm: 0.5 } },
      };
      const one = await train(page, config);
      if (!one.lines[0]?.startsWith("backend: webgpu")) return skipWithoutWebgpu(one.lines.join());
      const auto = await train(page, { ...config, workers: "auto" });
      assert.deepEqual([one.workers, auto.workers], [1, 1]);
      assert.equal(auto.weightsSha256, one.weightsSha256);
      const two = await train(page, { ...config, workers: 2 });
      assert.deepEqual([two.workers, two.iterations], [2, 4]);
      assert.ok(Math.abs(two.test / one.test - 1) < 1e-5, `${two.test} ${one.test}`);
    });
  });
});

/** On a busy machine a worker may be taken for lost, which changes nothing. */
function isNoAlarm(line: string): boolean {
  return !/has given no sign of life .*: replacing/.test(line);
}

/** Runs the command of the example's README, with other entry points beside its own. */
function buildExample(folder: string, further: readonly string[]): void {
  const readme = readFileSync(join(root, "examples/README.md"), "utf8");
  const [, command] = /^npx (esbuild (?:.*\\\n)*.*)$/m.exec(readme)!;
  const { status, stderr } = spawnSync("sh", [
    "-c",
    `node_modules/.bin/${command.replace("build/browser", folder)} --log-level=error ${
      further.join(" ")
    }`,
  ], { cwd: root, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  // A page in another folder than the scripts.
  mkdirSync(join(folder, "assets"));
  cpSync(join(folder, "index.html"), join(folder, "assets/index.html"));
}

/** Trains with `config` in a page; rejects with the error of the run. */
async function train(
  page: Page,
  config: Partial<RunConfig>,
  options: Options = {},
): Promise<Trained> {
  return await page.evaluate(async ([config, { imports = [], ...options }]) => {
    const address = "/workers_page.js";
    const { train } = await import(address);
    return await train(config, {
      wasmPath: "..",
      workerUrl: "../worker.js",
      ...options,
      imports: imports.map((name) => new URL(name, location.href).href),
    });
  }, [config, options] as const);
}
