/**
 * LSTM and GRU over whole sequences, forward and backward (Hochreiter and Schmidhuber 1997; Cho et al.
 * 2014; torch's order of gates and equations).
 *
 * The products with the inputs are one product of all steps, and so are the gradients of the weights;
 * only the product with the last hidden state is made step by step. All arrays are [batch, time, ...];
 * weights are [gates * hidden, inputs] and [gates * hidden, hidden]; biases and first states may be
 * address 0.
 *
 * Needs:  sizes >= 1; any alignment; `scratch` of f32_recurrent_scratch(...) bytes.
 * Error:  of each step that of the products (gemm.ts), and of the functions (math.ts).
 */
import { floats } from "./address";
import { f32_gemm, f32_gemm_scratch } from "./gemm";
import { loadLanes, storeLanes } from "./lanes";
import { addTo } from "./lanes_sum";
import { sigmoid4, tanh4 } from "./math";
import { f32_pack } from "./pack";
import { f32_sum_columns, f32_sum_columns_scratch } from "./reduce";

@inline
function aligned(bytes: usize): usize {
  return (bytes + 15) & ~15;
}

/** Bytes of scratch memory for `width` = gates * hidden. */
export function f32_recurrent_scratch(batch: i32, hidden: i32, width: i32): i32 {
  const weights = aligned(floats(hidden * width));
  const rows = aligned(floats(batch * width));
  return (start() + weights + rows) as i32;
}

/** What the product and the sums need for themselves. */
@inline
function start(): usize {
  return aligned(max(f32_gemm_scratch(), f32_sum_columns_scratch()));
}

@inline
function product(
  tile: i32,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  c: usize,
  scratch: usize,
  bias: usize,
): void {
  f32_gemm(
    tile, m, n, k, a, aRow as usize, aColumn as usize, b, bRow as usize, bColumn as usize, c, scratch,
    bias, 0, 1, 0, 0, 0, 0,
  );
}

/** a b (1 - b): the slope of the sigmoid that gave b, times a. */
@inline
function throughSigmoid(a: v128, b: v128): v128 {
  return f32x4.mul(a, f32x4.mul(b, f32x4.sub(f32x4.splat(1), b)));
}

/** a (1 - b^2): the slope of the tanh that gave b, times a. */
@inline
function throughTanh(a: v128, b: v128): v128 {
  return f32x4.mul(a, f32x4.sub(f32x4.splat(1), f32x4.mul(b, b)));
}

/** Step 0 of `states` [batch, time, n] from `first` [batch, n], or zeros. */
function begin(batch: i32, time: i32, n: i32, first: usize, states: usize): void {
  const size = floats(n);
  for (let b = 0; b < batch; b++) {
    if (first) memory.copy(states, first + (b as usize) * size, size);
    else memory.fill(states, 0, size);
    states += (time as usize) * size;
  }
}

// --- LSTM ---

/**
 *     i, f, g, o = s(W x + (b + c) + U h), g with tanh;   c = f c + i g;   h = o tanh(c)
 *
 * `out` [batch, time + 1, hidden] holds h of every step and then the last c; `gates` i, f, g, o;
 * `before` and `cells` the h and c that each step was given.
 */
export function f32_lstm(
  tile: i32,
  batch: i32,
  time: i32,
  inputs: i32,
  hidden: i32,
  x: usize,
  wIh: usize,
  wHh: usize,
  bIh: usize,
  bHh: usize,
  h0: usize,
  c0: usize,
  out: usize,
  gates: usize,
  before: usize,
  cells: usize,
  scratch: usize,
): void {
  const width = 4 * hidden;
  const weights = scratch + start();
  const sums = weights + aligned(floats(hidden * width));
  // The transpose, so that every step reads its rows as they lie.
  f32_pack(weights, wHh, hidden as usize, 1, width, hidden, width);
  // Both biases at once; `sums` is free until the first step.
  if (bIh) {
    memory.copy(sums, bIh, floats(width));
    addTo(width, bHh, sums);
  }
  const bias: usize = bIh ? sums : 0;
  product(tile, batch * time, width, inputs, x, inputs, 1, wIh, 1, inputs, gates, scratch, bias);
  begin(batch, time, hidden, h0, before);
  begin(batch, time, hidden, c0, cells);
  const state = floats(hidden);
  for (let t = 0; t < time; t++) {
    const h = before + (t as usize) * state;
    product(tile, batch, width, hidden, h, time * hidden, 1, weights, width, 1, sums, scratch, 0);
    for (let b = 0; b < batch; b++) {
      const step = b * time + t;
      const isLast = t + 1 == time;
      const toH = out + ((b * (time + 1) + t) as usize) * state;
      const toNextH: usize = isLast ? 0 : before + ((step + 1) as usize) * state;
      const toNextC = isLast ? toH + state : cells + ((step + 1) as usize) * state;
      const c = cells + (step as usize) * state;
      const g = gates + floats(step * width);
      const u = sums + floats(b * width);
      let j = 0;
      for (; j + 4 <= hidden; j += 4) lstmCell(4, floats(j), state, g, u, c, toH, toNextH, toNextC);
      if (j < hidden) lstmCell(hidden - j, floats(j), state, g, u, c, toH, toNextH, toNextC);
    }
  }
}

