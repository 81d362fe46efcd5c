/** The two ends of the line between a program and its worker, as comlink takes them. */
import { type Endpoint, expose, type TransferHandler, transferHandlers } from "comlink";
import { workerThreads } from "../core/host.ts";
import { plainError, tellOfFaults } from "./fault.ts";

/** Sent to a worker: close yourself. What it sends back, and then does nothing more. */
export const LEAVE = "downhill:leave";
export const LEFT = "downhill:left";
/** Sent by a worker: look at the shared memory. */
export const NEWS = "downhill:news";

interface WorkerScope {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

/** Listeners of one end; `deliver` hands them a message. */
export interface Line extends Endpoint {
  deliver(data: unknown): void;
  /**
   * Nothing is sent or heard any more, and nothing held: comlink keeps the line until the proxies on it
   * are collected, which never happens if they can be reached from the line.
   */
  cut(): void;
}

/** An end that sends by `post`. */
export function line(post: (message: unknown, transfer?: Transferable[]) => void): Line {
  const listeners = new Set<EventListenerOrEventListenerObject>();
  let send: typeof post | undefined = post;
  return {
    postMessage: (message, transfer) => send?.(message, transfer),
    cut(): void {
      send = undefined;
      listeners.clear();
    },
    addEventListener: (_, listener) => void listeners.add(listener),
    removeEventListener: (_, listener) => void listeners.delete(listener),
    deliver(data): void {
      const event = { data } as MessageEvent;
      for (const listener of listeners) {
        if (typeof listener === "function") listener(event);
        else listener.handleEvent(event);
      }
    },
  };
}

const port = workerThreads()?.parentPort;
const scope = globalThis as unknown as WorkerScope;

/** In a worker: sends to the program, at once, also from code that hears no messages itself. */
function send(message: unknown, transfer: Transferable[] = []): void {
  if (port) port.postMessage(message, transfer as Parameters<typeof port.postMessage>[1]);
  else scope.postMessage(message, transfer);
}

/** In a worker: wakes the program, which then looks at the shared memory. */
export function sendNews(): void {
  send(NEWS);
}

/**
 * In a worker: answers the program's calls of the methods of `object`. Whatever else a message of
 * comlink may ask for, a property, a constructor, what a path through prototypes leads to, is refused.
 */
export function exposeWorker(object: object): void {
  tellOfFaults(send);
  sendErrorsWhole();
  // Its module is loaded: what fails from here on is something else.
  send(NEWS);
  const end = line(send);
  const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(object));
  const isCall = ({ type, path }: { type?: unknown; path?: unknown }): boolean =>
    type === "APPLY" && Array.isArray(path) && path.length === 1 && path[0] !== "constructor" &&
    methods.includes(path[0]);
  const receive = (data: Record<string, unknown> | typeof LEAVE | null): void => {
    if (data === LEAVE) {
      end.postMessage(LEFT);
      scope.close();
    } else if (isCall(data ?? {})) {
      end.deliver(data);
    } else if (data?.type !== "SET") {
      // Nobody hears the answer to that.
      const value = { name: "TypeError", message: "a worker answers calls of its methods only" };
      send({ id: data?.id, type: "HANDLER", name: "throw", value: { isError: true, value } });
    }
  };
  if (port) port.on("message", receive);
  else scope.onmessage = ({ data }) => receive(data);
  expose(object, end);
}

/** In a worker: what its methods throw is sent with all that says what it is, or, if it cannot be sent, as text. */
function sendErrorsWhole(): void {
  const handler = transferHandlers.get("throw") as TransferHandler<{ value: unknown }, unknown>;
  transferHandlers.set("throw", {
    ...handler,
    serialize({ value }) {
      if (value instanceof Error) return [{ isError: true, value: plainError(value) }, []];
      const isText = typeof value === "symbol" || typeof value === "function";
      return [{ isError: false, value: isText ? String(value) : value }, []];
    },
  });
}
