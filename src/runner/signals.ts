/** SIGTERM and SIGINT: the first asks the run to stop after the iteration, a second one exits at once. */
import { hostProcess } from "../core/host.ts";

/** Exit code of a run that stopped and can be resumed (EX_TEMPFAIL). */
export const RESUMABLE = 75;

const SIGNALS = ["SIGTERM", "SIGINT"];

/** A terminal and a supervisor may both pass on one signal: repeats this soon are the same one. */
const REPEAT_MS = 500;

/** Listens until the returned function is called; does nothing where there are no signals. */
export function listenForSignals(stop: (signal: string) => void): () => void {
  const host = hostProcess;
  if (host === undefined) return () => {};
  let first: number | undefined;
  const listeners = SIGNALS.map((signal) => {
    const listener = () => {
      if (first === undefined) {
        first = Date.now();
        stop(signal);
      } else if (Date.now() - first > REPEAT_MS) host.exit(RESUMABLE);
    };
    host.on(signal, listener);
    return listener;
  });
  return () => SIGNALS.forEach((signal, i) => host.off(signal, listeners[i]));
}
