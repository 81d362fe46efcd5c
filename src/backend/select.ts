/**
 * The choice of the tfjs backend, probed before it is trusted.
 *
 * A candidate is opened (adapter, device or module), made current and put through a small numeric
 * self-test; one that fails is removed again, and the next is tried. Backends come and go
 * (`tf.removeBackend`, `tf.engine().reset()`), so what is live is asked from the engine each time.
 */
import { ConfigError, show, suggest } from "../core/errors.ts";
import { flag, object, parseOptions, text, z } from "../core/options.ts";
import { loadHostKernels } from "../kernels/wasm/host.ts";
import { installKernels } from "../kernels/wasm/install.ts";
import * as tf from "../tensor/tf.ts";
import { openCpu } from "./cpu.ts";
import { selfTest } from "./probe.ts";
import { loadWasm, openWasm } from "./wasm.ts";
import { hasFusedRelaxedSimd, hasSimd } from "./wasm_features.ts";
import { adapterOf, openWebgpu, softwareRefused } from "./webgpu.ts";

/** A backend, as tfjs names it. */
export type BackendName = "webgpu" | "wasm" | "cpu";

/** A backend, or the best one that works. */
export type BackendPreference = "auto" | BackendName;

/** How to choose, and where to say so. */
export interface SelectBackendOptions {
  /** Results must repeat to the bit across runtimes; WebGPU cannot promise it and says so. Default false. */
  deterministic?: boolean;
  /** Receives the line about the choice; default `console.info`. */
  log?: (line: string) => void;
  /** Browsers: the folder that serves tfjs' .wasm files; default that of the page, or of a worker's script. */
  wasmPath?: string;
}

/** What was chosen. */
export interface SelectedBackend {
  /** The backend that is current now. */
  readonly name: BackendName;
  /** Whether the runtime's WebAssembly has 128-bit SIMD. */
  readonly simd: boolean;
  /** Whether `f32x4.relaxed_madd` exists and is a fused multiply-add. */
  readonly relaxedSimd: boolean;
  /** The WebGPU adapter's description, null on other backends. */
  readonly adapter: string | null;
}

/** In falling order; the position from the end is the priority in tfjs' registry. */
const ORDER: readonly BackendName[] = ["webgpu", "wasm", "cpu"];
const PREFERENCES: readonly string[] = ["auto", ...ORDER];

const OPTIONS = object({
  deterministic: flag().default(false),
  log: z.custom<(line: string) => void>((value) => typeof value === "function", {
    error: (issue) => `must be a function, received ${show(issue.input)}`,
  }).default(() => (line: string) => console.info(line)),
  wasmPath: text().optional(),
});

const NOT_DETERMINISTIC = "deterministic on webgpu holds for one adapter and driver only; " +
  "wasm and cpu give the same bits in every runtime";

/** The backends that passed the self-test. */
const trusted = new WeakSet<tf.KernelBackend>();

/**
 * Makes a tfjs backend current.
 *
 * `auto` takes WebGPU if a hardware adapter answers and passes the self-test, else WASM, else cpu,
 * and says in one line which and why. A named backend that does not work falls back in the same
 * order, with one line that says why. Software adapters (llvmpipe, SwiftShader, WARP) are taken
 * only by an explicit `"webgpu"`, with a line. Calling it again reuses live backends.
 *
 * @throws {ConfigError} For an unknown preference or option.
 */
export function selectBackend(
  preference: BackendPreference = "auto",
  options: SelectBackendOptions = {},
): Promise<SelectedBackend> {
  const mine = turn.then(() => choose(preference, options));
  turn = mine.catch(() => {});
  return mine;
}

/** One choice at a time: two at once would make, and remove, each other's backends. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Disposes the backends that are live, with all their tensors, and destroys the WebGPU device.
 * The next `selectBackend` starts afresh.
 */
export function disposeBackend(): void {
  for (const name of ORDER) if (live(name) !== undefined) tf.removeBackend(name);
}

