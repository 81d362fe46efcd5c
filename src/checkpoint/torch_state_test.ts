import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import { assertClose } from "../../test/support/close.ts";
import { readFixture } from "../../test/support/fixture.ts";
import { buildOptimizer } from "../optim/builder.ts";
import * as tf from "../tensor/tf.ts";
import { decodeSafetensors, encodeSafetensors } from "./safetensors.ts";
import { fromTorchStateDict, type TorchStateDict } from "./torch_state.ts";

interface Checkpoint {
  type: string;
  params: Record<string, unknown>;
  x: number[][];
  y: number[][];
  /** Safetensors files in base64. */
  weights: string;
  state: string;
  plain: TorchStateDict;
  losses: number[];
  final: Record<string, number[] | number[][]>;
}

const { checkpoints } = readFixture<{ checkpoints: Checkpoint[] }>("torch/optimizers_more.json");

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

const names = ["first.weight", "first.bias", "last.weight", "last.bias"];

/** The variables of the saved model in an order, their matrices transposed. */
function variablesOf({ weights }: Checkpoint, order = names): Record<string, tf.Variable> {
  const { tensors } = decodeSafetensors(bytesOf(weights), "weights");
  return Object.fromEntries(
    order.map((name) => [
      name,
      tf.tidy(() => {
        const { data, shape } = tensors[name];
        return tf.variable(tf.transpose(tf.tensor(data as Float32Array, [...shape])));
      }),
    ]),
  );
}

for (const checkpoint of checkpoints) {
  const { type, params, losses, final } = checkpoint;
  const isFlat = type === "LBFGS";

  test(`fromTorchStateDict() lets ${type} go on where torch stopped`, async () => {
    await useBackend("cpu");
    for (const source of [bytesOf(checkpoint.state), checkpoint.plain]) {
      // L-BFGS keeps one flat vector; another order of the parameters must not matter.
      const variables = variablesOf(checkpoint, isFlat ? [...names].reverse() : names);
      const optimizer = buildOptimizer(
        isFlat ? { type } : { type, groups: [{ match: "bias$" }] },
        variables,
      );
      optimizer.loadStateDict(fromTorchStateDict(source, { transpose: "weight$", optimizer }));
      const [group] = optimizer.paramGroups;
      assert.equal(group.lr, isFlat ? params.lr : 0.01);
      const x = tf.tensor2d(checkpoint.x), y = tf.tensor2d(checkpoint.y);
      const loss = () => {
        const linear = (input: tf.Tensor2D, name: string) =>
          tf.add(
            tf.matMul(input, variables[`${name}.weight`] as tf.Tensor2D),
            variables[`${name}.bias`],
          ) as tf.Tensor2D;
        return tf.mean(
          tf.square(tf.sub(tf.tanh(linear(linear(x, "first"), "last")), y)),
        ) as tf.Scalar;
      };
      const seen: number[] = [];
      for (const _ of losses) seen.push(await optimizer.step(loss));
      assertClose(seen, losses, 1e-5, "losses");
      for (const [name, expected] of Object.entries(final)) {
        const actual = tf.tidy(() => tf.transpose(variables[name]).dataSync());
        assertClose(actual, (expected as number[]).flat(), 1e-5, name);
      }
      optimizer.dispose();
      tf.dispose([variables, x, y]);
    }
  });
}

test("fromTorchStateDict() without an optimizer keeps torch's order and indices", () => {
  const [adamw] = checkpoints;
  const { state, param_groups } = fromTorchStateDict(bytesOf(adamw.state), { transpose: true });
  assert.deepEqual(Object.keys(state), ["0", "1", "2", "3"]);
  assert.deepEqual(param_groups.map(({ params, lr }) => [params, lr]), [[[0, 1], 0.01], [
    [2, 3],
    0.05,
  ]]);
  const given = adamw.plain.state[2].exp_avg as unknown as number[][];
  const { data, shape } = state[2].exp_avg as { data: number[]; shape: number[] };
  assert.deepEqual(shape, [4, 3]);
  assertClose(data, given[0].flatMap((_, column) => given.map((row) => row[column])), 1e-7);
});

test("fromTorchStateDict() takes numbers for tensors without axes, as tolist() writes them", async () => {
  await useBackend("cpu");
  const variables = { a: tf.variable(tf.ones([2])), scale: tf.variable(tf.scalar(1)) };
  const optimizer = buildOptimizer({ type: "Adam" }, variables);
  optimizer.loadStateDict(fromTorchStateDict({
    state: {
      0: { step: 3, exp_avg: [1, 2], exp_avg_sq: [1, 4] },
      1: { step: 3, exp_avg: 0.5, exp_avg_sq: 0.25 },
    },
    param_groups: [{ params: [0, 1], lr: 1 }],
  }));
  const { exp_avg, exp_avg_sq } = optimizer.stateDict().state[1] as Record<string, tf.Tensor>;
  assert.deepEqual([exp_avg.shape, exp_avg.dataSync()[0]], [[], 0.5]);
  assert.equal(exp_avg_sq.dataSync()[0], 0.25);
  const wrong = { state: { 0: { step: 3, exp_avg: 1, exp_avg_sq: 1 } } };
  assert.throws(
    () =>
      optimizer.loadStateDict(
        fromTorchStateDict({ ...wrong, param_groups: [{ params: [0, 1], lr: 1 }] }),
      ),
    /'a': exp_avg must be a tensor or \{ data, shape \}, received 1$/,
  );
  optimizer.dispose();
  tf.dispose(variables);
});

