/** `downhill lr CONFIG`: what the scheduler will do, drawn in the terminal before anything is trained. */
import { selectBackend } from "../backend/select.ts";
import { randomStream } from "../core/random.ts";
import { disposeModel } from "../runner/parts.ts";
import { buildModel } from "../model/registry.ts";
import { buildOptimizer } from "../optim/builder.ts";
import { formatNumber } from "../report/format.ts";
import { buildScheduler, readScheduler } from "../schedule/builder.ts";
import { resolveTotals } from "../schedule/totals.ts";
import type { CreateOptions } from "./create_options.ts";
import { importModules } from "../core/import_modules.ts";
import { resolveConfig, type RunConfig } from "./schema.ts";

const WIDTH = 64;
const HEIGHT = 10;
/** Iterations looked at for one column, so that short cycles show as a band. */
const SAMPLES = 16;

/**
 * The optimizer's groups, then a chart of the rate of iteration 1 to `train.iterations` for each
 * group (groups of one curve share it). No data is read, nothing is written.
 *
 * @throws {ConfigError} If model, optimizer or scheduler cannot be built.
 */
export async function rateLines(
  config: RunConfig,
  { imports = [], baseDirectory }: Pick<CreateOptions, "imports" | "baseDirectory">,
): Promise<string[]> {
  const resolved = resolveConfig(config);
  await importModules(imports);
  await selectBackend("cpu", { log: () => {} });
  const random = randomStream(resolved.seed, "init");
  const model = await buildModel(resolved.model as never, { random, baseDirectory });
  const optimizer = buildOptimizer(resolved.optimizer as never, model.parameters);
  try {
    const { iterations } = resolved.train;
    const lines = optimizer.summary().split("\n");
    const rates = optimizer.paramGroups.map(({ lr }) => lr);
    if (resolved.scheduler === undefined) {
      return [...lines, "", ...chartGroups("lr", () => rates, iterations)];
    }
    const scheduled = resolveTotals(resolved.scheduler as never, iterations);
    const scheduler = buildScheduler(scheduled, optimizer);
    const { rule, monitor = resolved.best.monitor, target = "lr" } = readScheduler(
      scheduled,
      "scheduler",
    );
    if (rule?.monitored) lines.push("", `drawn as if ${monitor} kept improving`);
    return [...lines, "", ...chartGroups(target, (k) => scheduler.lrAt(k), iterations)];
  } finally {
    optimizer.dispose();
    disposeModel(model);
  }
}

/** A chart for each set of groups with one curve; `ratesAt(k)` are the rates of iteration k + 1. */
function chartGroups(
  name: string,
  ratesAt: (k: number) => number[],
  iterations: number,
): string[] {
  const width = Math.min(WIDTH, iterations);
  const columns = Array.from({ length: width }, (_, column) => {
    const first = Math.floor(column * iterations / width);
    const last = Math.floor((column + 1) * iterations / width) - 1;
    const count = Math.min(SAMPLES, last - first + 1);
    return Array.from({ length: count }, (_, i) => {
      const k = count === 1 ? first : first + Math.round(i * (last - first) / (count - 1));
      return ratesAt(k);
    });
  });
  const curves = new Map<string, { groups: number[]; columns: number[][] }>();
  for (let group = 0; group < columns[0][0].length; group++) {
    const own = columns.map((samples) => samples.map((rates) => rates[group]));
    const key = JSON.stringify(own);
    const curve = curves.get(key);
    if (curve === undefined) curves.set(key, { groups: [group], columns: own });
    else curve.groups.push(group);
  }
  return [...curves.values()].flatMap(({ groups, columns }, i) => [
    ...(i === 0 ? [] : [""]),
    `${name} of group ${groups.join(", ")}`,
    ...chart(columns, iterations),
  ]);
}

/** A column stands for the values between its lowest and highest and the one before it. */
function chart(columns: readonly number[][], iterations: number): string[] {
  const values = columns.flat();
  const top = values.reduce((a, b) => Math.max(a, b), 0);
  const bottom = values.reduce((a, b) => Math.min(a, b), 0);
  const unit = (top - bottom) / (HEIGHT - 1) || 1;
  const rowOf = (value: number): number => Math.round((value - bottom) / unit);
  const bands = columns.map((column, i) => {
    const rows = column.map(rowOf);
    if (i === 0) return [Math.min(...rows), Math.max(...rows)];
    const before = rowOf(columns[i - 1][columns[i - 1].length - 1]);
    // A step down or up is drawn without repeating the row it comes from.
    const low = before < Math.min(...rows) ? before + 1 : Math.min(...rows);
    const high = before > Math.max(...rows) ? before - 1 : Math.max(...rows);
    return [low, high];
  });
  const rows = top > bottom ? HEIGHT : 1;
  const labels = Array.from(
    { length: rows },
    (_, row) => row % 3 === 0 ? formatNumber(bottom + row * unit, 3) : "",
  );
  const margin = Math.max(...labels.map((label) => label.length));
  const lines = labels.map((label, row) => {
    const cells = bands.map(([low, high]) => row >= low && row <= high ? "*" : " ");
    return `${label.padStart(margin)} |${cells.join("")}`.trimEnd();
  });
  const end = String(iterations);
  const axis = `1${end.padStart(columns.length - 1)}`;
  return [
    ...lines.reverse(),
    `${" ".repeat(margin)} +${"-".repeat(columns.length)}`,
    `${" ".repeat(margin)}  ${iterations === 1 ? "1" : axis}`,
  ];
}
