/** Shapes and strides, in elements, innermost last. */

/** Strides of a row-major tensor. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** Strides of a tensor of `shape` read as one of shape `out`: 0 where it repeats. */
export function broadcastStrides(shape: readonly number[], out: readonly number[]): number[] {
  const strides = stridesOf(shape);
  const missing = out.length - shape.length;
  return out.map((_, i) => i < missing || shape[i - missing] === 1 ? 0 : strides[i - missing]);
}

/**
 * Calls `visit` with the offsets of several tensors at each index of `shape`, in rising order.
 * `strides` holds a list a tensor. Without dimensions there is one index.
 */
export function forEachOffset(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  visit: (offsets: readonly number[]) => void,
): void {
  const offsets = strides.map(() => 0);
  const walk = (axis: number): void => {
    if (axis === shape.length) return visit(offsets);
    for (let i = 0; i < shape[axis]; i++) {
      walk(axis + 1);
      for (let t = 0; t < offsets.length; t++) offsets[t] += strides[t][axis];
    }
    for (let t = 0; t < offsets.length; t++) offsets[t] -= strides[t][axis] * shape[axis];
  };
  walk(0);
}
