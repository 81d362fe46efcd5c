/** The optimizer contract: groups, state, one update a call. */
import type * as tf from "../tensor/tf.ts";

/** One parameter group: torch's spelling, writable; `lr` is what a scheduler changes. */
export type ParamGroup = {
  names: string[];
  lr: number;
} & Record<string, unknown>;

/** torch's structure: state by index over the groups in order, and the groups. */
export interface OptimizerStateDict {
  state: Record<number, Record<string, tf.Tensor | number>>;
  param_groups: (Record<string, unknown> & { params: number[]; param_names: string[] })[];
}
