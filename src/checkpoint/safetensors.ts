/**
 * The safetensors format: 8 bytes header length, a JSON header, then the data of all tensors
 * without holes. It can hold arrays and strings and nothing that runs.
 *
 * The writer lays tensors out as the reference implementation does (wider dtypes first, then by
 * name), so that equal content gives equal bytes and every tensor is aligned. Typed arrays of the
 * supported runtimes are little-endian, as the format is.
 * https://github.com/huggingface/safetensors#format
 */
import { CheckpointError, show } from "../core/errors.ts";
import {
  type Header,
  HEADER_LIMITS,
  type HeaderEntry,
  METADATA_KEY,
  parseHeader,
} from "./safetensors_header.ts";

/** Element types that have a typed array; F16 and BF16 are widened to F32 on reading. */
export type Dtype =
  | "BOOL"
  | "U8"
  | "I8"
  | "I16"
  | "U16"
  | "I32"
  | "U32"
  | "F32"
  | "F64"
  | "I64"
  | "U64";

/** The data of a tensor in memory: the typed array of its dtype; BOOL is one byte, 0 or 1. */
export type HostArray =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** A tensor outside any backend, row-major. */
export interface HostTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/** What a file holds; both objects have no prototype. */
export interface SafetensorsContent {
  readonly tensors: Record<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

/** The longest header that readers of the format accept, in bytes. */
export const MAX_HEADER_BYTES: number = 100_000_000;

/** Bytes per element, array, and place in the layout: the highest `order` is written first. */
interface Format {
  readonly bytes: number;
  readonly order: number;
  readonly array?: new (buffer: ArrayBufferLike, byteOffset: number, length: number) => HostArray;
  /** Reads 16 bits as a number, for dtypes without a typed array. */
  readonly widen?: (bits: number) => number;
}

const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ["BOOL", { bytes: 1, order: 0, array: Uint8Array }],
  ["U8", { bytes: 1, order: 1, array: Uint8Array }],
  ["I8", { bytes: 1, order: 2, array: Int8Array }],
  ["I16", { bytes: 2, order: 3, array: Int16Array }],
  ["U16", { bytes: 2, order: 4, array: Uint16Array }],
  ["F16", { bytes: 2, order: 5, widen: halfToNumber }],
  ["BF16", { bytes: 2, order: 6, widen: bfloatToNumber }],
  ["I32", { bytes: 4, order: 7, array: Int32Array }],
  ["U32", { bytes: 4, order: 8, array: Uint32Array }],
  ["F32", { bytes: 4, order: 9, array: Float32Array }],
  ["F64", { bytes: 8, order: 10, array: Float64Array }],
  ["I64", { bytes: 8, order: 11, array: BigInt64Array }],
  ["U64", { bytes: 8, order: 12, array: BigUint64Array }],
]);

/**
 * The bytes of a file with these tensors.
 *
 * @param metadata Free text by key, stored in the header.
 * @throws {CheckpointError} For content that the format or `decodeSafetensors` does not accept: a
 * name with NUL or lone surrogates or equal to `__metadata__`, data that does not fit dtype and
 * shape, more than 16 axes, more than 100,000 names, a header above 40,000,000 bytes.
 */
