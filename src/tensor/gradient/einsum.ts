/**
 * The gradient of `Einsum`: another one, of dy and the other operand. Labels that only the operand
 * has, and that were summed, repeat.
 */
import * as core from "@tensorflow/tfjs-core";

/** The entry of the gradient registry. */
export const einsumGradient: core.GradConfig = {
  kernelName: core.Einsum,
  saveAllInputs: true,
  gradFunc: (dy, saved, attributes) => {
    const { equation } = attributes as unknown as { equation: string };
    const [left, result] = equation.replace(/\s/g, "").split("->");
    const terms = left.split(",");
    const gradients = saved.map((x, i) => () => {
      const others = terms.filter((_, other) => other !== i);
      const known = [...terms[i]].filter((label) => [result, ...others].join().includes(label));
      const partial = core.einsum(
        `${[result, ...others].join()}->${known.join("")}`,
        dy as core.Tensor,
        ...saved.filter((_, other) => other !== i),
      );
      const shape = [...terms[i]].map((label, axis) => known.includes(label) ? x.shape[axis] : 1);
      return core.broadcastTo(core.reshape(partial, shape), x.shape);
    });
    return Object.fromEntries(gradients.entries());
  },
};
