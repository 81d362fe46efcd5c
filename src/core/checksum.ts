/** A short text that differs when data differ: enough to tell data sets apart, no protection. */

/** FNV-1a over 32-bit words (bytes at the end), as 8 hexadecimal digits. */
export function checksum(data: ArrayBufferView): string {
  const { buffer, byteOffset, byteLength } = data;
  const aligned = byteOffset % 4 === 0;
  const words = aligned ? new Uint32Array(buffer, byteOffset, byteLength >> 2) : new Uint32Array(0);
  let hash = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) {
    hash = Math.imul(hash ^ words[i], 0x01000193);
    // Bring high bits down: a product alone never moves them.
    hash ^= hash >>> 15;
  }
  const rest = new Uint8Array(buffer, byteOffset, byteLength).subarray(words.byteLength);
  for (let i = 0; i < rest.length; i++) hash = Math.imul(hash ^ rest[i], 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
