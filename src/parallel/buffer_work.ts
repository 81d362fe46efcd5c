/** The buffers of an iteration: what its leaves made of them, on the next side. */
import type { Arena } from "./arena.ts";
import type { UpdateMessage } from "./protocol.ts";

/** What the buffers are taken from. */
export type MadeBuffers = Pick<UpdateMessage, "averagedOver" | "chunks">;

/** Writes what the leaves made of the buffers, averaged over rows if there are several. */
export function updateBuffers(arena: Arena, { averagedOver, chunks }: MadeBuffers): void {
  const { layout, current, next } = arena;
  layout.buffers.forEach(({ tensor, last, moved }) => {
    const { at, size } = layout.tensors[tensor];
    if (averagedOver === 0 || moved === undefined) {
      arena.wordsAt(next + at, size).set(arena.wordsAt(arena.chunkAt(chunks - 1) + last, size));
      return;
    }
    const before = arena.floatsAt(current + at, size);
    const after = arena.floatsAt(next + at, size);
    const sum = arena.floatsAt(arena.chunkAt(0) + moved, size);
    // Rounded after each operation, as tensors are.
    for (let i = 0; i < size; i++) after[i] = before[i] + Math.fround(sum[i] / averagedOver);
  });
}
