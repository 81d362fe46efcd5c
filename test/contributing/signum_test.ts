/** The optimizer that CONTRIBUTING.md shows: its text is this folder's file, and it works. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { buildOptimizer } from "../../src/optim/builder.ts";
import { registerOptimizer } from "../../src/optim/registry.ts";
import * as tf from "../../src/tensor/tf.ts";
import { useBackend } from "../support/backend.ts";
import { assertClose } from "../support/close.ts";
import { root } from "../support/root.ts";
import { signum } from "./signum.ts";

test("CONTRIBUTING.md shows test/contributing/signum.ts as a file of src/optim", () => {
  const page = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
  const [, shown] = /```ts ignore\n(\/\*\* Signum[\s\S]*?)```/.exec(page) ?? [];
  const file = readFileSync(join(root, "test", "contributing", "signum.ts"), "utf8");
  const moved = file.replaceAll('"../../src/optim/', '"./').replaceAll('"../../src/', '"../');
  assert.equal(shown, moved);
  assert.ok(shown.split("\n").length <= 37);
});

for (const backend of ["cpu", "wasm"] as const) {
  test(`the example of CONTRIBUTING.md makes its update on ${backend}`, async () => {
    await useBackend(backend);
    registerOptimizer("Signum", signum);
    const w = tf.variable(tf.tensor([1, -2, 3]));
    const params = { lr: 0.1, momentum: 0.5, weightDecay: 0.5 };
    const optimizer = buildOptimizer({ type: "signum", params }, { w });
    const p = [1, -2, 3], m = [0, 0, 0];
    for (const g of [[1, -1, 2], [-3, 0.5, 0], [1, 2, -4]]) {
      const gradient = tf.tensor(g);
      optimizer.applyGradients({ w: gradient });
      gradient.dispose();
      g.forEach((value, i) => {
        m[i] = 0.5 * m[i] + 0.5 * value;
        p[i] = p[i] * 0.95 - 0.1 * Math.sign(m[i]);
      });
      assertClose(w.dataSync(), p, 1e-6);
    }
    const buffer = optimizer.stateDict().state[0].momentum_buffer as tf.Tensor;
    assertClose(buffer.dataSync(), m, 1e-6);
    assert.throws(
      () => buildOptimizer({ type: "Signum", params: { momentun: 0.5 } }, { w }),
      /params\.momentun: unknown option "momentun" for Signum; did you mean 'momentum'\?/,
    );
    optimizer.dispose();
    w.dispose();
  });
}
