/**
 * A program that starts a worker of the package as installed, asks it and ends it.
 *
 * Bundled it is app.js, and the worker is the bundle beside it.
 */
import { spawnWorker } from "./node_modules/downhill/dist/src/parallel/spawn.js";

const bundled = import.meta.url.endsWith("/app.js");
const worker = spawnWorker(bundled ? { url: new URL("./worker.js", import.meta.url) } : {});
const answer = await worker.call(worker.remote.ping(), 60_000, "ping");
await worker.terminate();

globalThis.workerResult = { answer };
console.log(JSON.stringify(globalThis.workerResult));
