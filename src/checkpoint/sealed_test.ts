import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { CheckpointError } from "../core/errors.ts";
import { sha256 } from "../core/sha256.ts";
import { decodeSafetensors, encodeSafetensors, type HostTensor } from "./safetensors.ts";
import { decodeSealed, encodeSealed, HEADER_DIGEST, TENSOR_DIGESTS } from "./sealed.ts";

const tensors: Record<string, HostTensor> = Object.assign(Object.create(null), {
  a: { dtype: "F32", shape: [2], data: new Float32Array([1, -2]) },
  ["__proto__"]: { dtype: "I32", shape: [1], data: new Int32Array([7]) },
  "empty": { dtype: "F32", shape: [0], data: new Float32Array(0) },
  "downhill.sha256": { dtype: "BOOL", shape: [1], data: new Uint8Array([1]) },
});
const metadata = { "1": "a key that JavaScript puts first", format: "pt" };

test("encodeSealed() and decodeSealed() carry tensors and metadata", async () => {
  const content = await decodeSealed(await encodeSealed(tensors, metadata), "x");
  assert.deepEqual({ ...content.tensors }, { ...tensors });
  assert.deepEqual({ ...content.metadata }, metadata);
  assert.equal(content.sealed, true);
});

test("encodeSealed() writes digests that anyone can compute again", async () => {
  const bytes = await encodeSealed(tensors, metadata);
  const { metadata: found, tensors: read } = decodeSafetensors(bytes);
  const header = Buffer.from(bytes.subarray(0, 8 + bytes[0] + 256 * bytes[1])).toString("latin1");
  const blank = header.replace(found[HEADER_DIGEST], "0".repeat(64));
  const blankBytes = Uint8Array.from(blank, (c) => c.charCodeAt(0));
  assert.equal(found[HEADER_DIGEST], await sha256(blankBytes));
  const list = JSON.parse(found[TENSOR_DIGESTS]);
  assert.deepEqual(Object.keys(list), Object.keys(tensors).sort());
  for (const name of Object.keys(tensors)) {
    const data = new Uint8Array(read[name].data.slice().buffer as ArrayBuffer);
    assert.equal(Object.getOwnPropertyDescriptor(list, name)?.value, await sha256(data), name);
  }
});

test("decodeSealed() reads files of other programs as not sealed", async () => {
  const content = await decodeSealed(encodeSafetensors(tensors, metadata), "x");
  assert.deepEqual({ ...content.tensors }, { ...tensors });
  assert.equal(content.sealed, false);
});

test("decodeSealed() refuses what its digests do not vouch for", async () => {
  const good = await encodeSealed(tensors);
  const { metadata: found } = decodeSafetensors(good);
  const header = found[HEADER_DIGEST], list = found[TENSOR_DIGESTS];
  const change = (edit: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = good.slice();
    edit(bytes);
    return bytes;
  };
  const resealed = async (list: string): Promise<Uint8Array> => {
    const bytes = encodeSafetensors(tensors, {
      [HEADER_DIGEST]: "0".repeat(64),
      [TENSOR_DIGESTS]: list,
    });
    const head = bytes.slice(0, 8 + bytes[0] + 256 * bytes[1]);
    const at = new TextDecoder().decode(bytes).indexOf("0".repeat(64));
    bytes.set(new TextEncoder().encode(await sha256(head)), at);
    return bytes;
  };
  const rows: [string, Uint8Array, RegExp][] = [
    ["a value", change((b) => b[b.length - 2] ^= 1), /tensor ".*" does not have its digest/],
    ["a space", change((b) => b[8 + b[0] + 256 * b[1] - 1] ^= 0x29), /x: /],
    ["no list", encodeSafetensors(tensors, { [HEADER_DIGEST]: header }), /digests are incomplete/],
    ["no header", encodeSafetensors(tensors, { [TENSOR_DIGESTS]: list }), /digests are incomplete/],
    [
      "another header",
      encodeSafetensors(tensors, { [HEADER_DIGEST]: header, [TENSOR_DIGESTS]: list, more: "1" }),
      /the header does not have its digest/,
    ],
    ["a list that is no JSON", await resealed("{"), /tensor ".*" does not have its digest/],
    ["a list that is null", await resealed("null"), /tensor ".*" does not have its digest/],
    ["an empty list", await resealed("{}"), /tensor ".*" does not have its digest/],
  ];
  for (const [title, bytes, message] of rows) {
    await assert.rejects(decodeSealed(bytes, "x"), (error: Error) => {
      assert.ok(error instanceof CheckpointError, title);
      assert.match(error.message, message, title);
      return true;
    });
  }
  await assert.doesNotReject(decodeSealed(await resealed(list), "x"));
  for (const key of [HEADER_DIGEST, TENSOR_DIGESTS]) {
    await assert.rejects(encodeSealed(tensors, { [key]: "" }), /this key is reserved/);
  }
});
