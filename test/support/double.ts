/** tfjs' cpu backend in double precision. */

/**
 * Runs `compute`, which must not wait, with the cpu backend in float64: its kernels and the engine
 * take their arrays from the global name, which is Float64Array meanwhile. Tensors made inside stay
 * inside.
 */
export function inDouble<T>(compute: () => T): T {
  const single = globalThis.Float32Array;
  globalThis.Float32Array = Float64Array as unknown as Float32ArrayConstructor;
  try {
    return compute();
  } finally {
    globalThis.Float32Array = single;
  }
}
