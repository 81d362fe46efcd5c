/**
 * The npm package as its users get it: packed, installed into an empty folder, and used from there.
 *
 * Slow, so `npm test` runs it once, under Node.
 */
import { build } from "esbuild";
import { strict as assert } from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test, type TestContext } from "node:test";
import { chromium } from "playwright-core";
import { binary, root } from "../../tools/project.ts";

interface Result {
  finished: string;
  iterations: number;
  test: Record<string, number>;
  scores: Record<string, number>;
}

const folder = mkdtempSync(join(tmpdir(), "downhill-package-"));
after(() => rmSync(folder, { recursive: true }));
install();

interface Trained {
  workers: number;
  iterations: number;
  weightsSha256: string;
  backend: string;
}

/** What a run needs, with workers or without. */
const permissions = ["--allow-read=.", "--allow-write=runs", "--allow-sys=hostname"];
const runtimes: [string, string[]][] = [
  ["Node", [process.execPath]],
  ["Bun", [binary("bun"), "run"]],
  ["Deno", [binary("deno"), "run", "--no-lock", "--no-prompt", ...permissions]],
];
for (const [name, [program, ...args]] of runtimes) {
  test(`the installed package trains under ${name}`, () => {
    const output = run(program, [...args, "consumer.mjs"], folder);
    checkResult(JSON.parse(output.trim().split("\n").at(-1)!));
  });
  test(`the installed package trains with workers under ${name}`, () => {
    rmSync(join(folder, "runs"), { recursive: true, force: true });
    const output = run(program, [...args, "workers.mjs"], folder);
    checkWorkers(JSON.parse(output.trim().split("\n").at(-1)!));
  });
}

