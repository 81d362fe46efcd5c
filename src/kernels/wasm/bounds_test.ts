/** The kernels of `nn` touch nothing beside their arrays: every array in turn ends with the memory. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise } from "../../../test/support/kernels.ts";
import { instantiateKernels, type KernelExports } from "./module.ts";

/** Sizes of a function's arrays in floats, and the call on their addresses. */
interface Call {
  readonly name: string;
  readonly sizes: readonly number[];
  /** The array of labels or ids, and what they stay below. */
  readonly integers?: readonly [array: number, below: number];
  readonly run: (k: KernelExports, at: number[], scratch: number) => void;
}

const TILE = 408;

function callsOf(n: number): Call[] {
  const rows = 3;
  const [b, t, i, h] = [2, 3, n % 5 + 1, n];
  const [heads, m, d, e] = [2, 3, n % 4 + 1, n % 3 + 1];
  const scores = [heads * m * d, heads * n * d, heads * n * e];
  const kept = heads * m * ((n + 3) & ~3);
  const recurrent = (gates: number) => [b * t * i, gates * h * i, gates * h * h];
  return [
    {
      name: "layer_norm",
      sizes: [rows * n, n, n, rows * n, 2 * rows],
      run: (k, [x, g, c, y, s]) => k.f32_layer_norm(rows, n, x, g, c, 1e-5, 1, y, s),
    },
    {
      name: "layer_norm_grad",
      sizes: [rows * n, n, 2 * rows, rows * n, rows * n, n, n],
      run: (k, [x, g, s, dy, dx, dg, db], scratch) =>
        k.f32_layer_norm_grad(rows, n, x, g, s, dy, 1, dx, dg, db, scratch),
    },
    {
      name: "cross_entropy",
      sizes: [rows * n, rows, rows, 2 * rows],
      integers: [1, n],
      run: (k, [x, labels, loss, s]) => k.f32_cross_entropy(rows, n, x, labels, -1, 0.1, loss, s),
    },
    {
      name: "cross_entropy_grad",
      sizes: [rows * n, rows, 2 * rows, rows, rows * n],
      integers: [1, n],
      run: (k, [x, labels, s, dy, dx]) =>
        k.f32_cross_entropy_grad(rows, n, x, labels, -1, 0.1, s, dy, dx),
    },
    { name: "gelu_grad", sizes: [n, n, n], run: (k, [x, dy, dx]) => k.f32_gelu_grad(n, x, dy, dx) },
    {
      name: "dropout",
      sizes: [n, n],
      run: (k, [x, y]) => k.f32_dropout(n, x, 1, 2, 3, 1 << 22, 1.5, y),
    },
    {
      name: "embedding",
      sizes: [2 * n, rows, rows * n],
      integers: [1, 2],
      run: (k, [table, ids, y]) => k.f32_embedding(rows, 2, n, table, ids, y),
    },
    {
      name: "embedding_grad",
      sizes: [rows * n, rows, 2 * n],
      integers: [1, 2],
      run: (k, [dy, ids, table]) => k.f32_embedding_grad(rows, 2, n, dy, ids, table),
    },
    ...(["f32_moving_average", "f32_moving_average_grad"] as const).map((name): Call => ({
      name,
      sizes: [2 * n * i, 2 * n * i],
      run: (k, [x, y], scratch) => k[name](2, n, i, 3, n, i, x, y, scratch),
    })),
    {
      name: "line_means",
      sizes: [rows * (n + 2) * i, rows * n * i],
      run: (k, [x, y], scratch) => k.f32_line_means(rows, n + 2, i, 3, x, y, scratch),
    },
    {
      name: "softmax",
      sizes: [rows * n, rows * n],
      run: (k, [x, y]) => k.f32_softmax(rows, n, x, y),
    },
    {
      name: "attention",
      sizes: [...scores, heads * m * e, 2 * heads * m, kept],
      run: (k, [q, key, v, out, s, w], scratch) =>
        k.f32_attention(
          ...[TILE, heads, m, n, d, e, q, key, v, 1, 1, 0, 0, 0, out, s, w, scratch] as const,
        ),
    },
    {
      name: "attention_grad",
      sizes: [...scores, heads * m * e, 2 * heads * m, kept, heads * m * e, ...scores],
      run: (k, [q, key, v, out, s, w, dOut, ...d3], scratch) =>
        k.f32_attention_grad(
          ...[TILE, heads, m, n, d, e, q, key, v, 1, 1, 0, 0, 0, out, s, w, dOut] as const,
          ...d3 as [number, number, number],
          scratch,
        ),
    },
    {
      name: "lstm",
      sizes: [
        ...[...recurrent(4), 4 * h, 4 * h, b * h, b * h],
        ...[b * (t + 1) * h, b * t * 4 * h, b * t * h, b * t * h],
      ],
      run: (k, at, scratch) => k.f32_lstm(TILE, b, t, i, h, ...at as Eleven, scratch),
    },
    {
      name: "lstm_grad",
      sizes: [
        ...[...recurrent(4), b * t * 4 * h, b * t * h, b * t * h, b * (t + 1) * h],
        ...[...recurrent(4), 4 * h, b * h, b * h, b * t * 4 * h],
      ],
      run: (k, at, scratch) => k.f32_lstm_grad(TILE, b, t, i, h, ...at as Fourteen, scratch),
    },
    {
      name: "gru",
      sizes: [
        ...[...recurrent(3), 3 * h, 3 * h, b * h],
        ...[b * t * h, b * t * 3 * h, b * t * h, b * t * h],
      ],
      run: (k, at, scratch) => k.f32_gru(TILE, b, t, i, h, ...at as Ten, scratch),
    },
    {
      name: "gru_grad",
      sizes: [
        ...[...recurrent(3), b * t * 3 * h, b * t * h, b * t * h, b * t * h],
        ...[...recurrent(3), 3 * h, 3 * h, b * h, b * t * 3 * h, b * t * 3 * h],
      ],
      run: (k, at, scratch) => k.f32_gru_grad(TILE, b, t, i, h, ...at as Fifteen, scratch),
    },
  ];
}

