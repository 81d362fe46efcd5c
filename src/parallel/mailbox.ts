/** Plain objects as JSON in shared memory: the details of a command. */
import { unreachable } from "../core/errors.ts";
import type { Arena } from "./arena.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of a message. NaN and infinities, which JSON lacks, come back as they were. */
export function encodeMessage(message: object): Uint8Array {
  return encoder.encode(JSON.stringify(message, pack));
}

/** Puts a message where the workers read that of a command. */
export function post(arena: Arena, command: number, message: Uint8Array): void {
  const { bytes } = arena.layout.mailbox;
  if (message.length + 4 > bytes) unreachable(`a message of ${message.length} bytes`);
  const at = arena.mailboxOf(command);
  arena.wordsAt(at, 1)[0] = message.length;
  arena.bytes.set(message, at + 4);
}

/** The message of a command. */
export function read<T>(arena: Arena, command: number): T {
  const at = arena.mailboxOf(command);
  const length = arena.wordsAt(at, 1)[0];
  // Decoders take no shared memory.
  return JSON.parse(decoder.decode(arena.bytes.slice(at + 4, at + 4 + length)), unpack) as T;
}

function pack(_: string, value: unknown): unknown {
  const isOdd = typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0));
  return isOdd ? { $number: Object.is(value, -0) ? "-0" : String(value) } : value;
}

function unpack(_: string, value: unknown): unknown {
  const text = (value as { $number?: string } | null)?.$number;
  return text === undefined ? value : Number(text);
}
