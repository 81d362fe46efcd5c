/** What a worker of a run answers to: the object that `workers/train_worker.ts` exposes. */

/** A worker's side of a run. */
export class TrainWorker {
  /** Answers, which says that the worker's modules are loaded. */
  ping(): string {
    return "pong";
  }
}