type Five = [number, number, number, number, number];
type Ten = [...Five, ...Five];
type Eleven = [...Ten, number];
type Fourteen = [...Ten, number, number, number, number];
type Fifteen = [...Ten, ...Five];

const MARK = 7;
const GAP = 4;

test("the kernels of nn touch nothing beside their arrays", () => {
  const memory = new WebAssembly.Memory({ initial: 24 });
  const kernels = instantiateKernels(memory, false);
  const heap = new Float32Array(memory.buffer);
  const scratch = 16;
  const firstFree = 20 * 16384;
  for (const n of [1, 2, 3, 4, 5, 7, 8, 11, 18]) {
    for (const { name, sizes, integers, run } of callsOf(n)) {
      for (const last of sizes.keys()) {
        heap.fill(MARK, firstFree);
        let next = firstFree;
        const starts = sizes.map((size, i) => {
          const start = i === last ? heap.length - size : next + GAP;
          if (i !== last) next = start + size;
          if (i === integers?.[0]) {
            new Int32Array(memory.buffer, 4 * start, size).forEach((_, j, all) => {
              all[j] = (j + 1) % integers[1];
            });
          } else heap.set(noise(size, i + 1), start);
          return start;
        });
        run(kernels, starts.map((start) => 4 * start), scratch);
        const isArray = (at: number): boolean =>
          starts.some((start, i) => at >= start && at < start + sizes[i]);
        for (let at = firstFree; at < next + GAP; at++) {
          if (!isArray(at)) assert.equal(heap[at], MARK, `${name} ${n}: past an array`);
        }
        assert.equal(
          heap[heap.length - sizes[last] - 1],
          MARK,
          `${name} ${n}: before array ${last}`,
        );
      }
    }
  }
});
