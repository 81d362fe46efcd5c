/** Which worker reduces and updates what: slices that begin at blocks, or whole parameters. */
import { BLOCK } from "../optim/block_sums.ts";
import type { Layout, UnitPlace } from "./layout.ts";

/** Elements [start, end) of gradient `gradient`. */
export interface Slice {
  readonly gradient: number;
  readonly start: number;
  readonly end: number;
}

/** The worker's slices: an equal part of all blocks, in order; the first worker has what is empty. */
export function slicesOf({ gradients, blocks, workers }: Layout, worker: number): Slice[] {
  const from = Math.floor(worker * blocks / workers);
  const to = Math.floor((worker + 1) * blocks / workers);
  return gradients.flatMap(({ block, size }, gradient) => {
    if (size === 0 && worker === 0) return [{ gradient, start: 0, end: 0 }];
    const start = Math.max(0, from - block) * BLOCK;
    const end = Math.min(size, (to - block) * BLOCK);
    return start < end ? [{ gradient, start, end }] : [];
  });
}

/**
 * The units that the worker updates as wholes: parameters one by one, the largest first to whoever
 * has least; all of a rule that looks at the whole model together.
 */
export function unitsOf(layout: Layout, worker: number): UnitPlace[] {
  const groups = new Map<string, UnitPlace[]>();
  for (const unit of layout.units) {
    if (unit.scope === "element") continue;
    const key = unit.scope === "model" ? `rule ${unit.rule}` : unit.name;
    groups.set(key, [...groups.get(key) ?? [], unit]);
  }
  const weightOf = (units: readonly UnitPlace[]) =>
    units.reduce((sum, { gradient }) => sum + layout.gradients[gradient].size, 0);
  const loads = new Array<number>(layout.workers).fill(0);
  const own: UnitPlace[] = [];
  const heaviestFirst = [...groups.values()].sort((a, b) => weightOf(b) - weightOf(a));
  for (const units of heaviestFirst) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] += weightOf(units);
    if (least === worker) own.push(...units);
  }
  return own;
}
