/** Errors of models, losses and metrics that are given tensors of a wrong shape. */
import { ConfigError, oneLine } from "../core/errors.ts";
import type { HostBatch } from "../data/dataset.ts";
import { brackets } from "../loss/items.ts";

/**
 * Whether an error says that shapes do not fit: our own checks, and what tfjs throws from a kernel or
 * a layer. What only a fault in a program can cause keeps its trace.
 */
export function isMisfit(error: unknown): error is Error {
  return error instanceof Error &&
    ![TypeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
}

/** The error in one line: what does not fit, why, and the shapes it was given. */
export function misfit(path: string, what: string, error: Error, batch: HostBatch): ConfigError {
  const shapes = Object.entries(batch).map(([name, { shape }]) => `${name} ${brackets(shape)}`);
  return new ConfigError(
    path,
    `${what}: ${oneLine(error)} (${shapes.join(", ")})`,
    { cause: error },
  );
}
