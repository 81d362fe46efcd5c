/** Places in memory: bytes of floats, and lists of 32-bit integers. */

/** Bytes of `n` floats. */
@inline
export function floats(n: i32): usize {
  return (n as usize) << 2;
}

/** Number `i` of a list. */
@inline
export function item(list: usize, i: i32): i32 {
  return load<i32>(list + ((i as usize) << 2));
}
