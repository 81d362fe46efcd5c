/**
 * WebGPU in tests, on whatever adapter there is, software adapters included.
 *
 * A test starts a script of its own (`runScript(source, environment)`): which Vulkan driver is
 * loaded is fixed when a process starts, and a crash of a driver stays a failed test.
 */
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { selectBackend } from "../../src/backend/select.ts";
import { runtime } from "../../src/core/host.ts";
import * as tf from "../../src/tensor/tf.ts";

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const DRIVERS = "/usr/share/vulkan/icd.d";

/**
 * The environment of a WebGPU script: names a software driver that the runtime works with (Dawn,
 * in Node and Bun, refuses lavapipe), unless VK_DRIVER_FILES says which.
 */
export function webgpuEnvironment(): Record<string, string> {
  const environment = { XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() };
  if (process.env.VK_DRIVER_FILES !== undefined) return environment;
  const driver = runtime === "deno" ? lavapipe() ?? swiftShader() : swiftShader();
  return driver === undefined ? environment : { ...environment, VK_DRIVER_FILES: driver };
}

function lavapipe(): string | undefined {
  const files = existsSync(DRIVERS) ? readdirSync(DRIVERS) : [];
  const name = files.find((file) => file.startsWith("lvp_icd"));
  return name === undefined ? undefined : join(DRIVERS, name);
}

function swiftShader(): string | undefined {
  return existsSync(SWIFTSHADER) ? SWIFTSHADER : undefined;
}

/**
 * In the script: makes webgpu current with nothing computed on the host.
 *
 * @returns The reason why not, undefined when it is current.
 */
export async function useWebgpu(): Promise<string | undefined> {
  const lines: string[] = [];
  const { name } = await selectBackend("webgpu", { log: (line) => lines.push(line) });
  if (name !== "webgpu") return lines.join();
  tf.env().set("WEBGPU_CPU_FORWARD", false);
  return undefined;
}

/**
 * In the test: says that it is skipped for `reason`, or fails when the environment variable
 * DOWNHILL_REQUIRE_WEBGPU is 1.
 */
export function skipWithoutWebgpu(reason: string): void {
  if (process.env.DOWNHILL_REQUIRE_WEBGPU === "1") {
    throw new Error(`WebGPU is required (DOWNHILL_REQUIRE_WEBGPU=1): ${reason}`);
  }
  console.log(`skipped: ${reason}`);
}

/** Why Bun need not repeat what Node has shown of the numbers of webgpu; undefined elsewhere. */
export const repeatsNode: string | false = runtime === "bun" && "Node runs the same adapter (Dawn)";

/** Counts compute dispatches, whoever records them, from now on. */
export function countDispatches(): { count: number } {
  const counter = { count: 0 };
  const { prototype } = GPUComputePassEncoder;
  const { dispatchWorkgroups } = prototype;
  prototype.dispatchWorkgroups = function (...args) {
    counter.count++;
    return dispatchWorkgroups.apply(this, args);
  };
  return counter;
}
