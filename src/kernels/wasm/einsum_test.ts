import { strict as assert } from "node:assert";
import { test } from "node:test";
import { noise, useKernels } from "../../../test/support/kernels.ts";
import * as tf from "../../tensor/tf.ts";

const SIZES: Record<string, number> = { a: 2, b: 3, c: 5, d: 4, e: 7, f: 1, z: 0 };

/** The sum over all labels in double precision. */
function oracle(equation: string, operands: readonly ArrayLike<number>[]): Float64Array {
  const [left, result] = equation.split("->");
  const terms = left.split(",");
  const labels = [...new Set([...result, ...left.replace(",", "")])];
  const at = (term: string, index: Record<string, number>): number =>
    [...term].reduce((offset, label) => offset * SIZES[label] + index[label], 0);
  const out = new Float64Array([...result].reduce((n, label) => n * SIZES[label], 1));
  const index: Record<string, number> = {};
  const walk = (depth: number): void => {
    if (depth === labels.length) {
      out[at(result, index)] += terms.reduce((p, term, i) => p * operands[i][at(term, index)], 1);
      return;
    }
    for (let i = 0; i < SIZES[labels[depth]]; i++) {
      index[labels[depth]] = i;
      walk(depth + 1);
    }
  };
  walk(0);
  return out;
}

const EQUATIONS = [
  ..."ab,bc->ac ab,bc->ca ba,bc->ac ab,cb->ca abc,acd->abd abc,adc->abd abc,dac->dba".split(" "),
  ..."ab,ab->ab ab,ab->ba ab,ab->a ab,ab-> a,b->ab a,b->ba a,bc->cab ab,->ab ab,c->ab".split(" "),
  ..."abc,ce->e abcd,abed->abce abcd,cbe->aed abcde,ce->ab abf,fc->abc fe,ef->f zb,bc->zc".split(
    " ",
  ),
  ..."az,zc->ac z,z-> ab->ba abc->b ab-> abc->abc abc->cab ->".split(" "),
];

test("einsum equals sums in double precision, and leaves nothing behind", async () => {
  await useKernels();
  const state = (): number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  for (const equation of EQUATIONS) {
    const before = state();
    const [left, result] = equation.split("->");
    const shapes = left.split(",").map((term) => [...term].map((label) => SIZES[label]));
    const operands = shapes.map((shape, i) => noise(tf.util.sizeFromShape(shape), i + 1));
    const exact = oracle(equation, operands);
    const [y, values] = tf.tidy(() => {
      const y = tf.einsum(equation, ...operands.map((x, i) => tf.tensor(x, shapes[i])));
      return [y.shape, y.dataSync()] as const;
    });
    assert.deepEqual(y, [...result].map((label) => SIZES[label]), equation);
    for (let i = 0; i < exact.length; i++) {
      assert.ok(
        Math.abs(values[i] - exact[i]) <= 1e-5,
        `${equation} ${i}: ${values[i]}, ${exact[i]}`,
      );
    }
    assert.deepEqual(state(), before, equation);
  }
});

test("einsum of integers is exact, and shares nothing with its operand", async () => {
  await useKernels();
  const x = tf.tensor2d([[100000, 3], [5, 7]], [2, 2], "int32");
  assert.deepEqual(await tf.einsum("ab,bc->ac", x, x).array(), [[1410065423, 300021], [
    500035,
    64,
  ]]);
  const same = tf.einsum("ab->ab", x);
  x.dispose();
  assert.deepEqual(await same.array(), [[100000, 3], [5, 7]]);
});