@inline
function lstmCell(
  lanes: i32,
  at: usize,
  state: usize,
  gates: usize,
  sums: usize,
  cell: usize,
  toH: usize,
  toNextH: usize,
  toNextC: usize,
): void {
  gates += at;
  sums += at;
  const i = sigmoid4(f32x4.add(loadLanes(gates, lanes), loadLanes(sums, lanes)));
  const f = sigmoid4(f32x4.add(loadLanes(gates + state, lanes), loadLanes(sums + state, lanes)));
  const g = tanh4(f32x4.add(loadLanes(gates + 2 * state, lanes), loadLanes(sums + 2 * state, lanes)));
  const o = sigmoid4(f32x4.add(loadLanes(gates + 3 * state, lanes), loadLanes(sums + 3 * state, lanes)));
  storeLanes(gates, i, lanes);
  storeLanes(gates + state, f, lanes);
  storeLanes(gates + 2 * state, g, lanes);
  storeLanes(gates + 3 * state, o, lanes);
  const c = f32x4.add(f32x4.mul(f, loadLanes(cell + at, lanes)), f32x4.mul(i, g));
  const h = f32x4.mul(o, tanh4(c));
  storeLanes(toNextC + at, c, lanes);
  storeLanes(toH + at, h, lanes);
  if (toNextH) storeLanes(toNextH + at, h, lanes);
}

/** The gradients of everything that f32_lstm was given; `dGates` [batch, time, 4 hidden] is memory for it. */
export function f32_lstm_grad(
  tile: i32,
  batch: i32,
  time: i32,
  inputs: i32,
  hidden: i32,
  x: usize,
  wIh: usize,
  wHh: usize,
  gates: usize,
  before: usize,
  cells: usize,
  dOut: usize,
  dX: usize,
  dWIh: usize,
  dWHh: usize,
  dBias: usize,
  dH0: usize,
  dC0: usize,
  dGates: usize,
  scratch: usize,
): void {
  const width = 4 * hidden;
  const state = floats(hidden);
  memory.fill(dH0, 0, floats(batch * hidden));
  for (let b = 0; b < batch; b++) {
    memory.copy(dC0 + (b as usize) * state, dOut + ((b * (time + 1) + time) as usize) * state, state);
  }
  for (let t = time - 1; t >= 0; t--) {
    for (let b = 0; b < batch; b++) {
      const step = b * time + t;
      const dh = dOut + ((b * (time + 1) + t) as usize) * state;
      const carried = dH0 + (b as usize) * state;
      const dc = dC0 + (b as usize) * state;
      const c = cells + (step as usize) * state;
      const g = gates + floats(step * width);
      const d = dGates + floats(step * width);
      let j = 0;
      for (; j + 4 <= hidden; j += 4) lstmCellGrad(4, floats(j), state, g, c, dh, carried, dc, d);
      if (j < hidden) lstmCellGrad(hidden - j, floats(j), state, g, c, dh, carried, dc, d);
    }
    const d = dGates + floats(t * width);
    product(tile, batch, hidden, width, d, time * width, 1, wHh, hidden, 1, dH0, scratch, 0);
  }
  weightGradients(tile, batch * time, inputs, hidden, width, dGates, dGates, x, before, wIh, dX, dWIh, dWHh, scratch);
  f32_sum_columns(1, batch * time, width, dGates, dBias, 1, scratch);
}

