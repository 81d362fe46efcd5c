/** Files that were changed at random, given to the reader of safetensors. */
import { strict as assert } from "node:assert";
import {
  decodeSafetensors,
  encodeSafetensors,
  type HostTensor,
} from "../../src/checkpoint/safetensors.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { Draws } from "./draws.ts";

/** What came of the mutations. */
export interface MutationFigures {
  refused: number;
  accepted: number;
  /** The longest that one file took, in ms, the best of three where that was more than 5 ms. */
  slowest: number;
}

const ALPHABET = new TextEncoder().encode('{}[]":,\\0123456789-.eEuUnN \n\0\xff');
const PIECES = [
  '"a":',
  '"__metadata__":{',
  "null",
  "[[[[",
  "9007199254740993",
  "1e3",
  "\\u0000",
  '"shape":[',
  "}}",
]
  .map((text) => new TextEncoder().encode(text));

/** Files to start from: every dtype, metadata, an empty one, many small tensors. */
function seeds(): Uint8Array[] {
  const f32 = (...values: number[]): HostTensor => ({
    dtype: "F32",
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const many = Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => [`layer.${i}.weight`, f32(i, i)]),
  );
  return [
    encodeSafetensors({}),
    encodeSafetensors({ a: f32(1, 2, 3) }, { format: "pt" }),
    encodeSafetensors({
      b: { dtype: "BOOL", shape: [3], data: new Uint8Array([1, 0, 1]) },
      i: { dtype: "I64", shape: [1, 2], data: new BigInt64Array([1n, -1n]) },
      h: { dtype: "I16", shape: [], data: new Int16Array([7]) },
      ["__proto__"]: f32(4),
      empty: { dtype: "F64", shape: [0, 5], data: new Float64Array(0) },
    }, { downhill: '{"format":2}' }),
    encodeSafetensors(many),
  ];
}

/** Changes 1 to 4 places: bits, characters, pieces put in or taken out, the length, the end. */
function mutate(seed: Uint8Array, draws: Draws): Uint8Array {
  let bytes: Uint8Array = seed.slice();
  for (let times = 1 + draws.below(4); times > 0; times--) {
    const header = Math.min(bytes.length, 8 + (bytes.length < 8 ? 0 : bytes[0] + 256 * bytes[1]));
    const at = draws.below(Math.max(1, draws.unit() < 0.9 ? header : bytes.length));
    const kind = draws.below(6);
    if (kind === 0) bytes[at] ^= 1 << draws.below(8);
    else if (kind === 1) bytes[at] = ALPHABET[draws.below(ALPHABET.length)];
    else if (kind === 2) bytes = spliced(bytes, at, 0, draws.pick(PIECES));
    else if (kind === 3) bytes = spliced(bytes, at, draws.below(9), new Uint8Array(0));
    else if (kind === 4) bytes[draws.below(8)] = draws.below(256);
    else bytes = bytes.slice(0, draws.below(bytes.length + 1));
    // What was put in or taken out may leave the length of the header right.
    if ((kind === 2 || kind === 3) && bytes.length >= 8 && draws.unit() < 0.7) {
      const length = Math.max(0, header - 8 + bytes.length - seed.length);
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, length, true);
    }
  }
  return bytes;
}

function spliced(bytes: Uint8Array, at: number, take: number, put: Uint8Array): Uint8Array {
  const rest = bytes.subarray(Math.min(bytes.length, at + take));
  const out = new Uint8Array(Math.min(at, bytes.length) + put.length + rest.length);
  out.set(bytes.subarray(0, at));
  out.set(put, Math.min(at, bytes.length));
  out.set(rest, Math.min(at, bytes.length) + put.length);
  return out;
}

/** Every answer is tensors that fit their data, or a CheckpointError of one line. */
export function readMutations(count: number, seed: number): MutationFigures {
  const draws = new Draws(seed);
  const files = seeds();
  const figures: MutationFigures = { refused: 0, accepted: 0, slowest: 0 };
  for (let i = 0; i < count; i++) {
    const bytes = mutate(draws.pick(files), draws);
    const began = performance.now();
    try {
      const { tensors, metadata } = decodeSafetensors(bytes);
      figures.accepted++;
      let total = 0;
      for (const name of Object.keys(tensors)) {
        const { shape, data } = tensors[name];
        assert.equal(shape.reduce((a, b) => a * b, 1), data.length);
        total += data.byteLength;
      }
      // F16 and BF16 become twice as long.
      assert.ok(total <= 2 * bytes.length);
      assert.ok(Object.values(metadata).every((value) => typeof value === "string"));
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      assert.ok(!error.message.includes("\n"), error.message);
      figures.refused++;
    }
    let took = performance.now() - began;
    // Once may be the garbage of all files before, or another program.
    for (let again = 0; again < 2 && took > 5; again++) took = Math.min(took, timeOf(bytes));
    figures.slowest = Math.max(figures.slowest, took);
  }
  assert.equal(({} as Record<string, unknown>).dtype, undefined);
  return figures;
}

function timeOf(bytes: Uint8Array): number {
  const began = performance.now();
  try {
    decodeSafetensors(bytes);
  } catch {
    // Refused as before.
  }
  return performance.now() - began;
}