export function encodeSafetensors(
  tensors: Record<string, HostTensor>,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const names = Object.keys(tensors);
  for (const name of names) checkTensor(name, tensors[name]);
  names.sort((a, b) => order(tensors[b]) - order(tensors[a]) || byCodePoint(a, b));

  const fields: string[] = [];
  const keys = Object.keys(metadata);
  for (const key of keys) checkMetadata(key, metadata[key]);
  if (names.length + keys.length > HEADER_LIMITS.entries) {
    throw new CheckpointError(
      `safetensors: a file must have at most ${HEADER_LIMITS.entries} tensors and metadata ` +
        `entries, received ${names.length + keys.length}`,
    );
  }
  if (keys.length > 0) {
    const pairs = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    fields.push(`"${METADATA_KEY}":{${pairs.join(",")}}`);
  }
  let end = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name];
    const begin = end;
    end += data.byteLength;
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],` +
        `"data_offsets":[${begin},${end}]}`,
    );
  }
  const header = new TextEncoder().encode(`{${fields.join(",")}}`);
  if (header.length > HEADER_LIMITS.bytes) {
    throw new CheckpointError(
      `safetensors: the header must have at most ${HEADER_LIMITS.bytes} bytes, received ` +
        `${header.length}`,
    );
  }
  const headerBytes = Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerBytes + end);
  new DataView(bytes.buffer).setUint32(0, headerBytes, true);
  bytes.set(header, 8);
  bytes.fill(0x20, 8 + header.length, 8 + headerBytes);
  let at = 8 + headerBytes;
  for (const name of names) {
    const { data } = tensors[name];
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/**
 * Reads a file. Data is a view of `bytes` where it is aligned, else a copy; F16 and BF16 become F32.
 *
 * Beyond the format's own rules it refuses NUL in tensor names, duplicate keys, unknown fields,
 * integers above 2^53 - 1, complex numbers and floats of 8 bits and less; and, so that it never takes
 * more memory than the file and 256 MiB, more than 16 axes, more than 100,000 tensors and metadata
 * entries, and a header above 40,000,000 bytes, spaces at its end not counted (the format: above
 * 100,000,000). Sizes are checked against the real bytes before anything is allocated.
 *
 * @param where The file, for error messages.
 * @throws {CheckpointError} At the first fault.
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  where = "safetensors",
): SafetensorsContent {
  const file = parseSafetensors(bytes, where);
  return { tensors: makeTensors(file), metadata: file.metadata };
}

/** A checked header with the data it describes. */
export interface SafetensorsFile extends Header {
  readonly data: Uint8Array;
}

/** The first half of `decodeSafetensors`: everything is checked, nothing is copied. */
export function parseSafetensors(bytes: Uint8Array, where: string): SafetensorsFile {
  if (bytes.length < 8) {
    throw new CheckpointError(
      `${where}: a safetensors file has at least 8 bytes, received ${bytes.length}`,
    );
  }
  const prefix = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const headerBytes = prefix.getUint32(4, true) * 2 ** 32 + prefix.getUint32(0, true);
  if (headerBytes > MAX_HEADER_BYTES || headerBytes > bytes.length - 8) {
    const limit = Math.min(MAX_HEADER_BYTES, bytes.length - 8);
    throw new CheckpointError(
      `${where}: the header must have at most ${limit} bytes, received length ${headerBytes}`,
    );
  }
  const header = parseHeader(bytes.subarray(8, 8 + headerBytes), where);
  const data = bytes.subarray(8 + headerBytes);
  checkLayout(header.entries, data.length, where);
  return { ...header, data };
}

/** The second half: the tensors of a checked file. */
export function makeTensors({ entries, data }: SafetensorsFile): Record<string, HostTensor> {
  const tensors: Record<string, HostTensor> = Object.create(null);
  for (const entry of entries) tensors[entry.name] = readTensor(entry, data);
  return tensors;
}

/** Every entry has a known dtype and the bytes of its shape, and together they tile the data. */
function checkLayout(entries: readonly HeaderEntry[], total: number, where: string): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let expected = 0;
  for (const { name, dtype, shape, begin, end } of sorted) {
    const fail = (rule: string): never => {
      throw new CheckpointError(`${where}: tensor ${show(name)}: ${rule}`);
    };
    if (name.includes("\0")) fail("a name must not contain NUL");
    const format = FORMATS.get(dtype);
    if (format === undefined) {
      return fail(
        `dtype must be one of ${[...FORMATS.keys()].join(", ")}, received ${show(dtype)}`,
      );
    }
    if (begin !== expected) fail(`data must begin at byte ${expected}, received ${begin}`);
    const size = byteSize(shape, format.bytes);
    if (size === undefined) fail(`shape must have at most 2^53 - 1 bytes, received ${show(shape)}`);
    if (end - begin !== size) {
      fail(`${dtype} of shape ${show(shape)} has ${size} bytes, received offsets ${begin}, ${end}`);
    }
    expected = end;
  }
  if (expected !== total) {
    throw new CheckpointError(
      `${where}: the header describes ${expected} data bytes, found ${total}`,
    );
  }
}

/** Bytes of a shape, or undefined beyond the integers of a double. */
function byteSize(shape: readonly number[], elementBytes: number): number | undefined {
  let size = 1;
  for (const length of [...shape, elementBytes]) {
    size *= length;
    if (size > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return size;
}

function readTensor({ dtype, shape, begin, end }: HeaderEntry, data: Uint8Array): HostTensor {
  const { bytes, array, widen } = FORMATS.get(dtype)!;
  const at = data.byteOffset + begin;
  const aligned = at % bytes === 0;
  const buffer = aligned ? data.buffer : new Uint8Array(data.subarray(begin, end)).buffer;
  const offset = aligned ? at : 0;
  const length = (end - begin) / bytes;
  if (array !== undefined) {
    return { dtype: dtype as Dtype, shape, data: new array(buffer, offset, length) };
  }
  const wide = Float32Array.from(new Uint16Array(buffer, offset, length), widen!);
  return { dtype: "F32", shape, data: wide };
}

/** 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** The upper half of a float32. */
function bfloatToNumber(bits: number): number {
  floatBits[0] = bits << 16;
  return float[0];
}

function order(tensor: HostTensor): number {
  return FORMATS.get(tensor.dtype)!.order;
}

function checkTensor(name: string, { dtype, shape, data }: HostTensor): void {
  const fail = (rule: string): never => {
    throw new CheckpointError(`safetensors: tensor ${show(name)}: ${rule}`);
  };
  if (name === METADATA_KEY) fail("this name is reserved for the metadata");
  if (name.includes("\0") || !name.isWellFormed()) {
    fail("a name must be Unicode text without NUL and lone surrogates");
  }
  const format = FORMATS.get(dtype);
  if (format?.array === undefined) return fail(`dtype cannot be written, received ${show(dtype)}`);
  if (!(data instanceof format.array)) {
    fail(`data of ${dtype} must be a ${format.array.name}, received ${show(data)}`);
  }
  if (shape.length > HEADER_LIMITS.axes) {
    fail(`shape must have at most ${HEADER_LIMITS.axes} axes, received ${shape.length}`);
  }
  if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0)) {
    fail(`shape must be integers >= 0, received ${show(shape)}`);
  }
  const size = byteSize(shape, format.bytes);
  if (size === undefined) fail(`shape must have at most 2^53 - 1 bytes, received ${show(shape)}`);
  if (size !== data.byteLength) {
    fail(`${dtype} of shape ${show(shape)} has ${size} bytes, received ${data.byteLength}`);
  }
}

function checkMetadata(key: string, value: unknown): void {
  if (typeof value !== "string" || !value.isWellFormed() || !key.isWellFormed()) {
    throw new CheckpointError(
      `safetensors: metadata ${show(key)}: must be Unicode text, received ${show(value)}`,
    );
  }
}

/** UTF-8 order: surrogate pairs sort above the rest of the basic plane. */
function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i), y = b.charCodeAt(i);
    if (x !== y) return plane(x) - plane(y) || x - y;
  }
  return a.length - b.length;
}

function plane(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? 1 : 0;
}
