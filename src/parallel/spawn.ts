/** Starting a worker, calling it, and ending it. */
import { type Remote, wrap } from "comlink";
import { dueTo, oneLine, WorkerError } from "../core/errors.ts";
import { runtime } from "../core/host.ts";
import { LEAVE, LEFT, line, NEWS } from "./endpoint.ts";
import { faultIn } from "./fault.ts";
import { startThread, type Thread } from "./thread.ts";

/** How long a thread may take to end before nobody waits for it any more. */
const LAST_MS = 2000;
/** What a timer can hold. */
const LONGEST_MS = 2 ** 31 - 1;

/** A worker that was started. It keeps the process alive until {@link WorkerHandle.terminate}. */
export interface WorkerHandle<T> {
  /** The object that the worker exposes. A call of it never settles if the thread ends: `call` does. */
  readonly remote: Remote<T>;

  /**
   * Ends the thread, whatever it does, and rejects the calls under way. Resolves when the thread is
   * known to have ended, after 2 s at the latest. May be called again.
   *
   * Browsers do not tell: it resolves at once. Deno (2.9) interrupts no code that runs: the thread
   * is asked to close, which it does between two tasks; one that never comes to that runs on as long
   * as the process, but does not keep the process alive (it does where the module is not a file).
   */
  terminate(): Promise<void>;

  /**
   * Called once if the thread ends or fails without having been asked to, with the reason in a line and,
   * where it is known, the error that it has not caught.
   */
  onEnd?: (reason: string, cause?: unknown) => void;

  /** Whether the worker has said anything: its module is one. */
  readonly isHeard: boolean;

  /** Called when the worker has sent news. */
  onNews?: () => void;

  /**
   * The result of a call of `remote`, or a {@link WorkerError} if the thread ends first or `ms`
   * milliseconds have passed; `what` names the call. The process stays alive meanwhile.
   */
  call<R>(call: Promise<R>, ms: number, what: string): Promise<R>;
}

/**
 * Starts a worker. What keeps it from starting (no such module, an error in it, no permission to
 * read it) is told by `onEnd` and by every `call`.
 *
 * @param options.url Module that calls `exposeWorker`; default `workers/train_worker.ts`.
 * @param options.name Its name in errors; default `worker`.
 */
export function spawnWorker<T>(
  options: { url?: string | URL; name?: string } = {},
): WorkerHandle<T> {
  const { url, name = "worker" } = options;
  const pending = new Set<(reason: string, cause?: unknown) => void>();
  let thread: Thread | undefined;
  /** Why calls are refused. */
  let over: string | undefined;
  let overBy: unknown;
  let gone = (): void => {};
  const ended = new Promise<void>((resolve) => gone = resolve);
  let terminated: Promise<void> | undefined;

  const close = (reason: string, cause?: unknown): void => {
    over = reason;
    overBy = cause;
    end.cut();
    for (const reject of pending) reject(reason, cause);
    pending.clear();
  };
  const fail = (reason: string, cause?: unknown): void => {
    if (over !== undefined) return;
    close(reason, cause);
    thread?.kill();
    handle.onEnd?.(reason, cause);
  };
  const end = line((message, transfer) => thread?.post(message, transfer));
  const handle: WorkerHandle<T> = {
    remote: wrap<T>(end),
    get isHeard() {
      return thread?.isHeard ?? false;
    },
    terminate: () => terminated ??= terminate(),
    call: (call, ms, what) =>
      new Promise((resolve, reject) => {
        const refuse = (reason: string, cause?: unknown): void => {
          settle();
          reject(new WorkerError(`${name}: cannot ${what}: ${reason}`, dueTo(cause)));
        };
        const settle = (): void => {
          clearTimeout(timer);
          pending.delete(refuse);
        };
        const timer = setTimeout(
          () => refuse(`no answer in ${ms} ms`),
          Math.min(ms, LONGEST_MS),
        );
        call.then(resolve, reject).finally(settle);
        if (over === undefined) pending.add(refuse);
        else refuse(over, overBy);
      }),
  };

  async function terminate(): Promise<void> {
    const failed = over !== undefined;
    close(over ?? "it was terminated", overBy);
    if (thread === undefined) return;
    const patience = setTimeout(gone, LAST_MS);
    const asks = runtime === "deno" && !failed;
    if (asks) thread.post(LEAVE);
    else thread.kill();
    if (asks || thread.tells) await ended;
    if (asks) thread.kill();
    clearTimeout(patience);
  }

  try {
    thread = startThread(url === undefined ? undefined : new URL(url), name, {
      message(data): void {
        if (data === NEWS) handle.onNews?.();
        else if (data === LEFT) gone();
        else {
          const fault = faultIn(data);
          if (fault === undefined) end.deliver(data);
          else fail(oneLine(fault), fault);
        }
      },
      failed: fail,
      ended(code): void {
        fail(`it exited with code ${code}`);
        gone();
      },
    });
  } catch (error) {
    // The caller sets onEnd first.
    queueMicrotask(() => fail(oneLine(error), error));
  }
  return handle;
}
