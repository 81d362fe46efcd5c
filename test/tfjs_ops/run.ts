/**
 * Runs tfjs-core's own op tests on the wasm backend, first with tfjs' kernels, then with ours.
 *
 *     deno run -A test/tfjs_ops/run.ts             both, compared with known_failures.json
 *     deno run -A test/tfjs_ops/run.ts matMul      specs whose name holds a text, with messages
 *     deno run -A test/tfjs_ops/run.ts --update    writes known_failures.json, keeping its reasons
 *
 * The tests are ES modules inside a CommonJS package, so esbuild bundles them, with one copy of
 * tfjs-core for the tests, the backend and our kernels. They run in Node, each mode in a process.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { build, stop } from "esbuild";
import { root } from "../../tools/project.ts";

/** The specs that fail with our kernels: name to reason. */
type KnownFailures = Record<string, string>;

interface Spec {
  readonly name: string;
  readonly status: "passed" | "failed" | "pending" | "excluded";
  readonly messages: readonly string[];
}

const knownPath = join(root, "test", "tfjs_ops", "known_failures.json");
const tfjs = join(root, "node_modules", "@tensorflow");

/** Jasmine goes on the global object, and the test environment is set, before the tests load. */
const SETUP = `
  import boot from "jasmine-core/lib/jasmine-core/node_boot.js";
  import jasmine from "jasmine-core/lib/jasmine-core/jasmine.js";
  import { setTestEnvs } from "@tensorflow/tfjs-core/dist/jasmine_util.js";
  globalThis.specs = boot(jasmine).getEnv();
  setTestEnvs([{ name: "test-wasm", backendName: "wasm", isDataSync: true }]);
`;

const ENTRY = `
  import "setup";
  import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
  import "@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js";
  import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
  import { loadHostKernels } from "${join(root, "src/kernels/wasm/host.ts")}";
  import { installKernels } from "${join(root, "src/kernels/wasm/install.ts")}";
  import "@tensorflow/tfjs-core/dist/tests.js";
  setWasmPaths(${JSON.stringify(`${tfjs}/tfjs-backend-wasm/dist/`)});
  if (process.env.KERNELS !== "stock") installKernels();
  console.log = console.warn = console.error = () => {};
  specs.configure({
    random: false,
    specFilter: (spec) => spec.getFullName().includes(process.env.SPECS ?? ""),
  });
  specs.addReporter({
    specDone: ({ fullName, status, failedExpectations }) => {
      const messages = failedExpectations.map(({ message }) => message.slice(0, 300));
      process.stdout.write(JSON.stringify({ name: fullName, status, messages }) + "\\n");
    },
    jasmineDone: () => process.exit(0),
  });
  loadHostKernels().then(() => specs.execute());
`;

async function bundle(file: string): Promise<void> {
  await build({
    stdin: { contents: ENTRY, resolveDir: root, sourcefile: "tfjs_ops.js" },
    outfile: file,
    bundle: true,
    platform: "node",
    format: "cjs",
    mainFields: ["module", "main"],
    conditions: ["import"],
    // tfjs-core calls its test files free of side effects, which would drop them.
    ignoreAnnotations: true,
    logLevel: "error",
    plugins: [{
      name: "setup",
      setup(build): void {
        build.onResolve({ filter: /^setup$/ }, () => ({ path: "setup", namespace: "setup" }));
        build.onLoad({ filter: /.*/, namespace: "setup" }, () => ({
          contents: SETUP,
          resolveDir: root,
        }));
      },
    }],
  });
  await stop();
}

async function run(file: string, kernels: "stock" | "plain", filter: string): Promise<Spec[]> {
  const child = spawn("node", [file], {
    env: { ...process.env, KERNELS: kernels, SPECS: filter },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 10 * 60_000,
  });
  const specs: Spec[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("{")) specs.push(JSON.parse(line) as Spec);
  }
  return specs.filter(({ status }) => status === "passed" || status === "failed");
}

/** The name without the environment that tfjs puts into it, numbered where names repeat. */
function byName(specs: readonly Spec[]): Map<string, Spec> {
  const result = new Map<string, Spec>();
  for (const spec of specs) {
    const short = spec.name.replace(/ test-wasm \{\}/g, "");
    let name = short;
    for (let i = 2; result.has(name); i++) name = `${short} (${i})`;
    result.set(name, spec);
  }
  return result;
}

const failed = (specs: Map<string, Spec>): string[] =>
  [...specs].filter(([, { status }]) => status === "failed").map(([name]) => name);

/** The specs of tfjs-core 4.22 that are not skipped. */
const SPECS = 4225;

async function main(args: readonly string[]): Promise<number> {
  const update = args.includes("--update");
  const filter = args.find((arg) => !arg.startsWith("--")) ?? "";
  const file = join(root, "build", "tfjs_ops.cjs");
  await bundle(file);
  const [stock, ours] =
    (await Promise.all([run(file, "stock", filter), run(file, "plain", filter)]))
      .map(byName);
  const count = (title: string, specs: Map<string, Spec>): void => {
    const failures = failed(specs).length;
    console.log(`${title}: ${specs.size - failures} of ${specs.size} specs pass`);
  };
  count("tfjs' kernels", stock);
  count("our kernels  ", ours);
  if (filter !== "") {
    for (const name of failed(ours)) {
      console.log(`fails${stock.get(name)?.status === "passed" ? " (stock passes)" : ""}: ${name}`);
      for (const message of ours.get(name)!.messages.slice(0, 2)) console.log(`    ${message}`);
    }
    return 0;
  }
  const known = JSON.parse(readFileSync(knownPath, "utf8")) as KnownFailures;
  if (update) {
    const reasonOf = (name: string): string =>
      known[name] ?? ours.get(name)!.messages[0]?.split("\n")[0] ?? "";
    const entries = failed(ours).sort().map((name) => [name, reasonOf(name)]);
    writeFileSync(knownPath, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return 0;
  }
  const broken = failed(ours).filter((name) => stock.get(name)?.status === "passed");
  const unlisted = failed(ours).filter((name) => !(name in known));
  const fixed = Object.keys(known).filter((name) => ours.get(name)?.status === "passed");
  for (const name of broken) console.log(`fails, and passes with tfjs' kernels: ${name}`);
  for (const name of unlisted) {
    console.log(`fails, and is not in known_failures.json: ${name}`);
    console.log(`    ${ours.get(name)!.messages[0]?.split("\n")[0]}`);
  }
  for (const name of fixed) console.log(`passes, and is in known_failures.json: ${name}`);
  const isWhole = ours.size === SPECS && stock.size === SPECS;
  if (!isWhole) console.log(`not all of the ${SPECS} specs were run`);
  const problems = new Set([...broken, ...unlisted, ...fixed]).size + (isWhole ? 0 : 1);
  const expected = failed(ours).length - unlisted.length;
  // The closing line of `deno test`, which tools/run_tests.ts reads; known failures are ignored.
  const verdict = problems === 0 ? "ok" : "FAILED";
  const passed = ours.size - failed(ours).length;
  console.log(`${verdict} | ${passed} passed | ${problems} failed | ${expected} ignored`);
  return problems === 0 ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
