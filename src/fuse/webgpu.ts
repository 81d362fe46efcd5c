/**
 * Updates on tfjs' WebGPU backend, recorded in the backend's own compute pass, so that they run in
 * the order of the program and several go into one submission.
 */
import * as tf from "../tensor/tf.ts";
import type { Update } from "./expression.ts";
import { hostInput, type Loop, loopOf, SCALE } from "./loop.ts";
import { type Operands, tensorOf, unshare } from "./operands.ts";
import { wgsl, WORKGROUP } from "./wgsl.ts";

/** A tensor's data as the backend keeps it. */
interface GpuData {
  resource: GPUBuffer | null;
  values: unknown;
  external?: boolean;
}

/** What is used of tfjs' backend. */
interface GpuBackend extends tf.KernelBackend {
  readonly device: GPUDevice;
  readonly tensorMap: { get(dataId: object): GpuData };
  readonly commandQueueOwnedIds: WeakSet<object>;
  readonly commandEncoder: GPUCommandEncoder;
  computePassEncoder: GPUComputePassEncoder | null;
  dispatchCountInPass: number;
  uploadToGPU(dataId: object): void;
  makeUniforms(fields: { type: string; data: number[] }[]): GPUBindingResource;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** Updates of one call; call inside tidy. */
export class WebgpuUpdates {
  readonly #backend = tf.backend() as GpuBackend;
  /** The inputs of the device in one tensor, by their tensors' numbers. */
  readonly #joined = new Map<string, tf.Tensor>();

  run(update: Update, operands: Operands): void {
    const scalars: Record<string, number | tf.Scalar> = { ...operands.scalars };
    const { scale = 1, guard } = operands;
    if (scale !== 1) scalars[SCALE] = scale;
    const loop = loopOf(update, scalars);
    const tensors = loop.tensors.map((leaf, i) => {
      const tensor = tensorOf(leaf, operands);
      if (loop.stores[i] !== undefined && this.#isShared(tensor)) unshare(tensor as tf.Variable);
      return tensor;
    });
    // A buffer cannot be bound for reading and for writing in one dispatch.
    loop.tensors.forEach(({ kind }, i) => {
      const { dataId } = tensors[i];
      if (kind === "gradient" && tensors.some((other, j) => j !== i && other.dataId === dataId)) {
        tensors[i] = tf.mul(tensors[i], 1);
      }
    });
    const numbers: number[] = [];
    const device: tf.Tensor[] = [];
    for (const input of loop.inputs) {
      if (typeof input === "string") device.push(scalars[input] as tf.Scalar);
      else numbers.push(hostInput(input, scalars));
    }
    this.#record(loop, tensors, numbers, this.#join(device), guard);
  }

  #isShared({ dataId }: tf.Tensor): boolean {
    const { external } = this.#backend.tensorMap.get(dataId);
    return external === true || this.#backend.refCount(dataId) > 1;
  }

  #join(scalars: readonly tf.Tensor[]): tf.Tensor | undefined {
    if (scalars.length < 2) return scalars[0];
    const key = scalars.map(({ id }) => id).join();
    let joined = this.#joined.get(key);
    if (joined === undefined) {
      this.#joined.set(key, joined = tf.concat(scalars.map((s) => tf.reshape(s, [1]))));
    }
    return joined;
  }

  #record(
    loop: Loop,
    tensors: readonly tf.Tensor[],
    numbers: readonly number[],
    device: tf.Tensor | undefined,
    guard: tf.Tensor | undefined,
  ): void {
    const backend = this.#backend;
    const pipeline = pipelineOf(backend.device, wgsl(loop, guard !== undefined));
    const count = tensors[0].size;
    const limit = backend.device.limits.maxComputeWorkgroupsPerDimension;
    const groups = Math.min(limit, Math.ceil(count / WORKGROUP));
    const buffers = [...tensors, device, guard].flatMap((tensor) => {
      if (tensor === undefined) return [];
      backend.uploadToGPU(tensor.dataId);
      backend.commandQueueOwnedIds.add(tensor.dataId);
      return [{ buffer: backend.tensorMap.get(tensor.dataId).resource! }];
    });
    tensors.forEach(({ dataId }, i) => {
      if (loop.stores[i] !== undefined) forgetValues(backend.tensorMap.get(dataId));
    });
    const uniforms = backend.makeUniforms([
      { type: "uint32", data: [count] },
      { type: "uint32", data: [groups * WORKGROUP] },
      ...numbers.map((value) => ({ type: "float32", data: [value] })),
    ]);
    const group = backend.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [uniforms, ...buffers].map((resource, binding) => ({ binding, resource })),
    });
    backend.ensureCommandEncoderReady();
    const pass = backend.computePassEncoder ??= backend.commandEncoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(groups);
    backend.dispatchCountInPass++;
    if (backend.dispatchCountInPass >= tf.env().getNumber("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE")) {
      backend.endComputePassEncoder();
      backend.submitQueue();
    }
  }
}

/**
 * tfjs caches what was read of a tensor, at the end of the read: values of before an update that
 * was recorded in between would come out of every later read. What is written in place is not
 * cached.
 */
function forgetValues(data: GpuData): void {
  Object.defineProperty(data, "values", { get: () => null, set: () => {}, configurable: true });
}

const pipelines = new WeakMap<GPUDevice, Map<string, GPUComputePipeline>>();

function pipelineOf(device: GPUDevice, code: string): GPUComputePipeline {
  let known = pipelines.get(device);
  if (known === undefined) pipelines.set(device, known = new Map());
  let pipeline = known.get(code);
  if (pipeline === undefined) {
    const module = device.createShaderModule({ code });
    pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    known.set(code, pipeline);
  }
  return pipeline;
}
