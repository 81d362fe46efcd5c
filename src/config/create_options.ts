/** What `create` is told beside the config. */
import type { Store } from "../checkpoint/store.ts";
import type { Clock } from "../core/clock.ts";
import { show } from "../core/errors.ts";
import { baseUrl } from "../core/host.ts";
import { list, object, oneOf, parseOptions, text, z } from "../core/options.ts";
import type { Output } from "../report/console.ts";

/** What a program may give beside the config. */
export interface CreateOptions {
  /**
   * Specifiers of modules that register components; imported first, and by workers. A module beside
   * the program is named by its URL, `new URL("./parts.js", import.meta.url).href` or
   * `import.meta.resolve("./parts.js")`; `./parts.js` itself would be looked for beside the library,
   * and is refused.
   */
  readonly imports?: readonly string[];
  /** Folder that data, model and weights paths of the config are relative to. Default: the working directory. */
  readonly baseDirectory?: string;
  /**
   * What the run is for. `"test"`: the gradient of the loss is not tried, which the backend may
   * lack. `"predict"`: the config's data are not read either; how inputs are read and scaled comes
   * with the weights of the run's directory. Default `"train"`: everything.
   */
  readonly purpose?: "train" | "test" | "predict";
  /**
   * Where the run keeps its files, in place of a directory: in a browser an `OpfsStore`, so that it
   * can be resumed. Default: `checkpoint.directory`, and in browsers memory.
   */
  readonly store?: Store;
  /** Where lines for people go. Default: the console. */
  readonly output?: Output;
  readonly clock?: Clock;
  /**
   * Where the module `downhill/worker` is, for runs with workers in a bundle: mostly
   * `new URL("./worker.js", import.meta.url)`. A relative one is taken from the page or the working
   * directory. Default: where the package has it.
   */
  readonly workerUrl?: string | URL;
  /** Browsers: the folder that serves tfjs' .wasm files, to workers too. Default: that of the page. */
  readonly wasmPath?: string;
}

const has = <T>(method: string): z.ZodType<T> =>
  z.custom<T>(
    (value) => typeof (value as Record<string, unknown> | null)?.[method] === "function",
    { error: `must be an object with ${method}()` },
  );

const SPECIFIER = "must be a module specifier (of a URL: its href)";

const specifier = z.string({ error: SPECIFIER }).min(1, { error: SPECIFIER })
  .refine((text) => !/^\.{1,2}\//.test(text), {
    error: ({ input }) =>
      "must not be relative: it would be taken from the library's folder; " +
      `pass new URL(${show(input)}, import.meta.url).href, received ${show(input)}`,
  });

const WORKER_URL = "must be a URL, absolute or relative to the page or the working directory";
const isUrl = (value: unknown): boolean =>
  value instanceof URL ||
  typeof value === "string" && value !== "" && URL.canParse(value, baseUrl());

const schema = object({
  imports: list(specifier, "must be an array of module specifiers").optional(),
  baseDirectory: z.string({ error: "must be a folder" }).optional(),
  purpose: oneOf(["train", "test", "predict"]).optional(),
  store: has<Store>("append").optional(),
  output: has<Output>("line").optional(),
  clock: has<Clock>("now").optional(),
  workerUrl: z.custom<string | URL>(isUrl, { error: WORKER_URL }).optional(),
  wasmPath: text().optional(),
});

/** @throws {ConfigError} At an option that is unknown or wrong. */
export function checkCreateOptions(options: CreateOptions): CreateOptions {
  return parseOptions(schema, options, "options", "create");
}
