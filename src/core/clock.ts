/** Time as the library sees it, so that a test can hold the clock. */

/** Milliseconds on a monotonic clock, and the wall clock in milliseconds since 1970. */
export interface Clock {
  now(): number;
  wall(): number;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
};

/**
 * Lets the event loop run one turn: timers, signals and messages are delivered.
 *
 * setTimeout would wait a millisecond (four in browsers), so setImmediate or a MessageChannel is used.
 */
export function macrotask(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
