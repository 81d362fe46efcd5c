/** What coordinator and workers say to each other: plain data and shared memory, never code. */
import type { DataForm } from "../data/data_form.ts";
import type { HostArray } from "../data/dataset.ts";
import type { Layout } from "./layout.ts";

/** What a worker builds its parts from: the resolved config as far as it computes, and the data's form. */
export interface WorkerSpec {
  /** Modules that register components. */
  readonly imports: readonly string[];
  /** Folder that the model's paths are relative to. */
  readonly baseDirectory: string;
  readonly seed: number;
  readonly backend: string;
  readonly deterministic: boolean;
  readonly wasmPath?: string;
  readonly model: unknown;
  readonly task: { readonly type: string; readonly params: Record<string, unknown> };
  readonly rescale: boolean;
  readonly form: DataForm;
  readonly loss: unknown;
  readonly metrics: unknown;
  readonly horizons: readonly number[];
  readonly trainMetrics: boolean;
  /** Those with hooks inside the forward pass, and which of the config each is. */
  readonly callbacks: readonly (readonly [index: number, config: unknown])[];
  readonly optimizer: unknown;
}

/** What a worker is started with. */
export interface WorkerSetup {
  readonly spec: WorkerSpec;
  readonly index: number;
  readonly memory: WebAssembly.Memory;
  readonly layout: Layout;
  readonly batch: SharedArrayBuffer;
}

/** The commands. */
export const GRADIENT = 1, UPDATE = 2;

/** Iterations take turns at what the coordinator reads after the next one has begun. */
export type Turn = 0 | 1;

/** Half-open ranges. */
export type Ranges = readonly (readonly [number, number])[];

/** What the values of a field may be held in. */
export const ARRAYS = { Float32Array, Int32Array, Uint8Array } as const;

/** A field of the batch in the shared buffer. */
export interface FieldPlace {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: HostArray["dtype"];
  /** The class of its array, which need not be that of the dtype. */
  readonly array: keyof typeof ARRAYS;
  /** Bytes from the start of the buffer. */
  readonly at: number;
}

/** A batch in shared memory: what a message takes to a worker without a copy, and Deno at once. */
export interface PlacedBatch {
  readonly buffer: SharedArrayBuffer;
  readonly fields: readonly FieldPlace[];
}

/** The gradient of a batch. */
export interface GradientMessage {
  readonly iteration: number;
  readonly turn: Turn;
  /** The key of the iteration's random stream. */
  readonly random: readonly [number, number];
  /** Rows of each leaf. */
  readonly bounds: Ranges;
  /** Leaves of each chunk. */
  readonly chunks: Ranges;
  readonly fields: readonly FieldPlace[];
  /** The parameters that are not trainable now. */
  readonly frozen: readonly string[];
  /** Where the metric sums of row 0 go in the batch's buffer. */
  readonly metricsAt: number;
}

/** The update of the last gradient. */
export interface UpdateMessage {
  readonly turn: Turn;
  /** How many chunks the gradient was computed in. */
  readonly chunks: number;
  /** What callbacks have left to be done; absent: the gradient as it is, if it and the loss are finite. */
  readonly given?: GivenUpdate;
  /** Options of the parameter groups. */
  readonly groups: readonly Record<string, unknown>[];
  /** Rows of the batch if its leaves' buffers are averaged; 0: they are what the only leaf made of them. */
  readonly averagedOver: number;
}

/** An update by gradients that the coordinator has looked at. */
export interface GivenUpdate {
  /** Multiplies the gradients. */
  readonly scale: number;
  /** Those that are not there. */
  readonly absent: readonly number[];
}
