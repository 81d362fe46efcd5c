/**
 * `tf.variableGrads` that frees tensors early.
 *
 * The forward pass is recorded on tfjs' own tape. The walk back along it is ours: it frees what an
 * operation saved and the gradient of its outputs as soon as they are used, where tfjs keeps both to
 * the end, and it needs less of the runtime for each operation.
 */
import * as core from "@tensorflow/tfjs-core";

type TapeNode = ReturnType<typeof core.engine>["state"]["activeTape"][number];

/**
 * The loss and d loss / d variable for each of `variables`, by the variable's own name: the numbers
 * of tfjs' function, to the bit. A variable on which the loss does not depend has no entry, one that
 * is not trainable has null. Nothing is left behind when `loss` or a gradient throws.
 *
 * Of a function of `tf.customGrad` that hands on its input, tfjs adds the gradient of the output to
 * that of the input; here the input has its own alone. A gradient that a `gradFunc` is given or gives
 * is freed once it is used, unless it is kept.
 *
 * @param loss Computes a scalar; called once.
 * @param variables All trainable variables if undefined.
 * @throws Where `loss` gives no scalar, depends on no variable, or on one through an operation without
 * a gradient.
 */
export function variableGrads(
  loss: () => core.Scalar,
  variables?: core.Variable[],
): { value: core.Scalar; grads: core.NamedTensorMap } {
  const trainable = trainableOf(loss, variables);
  // Inside of another gradient the walk back is recorded as well, and nothing may be freed.
  if (core.engine().state.gradientDepth > 0) return core.variableGrads(loss, variables);
  let tape: readonly TapeNode[] = [];
  try {
    return core.tidy(() => {
      let value: core.Scalar;
      [value, tape] = record(loss);
      const gradients = walkBack(tape, value, trainable);
      const grads: core.NamedTensorMap = {};
      for (const { id, name } of trainable) {
        const gradient = gradients.get(id);
        if (gradient !== undefined) grads[name] = gradient;
      }
      for (const { trainable: isTrained, name } of variables ?? []) {
        if (!isTrained) grads[name] = null as unknown as core.Tensor;
      }
      return { value, grads };
    });
  } finally {
    for (const { saved } of tape) core.dispose(saved ?? []);
  }
}

function trainableOf(loss: unknown, variables: unknown): core.Variable[] {
  if (typeof loss !== "function") {
    throw new Error(`variableGrads: the loss must be a function, received ${typeof loss}`);
  }
  const all = variables ?? Object.values(core.engine().registeredVariables);
  if (!Array.isArray(all) || !all.every((variable) => variable instanceof core.Variable)) {
    throw new Error("variableGrads: variables must be an array of variables");
  }
  const trainable = all.filter((variable) => variable.trainable);
  if (trainable.length > 0) return trainable;
  throw new Error(`variableGrads: none of the ${all.length} variables is trainable`);
}

/** Runs `loss`: its value, and what it did. */
function record(loss: () => core.Scalar): [core.Scalar, TapeNode[]] {
  const { state } = core.engine();
  const tape: TapeNode[] = [];
  state.activeTape = tape;
  state.gradientDepth = 1;
  try {
    const value = core.tidy("forward", loss);
    if (value instanceof core.Tensor && value.rank === 0) return [value, tape];
    const received = value instanceof core.Tensor ? `one of shape [${value.shape}]` : value;
    throw new Error(`variableGrads: the loss must be a scalar tensor, received ${received}`);
  } catch (error) {
    for (const { saved } of tape) core.dispose(saved ?? []);
    throw error;
  } finally {
    state.gradientDepth = 0;
    state.activeTape = [];
  }
}

/** The gradients by the id of the tensor; those of the variables are left at the end. */
function walkBack(
  tape: readonly TapeNode[],
  loss: core.Scalar,
  variables: readonly core.Variable[],
): Map<number, core.Tensor> {
  const dependent = new Set(variables.map(({ id }) => id));
  const nodes = tape.filter(({ inputs, outputs }) => {
    if (!Object.keys(inputs).some((name) => dependent.has(inputs[name].id))) return false;
    for (const { id } of outputs) dependent.add(id);
    return true;
  });
  if (!dependent.has(loss.id)) {
    throw new Error("variableGrads: cannot find a connection from any variable to the loss");
  }
  const gradients = new Map<number, core.Tensor>([[loss.id, core.ones(loss.shape)]]);
  for (let i = nodes.length - 1; i >= 0; i--) stepBack(nodes[i], dependent, gradients);
  return gradients;
}

/** From the gradients of a node's outputs, which end here, to those of its inputs. */
function stepBack(
  { kernelName, inputs, outputs, saved, gradient }: TapeNode,
  dependent: ReadonlySet<number>,
  gradients: Map<number, core.Tensor>,
): void {
  const dys = outputs.map(({ id }) => gradients.get(id));
  if (dys.every((dy) => dy === undefined)) return;
  if (gradient === undefined) {
    throw new Error(`variableGrads: no gradient function was found for ${kernelName}`);
  }
  // First: an operation may hand on its own input.
  for (const { id } of outputs) gradients.delete(id);
  const { track } = core.engine().state.activeScope;
  const before = track.length;
  const gradientOf = gradient(dys as core.Tensor[]);
  const own = new Set<core.Tensor>();
  for (const name of Object.keys(inputs)) {
    const { id, shape } = inputs[name];
    if (!dependent.has(id)) continue;
    if (gradientOf[name] === undefined) {
      throw new Error(`variableGrads: ${kernelName} has no gradient for its input ${name}`);
    }
    let dx = gradientOf[name]();
    if (dx.dtype !== "float32" || !core.util.arraysEqual(dx.shape, shape)) {
      throw new Error(
        `variableGrads: the gradient of ${kernelName} for its input ${name} must be float32 of ` +
          `shape [${shape}], received ${dx.dtype} of [${dx.shape}]`,
      );
    }
    // Each input's gradient is freed on its own, so none is what something else holds.
    if (dx.kept || own.has(dx) || !track.includes(dx, before)) dx = core.clone(dx);
    const sum = gradients.get(id);
    const total = sum === undefined ? dx : core.add(sum, dx);
    if (sum !== undefined) {
      own.delete(sum);
      free([sum]);
    }
    own.add(total);
    gradients.set(id, total);
  }
  // A gradient function of a user may look at what it has made before, until the end.
  if (core.getGradient(kernelName) !== undefined) {
    const made = track.splice(before);
    track.push(...made.filter((tensor) => own.has(tensor)));
    free(made.filter((tensor) => !own.has(tensor)));
  }
  free(dys);
  core.dispose(saved ?? []);
}

/** Disposes what nobody has asked to keep. */
function free(tensors: readonly (core.Tensor | undefined)[]): void {
  for (const tensor of tensors) if (!tensor?.kept) tensor?.dispose();
}