@inline
function lstmCellGrad(
  lanes: i32,
  at: usize,
  state: usize,
  gates: usize,
  cell: usize,
  dH: usize,
  carried: usize,
  dC: usize,
  dGates: usize,
): void {
  gates += at;
  dGates += at;
  const i = loadLanes(gates, lanes);
  const f = loadLanes(gates + state, lanes);
  const g = loadLanes(gates + 2 * state, lanes);
  const o = loadLanes(gates + 3 * state, lanes);
  const c = loadLanes(cell + at, lanes);
  const y = tanh4(f32x4.add(f32x4.mul(f, c), f32x4.mul(i, g)));
  const dh = f32x4.add(loadLanes(dH + at, lanes), loadLanes(carried + at, lanes));
  const dc = f32x4.add(loadLanes(dC + at, lanes), throughTanh(f32x4.mul(dh, o), y));
  storeLanes(dGates, throughSigmoid(f32x4.mul(dc, g), i), lanes);
  storeLanes(dGates + state, throughSigmoid(f32x4.mul(dc, c), f), lanes);
  storeLanes(dGates + 2 * state, throughTanh(f32x4.mul(dc, i), g), lanes);
  storeLanes(dGates + 3 * state, throughSigmoid(f32x4.mul(dh, y), o), lanes);
  storeLanes(dC + at, f32x4.mul(dc, f), lanes);
}

/** dX, dWIh, dWHh from the gradients of the sums: with the inputs, and with the hidden states. */
function weightGradients(
  tile: i32,
  steps: i32,
  inputs: i32,
  hidden: i32,
  width: i32,
  dInputSums: usize,
  dHiddenSums: usize,
  x: usize,
  before: usize,
  wIh: usize,
  dX: usize,
  dWIh: usize,
  dWHh: usize,
  scratch: usize,
): void {
  product(tile, width, hidden, steps, dHiddenSums, 1, width, before, hidden, 1, dWHh, scratch, 0);
  product(tile, width, inputs, steps, dInputSums, 1, width, x, inputs, 1, dWIh, scratch, 0);
  product(tile, steps, inputs, width, dInputSums, width, 1, wIh, inputs, 1, dX, scratch, 0);
}

// --- GRU ---

/**
 *     r, z = s(W x + b + U h + c);   n = tanh(W x + b + r (U h + c));   h = (1 - z) n + z h
 *
 * `out` [batch, time, hidden] holds h of every step; `gates` r, z, n; `products` the U h + c of n;
 * `before` the h that each step was given.
 */
export function f32_gru(
  tile: i32,
  batch: i32,
  time: i32,
  inputs: i32,
  hidden: i32,
  x: usize,
  wIh: usize,
  wHh: usize,
  bIh: usize,
  bHh: usize,
  h0: usize,
  out: usize,
  gates: usize,
  before: usize,
  products: usize,
  scratch: usize,
): void {
  const width = 3 * hidden;
  const weights = scratch + start();
  const sums = weights + aligned(floats(hidden * width));
  f32_pack(weights, wHh, hidden as usize, 1, width, hidden, width);
  product(tile, batch * time, width, inputs, x, inputs, 1, wIh, 1, inputs, gates, scratch, bIh);
  begin(batch, time, hidden, h0, before);
  const state = floats(hidden);
  for (let t = 0; t < time; t++) {
    const h = before + (t as usize) * state;
    product(tile, batch, width, hidden, h, time * hidden, 1, weights, width, 1, sums, scratch, bHh);
    for (let b = 0; b < batch; b++) {
      const step = b * time + t;
      const from = before + (step as usize) * state;
      const toH = out + (step as usize) * state;
      const toNext: usize = t + 1 == time ? 0 : from + state;
      const kept = products + (step as usize) * state;
      const g = gates + floats(step * width);
      const u = sums + floats(b * width);
      let j = 0;
      for (; j + 4 <= hidden; j += 4) gruCell(4, floats(j), state, g, u, from, kept, toH, toNext);
      if (j < hidden) gruCell(hidden - j, floats(j), state, g, u, from, kept, toH, toNext);
    }
  }
}

