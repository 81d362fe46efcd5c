/** The memory that coordinator and workers share, seen through its layout. */
import { ConfigError } from "../core/errors.ts";
import { CONTROL_BYTES, HEADER, type Layout, RING, WORKER_BYTES } from "./layout.ts";
import { PhaseClock } from "./phase_times.ts";
import { type Turn, UPDATE } from "./protocol.ts";

const PAGE = 65536;

/** The control words, Int32. Commands are numbered from 1. */
const POSTED = 0,
  FINISHED = 1,
  LEAVE = 2,
  FAILED = 3,
  COMMITS = 4,
  NEWS = 5;

/** A ring of slots for the commands under way follows; each has these words, and a mailbox. */
const SLOTS = 6;
const KIND = 0, NEXT = 1, ARRIVED = 2, DONE = 3, SLOT_WORDS = 4;

/** Set in {@link COMMITS} when no update counts any more. */
const CLOSED = 2 ** 30;

/** How long a thread sleeps before it looks around, in ms: no wait is without an end. */
const NAP_MS = 100;

/** The views and the control words of the shared memory. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly layout: Layout;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly floats: Float32Array;
  readonly doubles: Float64Array;
  readonly times: PhaseClock;

  constructor(memory: WebAssembly.Memory, layout: Layout) {
    this.memory = memory;
    this.layout = layout;
    const { buffer } = memory;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.floats = new Float32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.times = new PhaseClock(this.doubles, layout.workers);
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

  /** How many updates are whole. */
  get commits(): number {
    return Atomics.load(this.words, COMMITS) & ~CLOSED;
  }

  /** The address of the side that holds the training state. */
  get current(): number {
    return this.layout.sides[this.commits & 1];
  }

  /** The address of the side that the next update writes. */
  get next(): number {
    return this.layout.sides[1 - (this.commits & 1)];
  }

  chunkAt(chunk: number): number {
    return this.layout.chunks.at + chunk * this.layout.chunks.bytes;
  }

  /** Loss sum, item count and whether that is a tensor's. */
  headerOf(chunk: number, turn: Turn): Float64Array {
    return this.doublesAt(this.#headAt(chunk, turn), HEADER.size);
  }

  /** For each gradient 1 if the chunk has it. */
  presentIn(chunk: number, turn: Turn): Uint8Array {
    const at = this.#headAt(chunk, turn) + this.layout.heads.presentAt;
    return this.bytes.subarray(at, at + this.layout.gradients.length);
  }

  #headAt(chunk: number, turn: Turn): number {
    return this.chunkAt(chunk) + turn * this.layout.heads.bytes;
  }

  /** Where the sums of squares of an iteration are. */
  squaresAt(turn: Turn): number {
    return this.layout.squaresAt + turn * this.layout.blocks * 8;
  }

  /** Where the message of a command is. */
  mailboxOf(command: number): number {
    const { at, bytes } = this.layout.mailbox;
    return at + (command % RING) * bytes;
  }

  /** The address of gradient `g` in a chunk. */
  gradientAt(chunk: number, g: number): number {
    return this.chunkAt(chunk) + this.layout.gradients[g].at;
  }

  // Coordinator.

  /** Gives all workers a command, whose message is in its mailbox; they come to it after those before. */
  command(kind: number): number {
    const command = this.nextNumber;
    const slot = slotOf(command);
    for (const word of [NEXT, ARRIVED, DONE]) Atomics.store(this.words, slot + word, 0);
    Atomics.store(this.words, slot + KIND, kind);
    Atomics.store(this.words, POSTED, command);
    Atomics.notify(this.words, POSTED);
    return command;
  }

  /** The number that the next command gets. */
  get nextNumber(): number {
    return Atomics.load(this.words, POSTED) + 1;
  }

  /** Whether all workers are done with a command. */
  isFinished(command: number): boolean {
    return Atomics.load(this.words, FINISHED) >= command;
  }

  /** What the workers have left undone, or failed at, when they left their loops is not done any more. */
  abandon(): void {
    Atomics.store(this.words, FAILED, 0);
    Atomics.store(this.words, FINISHED, Atomics.load(this.words, POSTED));
  }

  /** No update becomes whole from here on. */
  close(): void {
    Atomics.or(this.words, COMMITS, CLOSED);
  }

  /** The number of the worker that failed, counted from 0; -1 if none has. */
  get failed(): number {
    return Atomics.load(this.words, FAILED) - 1;
  }

  /** Counts up when there is news: a command is finished, or a worker has failed. */
  get newsCount(): number {
    return Atomics.load(this.words, NEWS);
  }

  /**
   * Resolves when there is news after `count`; `undefined` where the runtime cannot wait so, and the
   * workers' messages tell.
   */
  news(count: number): Promise<unknown> | undefined {
    if (Atomics.waitAsync === undefined) return undefined;
    const { async, value } = Atomics.waitAsync(this.words, NEWS, count);
    return async ? value : Promise.resolve();
  }

  /** Counts up while the worker lives. */
  beatOf(worker: number): number {
    return Atomics.load(this.words, beatWord(worker));
  }

  /** Asks the workers to leave their loops, or lets them stay in the next ones. */
  setLeave(leave: boolean): void {
    Atomics.store(this.words, LEAVE, Number(leave));
    if (!leave) return;
    for (const word of [POSTED, FINISHED]) Atomics.notify(this.words, word);
    for (let slot = 0; slot < RING; slot++) Atomics.notify(this.words, slotOf(slot) + ARRIVED);
  }

  /** Wakes whoever waits for news that will not come. */
  giveUp(): void {
    this.#tell();
  }

  // Worker.

  /** The number of the last command that all workers are done with. */
  get finished(): number {
    return Atomics.load(this.words, FINISHED);
  }

  beat(worker: number): void {
    Atomics.add(this.words, beatWord(worker), 1);
  }

  /** Waits for a command; answers its kind, or undefined if the loop is to be left. */
  nextCommand(worker: number, command: number): number | undefined {
    this.#wait(worker, POSTED, command);
    return this.isLeft ? undefined : Atomics.load(this.words, slotOf(command) + KIND);
  }

  /** The next piece of a command's work that no worker has taken. */
  take(command: number): number {
    return Atomics.add(this.words, slotOf(command) + NEXT, 1);
  }

  /** Whether the workers are to leave what they are at. */
  get isLeft(): boolean {
    return Atomics.load(this.words, LEAVE) === 1;
  }

  /** Waits until all workers have come here; false if they are to leave. */
  meet(worker: number, command: number): boolean {
    const { workers } = this.layout;
    const word = slotOf(command) + ARRIVED;
    if (Atomics.add(this.words, word, 1) + 1 === workers) Atomics.notify(this.words, word);
    else this.#wait(worker, word, workers);
    return !this.isLeft;
  }

  /**
   * The worker is done with a command; waits for the others. The last one makes an update whole, in
   * one atomic step. Answers whether it is the last and there is news for the coordinator.
   */
  done(worker: number, command: number, updated: boolean): boolean {
    const { workers } = this.layout;
    const isLast = Atomics.add(this.words, slotOf(command) + DONE, 1) + 1 === workers;
    // Nobody passes an update that does not count: what it was to be made of stays as it is.
    if (!isLast || updated && !this.#commit()) {
      this.#wait(worker, FINISHED, command);
      return false;
    }
    Atomics.store(this.words, FINISHED, command);
    Atomics.notify(this.words, FINISHED);
    // A gradient whose update is asked for already is no news.
    const isNews = Atomics.load(this.words, slotOf(command) + KIND) === UPDATE ||
      Atomics.load(this.words, POSTED) === command;
    if (isNews) this.#tell();
    return isNews;
  }

  /** Makes an update whole, unless none counts any more. */
  #commit(): boolean {
    const { commits } = this;
    return Atomics.compareExchange(this.words, COMMITS, commits, commits + 1) === commits;
  }

  /** Waits until a word has come to `value`, or the workers are to leave. */
  #wait(worker: number, word: number, value: number): void {
    for (let seen; (seen = Atomics.load(this.words, word)) < value && !this.isLeft;) {
      this.beat(worker);
      Atomics.wait(this.words, word, seen, NAP_MS);
    }
  }

  #tell(): void {
    Atomics.add(this.words, NEWS, 1);
    Atomics.notify(this.words, NEWS);
  }

  /** The worker cannot go on. */
  fail(worker: number): void {
    Atomics.compareExchange(this.words, FAILED, 0, worker + 1);
    this.#tell();
  }
}

function slotOf(command: number): number {
  return SLOTS + (command % RING) * SLOT_WORDS;
}

/** Each heartbeat has a cache line of its own. */
function beatWord(worker: number): number {
  return (CONTROL_BYTES + WORKER_BYTES * worker) / 4;
}
