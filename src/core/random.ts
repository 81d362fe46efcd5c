/**
 * Counter-based random numbers: every draw is a pure function of (keys, position).
 *
 * The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011; the generator of JAX). There is no hidden state to save: a stream is two
 * 32-bit words of key, and forking it by a label gives an independent stream. Batch order, dropout
 * and initial weights are streams forked by (seed, purpose, iteration, shard), so a run can be
 * continued anywhere from integers alone.
 */
import { cosSin, log } from "./math.ts";

const PARITY = 0x1bd11bda;

/** One block: two output words from key (k0, k1) and counter (c0, c1), written to `out[at]`, `out[at + 1]`. */
export function threefry(
  k0: number,
  k1: number,
  c0: number,
  c1: number,
  out: Uint32Array,
  at: number,
): void {
  const k2 = k0 ^ k1 ^ PARITY;
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
  x0 = (x0 + k1) | 0, x1 = (x1 + k2 + 1) | 0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
  x0 = (x0 + k2) | 0, x1 = (x1 + k0 + 2) | 0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
  x0 = (x0 + k0) | 0, x1 = (x1 + k1 + 3) | 0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
  x0 = (x0 + k1) | 0, x1 = (x1 + k2 + 4) | 0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
  x0 = (x0 + x1) | 0, x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
  out[at] = x0 + k2;
  out[at + 1] = x1 + k0 + 5;
}

/** The block being read; streams are many and short-lived, and none keeps one. */
const block: Uint32Array = new Uint32Array(2);

/** A stream of random numbers: a key and a position. */
export class RandomStream {
  readonly #k0: number;
  readonly #k1: number;
  #position = 0;

  /** Use {@link randomStream} and {@link fork}. */
  constructor(k0: number, k1: number) {
    this.#k0 = k0 | 0;
    this.#k1 = k1 | 0;
  }

  /** The key: two unsigned 32-bit words that, with a position, determine every draw. */
  get key(): readonly [number, number] {
    return [this.#k0 >>> 0, this.#k1 >>> 0];
  }

  /** The independent stream named `label`; the same label always gives the same stream. */
  fork(label: number | string): RandomStream {
    const [low, high] = typeof label === "number" ? words(label) : hash(label);
    // Numbers and texts live in different halves of the counter space, away from the draws.
    threefry(
      this.#k0,
      this.#k1 ^ (typeof label === "number" ? 0x6e756d62 : 0x74657874),
      low,
      high,
      block,
      0,
    );
    return new RandomStream(block[0], block[1]);
  }

  /** Fills `out` with uniform 32-bit words. */
  bits(out: Uint32Array): Uint32Array {
    const pairs = out.length >> 1;
    for (let i = 0; i < pairs; i++) threefry(this.#k0, this.#k1, this.#position + i, 0, out, 2 * i);
    if (out.length & 1) {
      threefry(this.#k0, this.#k1, this.#position + pairs, 0, block, 0);
      out[out.length - 1] = block[0];
    }
    this.#position += (out.length + 1) >> 1;
    return out;
  }

  /**
   * Passes over the words that {@link bits} would fill `count` places with; the position of the first
   * pair: word i is word i mod 2 of the block (key, counter `position + floor(i / 2)`).
   */
  skip(count: number): number {
    const position = this.#position;
    this.#position += (count + 1) >> 1;
    return position;
  }

  /** Fills `out` with uniform numbers in [low, high): 24 random bits each. */
  uniform<T extends Float32Array | Float64Array>(out: T, low = 0, high = 1): T {
    const words = this.bits(new Uint32Array(out.length));
    const scale = (high - low) / 0x1000000;
    for (let i = 0; i < words.length; i++) out[i] = low + (words[i] >>> 8) * scale;
    return out;
  }

  /** Fills `out` with normal numbers (Box-Muller in double precision). */
  normal<T extends Float32Array | Float64Array>(out: T, mean = 0, std = 1): T {
    const words = this.bits(new Uint32Array(out.length + (out.length & 1)));
    for (let i = 0; i < words.length; i += 2) {
      const radius = std * Math.sqrt(-2 * log((words[i] + 1) / 0x100000000));
      const [cos, sin] = cosSin(2 * Math.PI * (words[i + 1] / 0x100000000));
      out[i] = mean + radius * cos;
      if (i + 1 < out.length) out[i + 1] = mean + radius * sin;
    }
    return out;
  }

  /** A uniform integer in [0, n), n at most 2^32, without bias (multiply-shift with rejection). */
  integer(n: number): number {
    const limit = 0x100000000 - (0x100000000 % n);
    for (;;) {
      threefry(this.#k0, this.#k1, this.#position++, 0, block, 0);
      if (block[0] < limit) return block[0] % n;
      if (block[1] < limit) return block[1] % n;
    }
  }

  /** A uniform permutation of 0..n-1 (Fisher-Yates). */
  permutation(n: number): Uint32Array {
    const out = new Uint32Array(n);
    for (let i = 0; i < n; i++) out[i] = i;
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swap = out[i];
      out[i] = out[j];
      out[j] = swap;
    }
    return out;
  }
}

/** The stream of a seed (an integer of at most 53 bits), then forked by each label. */
export function randomStream(seed: number, ...labels: (number | string)[]): RandomStream {
  const [low, high] = words(seed);
  return labels.reduce<RandomStream>(
    (stream, label) => stream.fork(label),
    new RandomStream(low, high),
  );
}

function words(value: number): [number, number] {
  return [value | 0, Math.floor(value / 0x100000000) | 0];
}

/** 64-bit FNV-1a style hash of a label's UTF-16 units, as two 32-bit words. */
function hash(label: string): [number, number] {
  let a = 0x811c9dc5, b = 0x9e3779b9;
  for (let i = 0; i < label.length; i++) {
    a = Math.imul(a ^ label.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ label.charCodeAt(i), 0x85ebca6b) ^ (b >>> 13);
  }
  return [a, b];
}
