/**
 * Rows of a table by number, and sums of rows by number. Numbers outside of 0 to `vocabulary` - 1
 * give zeros and add nothing.
 *
 * Needs:  n >= 0; width >= 1; any alignment; nothing past the arrays is touched.
 */
import { addTo } from "./lanes_sum";

/** y[i, :] = table[ids[i], :] */
export function f32_embedding(
  n: i32,
  vocabulary: i32,
  width: i32,
  table: usize,
  ids: usize,
  y: usize,
): void {
  const size = (width as usize) << 2;
  for (let i = 0; i < n; i++) {
    const id = load<u32>(ids);
    if (id < (vocabulary as u32)) memory.copy(y, table + (id as usize) * size, size);
    else memory.fill(y, 0, size);
    ids += 4;
    y += size;
  }
}

/** dTable[ids[i], :] += dy[i, :], in rising order of i from zeros. */
export function f32_embedding_grad(
  n: i32,
  vocabulary: i32,
  width: i32,
  dy: usize,
  ids: usize,
  dTable: usize,
): void {
  const size = (width as usize) << 2;
  memory.fill(dTable, 0, (vocabulary as usize) * size);
  for (let i = 0; i < n; i++) {
    const id = load<u32>(ids);
    if (id < (vocabulary as u32)) addTo(width, dy, dTable + (id as usize) * size);
    ids += 4;
    dy += size;
  }
}
