/**
 * Safetensors files that prove their own bytes. The metadata has two more keys:
 *
 *     downhill.sha256           SHA-256 of the file's first 8 bytes and the raw header, in which
 *                               these 64 digits themselves stand as 64 times "0"
 *     downhill.tensors.sha256   JSON: SHA-256 of the bytes of every tensor, by name
 *
 * So every byte is covered by a digest that lies outside of it, the file stays one file, and every
 * reader of the format can open it. Digests find damage; they are no protection from an author.
 */
import { CheckpointError, show } from "../core/errors.ts";
import { sha256, sha256InPlace } from "../core/sha256.ts";
import {
  encodeSafetensors,
  type HostTensor,
  makeTensors,
  parseSafetensors,
  type SafetensorsContent,
} from "./safetensors.ts";

/** What a file holds, and whether its digests vouch for it. */
export interface SealedContent extends SafetensorsContent {
  readonly sealed: boolean;
}

/** The metadata keys that belong to the digests. */
export const HEADER_DIGEST: string = "downhill.sha256";
export const TENSOR_DIGESTS: string = "downhill.tensors.sha256";

const BLANK = "0".repeat(64);
const QUOTE = 0x22;
const BEFORE_DIGEST = new TextEncoder().encode(`"${HEADER_DIGEST}":"`);

/** `encodeSafetensors` with digests. */
export async function encodeSealed(
  tensors: Record<string, HostTensor>,
  metadata: Record<string, string> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  for (const key of [HEADER_DIGEST, TENSOR_DIGESTS]) {
    if (Object.hasOwn(metadata, key)) {
      throw new CheckpointError(`safetensors: metadata ${show(key)}: this key is reserved`);
    }
  }
  const digests: string[] = [];
  for (const name of Object.keys(tensors).sort()) {
    digests.push(`${JSON.stringify(name)}:"${await sha256(bytesOf(tensors[name].data))}"`);
  }
  const bytes = encodeSafetensors(tensors, {
    [HEADER_DIGEST]: BLANK,
    [TENSOR_DIGESTS]: `{${digests.join(",")}}`,
    ...metadata,
  });
  const head = bytes.subarray(0, dataOffset(bytes));
  const digest = await sha256(head);
  head.set(new TextEncoder().encode(digest), digestOffset(head)!);
  return bytes;
}

/**
 * `decodeSafetensors`, with the digests verified before a tensor is made. A file without digests,
 * of another program, is read too and said to be not `sealed`.
 *
 * @throws {CheckpointError} At the first fault.
 */
export async function decodeSealed(bytes: Uint8Array, where: string): Promise<SealedContent> {
  const file = parseSafetensors(bytes, where);
  const { [HEADER_DIGEST]: expected, [TENSOR_DIGESTS]: list, ...metadata } = file.metadata;
  const sealed = expected !== undefined || list !== undefined;
  if (sealed) {
    const head = bytes.slice(0, dataOffset(bytes));
    const at = digestOffset(head);
    if (at === undefined || list === undefined) {
      throw new CheckpointError(`${where}: damaged: the digests are incomplete`);
    }
    head.fill(0x30, at, at + BLANK.length);
    if (await sha256InPlace(head) !== expected) {
      throw new CheckpointError(`${where}: damaged: the header does not have its digest`);
    }
    const digests = parseDigests(list);
    for (const { name, begin, end } of file.entries) {
      const data = file.data.subarray(begin, end) as Uint8Array<ArrayBuffer>;
      if (await sha256InPlace(data) !== digests.get(name)) {
        throw new CheckpointError(
          `${where}: damaged: tensor ${show(name)} does not have its digest`,
        );
      }
    }
  }
  return {
    tensors: makeTensors(file),
    metadata: Object.assign(Object.create(null), metadata),
    sealed,
  };
}

/** By name; nothing where the text is not what `encodeSealed` writes. */
function parseDigests(list: string): Map<string, unknown> {
  try {
    return new Map(Object.entries(JSON.parse(list)));
  } catch {
    return new Map();
  }
}

/** The first byte after the header. */
function dataOffset(bytes: Uint8Array): number {
  return 8 + new DataView(bytes.buffer, bytes.byteOffset, 8).getUint32(0, true);
}

/**
 * The place of the header's digest. Its key in plain quotes cannot stand in a string, where quotes
 * are escaped, and the parser refuses it as a field of a tensor.
 */
function digestOffset(head: Uint8Array): number | undefined {
  const last = head.length - BEFORE_DIGEST.length;
  for (let at = head.indexOf(QUOTE); at >= 0 && at <= last; at = head.indexOf(QUOTE, at + 1)) {
    if (BEFORE_DIGEST.every((byte, i) => head[at + i] === byte)) return at + BEFORE_DIGEST.length;
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
