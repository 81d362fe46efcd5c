/**
 * Errors of a worker that nobody there has caught: a rejection without a handler, a throw in a timer.
 * The worker tells of them itself, since what runtimes do differs: Deno prints them with their stacks,
 * some hand on the message alone.
 */
import { hostProcess, runtime } from "../core/host.ts";

/** What can be sent of an error. */
interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  /** Of a ConfigError. */
  readonly path?: string;
}

/** What a worker sends. */
interface FaultMessage {
  readonly fault: PlainError;
}

/** The events of the web's workers, and of Deno's. */
interface FaultEvent extends Event {
  readonly reason?: unknown;
  readonly error?: unknown;
  readonly message?: string;
}

/** In a worker: sends every error that is not caught. */
export function tellOfFaults(send: (message: unknown) => void): void {
  const tell = (error: unknown): void => send(messageOf(error));
  if (runtime === "node" || runtime === "bun") {
    hostProcess?.on("unhandledRejection", tell);
    hostProcess?.on("uncaughtException", tell);
    return;
  }
  for (const type of ["unhandledrejection", "error"]) {
    globalThis.addEventListener(type, (event) => {
      event.preventDefault();
      const { reason, error = reason, message } = event as FaultEvent;
      tell(error ?? message);
    });
  }
}

function messageOf(error: unknown): FaultMessage {
  return { fault: plainError(error instanceof Error ? error : new Error(String(error))) };
}

/** What says which error it is. */
export function plainError({ name, message, stack, path }: Error & { path?: string }): PlainError {
  return { name, message, stack, path: typeof path === "string" ? path : undefined };
}

/** The error that a message tells of; undefined if it tells of none. */
export function faultIn(data: unknown): Error | undefined {
  const { fault } = (data ?? {}) as Partial<FaultMessage>;
  return fault && Object.assign(new Error(fault.message), fault);
}
