/** The linear warm-up that Hugging Face's schedules begin with. */

/** Steps of warm-up and of the whole run. */
export interface WarmupOptions {
  readonly num_warmup_steps: number;
  readonly num_training_steps?: number;
}

/**
 *     k <  W   k / max(1, W)
 *     k >= W   after((k - W) / max(1, N - W))
 */
export function warmup(
  k: number,
  { num_warmup_steps: warmup, num_training_steps: total = 0 }: WarmupOptions,
  after: (progress: number) => number,
): number {
  if (k < warmup) return k / Math.max(1, warmup);
  return after((k - warmup) / Math.max(1, total - warmup));
}
