/**
 * What reading a safetensors file takes beside the file: `reader_memory.ts KIND` reads one, made to be
 * as expensive as the limits allow, and prints by how much the process grew at most (Linux).
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { HEADER_LIMITS } from "../../src/checkpoint/safetensors_header.ts";
import type { HostTensor } from "../../src/checkpoint/safetensors.ts";
import { decodeSealed, encodeSealed } from "../../src/checkpoint/sealed.ts";
import { readMutations } from "./mutations.ts";
import { commandOf, type Runtime } from "./processes.ts";

const { bytes: LENGTH, entries: ENTRIES, axes: AXES } = HEADER_LIMITS;

/** What reading may take beside the file, in MiB. */
const MOST = 256;
/** Bytes around the long text below. */
const AROUND = 100;

/** A file of this header, filled up with spaces to `length` bytes of header. */
function file(header: string, length = LENGTH): Uint8Array {
  const bytes = new Uint8Array(8 + length).fill(0x20, 8);
  new TextEncoder().encodeInto(header, bytes.subarray(8));
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

/** As many tensors as may be, with names of `letters`. */
function tensors(letters: number, shape: string): Uint8Array {
  const entry = (_: unknown, i: number) =>
    `"${String(i).padStart(letters, "_")}":{"dtype":"U8","shape":[${shape}],"data_offsets":[0,0]}`;
  return file(`{${Array.from({ length: ENTRIES }, entry).join()}}`);
}

const text = (value: string): Uint8Array => file(`{"__metadata__":{"a":"${value}"}}`);

const nothing: HostTensor = { dtype: "U8", shape: [0], data: new Uint8Array(0) };

const kinds: Record<string, () => Uint8Array | Promise<Uint8Array>> = {
  "many tensors": () => tensors(6, "0"),
  "many axes": () => tensors(6, `${"0,".repeat(AXES - 1)}0`),
  "long names": () => tensors(300, "0"),
  "many texts": () => {
    const entry = (_: unknown, i: number) =>
      `"${String(i).padStart(200, "_")}":"${"v".repeat(150)}"`;
    return file(`{"__metadata__":{${Array.from({ length: ENTRIES }, entry).join()}}}`);
  },
  "too many texts": () =>
    file(
      `{"__metadata__":{${Array.from({ length: 10 * ENTRIES }, (_, i) => `"${i}":""`).join()}}}`,
    ),
  "too many axes": () =>
    file(
      `{"a":{"dtype":"U8","shape":[${"0,".repeat(LENGTH / 2 - AROUND)}0],"data_offsets":[0,0]}}`,
    ),
  "a long text": () => text("x".repeat(LENGTH - AROUND)),
  "a long wide text": () => text(`\u6f22${"x".repeat(LENGTH - AROUND)}`),
  "a long escaped text": () => text(`\u6f22${"\\n".repeat(LENGTH / 2 - AROUND)}`),
  "100 MB of spaces": () => file("{}", 100_000_000),
  "100 MB of spaces inside": () => file(`{${" ".repeat(99_999_998)}}`, 100_000_000),
  "sealed, many tensors": async () =>
    await encodeSealed(
      Object.fromEntries(Array.from({ length: ENTRIES - 9 }, (_, i) => [`${i}`, nothing])),
    ),
  "sealed, a long text": async () => await encodeSealed({}, { a: "x".repeat(LENGTH - 1000) }),
  "sealed, 200 MB in one tensor": async () =>
    await encodeSealed({ a: { dtype: "F32", shape: [5e7], data: new Float32Array(5e7) } }),
};
const MUTATIONS = "100,000 mutations";

/** Bytes by which a process grew, in MiB, by runtime and kind of file. */
export function readerMemory(runtimes: readonly Runtime[]): Record<string, Record<string, number>> {
  const out: Record<string, Record<string, number>> = {};
  for (const runtime of runtimes) {
    out[runtime] = {};
    for (const kind of [...Object.keys(kinds), MUTATIONS]) {
      const [program, ...args] = commandOf(runtime, "reader_memory");
      const { stdout, stderr } = spawnSync(program, [...args, kind], { encoding: "utf8" });
      const grown = Number(stdout);
      if (stdout === "" || Number.isNaN(grown)) throw new Error(`${kind}: ${stdout}${stderr}`);
      if (grown > MOST) throw new Error(`${kind}: ${grown} MiB in ${runtime}, at most ${MOST}`);
      out[runtime][kind] = grown;
    }
  }
  return out;
}

async function measure(kind: string): Promise<number> {
  const bytes = await kinds[kind]?.();
  await new Promise((resolve) => setTimeout(resolve, 100));
  // From here on the peak is counted.
  writeFileSync("/proc/self/clear_refs", "5");
  const before = status("VmRSS");
  if (bytes === undefined) readMutations(100_000, 1);
  else await decodeSealed(bytes, "file").catch(() => {});
  return Math.round(status("VmHWM") - before);
}

/** A line of /proc/self/status in MiB. */
function status(key: string): number {
  const text = readFileSync("/proc/self/status", "utf8");
  return Number(new RegExp(`${key}:\\s+(\\d+)`).exec(text)![1]) / 1024;
}

const [kind] = process.argv.slice(2);
if (kind !== undefined && /reader_memory\.[jt]s$/.test(process.argv[1])) {
  console.log(await measure(kind));
}
