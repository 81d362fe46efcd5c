/** The two encodings inside an event file: protobuf fields and TFRecord framing. */
import { concatenate } from "./append_buffer.ts";

/** The bytes of one protobuf field: key and value. */
export type Field = Uint8Array;

/** Encoders of the field types that events use. */
export const field: {
  /** varint; `value` is an integer in [0, 2^53 - 1]. */
  integer(number: number, value: number): Field;
  double(number: number, value: number): Field;
  float(number: number, value: number): Field;
  text(number: number, value: string): Field;
  message(number: number, fields: readonly Field[]): Field;
} = {
  integer: (number, value) => Uint8Array.from([...varint(number << 3), ...varint(value)]),
  double: (number, value) => fixed(number << 3 | 1, 8, (view) => view.setFloat64(1, value, true)),
  float: (number, value) => fixed(number << 3 | 5, 4, (view) => view.setFloat32(1, value, true)),
  text: (number, value) => delimited(number, new TextEncoder().encode(value)),
  message: (number, fields) => delimited(number, concatenate(fields)),
};

/** `data` as a TFRecord. */
export function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, masked(crc32c(bytes.subarray(0, 8))), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, masked(crc32c(data)), true);
  return bytes;
}

/** CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** TFRecord's mask: a checksum of data that holds checksums is weak. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 + 128);
  bytes.push(rest);
  return bytes;
}

/** A one-byte key and a fixed-width value. */
function fixed(key: number, length: number, set: (view: DataView) => void): Field {
  const bytes = new Uint8Array(1 + length);
  bytes[0] = key;
  set(new DataView(bytes.buffer));
  return bytes;
}

function delimited(number: number, bytes: Uint8Array): Field {
  return concatenate([
    Uint8Array.from([...varint(number << 3 | 2), ...varint(bytes.length)]),
    bytes,
  ]);
}
