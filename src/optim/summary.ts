/** The table that `Optimizer.summary()` prints. */

/** One line of the table. */
export interface GroupRow {
  readonly type: string;
  readonly label: string;
  readonly tensors: number;
  readonly elements: number;
  readonly lr: number;
  readonly weightDecay: unknown;
}

const header = ["group", "type", "parameters", "tensors", "elements", "lr", "weight_decay"];

/** Aligned columns, numbers to the right. */
export function groupTable(rows: readonly GroupRow[]): string {
  const cells = [
    header,
    ...rows.map((row, i) => [
      String(i),
      row.type,
      row.label,
      String(row.tensors),
      String(row.elements),
      String(row.lr),
      typeof row.weightDecay === "number" ? String(row.weightDecay) : "-",
    ]),
  ];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const pad = (text: string, column: number) =>
    column < 3 ? text.padEnd(widths[column]) : text.padStart(widths[column]);
  return cells.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
