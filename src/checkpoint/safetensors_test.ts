import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readFixture } from "../../test/support/fixture.ts";
import { randomStream } from "../core/random.ts";
import { CheckpointError } from "../core/errors.ts";
import { decodeSafetensors, encodeSafetensors, type HostTensor } from "./safetensors.ts";

interface Fixture {
  all: string;
  halves: { file: string; half: string[]; bfloat: string[] };
  cases: { title: string; python: boolean; file: string }[];
}

const fixture = readFixture<Fixture>("safetensors.json");
const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

/** The content of the fixture's file `all`. */
const all: Record<string, HostTensor> = Object.assign(Object.create(null), {
  f64: { dtype: "F64", shape: [1, 2], data: new Float64Array([1.5, -2.25]) },
  "layer.weight": {
    dtype: "F32",
    shape: [2, 3],
    data: new Float32Array([0.1, -3, 1e-30, Infinity, 2, -0]),
  },
  a: { dtype: "F32", shape: [1], data: new Float32Array([1]) },
  "\ufb01": { dtype: "F32", shape: [1], data: new Float32Array([2]) },
  "\u{1f600}": { dtype: "F32", shape: [1], data: new Float32Array([3]) },
  ["__proto__"]: { dtype: "F32", shape: [1], data: new Float32Array([4]) },
  'quote"\n\u2028\x7f': { dtype: "F32", shape: [1], data: new Float32Array([5]) },
  i64: { dtype: "I64", shape: [2], data: new BigInt64Array([2n ** 40n, -1n]) },
  u64: { dtype: "U64", shape: [1], data: new BigUint64Array([2n ** 60n]) },
  i32: { dtype: "I32", shape: [2], data: new Int32Array([-7, 8]) },
  u32: { dtype: "U32", shape: [1], data: new Uint32Array([2 ** 31 + 1]) },
  i16: { dtype: "I16", shape: [1], data: new Int16Array([-300]) },
  u16: { dtype: "U16", shape: [1], data: new Uint16Array([60000]) },
  i8: { dtype: "I8", shape: [3], data: new Int8Array([-5, 6, 7]) },
  u8: { dtype: "U8", shape: [1], data: new Uint8Array([200]) },
  flag: { dtype: "BOOL", shape: [3], data: new Uint8Array([1, 0, 1]) },
  scalar: { dtype: "F32", shape: [], data: new Float32Array([6.5]) },
  empty: { dtype: "F32", shape: [0, 3], data: new Float32Array(0) },
});

test("decodeSafetensors() reads every dtype of a file written by Python", () => {
  const { tensors, metadata } = decodeSafetensors(bytesOf(fixture.all));
  assert.deepEqual({ ...metadata }, { format: "pt" });
  assert.deepEqual(Object.keys(tensors).sort(), Object.keys(all).sort());
  for (const name of Object.keys(all)) assert.deepEqual(tensors[name], all[name], name);
});

test("encodeSafetensors() writes the bytes that Python writes for the same content", () => {
  assert.deepEqual(encodeSafetensors(all, { format: "pt" }), bytesOf(fixture.all));
});

test("decodeSafetensors() widens F16 and BF16 to the float32 values of torch", () => {
  const { tensors } = decodeSafetensors(bytesOf(fixture.halves.file));
  for (const name of ["half", "bfloat"] as const) {
    const expected = fixture.halves[name].map((text) => Number(text.replace("inf", "Infinity")));
    assert.equal(tensors[name].dtype, "F32");
    assert.deepEqual(tensors[name].data, new Float32Array(expected), name);
  }
});

test("decodeSafetensors() returns views of aligned data and copies of other data", () => {
  const bytes = encodeSafetensors({ a: all.a });
  assert.equal(decodeSafetensors(bytes).tensors.a.data.buffer, bytes.buffer);
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  for (const odd of [shifted.subarray(1), Buffer.from(shifted.buffer, 1)]) {
    assert.deepEqual(decodeSafetensors(odd).tensors.a, all.a);
  }
});

/** Files that Python reads and we refuse, each with its reason. */
const refused: Record<string, string> = {
  "NUL in a name": "other languages cut the name there",
  "metadata key twice": "which of the two counts is left open",
  "same tensor twice": "which of the two counts is left open",
  "unknown field": "it may change the meaning of the data",
  "tensor as an array": "an accident of Python's parser, not in the format",
  "8-bit float": "no array type holds it, and no weights of ours use it",
  complex: "no array type holds it, and no weights of ours use it",
  "no elements, length above 2^53": "a double cannot hold the length",
  "17 axes": "reading must take no more memory than the file and a constant",
};

test("decodeSafetensors() accepts what Python accepts, but for a listed few", () => {
  const reasonsUsed = new Set<string>();
  for (const { title, python, file } of fixture.cases) {
    let accepted = true;
    try {
      decodeSafetensors(bytesOf(file));
    } catch (error) {
      accepted = false;
      assert.ok(error instanceof CheckpointError, `${title}: ${error}`);
      assert.ok(!error.message.includes("\n"), error.message);
    }
    if (python && !accepted) reasonsUsed.add(title);
    assert.equal(accepted, python && !Object.hasOwn(refused, title), title);
  }
  assert.deepEqual([...reasonsUsed].sort(), Object.keys(refused).sort());
});

