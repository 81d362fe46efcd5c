/**
 * The thread of a worker: every worker of a run starts from this module.
 *
 * The library starts it itself. A bundle for browsers has it as an entry point of its own,
 * `downhill/worker`, beside the program's.
 *
 * @module
 */
import "../src/model/models.ts";
import { exposeWorker } from "../src/parallel/endpoint.ts";
import { TrainWorker } from "../src/parallel/train_worker.ts";

exposeWorker(new TrainWorker());
