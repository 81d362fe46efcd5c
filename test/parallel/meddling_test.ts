/** What callbacks may do to options, state and gradients in the middle of a run, with workers as in process. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Callback, IterationRunner, type RunView, tf } from "../../mod.ts";
import { MemoryStore } from "../../src/checkpoint/memory_store.ts";
import { Lines, type Overrides } from "../support/runs.ts";
import { assertEqual, imports, linear, once } from "./support.ts";

const sgd = { type: "SGD", params: { lr: 0.05 } };
const scheduleFree = { type: "SGDScheduleFree", params: { lr: 0.05 } };
const adamW = { type: "AdamW", params: { lr: 0.05 } };

type Hooks = Omit<Callback, "name">;
type Options = Record<string, unknown>;

const group = ({ optimizer }: RunView): Options => optimizer.paramGroups[0];
const bias = ({ model }: RunView) => model.parameters.bias as { trainable: boolean };
/** Sets options of the first group between gradient and update of iteration 2. */
const options = (values: Options): Hooks => ({
  gradients(_, run) {
    if (run.state.iteration === 2) Object.assign(group(run), values);
  },
});

const rows: [title: string, optimizer: Options, hooks: Hooks, params?: Options][] = [
  ["momentum is switched on before an update", sgd, options({ momentum: 0.9 })],
  ["amsgrad is switched on before an update", adamW, options({ amsgrad: true })],
  ["an update comes to need whole tensors", adamW, options({ cautious: true })],
  ["a rate is negative", sgd, {
    iterationStart(run) {
      if (run.state.iteration === 2) group(run).lr = -0.01;
    },
  }],
  [
    "momentum comes and goes, for a parameter that is reached late too",
    { type: "SGD", params: { lr: 0.05, dampening: 0.5 } },
    {
      iterationStart(run) {
        group(run).momentum = run.state.iteration % 2 === 0 ? 0 : 0.9;
      },
    },
    { late: 4 },
  ],
  ["amsgrad is on for one iteration", adamW, {
    iterationStart(run) {
      group(run).amsgrad = run.state.iteration === 2;
    },
  }, { late: 4 }],
  ["state with more slots is loaded before an update", sgd, {
    gradients(_, { optimizer, state }) {
      if (state.iteration !== 2) return;
      const dict = optimizer.stateDict();
      const slots = optimizer.units().map(({ param: { shape, size } }, i) =>
        [i, { momentum_buffer: { data: new Float32Array(size).fill(0.1), shape } }] as const
      );
      dict.param_groups[0].momentum = 0.9;
      optimizer.loadStateDict({ ...dict, state: Object.fromEntries(slots) } as never);
    },
  }],
  ["a gradient is deleted", sgd, {
    gradients({ grads }) {
      delete grads.bias;
    },
  }],
  ["a gradient is replaced in its place", sgd, {
    gradients({ grads }) {
      grads.bias = tf.mul(grads.bias, 0.5);
    },
  }],
  ["a gradient is set to nothing", sgd, {
    gradients({ grads }) {
      grads.bias = undefined as never;
    },
  }],
  ["a parameter is frozen before its first update", scheduleFree, {
    gradients(_, run) {
      if (run.state.iteration === 1) bias(run).trainable = false;
    },
    updateEnd(run) {
      bias(run).trainable = true;
    },
  }],
  ["a frozen parameter gets a gradient", scheduleFree, {
    trainStart(run) {
      bias(run).trainable = false;
    },
    gradients(value) {
      const names = Object.keys(value.grads);
      const clones = names.map((name) => [name, tf.clone(value.grads[name])]);
      return { ...value, grads: { ...Object.fromEntries(clones), bias: tf.ones([2]) } };
    },
  }],
  ["averages are put into the model for a look", scheduleFree, {
    updateEnd(run) {
      run.optimizer.eval();
      run.model.parameters.weight.dataSync();
      run.optimizer.train();
    },
  }],
];

for (const [title, optimizer, hooks, params = {}] of rows) {
  test(`2 workers leave the bytes of 1: ${title}`, once, async () => {
    const overrides = () => ({ optimizer, callbacks: [{ name: "Meddling", ...hooks }] });
    await assertEqual(params, overrides as unknown as () => Overrides);
  });
}

const faults: [
  title: string,
  optimizer: Options,
  iterationStart: Hooks["iterationStart"],
  RegExp,
][] = [
  ["a rate is not finite", sgd, (run) => {
    if (run.state.iteration === 2) group(run).lr = NaN;
  }, /^ConfigError: paramGroups\[0\]\.lr: must be a finite number, received NaN$/],
  ["averages are left in the model", scheduleFree, (run) => {
    if (run.state.iteration === 2) run.optimizer.eval();
  }, /^ConfigError: optimizer: is in evaluation mode: call train\(\) before an update$/],
  ["all parameters are frozen", sgd, ({ model }) => {
    for (const parameter of Object.values(model.parameters)) {
      (parameter as { trainable: boolean }).trainable = false;
    }
  }, /^ConfigError: model: has no trainable parameter in iteration 1$/],
];

for (const [title, optimizer, iterationStart, message] of faults) {
  test(
    `a run with workers is refused as one in process, and can be disposed of: ${title}`,
    once,
    async () => {
      for (const workers of [1, 2]) {
        const callbacks = [{ name: "Meddling", iterationStart }];
        const config = linear(workers, {}, { optimizer, callbacks } as unknown as Overrides);
        const output = new Lines();
        const run = await IterationRunner.create(config, {
          imports,
          output,
          store: new MemoryStore(),
        });
        try {
          await assert.rejects(run.train(), message);
        } finally {
          run.dispose();
        }
        assert.deepEqual(output.lines.filter((line) => line.includes("replacing")), []);
        assert.equal(tf.memory().numTensors, 0);
      }
    },
  );
}
