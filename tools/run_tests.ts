/**
 * Everything that has to pass, in one command.
 *
 *     npm test                              all of it
 *     npm test -- --only deno,bun           some stages; `checks` are those before the tests
 *     npm test -- --verbose src/optim       tests whose path holds a text, with every title
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { buildTests, nodeBuild } from "./build_tests.ts";
import { inTurn, type Turn } from "./in_turn.ts";
import { binary, root, typescriptFiles } from "./project.ts";
import { type Counts, isNoise, readCounts } from "./test_output.ts";

interface Stage {
  readonly name: string;
  /** What it proves, in a few words. */
  readonly title: string;
  /** The command, or undefined where there is nothing to do. */
  command(): string[] | undefined | Promise<string[] | undefined>;
  /** Whether the command prints a closing line with counts. */
  readonly counts: boolean;
  /** How many cores it keeps busy. */
  readonly cores: 1 | 2;
}

interface Outcome extends Counts {
  readonly stage: Stage;
  readonly ok: boolean;
  readonly seconds: number;
  /** The last lines of a command that failed although no test did. */
  readonly lastLines: readonly string[];
}

/** What the tests need: processes (command lines, browsers), a page on this machine, files in a few places. */
const PERMISSIONS = [
  "--no-prompt",
  "--allow-read",
  `--allow-write=build,runs,${tmpdir()}`,
  "--allow-env",
  "--allow-sys",
  "--allow-run",
  "--allow-net=127.0.0.1",
];

/** What small machines have; stages run side by side as long as they suffice. */
const CORES = 2;

/** How many lines of a command that failed the summary says again. */
const LAST_LINES = 8;

const stageTimeoutMs = 30 * 60_000;
const testTimeoutMs = 5 * 60_000;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, verbose: { type: "boolean", default: false } },
});

/** Of every stage. Mesa's OpenGL driver at times breaks a Deno process that ends: Vulkan alone there. */
const environment = {
  ...process.platform === "linux" ? { DENO_WEBGPU_BACKEND: "vulkan" } : {},
  ...process.env,
  NO_COLOR: "1",
  // Deno's are without names, and push out what it has said.
  RUST_BACKTRACE: "0",
  DENO_NO_UPDATE_CHECK: "1",
  DENO_JOBS: `${CORES}`,
};

const deno = binary("deno");
const selected = (file: string): boolean =>
  positionals.length === 0 || positionals.some((text) => file.includes(text));
const packageTest = "test/package/package_test.ts";
const tests = typescriptFiles().filter((file) =>
  file.endsWith("_test.ts") && file !== packageTest && selected(file)
);
const inNodeBuild = (file: string): string => join(nodeBuild, file.replace(/\.ts$/, ".js"));
const nodeTest = [
  "node",
  "--enable-source-maps",
  "--test",
  "--test-reporter=spec",
  `--test-timeout=${testTimeoutMs}`,
];

let built: Promise<void> | undefined;

const stages: readonly Stage[] = [
  check("format", "deno fmt", ["fmt", "--check"]),
  check("lint", "deno lint", ["lint"]),
  check("types", "deno check", ["check", "--quiet", "."]),
  check("imports", "imports point one way", ["run", "-A", "tools/check_imports.ts"]),
  check("exports", "deno.json and package.json agree", ["run", "-A", "tools/check_exports.ts"]),
  check("wasm", "the kernel module is what its sources compile to", [
    "run",
    "-A",
    "tools/build_wasm.ts",
    "--check",
  ]),
  check("schema", "config.schema.json is what the schemas give", [
    "run",
    "-A",
    "tools/build_schema.ts",
    "--check",
  ]),
  check("publish", "no slow types, nothing missing for JSR", [
    "publish",
    "--dry-run",
    "--allow-dirty",
  ]),
  {
    name: "deno",
    title: "tests under Deno",
    counts: true,
    cores: 2,
    // As many files at once as DENO_JOBS says.
    command: () => some(tests, [deno, "test", "--parallel", ...PERMISSIONS, "--no-check"]),
  },
  {
    name: "bun",
    title: "tests under Bun",
    counts: true,
    cores: 2,
    // In worker processes, as the other runtimes do: every file starts from fresh globals.
    command: () =>
      some(tests.map((file) => `./${file}`), [
        binary("bun"),
        "test",
        `--parallel=${CORES}`,
        `--timeout=${testTimeoutMs}`,
        ...flags.verbose ? [] : ["--only-failures"],
      ]),
  },
  {
    name: "node",
    title: "tests under Node",
    counts: true,
    cores: 2,
    command: async () => {
      await (built ??= buildTests());
      return some(tests.map(inNodeBuild), [...nodeTest, `--test-concurrency=${CORES}`]);
    },
  },
  {
    name: "tfjs",
    title: "tfjs-core's own op tests on our kernels, in Node",
    counts: true,
    // Stock kernels and ours at once.
    cores: 2,
    command: () => positionals.length > 0 ? undefined : [deno, "run", "-A", "test/tfjs_ops/run.ts"],
  },
  {
    name: "doc",
    title: "examples in the documentation",
    counts: true,
    cores: 1,
    command: () => some(documented(), [deno, "test", "-A", "--doc"]),
  },
  {
    name: "package",
    title: "the packed npm package in Node, Bun, Deno and a browser",
    counts: true,
    cores: 1,
    command: async () => {
      if (!existsSync(join(root, packageTest)) || !selected(packageTest)) return undefined;
      await (built ??= buildTests());
      return [...nodeTest, inNodeBuild(packageTest)];
    },
  },
];

