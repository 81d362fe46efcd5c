/** The memory that coordinator and workers share, seen through its layout. */
import { ConfigError } from "../core/errors.ts";
import { CONTROL_BYTES, HEADER, type Layout } from "./layout.ts";

const PAGE = 65536;

/** The control words, Int32. */
const COMMAND = 0,
  KIND = 1,
  LEAVE = 2,
  NEXT = 3,
  ARRIVED = 4,
  DONE = 5,
  FAILED = 6,
  CURRENT = 7,
  NEWS = 8;

/** What a worker does in an iteration: takes over the parameters, computes, waits for the others, adds up, updates. */
export interface PhaseTimes {
  loadMs: number;
  computeMs: number;
  barrierMs: number;
  reduceMs: number;
  updateMs: number;
}

const PHASES = ["loadMs", "computeMs", "barrierMs", "reduceMs", "updateMs"] as const;

/** How long a thread sleeps before it looks around, in ms: no wait is without an end. */
const NAP_MS = 100;

/** How long a thread looks before it sleeps, in ms: about what the coordinator does between two commands. */
const SPIN_MS = 1;

/** The views and the control words of the shared memory. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly layout: Layout;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly floats: Float32Array;
  readonly doubles: Float64Array;

  constructor(memory: WebAssembly.Memory, layout: Layout) {
    this.memory = memory;
    this.layout = layout;
    const { buffer } = memory;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.floats = new Float32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }

  /** New zeroed memory of the layout's size. */
  static create(layout: Layout): Arena {
    const pages = Math.ceil(layout.bytes / PAGE);
    if (pages > 65536) {
      const size = (layout.bytes / 2 ** 30).toFixed(1);
      throw new ConfigError(
        "workers",
        `need ${size} GiB of shared memory, more than the 4 GiB there can be`,
      );
    }
    try {
      return new Arena(
        new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
        layout,
      );
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const size = (layout.bytes / 2 ** 20).toFixed(0);
      throw new ConfigError(
        "workers",
        `need ${size} MiB of shared memory, which are not to be had`,
      );
    }
  }

  /** Float32 values at a byte address. */
  floatsAt(address: number, length: number): Float32Array {
    return this.floats.subarray(address >>> 2, (address >>> 2) + length);
  }

  /** Int32 values at a byte address. */
  wordsAt(address: number, length: number): Int32Array {
    return this.words.subarray(address >>> 2, (address >>> 2) + length);
  }

  /** Double values at a byte address. */
  doublesAt(address: number, length: number): Float64Array {
    return this.doubles.subarray(address >>> 3, (address >>> 3) + length);
  }

  /** The address of the side that holds the training state. */
  get current(): number {
    return this.layout.sides[Atomics.load(this.words, CURRENT)];
  }

  /** The address of the side that the next update writes. */
  get next(): number {
    return this.layout.sides[1 - Atomics.load(this.words, CURRENT)];
  }

  /** The update is whole: the next side becomes the current one, in one store. */
  commit(): void {
    Atomics.store(this.words, CURRENT, 1 - Atomics.load(this.words, CURRENT));
  }

  chunkAt(chunk: number): number {
    return this.layout.chunks.at + chunk * this.layout.chunks.bytes;
  }

  /** Loss sum, item count and whether that is a tensor's. */
  headerOf(chunk: number): Float64Array {
    return this.doublesAt(this.chunkAt(chunk), HEADER.size);
  }

  /** For each gradient 1 if the chunk has it. */
  presentIn(chunk: number): Uint8Array {
    const at = this.chunkAt(chunk) + this.layout.presentAt;
    return this.bytes.subarray(at, at + this.layout.gradients.length);
  }

  /** The address of gradient `g` in a chunk. */
  gradientAt(chunk: number, g: number): number {
    return this.chunkAt(chunk) + this.layout.gradients[g].at;
  }

  // Coordinator.

  /** Gives all workers a command. */
  command(kind: number): void {
    for (const word of [NEXT, ARRIVED, DONE, FAILED, NEWS]) Atomics.store(this.words, word, 0);
    Atomics.store(this.words, KIND, kind);
    Atomics.add(this.words, COMMAND, 1);
    Atomics.notify(this.words, COMMAND);
  }

  /** Whether all workers are done with the command. */
  get isDone(): boolean {
    return Atomics.load(this.words, DONE) === this.layout.workers;
  }

  /** The number of the worker that failed, counted from 0; -1 if none has. */
  get failed(): number {
    return Atomics.load(this.words, FAILED) - 1;
  }

  /**
   * Resolves when the workers are done or one has failed; `undefined` where the runtime cannot wait
   * so, and the workers' messages tell.
   */
  news(): Promise<unknown> | undefined {
    if (Atomics.waitAsync === undefined) return undefined;
    const { async, value } = Atomics.waitAsync(this.words, NEWS, 0);
    return async ? value : Promise.resolve();
  }

  /** Counts up while the worker lives. */
  beatOf(worker: number): number {
    return Atomics.load(this.words, beatWord(worker));
  }

  /** Mean milliseconds that the workers have spent on each phase since the last call. */
  takeTimes(): PhaseTimes {
    const { workers } = this.layout;
    const times = { loadMs: 0, computeMs: 0, barrierMs: 0, reduceMs: 0, updateMs: 0 };
    for (let worker = 0; worker < workers; worker++) {
      const spent = this.#timesOf(worker);
      PHASES.forEach((phase, i) => times[phase] += spent[i] / workers);
      spent.fill(0);
    }
    return times;
  }

  /** Asks the workers to leave their loops, or lets them stay in the next ones. */
  setLeave(leave: boolean): void {
    Atomics.store(this.words, LEAVE, Number(leave));
    if (!leave) return;
    Atomics.notify(this.words, COMMAND);
  }

  /** Wakes whoever waits for news that will not come. */
  giveUp(): void {
    this.#tell();
  }

  // Worker.

  /** The number of the last command. */
  get commands(): number {
    return Atomics.load(this.words, COMMAND);
  }

  /** Notes that a phase took `ms`. */
  spend(worker: number, phase: keyof PhaseTimes, ms: number): void {
    this.#timesOf(worker)[PHASES.indexOf(phase)] += ms;
  }

  #timesOf(worker: number): Float64Array {
    return this.doublesAt(CONTROL_BYTES * (1 + worker) + 8, PHASES.length);
  }

  beat(worker: number): void {
    Atomics.add(this.words, beatWord(worker), 1);
  }

  /** Waits for the command after number `seen`; answers its kind, or undefined if the loop is to be left. */
  nextCommand(worker: number, seen: number): number | undefined {
    this.#spin(() => Atomics.load(this.words, COMMAND) !== seen || this.isLeft);
    while (Atomics.load(this.words, COMMAND) === seen && !this.isLeft) {
      this.beat(worker);
      Atomics.wait(this.words, COMMAND, seen, NAP_MS);
    }
    return this.isLeft ? undefined : Atomics.load(this.words, KIND);
  }

  /** The next piece of work that no worker has taken. */
  take(): number {
    return Atomics.add(this.words, NEXT, 1);
  }

  /** Whether the workers are to leave what they are at. */
  get isLeft(): boolean {
    return Atomics.load(this.words, LEAVE) === 1;
  }

  /** Waits until all workers have come here. */
  meet(worker: number): void {
    const { workers } = this.layout;
    if (Atomics.add(this.words, ARRIVED, 1) + 1 === workers) {
      Atomics.notify(this.words, ARRIVED);
      return;
    }
    this.#spin(() => Atomics.load(this.words, ARRIVED) >= workers || this.isLeft);
    for (let arrived; (arrived = Atomics.load(this.words, ARRIVED)) < workers;) {
      if (this.isLeft) throw new Error("the other workers are gone");
      this.beat(worker);
      Atomics.wait(this.words, ARRIVED, arrived, NAP_MS);
    }
  }

  /** The worker is done with the command; answers whether it is the last. */
  done(): boolean {
    const isLast = Atomics.add(this.words, DONE, 1) + 1 === this.layout.workers;
    if (isLast) this.#tell();
    return isLast;
  }

  /**
   * Looks for a moment before the thread goes to sleep: what wakes up is often put on a core that is
   * taken, beside one that is free, and two workers then share it for milliseconds.
   */
  #spin(isOver: () => boolean): void {
    const until = performance.now() + SPIN_MS;
    while (!isOver() && performance.now() < until);
  }

  #tell(): void {
    Atomics.store(this.words, NEWS, 1);
    Atomics.notify(this.words, NEWS);
  }

  /** The worker cannot go on. */
  fail(worker: number): void {
    Atomics.compareExchange(this.words, FAILED, 0, worker + 1);
    this.#tell();
  }
}

/** Each heartbeat has a cache line of its own. */
function beatWord(worker: number): number {
  return CONTROL_BYTES * (1 + worker) / 4;
}
