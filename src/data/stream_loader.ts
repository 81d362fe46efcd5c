/** Batches of a stream: nothing is held but the batch being built and the shuffle buffer. */
import { DataError } from "../core/errors.ts";
import { flag, integer, object, parseOptions } from "../core/options.ts";
import { randomStream } from "../core/random.ts";
import { stackSamples } from "./batch.ts";
import type { HostBatch, IterableDataset, Loader, Sample } from "./dataset.ts";

/** Options of {@link StreamLoader}. */
export interface StreamLoaderOptions {
  /** @default 1 */
  readonly batchSize?: number;
  /** Leaves out the last batch of an epoch if it is not full. @default false */
  readonly dropLast?: boolean;
  /** Opens the stream anew when it ends, for ever. @default false */
  readonly infinite?: boolean;
  /** @default 0 */
  readonly seed?: number;
  /** Only the first so many batches of every epoch. @default all */
  readonly limitBatches?: number;
  /**
   * Samples held to draw the next one from; 0 keeps the order of the stream. The draws are a
   * function of (seed, epoch). @default 0
   */
  readonly shuffleBuffer?: number;
}

const schema = object({
  batchSize: integer(1).default(1),
  dropLast: flag().default(false),
  infinite: flag().default(false),
  seed: integer(0).default(0),
  limitBatches: integer(1).optional(),
  shuffleBuffer: integer(0).default(0),
});

/**
 * Batches of an {@link IterableDataset}, in order.
 *
 * Asking for batches one after the other reads every sample once. Asking for a later one reads and
 * drops all samples before it, for an earlier one starts again from epoch 0: going on at batch k of
 * a stopped run costs the reading of k batches. Samples are kept until their batch is full, so a
 * stream yields fresh arrays.
 */
export class StreamLoader implements Loader {
  readonly dataset: IterableDataset;
  readonly #options: ReturnType<typeof parse>;
  /** The open stream and the number of the batch it gives next. */
  #cursor: { groups: AsyncGenerator<Group>; next: number } | undefined;
  /** What {@link first} has read, until the next batch is asked for. */
  #first: HostBatch | undefined;
  /** Calls of {@link load} run one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  /** @throws {ConfigError} If an option is wrong. */
  constructor(dataset: IterableDataset, options: StreamLoaderOptions = {}) {
    this.dataset = dataset;
    this.#options = parse(options);
  }

  /**
   * Batch `k`, counted over epochs where infinite.
   *
   * @throws {RangeError} If the stream ends before it.
   * @throws {DataError} If an epoch has no batch, or samples differ in fields, shapes or dtypes.
   */
  async load(k: number): Promise<HostBatch> {
    if (!(Number.isSafeInteger(k) && k >= 0)) {
      throw new RangeError(`a batch number must be an integer >= 0, received ${k}`);
    }
    return await this.#queue(() => this.#seek(k));
  }

  /** Batch 0, which a following `load(0)` gives again: the stream is not opened twice for it. */
  async first(): Promise<HostBatch> {
    return await this.#queue(async () => this.#first = await this.#seek(0));
  }

  /** The batches of one epoch, or for ever, from an iterator of their own. */
  async *[Symbol.asyncIterator](): AsyncGenerator<HostBatch, void, undefined> {
    for await (const group of this.#groups()) yield stack(group);
  }

  /** Closes the stream that {@link load} holds open; a later load opens it again. */
  close(): Promise<void> {
    return this.#queue(() => this.#reset());
  }

  #queue<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(act);
    this.#tail = result.catch(() => {});
    return result;
  }

  async #seek(k: number): Promise<HostBatch> {
    const first = this.#first;
    this.#first = undefined;
    if (k === 0 && first !== undefined) return first;
    if (this.#cursor !== undefined && this.#cursor.next > k) await this.#reset();
    const cursor = this.#cursor ??= { groups: this.#groups(), next: 0 };
    try {
      for (;;) {
        const { value, done } = await cursor.groups.next();
        if (done === true) {
          throw new RangeError(`a batch number must be in [0, ${cursor.next}), received ${k}`);
        }
        if (cursor.next++ === k) return stack(value);
      }
    } catch (error) {
      await this.#reset();
      throw error;
    }
  }

  async #reset(): Promise<void> {
    const cursor = this.#cursor;
    this.#cursor = this.#first = undefined;
    await cursor?.groups.return(undefined);
  }

  /** The samples of batch after batch, over epochs where infinite. */
  async *#groups(): AsyncGenerator<Group> {
    const { batchSize, dropLast, infinite, limitBatches = Infinity } = this.#options;
    for (let epoch = 0; epoch === 0 || infinite; epoch++) {
      let batches = 0, first = 0;
      let samples: Sample[] = [];
      for await (const sample of this.#samples(epoch)) {
        samples.push(sample);
        if (samples.length < batchSize) continue;
        yield { samples, first };
        first += batchSize;
        samples = [];
        if (++batches === limitBatches) break;
      }
      if (samples.length > 0 && !dropLast) {
        yield { samples, first };
        batches++;
      }
      if (batches > 0) continue;
      throw new DataError(
        samples.length === 0
          ? `epoch ${epoch} of the stream is empty: open(epoch) must begin a pass of at least one sample`
          : `dropLast leaves no batch: epoch ${epoch} of the stream has ${samples.length} samples, ` +
            `batches of ${batchSize}`,
      );
    }
  }

  /** The samples of an epoch: a full buffer gives up a random one for every sample that comes. */
  async *#samples(epoch: number): AsyncGenerator<Sample> {
    const { shuffleBuffer, seed } = this.#options;
    const random = randomStream(seed, "order", epoch);
    const buffer: Sample[] = [];
    for await (const sample of this.dataset.open(epoch)) {
      if (shuffleBuffer === 0) {
        yield sample;
      } else if (buffer.length < shuffleBuffer) {
        buffer.push(sample);
      } else {
        const i = random.integer(shuffleBuffer);
        yield buffer[i];
        buffer[i] = sample;
      }
    }
    for (const i of random.permutation(buffer.length)) yield buffer[i];
  }
}

interface Group {
  readonly samples: readonly Sample[];
  /** Number of the first sample in its epoch. */
  readonly first: number;
}

function stack({ samples, first }: Group): HostBatch {
  return stackSamples(samples, first);
}

function parse(options: StreamLoaderOptions) {
  return parseOptions(schema, options, "", "StreamLoader");
}
