/** What `create` is told beside the config. */
import type { Clock } from "../core/clock.ts";
import type { Output } from "../report/console.ts";

/** What a program may give beside the config. */
export interface CreateOptions {
  /** Module specifiers (absolute or `import.meta.resolve`d) that register components; imported first. */
  readonly imports?: readonly string[];
  /** Folder that data paths of the config are relative to. Default: the working directory. */
  readonly baseDirectory?: string;
  /** Where lines for people go. Default: the console. */
  readonly output?: Output;
  readonly clock?: Clock;
  /**
   * False: the run will only test or predict, so the gradient of its loss is not tried, which the
   * backend may lack. Default true.
   */
  readonly training?: boolean;
}
