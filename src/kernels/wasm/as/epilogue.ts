/**
 * What a product does to its result before it leaves the cache: bias and activation.
 *
 *     C[i, j] = f(C[i, j] + bias[i * biasRow + j * biasColumn], alpha[i * alphaRow + j * alphaColumn])
 *
 * Strides are in floats; a column stride is 0 or 1; address 0 means no bias. The activations are
 * numbered as in ../gemm.ts, where 0 is none.
 */
import { loadLanes, storeLanes } from "./lanes";
import { elu4, gelu4, leakyRelu4, relu4, relu64, sigmoid4 } from "./math";

@inline
function read(p: usize, column: usize, n: i32): v128 {
  if (column == 0) return v128.load_splat<f32>(p);
  return loadLanes(p, n);
}

function activate(f: i32, x: v128, alpha: v128): v128 {
  switch (f) {
    case 1: return relu4(x);
    case 2: return relu64(x);
    case 3: return elu4(x);
    case 4: return sigmoid4(x);
    case 5: return leakyRelu4(x, alpha);
    case 6: return gelu4(x);
    default: return x;
  }
}

/** Rows of `n` floats, `cStep` bytes apart. `alpha` is an address, read by activation 5 only. */
export function f32_epilogue(
  m: i32,
  n: i32,
  c: usize,
  cStep: usize,
  bias: usize,
  biasRow: usize,
  biasColumn: usize,
  f: i32,
  alpha: usize,
  alphaRow: usize,
  alphaColumn: usize,
): void {
  if (bias == 0 && f == 0) return;
  const whole = f <= 1 && (bias == 0 || biasColumn == 1) ? n & ~3 : 0;
  let slope = f32x4.splat(0);
  for (let i = 0; i < m; i++) {
    if (whole) biasRelu(whole, c, bias, f == 1);
    for (let j = whole; j < n; j += 4) {
      const lanes = min(4, n - j);
      const at = c + ((j as usize) << 2);
      let x = loadLanes(at, lanes);
      const across = (j as usize) << 2;
      if (bias) x = f32x4.add(x, read(bias + across * biasColumn, biasColumn, lanes));
      if (f == 5) slope = read(alpha + across * alphaColumn, alphaColumn, lanes);
      if (f == 1) x = relu4(x);
      else if (f != 0) x = activate(f, x, slope);
      storeLanes(at, x, lanes);
    }
    c += cStep;
    bias += biasRow << 2;
    alpha += alphaRow << 2;
  }
}

/** The frequent case, for n floats, n a multiple of four. */
@inline
function biasRelu(n: i32, c: usize, bias: usize, isRelu: bool): void {
  const end = c + ((n as usize) << 2);
  if (bias && isRelu) {
    for (; c < end; c += 16, bias += 16) {
      v128.store(c, relu4(f32x4.add(v128.load(c), v128.load(bias))));
    }
  } else if (bias) {
    for (; c < end; c += 16, bias += 16) v128.store(c, f32x4.add(v128.load(c), v128.load(bias)));
  } else {
    for (; c < end; c += 16) v128.store(c, relu4(v128.load(c)));
  }
}
