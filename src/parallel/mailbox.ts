/** Plain objects as JSON in shared memory: the details of a command. */
import { decodeJson, encodeJson } from "../checkpoint/json.ts";
import { unreachable } from "../core/errors.ts";
import type { Arena } from "./arena.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of a message; numbers that JSON lacks come back as they were. */
export function encodeMessage(message: object): Uint8Array {
  return encoder.encode(encodeJson(message));
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
  return decodeJson(decoder.decode(arena.bytes.slice(at + 4, at + 4 + length))) as T;
}
