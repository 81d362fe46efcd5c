/**
 * Batches by number: batch k of a run is a pure function of (data, seed, k), so a run can go on
 * from any iteration without replaying the ones before.
 */
import { DataError } from "../core/errors.ts";
import { flag, integer, object, parseOptions } from "../core/options.ts";
import { randomStream } from "../core/random.ts";
import { checkRows } from "./batch.ts";
import type { Allocate, Dataset, HostBatch, Loader } from "./dataset.ts";

export type { Loader } from "./dataset.ts";
export { StreamLoader, type StreamLoaderOptions } from "./stream_loader.ts";

/** Options of {@link DataLoader}. */
export interface DataLoaderOptions {
  /** @default 1 */
  readonly batchSize?: number;
  /** A new order every epoch: a permutation drawn from (seed, epoch). @default false */
  readonly shuffle?: boolean;
  /** Leaves out the last batch of an epoch if it is not full. @default false */
  readonly dropLast?: boolean;
  /** Goes on with the next epoch for ever. @default false */
  readonly infinite?: boolean;
  /** @default 0 */
  readonly seed?: number;
  /** Only the first so many batches of every epoch. @default all */
  readonly limitBatches?: number;
}

const schema = object({
  batchSize: integer(1).default(1),
  shuffle: flag().default(false),
  dropLast: flag().default(false),
  infinite: flag().default(false),
  seed: integer(0).default(0),
  limitBatches: integer(1).optional(),
});

/** Batches of a {@link Dataset}; any batch is reached in the time it takes to order its epoch. */
export class DataLoader implements Loader {
  readonly batchesPerEpoch: number;
  readonly dataset: Dataset;
  readonly #options: ReturnType<typeof parse>;
  #order: { epoch: number; permutation: Uint32Array } | undefined;

  /**
   * @throws {ConfigError} If an option is wrong.
   * @throws {DataError} If an epoch has no batch.
   */
  constructor(dataset: Dataset, options: DataLoaderOptions = {}) {
    this.dataset = dataset;
    this.#options = parse(options);
    const { batchSize, dropLast, limitBatches = Infinity } = this.#options;
    const batches = dataset.length / batchSize;
    this.batchesPerEpoch = Math.min(
      dropLast ? Math.floor(batches) : Math.ceil(batches),
      limitBatches,
    );
    if (this.batchesPerEpoch === 0) {
      throw new DataError(
        dataset.length === 0
          ? "a data set must have at least one sample, received none"
          : `dropLast leaves no batch: ${dataset.length} samples, batches of ${batchSize}`,
      );
    }
  }

  /** The sample indices of batch `k`. */
  indices(k: number): Uint32Array {
    const { batchesPerEpoch } = this;
    const { batchSize, infinite, shuffle } = this.#options;
    const limit = infinite ? Infinity : batchesPerEpoch;
    if (!(Number.isSafeInteger(k) && k >= 0 && k < limit)) {
      throw new RangeError(`a batch number must be an integer in [0, ${limit}), received ${k}`);
    }
    const epoch = Math.floor(k / batchesPerEpoch);
    const start = (k - epoch * batchesPerEpoch) * batchSize;
    const end = Math.min(start + batchSize, this.dataset.length);
    if (shuffle) return this.#permutation(epoch).slice(start, end);
    return Uint32Array.from({ length: end - start }, (_, i) => start + i);
  }

  load(k: number, allocate?: Allocate): HostBatch | Promise<HostBatch> {
    const indices = this.indices(k);
    const batch = this.dataset.gather(indices, allocate);
    const check = (batch: HostBatch): HostBatch => checkRows(batch, indices.length);
    // Not only a Promise: a program may await anything.
    const isPending = typeof (batch as PromiseLike<HostBatch> | null)?.then === "function";
    return isPending ? Promise.resolve(batch).then(check) : check(batch as HostBatch);
  }

  /** The batches of one epoch, or for ever. */
  async *[Symbol.asyncIterator](): AsyncGenerator<HostBatch, void, undefined> {
    const limit = this.#options.infinite ? Infinity : this.batchesPerEpoch;
    for (let k = 0; k < limit; k++) yield await this.load(k);
  }

  #permutation(epoch: number): Uint32Array {
    if (this.#order?.epoch !== epoch) {
      const stream = randomStream(this.#options.seed, "order", epoch);
      this.#order = { epoch, permutation: stream.permutation(this.dataset.length) };
    }
    return this.#order.permutation;
  }
}

function parse(options: DataLoaderOptions) {
  return parseOptions(schema, options, "", "DataLoader");
}
