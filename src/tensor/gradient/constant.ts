/**
 * Gradients of kernels whose results do not change with small changes of their inputs: zero.
 *
 * A comparison that becomes a factor (`mul(x, cast(greater(x, 1), "float32"))`, as tfjs' layer
 * ThresholdedReLU has it) is on the way back, where tfjs fails without a gradient. To a division
 * rounded down tfjs gives the gradient of a division.
 */
import * as core from "@tensorflow/tfjs-core";

const OF_TWO = [core.Equal, core.FloorDiv, core.Greater, core.Less, core.LessEqual, core.NotEqual];
const LOGICAL = [core.LogicalAnd, core.LogicalOr];

/** The entries of the gradient registry. */
export const constantGradients: readonly core.GradConfig[] = [
  ...[...OF_TWO, ...LOGICAL].map((kernelName) => zero(kernelName, ["a", "b"])),
  zero(core.LogicalNot, ["x"]),
];

function zero(kernelName: string, inputs: string[]): core.GradConfig {
  return {
    kernelName,
    inputsToSave: inputs,
    gradFunc: (_dy, saved) =>
      Object.fromEntries(inputs.map((name, i) => [name, () => core.zeros(saved[i].shape)])),
  };
}