await main();

async function main(): Promise<void> {
  const names = flags.only?.split(",");
  for (const name of names ?? []) {
    if (name !== "checks" && !stages.some((stage) => stage.name === name)) {
      console.error(`--only: no stage '${name}'; stages: checks, ${stages.map((s) => s.name)}`);
      process.exit(2);
    }
  }
  const wanted = stages.filter((stage) =>
    names === undefined || names.includes(stage.name) ||
    (names.includes("checks") && !stage.counts)
  );
  const outcomes = await Promise.all(await begin(wanted));
  report(outcomes.filter((outcome) => outcome !== undefined));
}

/** Begins the stages in order, each as soon as there are cores for it. */
async function begin(wanted: readonly Stage[]): Promise<Promise<Outcome | undefined>[]> {
  const turn = inTurn((line) => console.log(line));
  const running = new Set<Promise<unknown>>();
  const outcomes: Promise<Outcome | undefined>[] = [];
  let busy = 0;
  for (const stage of wanted) {
    while (busy > 0 && busy + stage.cores > CORES) await Promise.race(running);
    busy += stage.cores;
    const outcome: Promise<Outcome | undefined> = run(stage, turn()).finally(() => {
      busy -= stage.cores;
      running.delete(outcome);
    });
    running.add(outcome);
    outcomes.push(outcome);
  }
  return outcomes;
}

async function run(stage: Stage, turn: Turn): Promise<Outcome | undefined> {
  try {
    const command = await stage.command();
    if (command === undefined) return undefined;
    turn.line(`\n== ${stage.name}: ${stage.title}`);
    return await finish(stage, command, turn);
  } finally {
    turn.end();
  }
}

async function finish(stage: Stage, [program, ...args]: string[], turn: Turn): Promise<Outcome> {
  const start = performance.now();
  const output: string[] = [];
  const child = spawn(program, args, {
    cwd: root,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: stageTimeoutMs,
    killSignal: "SIGKILL",
  });
  let previous = "";
  const show = (line: string): void => {
    output.push(line);
    const hidden = !flags.verbose && (isNoise(line) || (line === "" && previous === ""));
    if (hidden) return;
    turn.line(line);
    previous = line;
  };
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", show);
  }
  const code = await exitOf(child);
  const seconds = (performance.now() - start) / 1000;
  const counts = stage.counts ? readCounts(output) : { passed: 0, failed: 0, skipped: 0 };
  const ok = code === 0 && counts !== undefined && counts.failed === 0;
  // A stage that died or failed as a whole still counts as one failure.
  const failed = ok ? 0 : Math.max(1, counts?.failed ?? 0);
  const lastLines = ok || counts?.failed
    ? []
    : output.filter((line) => line !== "").slice(-LAST_LINES);
  return { stage, ok, seconds, passed: 0, skipped: 0, ...counts, failed, lastLines };
}

/** The exit code once the output has ended, or soon after the exit if a grandchild holds it open. */
function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    child.once("exit", (code) => timer = setTimeout(() => resolve(code), 3000));
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve(code);
    });
    child.once("error", reject);
  });
}

function report(outcomes: readonly Outcome[]): void {
  const sum = (key: keyof Counts): number => outcomes.reduce((total, o) => total + o[key], 0);
  console.log("\n== summary");
  for (const { stage, ok, seconds, lastLines, ...counts } of outcomes) {
    const line = [
      ok ? "ok  " : "FAIL",
      stage.name.padEnd(8),
      `${seconds.toFixed(1).padStart(6)} s`,
    ];
    console.log([...line, stage.counts ? describe(counts) : stage.title].join("  "));
    for (const last of lastLines) console.log(`      ${last}`);
  }
  const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
  console.log(`total: ${describe(total)}`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}

function describe({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function check(name: string, title: string, args: string[]): Stage {
  return { name, title, counts: false, cores: 1, command: () => [deno, ...args] };
}

function some(files: readonly string[], command: readonly string[]): string[] | undefined {
  return files.length === 0 ? undefined : [...command, ...files];
}

/** The shipped sources and pages with a TypeScript example in them. */
function documented(): string[] {
  const sources = typescriptFiles().filter((file) =>
    /^(mod\.ts$|src\/)/.test(file) && !file.endsWith("_test.ts")
  );
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
  return [...sources, ...pages.filter((page) => existsSync(join(root, page)))].filter((file) =>
    selected(file) && /```ts\s/.test(readFileSync(join(root, file), "utf8"))
  );
}
