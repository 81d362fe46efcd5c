/**
 * Gradients that tfjs lacks, and some of its own that are wrong or slow.
 *
 * Wrong in tfjs 4.22: `Cumsum` on other axes than the last, and `GatherV2` with a negative axis or
 * more than one batch axis; what resizes images (gradient/resize.ts); what broadcasts
 * (gradient/broadcast.ts). `FusedBatchNorm` takes twice the operations that it needs. For
 * `MirrorPad` see mirror_pad.ts.
 */
import * as core from "@tensorflow/tfjs-core";
import { alias } from "./alias.ts";
import { batchNormGradient } from "./gradient/batch_norm.ts";
import { broadcastGradients } from "./gradient/broadcast.ts";
import { einsumGradient } from "./gradient/einsum.ts";
import { indexGradients } from "./gradient/indexing.ts";
import { layoutGradients } from "./gradient/layout.ts";
import { reduceGradients } from "./gradient/reduce.ts";
import { resizeGradients } from "./gradient/resize.ts";
import { scanGradients } from "./gradient/scan.ts";

/** Gradients that are our own. */
const GRADIENTS: readonly core.GradConfig[] = [
  batchNormGradient,
  einsumGradient,
  ...indexGradients,
  ...layoutGradients,
  ...reduceGradients,
  ...resizeGradients,
  ...scanGradients,
];

/** Puts the gradients in tfjs' registry, over its own; calling it again changes nothing. */
export function registerGradients(): void {
  for (const gradient of [...GRADIENTS, ...broadcastGradients()]) core.registerGradient(gradient);
  patchTape();
}

/**
 * Tests, whose results no small change of an input changes and to which tfjs gives no gradient: they
 * stay off the tape. A test that becomes a factor (`mul(x, cast(greater(x, 1), "float32"))`, as in
 * tfjs' layer ThresholdedReLU) would be on the way back otherwise, and fail there.
 */
const TESTS = new Set<string>([
  ...[core.Equal, core.Greater, core.Less, core.LessEqual, core.NotEqual],
  ...[core.LogicalAnd, core.LogicalNot, core.LogicalOr],
]);

/** An operation on the tape. */
interface TapeNode {
  readonly inputs: Readonly<Record<string, core.Tensor>>;
}

/** What tfjs' engine does with a kernel's inputs on the tape. */
interface Tape {
  readonly state: { readonly gradientDepth: number; readonly activeTape: TapeNode[] };
  addTapeNode(
    kernel: string,
    inputs: Record<string, core.Tensor>,
    outputs: core.Tensor[],
    ...rest: unknown[]
  ): void;
  saveTensorsForBackwardMode(tensors: core.Tensor[]): core.Tensor[];
}

/**
 * Keeps tests off the tape, lets inputs be left out, saves tensors at less cost, and saves outputs so
 * that they have derivatives.
 *
 * The engine copies every input that a gradient keeps, and reads every input's id: it fails on one
 * that was left out (the scale of a batch normalization). In its place something without data is
 * kept that can be disposed, and the tape holds the other inputs.
 *
 * A copy is a kernel (Identity) and a node of the tape. The node serves the gradient of a gradient
 * alone: outside of one a second tensor of the same data will do. In one, the copy of a kernel's
 * output (tanh keeps its own) comes onto the tape before the kernel, and the way from the copy to the
 * kernel's inputs is not found: it is put behind the kernel.
 */
function patchTape(): void {
  const engine = core.engine() as unknown as Tape;
  const { addTapeNode, saveTensorsForBackwardMode } = Object.getPrototypeOf(engine) as Tape;
  const absent = { dispose() {} } as unknown as core.Tensor;
  engine.saveTensorsForBackwardMode = (tensors) =>
    tensors.map((tensor) => {
      if (tensor == null) return absent;
      if (engine.state.gradientDepth > 1 || tensor.dtype === "complex64") {
        return saveTensorsForBackwardMode.call(engine, [tensor])[0];
      }
      return core.keep(alias(tensor));
    });
  engine.addTapeNode = (kernel, inputs, outputs, ...rest) => {
    if (TESTS.has(kernel)) return;
    const { activeTape, gradientDepth } = engine.state;
    const isElse = ({ inputs: { x } }: TapeNode): boolean =>
      !outputs.some(({ id }) => id === x?.id);
    const copies = gradientDepth > 1 ? activeTape.splice(activeTape.findLastIndex(isElse) + 1) : [];
    const isWhole = Object.values(inputs).every((x) => x != null);
    const given = isWhole
      ? inputs
      : Object.fromEntries(Object.entries(inputs).filter(([, x]) => x != null));
    addTapeNode.call(engine, kernel, given, outputs, ...rest);
    activeTape.push(...copies);
  };
}
