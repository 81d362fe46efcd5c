/**
 * The int32 matrix product, modulo 2^32.
 *
 *     C[i, j] = sum over k of A[i, k] * B[k, j]
 *
 * Strides in elements, C row-major. Integer sums do not depend on their order, so one plain loop
 * over rows does: C's row stays in the cache while the rows of B are added to it.
 */
export function i32_gemm(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: usize,
  aColumn: usize,
  b: usize,
  bRow: usize,
  bColumn: usize,
  c: usize,
): void {
  const whole = bColumn == 1 ? n & ~3 : 0;
  for (let i = 0; i < m; i++) {
    memory.fill(c, 0, (n as usize) << 2);
    for (let p = 0; p < k; p++) {
      const x = load<i32>(a + (((i as usize) * aRow + (p as usize) * aColumn) << 2));
      const from = b + (((p as usize) * bRow) << 2);
      let j = 0;
      for (; j < whole; j += 4) {
        const to = c + ((j as usize) << 2);
        const product = i32x4.mul(i32x4.splat(x), v128.load(from + ((j as usize) << 2)));
        v128.store(to, i32x4.add(v128.load(to), product));
      }
      for (; j < n; j++) {
        const to = c + ((j as usize) << 2);
        store<i32>(to, load<i32>(to) + x * load<i32>(from + (((j as usize) * bColumn) << 2)));
      }
    }
    c += (n as usize) << 2;
  }
}
