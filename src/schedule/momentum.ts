/** The momentum that CyclicLR and OneCycleLR move against the rate: `betas[0]`, else `momentum`. */
import type { Schedulable } from "./scheduler.ts";

type Group = Schedulable["paramGroups"][number];

/** Undefined if the group's optimizer has none. */
export function readMomentum(group: Group): number | undefined {
  if (Array.isArray(group.betas)) return group.betas[0] as number;
  return typeof group.momentum === "number" ? group.momentum : undefined;
}

/** Notes both ends of a cycle in the group, as torch. */
export function noteMomenta(
  group: Group,
  { base_momentum, max_momentum }: { base_momentum: number; max_momentum: number },
): void {
  Object.assign(group, { max_momentum, base_momentum });
}

/** The array of betas is replaced, never changed. */
export function writeMomentum(group: Group, value: number): void {
  if (Array.isArray(group.betas)) group.betas = [value, ...group.betas.slice(1)];
  else group.momentum = value;
}
