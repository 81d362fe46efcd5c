/** A step length that satisfies the strong Wolfe conditions (Nocedal and Wright, 2006, ch. 3). */

/** The objective at one step length: loss, gradient, and the slope along the direction. */
export interface Trial {
  readonly t: number;
  readonly loss: number;
  readonly gradient: Float64Array;
  readonly slope: number;
}

/** Settings of {@link strongWolfe}. */
export interface LineSearchOptions {
  /** The largest |component| of the direction, by which the bracket's width is measured. */
  readonly reach: number;
  readonly toleranceChange: number;
  readonly maxTrials: number;
}

/** Sufficient decrease, and flatness of the slope. */
const c1 = 1e-4;
const c2 = 0.9;

/**
 * Widens a bracket around a minimum along the direction, then narrows it by cubic interpolation.
 *
 * @param start The objective at t = 0, with a negative slope.
 * @param t The first length to try.
 * @returns The best trial, and how often the objective was asked.
 */
export async function strongWolfe(
  evaluate: (t: number) => Promise<Trial>,
  start: Trial,
  t: number,
  { reach, toleranceChange, maxTrials }: LineSearchOptions,
): Promise<{ trial: Trial; evaluations: number }> {
  const tooHigh = ({ t, loss }: Trial) => loss > start.loss + c1 * t * start.slope;
  const flat = ({ slope }: Trial) => Math.abs(slope) <= -c2 * start.slope;

  let previous = start;
  let current = await evaluate(t);
  let evaluations = 1;
  let rounds = 0;
  let bracket: [Trial, Trial] | undefined;
  while (rounds < maxTrials && bracket === undefined) {
    if (tooHigh(current) || (rounds > 1 && current.loss >= previous.loss)) {
      bracket = [previous, current];
    } else if (flat(current)) {
      return { trial: current, evaluations };
    } else if (current.slope >= 0) {
      bracket = [previous, current];
    } else {
      const longer = cubicMinimum(previous, current, [
        current.t + 0.01 * (current.t - previous.t),
        current.t * 10,
      ]);
      previous = current;
      current = await evaluate(longer);
      evaluations++;
      rounds++;
    }
  }
  bracket ??= [start, current];

  let low = lower(bracket);
  let stuck = false;
  while (rounds < maxTrials) {
    const [a, b] = bracket;
    if (Math.abs(b.t - a.t) * reach < toleranceChange) break;
    const least = Math.min(a.t, b.t), most = Math.max(a.t, b.t);
    const margin = 0.1 * (most - least);
    let next = cubicMinimum(a, b);
    const near: boolean = Math.min(most - next, next - least) < margin;
    const inside: boolean = near && (stuck || next >= most || next <= least);
    // Near an end: tried as it is at first, moved inside the second time or on the boundary.
    if (inside) {
      next = Math.abs(next - most) < Math.abs(next - least) ? most - margin : least + margin;
    }
    stuck = near && !inside;
    const trial = await evaluate(next);
    evaluations++;
    rounds++;
    if (tooHigh(trial) || trial.loss >= bracket[low].loss) {
      bracket[1 - low] = trial;
      low = lower(bracket);
      continue;
    }
    if (flat(trial)) return { trial, evaluations };
    if (trial.slope * (bracket[1 - low].t - bracket[low].t) >= 0) bracket[1 - low] = bracket[low];
    bracket[low] = trial;
  }
  return { trial: bracket[low], evaluations };
}

/** The end of lower loss. */
const lower = ([a, b]: [Trial, Trial]): 0 | 1 => a.loss <= b.loss ? 0 : 1;

/** Where the cubic through both losses and slopes is least, within `bounds`. */
function cubicMinimum(a: Trial, b: Trial, bounds?: [number, number]): number {
  const [left, right] = a.t <= b.t ? [a, b] : [b, a];
  const [least, most] = bounds ?? [left.t, right.t];
  const d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t);
  const square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return (least + most) / 2;
  const d2 = Math.sqrt(square);
  const at = right.t -
    (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2));
  return Math.min(Math.max(at, least), most);
}
