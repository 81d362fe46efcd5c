/** Rows and columns combined by an operation that needs no order. */
import { floats } from "./address";

/** A combination of two vectors, and what it leaves as it is; a type argument. */
export abstract class Fold {
  abstract of(a: v128, b: v128): v128;
  abstract start(): v128;
}

/** y[i] over j of x[i, j]. */
@inline
export function foldRows<F extends Fold>(rows: i32, columns: i32, x: usize, y: usize): void {
  const f = changetype<F>(0);
  const start = f.start();
  for (let i = 0; i < rows; i++) {
    let s = start;
    let t = start;
    let j = 0;
    for (; j + 8 <= columns; j += 8) {
      s = f.of(s, v128.load(x));
      t = f.of(t, v128.load(x, 16));
      x += 32;
    }
    if (j + 4 <= columns) {
      s = f.of(s, v128.load(x));
      x += 16;
      j += 4;
    }
    s = f.of(s, t);
    s = f.of(s, v128.shuffle<f32>(s, start, 2, 3, 4, 4));
    s = f.of(s, v128.shuffle<f32>(s, start, 1, 4, 4, 4));
    for (; j < columns; j++) {
      s = f.of(s, v128.load_splat<f32>(x));
      x += 4;
    }
    v128.store_lane<f32>(y, s, 0);
    y += 4;
  }
}

/** y[o, j] over i of x[o, i, j]. */
@inline
export function foldColumns<F extends Fold>(
  outer: i32,
  rows: i32,
  columns: i32,
  x: usize,
  y: usize,
): void {
  const f = changetype<F>(0);
  const size = floats(columns);
  for (let o = 0; o < outer; o++) {
    memory.copy(y, x, size);
    x += size;
    for (let i = 1; i < rows; i++) {
      let j = 0;
      for (; j + 4 <= columns; j += 4) {
        const at = y + floats(j);
        v128.store(at, f.of(v128.load(at), v128.load(x + floats(j))));
      }
      for (; j < columns; j++) {
        const at = y + floats(j);
        const s = f.of(v128.load_splat<f32>(at), v128.load_splat<f32>(x + floats(j)));
        v128.store_lane<f32>(at, s, 0);
      }
      x += size;
    }
    y += size;
  }
}
