/** The two ends of the line between a program and its worker, as comlink takes them. */
import { type Endpoint, expose } from "comlink";
import { workerThreads } from "../core/host.ts";

/** Sent to a worker: close yourself. What it sends back, and then does nothing more. */
export const LEAVE = "downhill:leave";
export const LEFT = "downhill:left";

interface WorkerScope {
  postMessage(message: unknown, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

/** Listeners of one end; `deliver` hands them a message. */
export interface Line extends Endpoint {
  deliver(data: unknown): void;
}

/** An end that sends by `post`. */
export function line(post: (message: unknown, transfer?: Transferable[]) => void): Line {
  const listeners = new Set<EventListenerOrEventListenerObject>();
  return {
    postMessage: post,
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

/** In a worker: answers the program's calls with the methods of `object`. */
export function exposeWorker(object: object): void {
  const port = workerThreads()?.parentPort;
  const scope = globalThis as unknown as WorkerScope;
  const end = line((message, transfer = []) =>
    port
      ? port.postMessage(message, transfer as Parameters<typeof port.postMessage>[1])
      : scope.postMessage(message, transfer)
  );
  const receive = (data: unknown): void => {
    if (data !== LEAVE) return end.deliver(data);
    end.postMessage(LEFT);
    scope.close();
  };
  if (port) port.on("message", receive);
  else scope.onmessage = ({ data }) => receive(data);
  expose(object, end);
}
