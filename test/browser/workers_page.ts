/** A page that trains what its test asks for, and ends workers of its own. */
import { type Callback, type CreateOptions, IterationRunner, type RunConfig } from "../../mod.ts";
import "../../src/model/models.ts";

/** What a run has come to. */
export interface Trained {
  readonly workers: number;
  readonly iterations: number;
  readonly weightsSha256: string;
  readonly test: number;
  readonly lines: string[];
}

const started: Worker[] = [];

/** Workers, which the page may end as only their owner can. */
globalThis.Worker = class extends globalThis.Worker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url, options);
    started.push(this);
  }
};

const lengths = { inputLength: 24, outputLength: 6 };

/** Trains with `config` over a small run; `endAt` is the iteration after which a worker is ended. */
export async function train(
  config: Partial<RunConfig>,
  { endAt, ...options }: CreateOptions & { endAt?: number } = {},
): Promise<Trained> {
  const lines: string[] = [];
  const values = Float32Array.from({ length: 300 }, (_, t) => Math.sin(t / 4) + Math.cos(t / 7));
  // Between two iterations, so that the page has to notice.
  const end: Callback = {
    name: "end",
    iterationEnd: ({ state }) => {
      if (state.iteration === endAt) started.at(-1)!.terminate();
    },
  };
  const run = await IterationRunner.create({
    seed: 3,
    backend: "wasm",
    shards: 2,
    maxWorkerRestarts: 20,
    model: { type: "NLinear", params: { ...lengths, channels: 1 } },
    data: { type: "ForecastingArray", params: { ...lengths, values, channels: 1 } },
    optimizer: { type: "AdamW", params: { lr: 0.01 } },
    train: { iterations: 12, batchSize: 16, clipGrad: { maxNorm: 0.5 } },
    validation: { interval: 6 },
    log: { progress: false },
    ...config,
    callbacks: [end],
  }, {
    workerUrl: "worker.js",
    output: { line: (text) => void lines.push(text) },
    ...options,
  });
  try {
    const { workers, iterations, weightsSha256, test } = await run.train();
    return { workers, iterations, weightsSha256, test: test!.loss, lines };
  } finally {
    run.dispose();
  }
}