test("what the installed package's README links to is in the package", () => {
  const installed = join(folder, "node_modules", "downhill");
  const links = [
    ...readFileSync(join(installed, "README.md"), "utf8").matchAll(/\]\(([^)#:]+)[)#]/g),
  ];
  assert.ok(links.length > 3);
  for (const [, path] of links) assert.ok(existsSync(join(installed, path)), path);
});

test("the installed package trains with workers in a bundle for Node", async () => {
  const outdir = join(folder, "bundle");
  await build({
    absWorkingDir: folder,
    entryPoints: { app: "workers.mjs", worker: "downhill/worker" },
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    external: ["@tensorflow/*"],
    logLevel: "error",
  });
  const output = run(process.execPath, ["app.js"], outdir);
  checkWorkers(JSON.parse(output.trim().split("\n").at(-1)!));
});

test("the sources, loaded over http as a package of JSR is, train with workers under Deno", async () => {
  const project = join(folder, "http");
  mkdirSync(project);
  symlinkSync(join(folder, "node_modules"), join(project, "node_modules"));
  const server = createServer(({ url }, response) => {
    response.setHeader("content-type", "application/typescript");
    response.end(readFileSync(join(root, new URL(url!, "http://localhost").pathname)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { imports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  imports.downhill = `http://${host}/mod.ts`;
  imports["downhill/models"] = `http://${host}/src/model/models.ts`;
  const config = { nodeModulesDir: "manual", lock: false, imports };
  writeFileSync(join(project, "deno.json"), JSON.stringify(config));
  cpSync(join(root, "test/package/workers.mjs"), join(project, "workers.mjs"));
  try {
    const flags = [`--allow-import=${host}`, "--allow-read", ...permissions.slice(1)];
    const args = ["run", "--no-check", "--no-prompt", ...flags, "workers.mjs"];
    // Not spawnSync: this process serves.
    const child = spawn(binary("deno"), args, {
      cwd: project,
      env: { ...process.env, DENO_DIR: join(folder, "deno") },
    });
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    assert.match(stdout, /\n\[.*\]\n$/, stderr);
    checkWorkers(JSON.parse(stdout.trim().split("\n").at(-1)!));
  } finally {
    server.close();
  }
});

test("the installed command trains from a config file, with workers in every runtime", () => {
  const rows = Array.from({ length: 120 }, (_, i) => `${Math.sin(i / 7)},${Math.cos(i / 5)}`);
  writeFileSync(join(folder, "series.csv"), ["a,b", ...rows].join("\n"));
  const lengths = { inputLength: 12, outputLength: 4 };
  const $schema = "./node_modules/downhill/config.schema.json";
  assert.equal(
    readFileSync(join(folder, $schema), "utf8"),
    readFileSync(join(root, "config.schema.json"), "utf8"),
  );
  const config = {
    $schema,
    name: "command",
    backend: "cpu",
    model: { type: "NLinear", params: { ...lengths, channels: 2 } },
    data: { type: "ForecastingCsv", params: { ...lengths, path: "series.csv" } },
    loss: "mse",
    optimizer: { type: "SGD", params: { lr: 1e-2 } },
    train: { iterations: 3, batchSize: 8 },
    deterministic: true,
    shards: 2,
  };
  writeFileSync(join(folder, "command.json"), JSON.stringify(config));
  const train = ([program, ...args]: string[], name: string): Trained => {
    run(program, [
      ...args,
      "train",
      "command.json",
      ...name === "command" ? [] : [
        "--set",
        "workers=2",
        "--set",
        `name=${name}`,
      ],
    ], folder);
    return JSON.parse(readFileSync(join(folder, "runs", name, "summary.json"), "utf8"));
  };
  const one = train([join(folder, "node_modules/.bin/downhill")], "command");
  assert.deepEqual([one.workers, one.iterations], [1, 3]);
  for (const [name, command] of runtimes) {
    const two = train([...command, "node_modules/downhill/dist/cli.js"], name);
    assert.deepEqual([two.workers, two.iterations], [2, 3], name);
    assert.equal(two.weightsSha256, one.weightsSha256, name);
  }
});

test("the declarations of the installed package are complete and precise", () => {
  const compilerOptions = {
    module: "nodenext",
    moduleResolution: "nodenext",
    target: "es2022",
    lib: ["es2022", "dom"],
    types: [],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  };
  const config = { compilerOptions, files: ["consumer.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  run(binary("tsc"), ["--project", folder], folder);
});

test("the installed package trains in a browser, bundled", async (t) => {
  const result = await inBrowser(t, { app: "consumer.mjs" }, "consumerResult");
  if (result !== undefined) checkResult(result as Result);
});

test("the installed package trains with workers in a browser, bundled", async (t) => {
  const wasm = "tfjs-backend-wasm-simd";
  const entryPoints = {
    app: "workers.mjs",
    worker: "downhill/worker",
    [wasm]: `./node_modules/@tensorflow/tfjs-backend-wasm/dist/${wasm}.wasm`,
  };
  const result = await inBrowser(t, entryPoints, "workersResult");
  if (result !== undefined) checkWorkers(result as Trained[]);
});

/** Bundles each entry point, opens a page with app.js, and resolves to a global it sets; undefined without a browser. */
async function inBrowser(
  t: TestContext,
  entryPoints: Record<string, string>,
  global: string,
): Promise<unknown> {
  const executablePath = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) {
    assert.notEqual(process.env.DOWNHILL_REQUIRE_BROWSER, "1", `${executablePath} does not exist`);
    return t.skip(`${executablePath} does not exist`);
  }
  const { outputFiles } = await build({
    absWorkingDir: folder,
    entryPoints,
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    loader: { ".wasm": "copy" },
    write: false,
    logLevel: "error",
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [`/${basename(path)}`, contents]));
  files.set("/", new TextEncoder().encode(`<script type="module" src="/app.js"></script>`));
  const server = createServer(({ url = "" }, response) => {
    response.writeHead(files.has(url) ? 200 : 404, {
      "content-type": url.endsWith("js")
        ? "text/javascript"
        : url.endsWith("wasm")
        ? "application/wasm"
        : "text/html",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    response.end(files.get(url));
  }).listen(0, "127.0.0.1");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    const crash = new Promise<never>((_, reject) => page.on("pageerror", reject));
    await new Promise((resolve) =>
      server.listening ? resolve(0) : server.once("listening", resolve)
    );
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const done = page.waitForFunction(`globalThis.${global}`, undefined, { timeout: 60_000 });
    return await (await Promise.race([done, crash])).jsonValue();
  } finally {
    await browser.close();
    server.close();
  }
}

function install(): void {
  run("npm", ["pack", "--silent", "--pack-destination", folder], root);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const flags = ["--no-audit", "--no-fund", "--prefer-offline"];
  run("npm", ["install", ...flags, `./downhill-${version}.tgz`], folder);
  for (const file of ["consumer.mjs", "consumer.ts", "workers.mjs"]) {
    cpSync(join(root, "test/package", file), join(folder, file));
  }
}

function checkResult({ finished, iterations, test, scores }: Result): void {
  assert.deepEqual([finished, iterations], ["iterations", 3]);
  for (const key of ["loss", "mse", "mae"]) {
    assert.ok(test[key] > 0 && Number.isFinite(test[key]), `test ${key} is ${test[key]}`);
    assert.ok(scores[key] > 0 && Number.isFinite(scores[key]), `${key} is ${scores[key]}`);
  }
}

/** One worker in process and two threads: the same weights. */
function checkWorkers([one, two]: Trained[]): void {
  assert.deepEqual([one.workers, one.iterations, one.backend], [1, 5, "wasm"]);
  assert.deepEqual(two, { ...one, workers: 2 });
}

/** Runs a program to its end and returns what it printed. */
function run(program: string, args: string[], cwd: string): string {
  // An npm inside `npm test` must not take the outer one's project for its own.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
      !/^npm_(package|lifecycle|command|config_local_prefix)/.test(name)
    ),
  );
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env,
    encoding: "utf8",
  });
  assert.equal(status, 0, `${program} ${args.join(" ")}: ${error ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}
