/** SHA-256. */
import { partHasher } from "./host.ts";

/** What is hashed at a time. */
const PART_BYTES = 2 ** 23;

/** The digest of `bytes` in 64 hexadecimal digits, by Web Crypto: beside the program, on a copy. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The same without a copy and, for many small arrays, in less time; where the host can do that. */
export async function sha256InPlace(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hasher = partHasher();
  if (hasher === undefined) return await sha256(bytes);
  for (let at = 0; at < bytes.length; at += PART_BYTES) {
    // A turn for whatever else waits.
    if (at > 0) await new Promise<void>((resolve) => setTimeout(resolve));
    hasher.update(bytes.subarray(at, at + PART_BYTES));
  }
  return hasher.digest("hex");
}