@inline
function gruCell(
  lanes: i32,
  at: usize,
  state: usize,
  gates: usize,
  sums: usize,
  from: usize,
  kept: usize,
  toH: usize,
  toNext: usize,
): void {
  gates += at;
  sums += at;
  const r = sigmoid4(f32x4.add(loadLanes(gates, lanes), loadLanes(sums, lanes)));
  const z = sigmoid4(f32x4.add(loadLanes(gates + state, lanes), loadLanes(sums + state, lanes)));
  const u = loadLanes(sums + 2 * state, lanes);
  const n = tanh4(f32x4.add(loadLanes(gates + 2 * state, lanes), f32x4.mul(r, u)));
  storeLanes(gates, r, lanes);
  storeLanes(gates + state, z, lanes);
  storeLanes(gates + 2 * state, n, lanes);
  storeLanes(kept + at, u, lanes);
  const one = f32x4.splat(1);
  const h = f32x4.add(
    f32x4.mul(f32x4.sub(one, z), n),
    f32x4.mul(z, loadLanes(from + at, lanes)),
  );
  storeLanes(toH + at, h, lanes);
  if (toNext) storeLanes(toNext + at, h, lanes);
}

/**
 * The gradients of everything that f32_gru was given. `dGates` and `dProducts` [batch, time, 3 hidden]
 * are memory for it.
 */
export function f32_gru_grad(
  tile: i32,
  batch: i32,
  time: i32,
  inputs: i32,
  hidden: i32,
  x: usize,
  wIh: usize,
  wHh: usize,
  gates: usize,
  before: usize,
  products: usize,
  dOut: usize,
  dX: usize,
  dWIh: usize,
  dWHh: usize,
  dBIh: usize,
  dBHh: usize,
  dH0: usize,
  dGates: usize,
  dProducts: usize,
  scratch: usize,
): void {
  const width = 3 * hidden;
  const state = floats(hidden);
  const through = scratch + start();
  memory.fill(dH0, 0, floats(batch * hidden));
  for (let t = time - 1; t >= 0; t--) {
    for (let b = 0; b < batch; b++) {
      const step = b * time + t;
      const dh = dOut + (step as usize) * state;
      const carried = dH0 + (b as usize) * state;
      const from = before + (step as usize) * state;
      const kept = products + (step as usize) * state;
      const passed = through + (b as usize) * state;
      const g = gates + floats(step * width);
      const d = dGates + floats(step * width);
      const e = dProducts + floats(step * width);
      let j = 0;
      for (; j + 4 <= hidden; j += 4) gruCellGrad(4, floats(j), state, g, from, kept, dh, carried, passed, d, e);
      if (j < hidden) gruCellGrad(hidden - j, floats(j), state, g, from, kept, dh, carried, passed, d, e);
    }
    const e = dProducts + floats(t * width);
    product(tile, batch, hidden, width, e, time * width, 1, wHh, hidden, 1, dH0, scratch, 0);
    addTo(batch * hidden, through, dH0);
  }
  weightGradients(tile, batch * time, inputs, hidden, width, dGates, dProducts, x, before, wIh, dX, dWIh, dWHh, scratch);
  f32_sum_columns(1, batch * time, width, dGates, dBIh, 1, scratch);
  f32_sum_columns(1, batch * time, width, dProducts, dBHh, 1, scratch);
}

@inline
function gruCellGrad(
  lanes: i32,
  at: usize,
  state: usize,
  gates: usize,
  from: usize,
  kept: usize,
  dH: usize,
  carried: usize,
  passed: usize,
  dGates: usize,
  dProducts: usize,
): void {
  gates += at;
  dGates += at;
  dProducts += at;
  const r = loadLanes(gates, lanes);
  const z = loadLanes(gates + state, lanes);
  const n = loadLanes(gates + 2 * state, lanes);
  const dh = f32x4.add(loadLanes(dH + at, lanes), loadLanes(carried + at, lanes));
  const dn = throughTanh(f32x4.mul(dh, f32x4.sub(f32x4.splat(1), z)), n);
  const dr = throughSigmoid(f32x4.mul(dn, loadLanes(kept + at, lanes)), r);
  const dz = throughSigmoid(f32x4.mul(dh, f32x4.sub(loadLanes(from + at, lanes), n)), z);
  storeLanes(dGates, dr, lanes);
  storeLanes(dGates + state, dz, lanes);
  storeLanes(dGates + 2 * state, dn, lanes);
  storeLanes(dProducts, dr, lanes);
  storeLanes(dProducts + state, dz, lanes);
  storeLanes(dProducts + 2 * state, f32x4.mul(dn, r), lanes);
  storeLanes(passed + at, f32x4.mul(dh, z), lanes);
}
