/** Records of a run. */

/** Values under their names, as they are logged: `loss`, `mse`, `lr`, ... */
export type Values = Readonly<Record<string, number>>;

/** The phases of a log record. */
export type Phase = "train" | "val" | "test";
