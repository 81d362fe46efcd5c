/** The batches of training, the next one loaded while workers compute. */
import { macrotask } from "../core/clock.ts";
import { ownBatch } from "../data/batch.ts";
import { DataLoader, type Loader } from "../data/loader.ts";
import type { Allocate, HostBatch } from "../data/dataset.ts";

/** Batches by number, of which one may be loaded ahead. */
export class TrainingBatches {
  readonly #loader: Loader;
  readonly #loadsAhead: boolean;
  #next: { k: number; batch: Promise<HostBatch> } | undefined;

  /** @param ahead Whether to load ahead where batches do not have to be asked for in order. */
  constructor(loader: Loader, ahead: boolean) {
    this.#loader = loader;
    this.#loadsAhead = ahead && loader instanceof DataLoader;
  }

  /** Batch `k`. */
  load(k: number): HostBatch | Promise<HostBatch> {
    const next = this.#next;
    this.#next = undefined;
    return next?.k === k ? next.batch : this.#load(k);
  }

  /** Waits until nothing is loaded any more that nobody will ask for. */
  async settle(): Promise<void> {
    await this.#next?.batch.catch(() => {});
    this.#next = undefined;
  }

  /**
   * Begins to load batch `k`, and tells of it; an error is that of {@link load}.
   *
   * @param allocator Asked for when it is about to be loaded.
   */
  loadAhead(
    k: number,
    loaded: (batch: HostBatch) => void,
    allocator?: () => Allocate | undefined,
  ): void {
    if (!this.#loadsAhead) return;
    // Not before the workers have been told what to do.
    const batch = macrotask().then(() => this.#load(k, allocator?.()));
    batch.then(loaded).catch(() => {});
    this.#next = { k, batch };
  }

  /** A batch that is still needed when the next one is loaded is not left to the data set. */
  #load(k: number, allocate?: Allocate): HostBatch | Promise<HostBatch> {
    if (!this.#loadsAhead) return this.#loader.load(k);
    return ownBatch((own) => this.#loader.load(k, own), allocate);
  }
}
