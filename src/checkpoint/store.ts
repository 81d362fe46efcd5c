/** Where a run keeps its files: a flat contract that a directory, memory, or a browser store can fulfil. */

/** Files by relative name (`checkpoints/step-00000500.safetensors`); `/` makes folders. */
export interface Store {
  /** Where it is, for messages. */
  readonly location: string;
  /** The whole file, or undefined if there is none. */
  read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Replaces the file as one act: a reader sees the old bytes or the new ones. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Adds to the end of the file, making it if needed. */
  append(name: string, bytes: Uint8Array): Promise<void>;
  /** Cuts the file to `length` bytes (a missing file counts as empty). */
  truncate(name: string, length: number): Promise<void>;
  remove(name: string): Promise<void>;
  /** Names of the files directly in `folder`, sorted; empty if there is no such folder. */
  list(folder: string): Promise<string[]>;
  /**
   * Takes the place for one run; `log` gets a line when it is taken over from a dead one.
   *
   * @throws {CheckpointError} If another run holds it.
   */
  lock(log: (line: string) => void): Promise<StoreLock>;
}

/** That this run, and no other, writes to a store. */
export interface StoreLock {
  /** @throws {CheckpointError} If the lock was lost to another run. */
  check(): void;
  release(): void;
}