async function choose(
  preference: BackendPreference,
  options: SelectBackendOptions,
): Promise<SelectedBackend> {
  if (!PREFERENCES.includes(preference)) {
    throw new ConfigError(
      "backend",
      `unknown backend ${show(preference)}${suggest(String(preference), PREFERENCES)}`,
    );
  }
  const { deterministic, log, wasmPath } = parseOptions(OPTIONS, options, "", "selectBackend");
  const simd = hasSimd();
  const reasons: string[] = [];
  for (const name of preference === "auto" ? ORDER : ORDER.slice(ORDER.indexOf(preference))) {
    try {
      const takeSoftware = preference === "webgpu";
      await use(name, () => open(name, takeSoftware, wasmPath), takeSoftware, deterministic);
    } catch (error) {
      reasons.push(`${name}: ${line(error)}`);
      continue;
    }
    const adapter = name === "webgpu" ? adapterOf(tf.backend()) : undefined;
    const why = reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
    if (adapter !== undefined) {
      const kind = adapter.software ? "software" : "hardware";
      if (preference === "auto" || adapter.software) {
        log(`backend: webgpu on the ${kind} adapter ${adapter.name}, which passes the self-test`);
      }
      if (deterministic) log(`backend: ${NOT_DETERMINISTIC}`);
    } else if (why !== "") {
      const what = name === "wasm" ? `wasm ${simd ? "with" : "without"} SIMD` : name;
      log(`backend: ${what}${preference === "auto" ? "" : ` instead of ${preference}`}${why}`);
    }
    return {
      name,
      simd,
      relaxedSimd: simd && hasFusedRelaxedSimd(),
      adapter: adapter?.name ?? null,
    };
  }
  throw new Error(`no backend works: ${reasons.join("; ")}`);
}

function open(
  name: BackendName,
  takeSoftware: boolean,
  wasmPath: string | undefined,
): Promise<tf.KernelBackend> {
  if (name === "webgpu") return openWebgpu(takeSoftware);
  return name === "wasm" ? openWasm(wasmPath) : openCpu();
}

/** Makes `name` current, made by `make` if it is not live, and trusted. */
async function use(
  name: BackendName,
  make: () => Promise<tf.KernelBackend>,
  takeSoftware: boolean,
  deterministic: boolean,
): Promise<void> {
  if (name === "wasm") {
    await loadWasm();
    if (hasSimd()) {
      await loadHostKernels();
      installKernels({ fused: !deterministic && hasFusedRelaxedSimd() });
    }
  }
  if (live(name) === undefined) await register(name, make);
  const backend = live(name) as tf.KernelBackend;
  if (name === "webgpu" && !takeSoftware && adapterOf(backend).software) {
    throw new Error(softwareRefused(adapterOf(backend)));
  }
  await tf.setBackend(name);
  if (trusted.has(backend)) return;
  try {
    await selfTest();
  } catch (error) {
    tf.removeBackend(name);
    throw error;
  }
  trusted.add(backend);
}

function live(name: BackendName): tf.KernelBackend | undefined {
  return tf.engine().registry[name];
}

/**
 * Opens the backend here, where a failure is ours to tell, and hands it to tfjs, which would print
 * it. tfjs calls the factory again after `tf.engine().reset()`.
 */
async function register(name: BackendName, make: () => Promise<tf.KernelBackend>): Promise<void> {
  let ready: tf.KernelBackend | undefined = await make();
  if (name in tf.engine().registryFactory) tf.removeBackend(name);
  const factory = (): tf.KernelBackend | Promise<tf.KernelBackend> => {
    const first = ready;
    ready = undefined;
    return first ?? make();
  };
  tf.registerBackend(name, factory, ORDER.length - ORDER.indexOf(name));
  await tf.setBackend(name);
}

/** The first line of an error's message. */
function line(error: unknown): string {
  const { message } = error as { message?: string };
  return (message ?? String(error)).split("\n")[0];
}
