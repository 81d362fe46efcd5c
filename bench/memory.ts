/**
 * Whether memory stays flat over thousands of training steps of the reference workloads.
 *
 *     deno run -A bench/memory.ts [workload ...] [--steps 10000]
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { selectBackend } from "../src/backend/select.ts";
import { memoryOfSteps } from "./step_memory.ts";
import { workloads } from "./workloads.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: { steps: { type: "string", default: "10000" } },
});
const total = Number(values.steps);
const names = positionals.length > 0 ? positionals : ["cnn", "transformer_block"];

await selectBackend("wasm");
console.log(
  "| workload | steps | tensors | tensor bytes | blocks | wasm heap, bytes | script, bytes |",
);
console.log("| --- | --: | --: | --: | --: | --: | --: |");
const stops = [0.01, 0.1, 0.25, 0.5, 0.75, 1].map((part) => Math.round(total * part));
for (const name of names) {
  for (const variant of ["plain", "fused"] as const) {
    if (workloads[name]()[variant] === undefined) continue;
    await memoryOfSteps(name, variant, stops, (memory) => {
      console.log(`| ${[`${name}, ${variant}`, ...Object.values(memory)].join(" | ")} |`);
    });
  }
}
