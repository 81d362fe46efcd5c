/** A worker that does what no worker should. */
import process from "node:process";
import { exposeWorker } from "../../src/parallel/endpoint.ts";

/** What it answers to. `word` is two shared words; the first becomes 1 when the method has begun. */
export class UnrulyWorker {
  /** What objects of this thread have that nobody gave them. */
  inherited(): string[] {
    const names: string[] = [];
    for (const name in {}) names.push(name);
    return names;
  }

  echo<T>(value: T): T {
    return value;
  }
  /** Computes for ever. */
  spin(word: Int32Array): void {
    Atomics.store(word, 0, 1);
    while (true);
  }
  /** Waits for ever. */
  park(word: Int32Array): void {
    Atomics.store(word, 0, 1);
    Atomics.wait(word, 1, 0);
  }
  /** Answers never, but listens. */
  never(): Promise<never> {
    return new Promise(() => {});
  }
  refuse(): never {
    throw new RangeError("not today");
  }
  exit(code: number): void {
    process.exit(code);
  }
  crash(): Promise<never> {
    setTimeout(() => {
      throw new Error("first line\nsecond line");
    });
    return this.never();
  }
  /** Rejects a promise that nobody looks at. */
  neglect(): Promise<never> {
    Promise.reject(new RangeError("first line\nsecond line"));
    return this.never();
  }
}

exposeWorker(new UnrulyWorker());
