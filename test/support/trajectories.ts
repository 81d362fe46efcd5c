/** Trajectories of optimizers that others computed in float64: torch's, and NumPy's from formulas. */
import { buildOptimizer } from "../../src/optim/builder.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import * as tf from "../../src/tensor/tf.ts";
import { readFixture } from "./fixture.ts";

/** One optimizer's updates. */
export interface Trajectory {
  readonly title: string;
  readonly type: string;
  readonly params: Record<string, unknown>;
  readonly shapes: readonly number[][];
  readonly init: readonly number[][];
  /** By step and parameter; null where there is no gradient. */
  readonly grads: readonly (readonly (number[] | null)[])[];
  /** What differs in the group of each parameter; null: one group. */
  readonly groups: readonly Record<string, unknown>[] | null;
  readonly lrPerStep: readonly number[] | null;
  /** Adds curvature * parameter to each gradient, for types that take it at perturbed parameters. */
  readonly curvature?: readonly number[][];
  /** The steps after which `trajectory` and `evaluation` have the parameters. */
  readonly steps: readonly number[];
  readonly trajectory: readonly number[][][];
  /** The weights for evaluation. */
  readonly evaluation?: readonly number[][][];
  readonly finalState?: Record<string, Record<string, number | number[]>>;
  /** Prodigy's d after the last step. */
  readonly d?: number;
}

/** float32 against float64: about one rounding a step; see the measured drift of torch itself. */
export const tolerance = (step: number): number => step < 10 ? 1e-6 : 2e-6;

/** torch's options one by one, on two parameters; Muon without the cast to bfloat16, or only with it. */
export function goldenTrajectories(rounded = false): Trajectory[] {
  const { init, shapes, grads, optimizers } = readFixture<Golden>("torch/optimizers.json");
  return optimizers
    .filter(({ newtonSchulzDtype = "" }) => newtonSchulzDtype.startsWith("bfloat16") === rounded)
    .map(({ only2d, groups, ...rest }) => {
      const count = only2d ? 1 : 2;
      const overrides = [{}, { lr: rest.params.lr as number * 0.1, weightDecay: 0 }];
      return titled({
        ...rest,
        init: init.slice(0, count),
        shapes: shapes.slice(0, count),
        grads: grads.map((step) => step.slice(0, count)),
        groups: groups === undefined ? null : overrides,
        steps: [...grads.keys()],
      });
    });
}

/** Options that the golden file lacks, and drawn combinations on shapes of rank 0 to 4. */
export function torchTrajectories(): Trajectory[] {
  const random = readFixture<Cases>("torch/optimizers_random.json");
  return [
    ...ofGoldenGradients(readFixture<Cases>("torch/optimizers_more.json")),
    ...random.cases.map((row) => titled({ ...row as Trajectory, steps: random.steps })),
  ];
}

/** Rules that torch lacks, from NumPy implementations of their formulas. */
export function formulaTrajectories(): Trajectory[] {
  const file = readFixture<Cases & { curvature: number[][] }>("optimizers.json");
  return ofGoldenGradients(file).map((row) => ({ ...row, curvature: file.curvature }));
}

interface Golden {
  init: number[][];
  shapes: number[][];
  grads: number[][][];
  optimizers: (Row & { only2d?: boolean; newtonSchulzDtype?: string; groups?: string })[];
}

type Row = Pick<Trajectory, "type" | "params" | "trajectory"> & { lrPerStep?: number[] };

interface Cases {
  steps: number[];
  /** `absent`: steps and parameters without a gradient. */
  cases: (Partial<Trajectory> & { type: string; absent?: [number, number][] })[];
}

function ofGoldenGradients({ steps, cases }: Cases): Trajectory[] {
  const { init, shapes, grads } = readFixture<Golden>("torch/optimizers.json");
  return cases.map(({ absent = [], ...row }) =>
    titled({
      ...row as Trajectory,
      shapes: row.shapes ?? shapes,
      init,
      steps,
      grads: grads.map((step, t) =>
        step.map((values, i) => absent.some(([at, of]) => at === t && of === i) ? null : values)
      ),
    })
  );
}

function titled(
  row: Omit<Trajectory, "title" | "lrPerStep"> & { lrPerStep?: unknown },
): Trajectory {
  const words = [
    row.type,
    JSON.stringify(row.params),
    ...(row.groups ? [`in groups ${JSON.stringify(row.groups)}`] : []),
    ...(row.lrPerStep ? ["with a rate of its own at every step"] : []),
    ...(row.grads.flat().includes(null) ? ["with absent gradients"] : []),
  ];
  return { ...row, title: words.join(" "), lrPerStep: (row.lrPerStep ?? null) as number[] | null };
}

const names = ["weight", "bias", "third"];

/** A row's parameters and optimizer, and its updates one by one. */
export class TrajectoryRun {
  readonly parameters: Record<string, tf.Variable>;
  readonly optimizer: Optimizer;
  readonly #row: Trajectory;

  constructor(row: Trajectory) {
    const { type, params, groups, init, shapes } = row;
    this.#row = row;
    this.parameters = Object.fromEntries(
      init.map((values, i) => [
        names[i],
        tf.tidy(() => tf.variable(tf.tensor(values, shapes[i], "float32"))),
      ]),
    );
    this.optimizer = buildOptimizer(
      { type, params, groups: groups?.map((g, i) => ({ match: `^${names[i]}$`, ...g })) ?? [] },
      this.parameters,
    );
  }

  async update(step: number): Promise<void> {
    const { grads, shapes, curvature, lrPerStep } = this.#row;
    const { optimizer, parameters } = this;
    for (const group of optimizer.paramGroups) group.lr = lrPerStep?.[step] ?? group.lr;
    const given: Record<string, tf.Tensor> = {};
    grads[step].forEach((values, i) => {
      if (values !== null) given[names[i]] = tf.tensor(values, shapes[i], "float32");
    });
    if (optimizer.perturbs) {
      await optimizer.step(() => ({
        value: 0,
        grads: tf.tidy(() => {
          const bent = Object.keys(given).map((name, i) => {
            const factor = tf.tensor(curvature![i], shapes[i], "float32");
            return [name, tf.add(given[name], tf.mul(factor, parameters[name]))];
          });
          return Object.fromEntries(bent);
        }),
      }));
    } else if (Object.keys(given).length > 0) {
      optimizer.applyGradients(given);
    }
    tf.dispose(given);
  }

  /** The parameters' values, in order. */
  async values(): Promise<number[][]> {
    const values = await Promise.all(Object.values(this.parameters).map((one) => one.data()));
    return values.map((of) => [...of]);
  }

  dispose(): void {
    this.optimizer.dispose();
    tf.dispose(this.parameters);
  }
}