test("fromTorchStateDict() turns Adafactor's means of matrices, and leaves those of higher rank", async () => {
  await useBackend("cpu");
  const variables = {
    matrix: tf.variable(tf.ones([3, 2])),
    cube: tf.variable(tf.ones([2, 3, 4])),
  };
  const optimizer = buildOptimizer({ type: "Adafactor" }, variables);
  const cube = {
    row_var: [[[1], [2], [3]], [[4], [5], [6]]],
    col_var: [[[1, 2, 3, 4]], [[5, 6, 7, 8]]],
  };
  optimizer.loadStateDict(fromTorchStateDict({
    state: {
      0: { step: 1, row_var: [[1], [2]], col_var: [[3, 4, 5]] },
      1: { step: 1, ...cube },
    },
    param_groups: [{ params: [0, 1], lr: 1 }],
  }, { transpose: true }));
  const [first, second] = Object.values(optimizer.stateDict().state) as Record<string, tf.Tensor>[];
  assert.deepEqual(first.row_var.arraySync(), [[3], [4], [5]]);
  assert.deepEqual(first.col_var.arraySync(), [[1, 2]]);
  assert.deepEqual(second.row_var.arraySync(), cube.row_var);
  assert.deepEqual(second.col_var.arraySync(), cube.col_var);
  optimizer.dispose();
  tf.dispose(variables);
});

test("fromTorchStateDict() takes an LBFGS whose history is empty, in both forms", async () => {
  await useBackend("cpu");
  // One iteration from [1, 2] on the sum of squares, as torch keeps it.
  const numbers = { func_evals: 1, n_iter: 1, t: 1 / 6, H_diag: 1, prev_loss: 5 };
  const vectors = { d: [-2, -4], prev_flat_grad: [2, 4] };
  const group = { lr: 1, max_iter: 1, max_eval: 1, tolerance_grad: 1e-7, tolerance_change: 1e-9 };
  const param_groups = [{ params: [0], ...group, history_size: 100, line_search_fn: null }];
  const lists = { old_dirs: [], old_stps: [], ro: [], al: [null, null] };
  const plain = { state: { 0: { ...numbers, ...vectors, ...lists } }, param_groups };
  const tensor = (values: number[], shape: number[]) =>
    ({ dtype: "F32", shape, data: Float32Array.from(values) }) as const;
  const file = encodeSafetensors(
    Object.fromEntries([
      ...Object.entries(numbers).map(([key, value]) => [key, tensor([value], [])] as const),
      ...Object.entries(vectors).map(([key, value]) => [key, tensor(value, [2])] as const),
      ...Object.keys(lists).map((key) => [key, tensor([], [0])] as const),
    ].map(([key, value]) => [`state.0.${key}`, value])),
    { param_groups: JSON.stringify(param_groups) },
  );
  for (const source of [plain as unknown as TorchStateDict, file]) {
    const w = tf.variable(tf.tensor([2 / 3, 4 / 3]));
    const optimizer = buildOptimizer({ type: "LBFGS" }, { w });
    optimizer.loadStateDict(fromTorchStateDict(source, { optimizer, names: ["w"] }));
    // The second iteration knows the curvature: it goes to the minimum.
    await optimizer.step(() => tf.sum(tf.square(w)) as tf.Scalar);
    assertClose(w.dataSync(), [0, 0], 1e-6);
    optimizer.dispose();
    w.dispose();
  }
});

test("fromTorchStateDict() says in one line what does not fit", async () => {
  await useBackend("cpu");
  const [adamw] = checkpoints, lbfgs = checkpoints[4];
  const variables = variablesOf(adamw);
  const optimizer = buildOptimizer({ type: "AdamW" }, variables);
  const { "last.bias": _, ...fewer } = variables;
  const nameless = {
    ...adamw.plain,
    param_groups: adamw.plain.param_groups.map(({ param_names: _, ...group }) => group),
  } as unknown as TorchStateDict;
  const file = (name: string, metadata: Record<string, string>) =>
    encodeSafetensors(
      { [name]: { dtype: "F32", shape: [1], data: new Float32Array(1) } },
      metadata,
    );
  const rows: [() => unknown, RegExp][] = [
    [() => fromTorchStateDict({} as never), /torch state: must hold state and param_groups$/],
    [() => fromTorchStateDict(file("a", {})), /metadata must hold param_groups as JSON$/],
    [
      () => fromTorchStateDict(file("a", { param_groups: "[]" })),
      /tensors are named state\.<index>\.<slot>, received "a"$/,
    ],
    [
      () => fromTorchStateDict(file("state.0.step", { param_groups: "[" })),
      /param_groups must be JSON, received "\["$/,
    ],
    [
      () => fromTorchStateDict(nameless, { transpose: "weight" }),
      /no name is known for parameter 0; give names$/,
    ],
    [
      () => fromTorchStateDict(adamw.plain, { optimizer }),
      /group 0 would join parameters of the groups 1, 0$/,
    ],
    [
      () => fromTorchStateDict(adamw.plain, { optimizer: buildOptimizer({ type: "Adam" }, fewer) }),
      /"last\.bias" is no parameter of the optimizer$/,
    ],
    [
      () => fromTorchStateDict(adamw.plain, { optimizer, rename: (name) => `model.${name}` }),
      /has no parameter "first\.weight"; names: model\.first\.bias, /,
    ],
    [
      () => fromTorchStateDict(lbfgs.plain, { transpose: true }),
      /the flat vectors of LBFGS can be transposed only for an optimizer; give it$/,
    ],
    [
      () => fromTorchStateDict({ state: { 0: { m: [[1], [2, 3]] } }, param_groups: [] }),
      /state\.0\.m: must be a regular array of shape \[2,1\]$/,
    ],
  ];
  for (const [act, message] of rows) assert.throws(act, message);
});