test("decodeSafetensors() and encodeSafetensors() have limits, so that memory has one", () => {
  const file = (header: string): Uint8Array => {
    const bytes = new TextEncoder().encode(`        ${header}`);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
    return bytes;
  };
  const list = (n: number, entry: (i: number) => string) =>
    Array.from({ length: n }, (_, i) => entry(i)).join();
  const named = (n: number) =>
    list(n, (i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
  const texts = (n: number) => `"__metadata__":{${list(n, (i) => `"${i}":""`)}}`;
  const long = (n: number) => `{"__metadata__":{"a":"${"x".repeat(n - 25)}"}}`;
  // Python reads every file here; each limit is one more than the last file that is read.
  const rows: [header: string, refusal?: RegExp][] = [
    [`{${named(100_000)}}`],
    [`{${named(100_001)}}`, /expected at most 100000 tensors and metadata entries$/],
    [`{${texts(100_001)}}`, /expected at most 100000 tensors and metadata entries$/],
    [
      `{${named(90_000)},${texts(10_001)}}`,
      /expected at most 100000 tensors and metadata entries$/,
    ],
    [`${long(40_000_000)}${" ".repeat(1000)}`],
    [long(40_000_001), /at most 40000000 bytes before the spaces at its end, received 40000001$/],
  ];
  for (const [header, refusal] of rows) {
    const read = () => decodeSafetensors(file(header), "x");
    if (refusal === undefined) read();
    else assert.throws(read, { name: "CheckpointError", message: refusal });
  }
  const empty: HostTensor = { dtype: "U8", shape: [0], data: new Uint8Array(0) };
  const tensors = (n: number) =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`${i}`, empty]));
  const unwritten: [Record<string, HostTensor>, Record<string, string>, RegExp][] = [
    [tensors(100_000), { a: "" }, /at most 100000 tensors and metadata entries, received 100001$/],
    [
      {},
      { a: "x".repeat(39_999_976) },
      /header must have at most 40000000 bytes, received 40000001$/,
    ],
    [{ a: { ...empty, shape: Array(17).fill(0) } }, {}, /at most 16 axes, received 17$/],
  ];
  for (const [tensors, metadata, message] of unwritten) {
    assert.throws(() => encodeSafetensors(tensors, metadata), { name: "CheckpointError", message });
  }
});

test("encodeSafetensors() refuses what decodeSafetensors() refuses", () => {
  const f32 = (shape: number[], length: number): HostTensor => ({
    dtype: "F32",
    shape,
    data: new Float32Array(length),
  });
  const rows: [Record<string, HostTensor>, Record<string, string>, RegExp][] = [
    [{ __metadata__: f32([1], 1) }, {}, /"__metadata__": this name is reserved/],
    [{ "a\0b": f32([1], 1) }, {}, /without NUL/],
    [{ "\ud800": f32([1], 1) }, {}, /lone surrogates/],
    [{ a: f32([2], 1) }, {}, /F32 of shape \[2\] has 8 bytes, received 4/],
    [{ a: f32([-1, -1], 1) }, {}, /shape must be integers >= 0, received \[-1,-1\]/],
    [{ a: f32([0.5, 2], 1) }, {}, /shape must be integers/],
    [{ a: f32([2 ** 52, 2 ** 52, 0], 0) }, {}, /shape must have at most 2\^53 - 1 bytes/],
    [{ a: { ...f32([1], 1), dtype: "I32" } }, {}, /I32 must be a Int32Array/],
    [{ a: { ...f32([1], 1), dtype: "F16" as "F32" } }, {}, /dtype cannot be written/],
    [{}, { key: "\udfff" }, /metadata "key"/],
    [{}, { key: 1 as unknown as string }, /received 1/],
  ];
  for (const [tensors, metadata, message] of rows) {
    assert.throws(() => encodeSafetensors(tensors, metadata), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.match(error.message, message);
      return true;
    });
  }
});

test("decodeSafetensors() refuses every truncation", () => {
  const bytes = encodeSafetensors(all, { format: "pt" });
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeSafetensors(bytes.subarray(0, length)), CheckpointError);
  }
});

test("decodeSafetensors() answers any change of a file with tensors or a CheckpointError", () => {
  const bytes = encodeSafetensors(all, { format: "pt" });
  const header = 8 + new DataView(bytes.buffer).getUint32(0, true);
  const draws = randomStream(5).uniform(new Float64Array(15_000), 0, 1);
  const alphabet = new TextEncoder().encode('{}[]":,\\0123456789-.eEuU \n\0\xff');
  let refusals = 0;
  for (let i = 0; i < draws.length; i += 3) {
    const changed = bytes.slice();
    const at = Math.floor(draws[i] * header);
    changed[at] = draws[i + 1] < 0.5
      ? changed[at] ^ (1 << Math.floor(draws[i + 2] * 8))
      : alphabet[Math.floor(draws[i + 2] * alphabet.length)];
    try {
      decodeSafetensors(changed);
    } catch (error) {
      assert.ok(error instanceof CheckpointError, `byte ${at}: ${error}`);
      refusals++;
    }
  }
  assert.ok(refusals > 2500, `${refusals} of 5000 refused`);
});

test("decodeSafetensors() leaves prototypes alone", () => {
  decodeSafetensors(bytesOf(fixture.all));
  assert.equal(({} as Record<string, unknown>).dtype, undefined);
  assert.equal(Object.getPrototypeOf(decodeSafetensors(bytesOf(fixture.all)).tensors), null);
});
