import { strict as assert } from "node:assert";
import { test } from "node:test";
import { useBackend } from "../../test/support/backend.ts";
import * as tf from "../tensor/tf.ts";
import { fitScaler, scalerFromState } from "./scaler.ts";

// [5, 3]; the fit reads the first four rows. Expected numbers: numpy 2, nanmean and nanstd in float64.
const values = (): Float32Array =>
  Float32Array.of(1, 10, -3, 2, NaN, -3, 4, 30, -3, 8, 70, -3, 100, 100, 100);
const rows = [0, 4] as const;

function close(found: ArrayLike<number>, expected: readonly number[], tolerance = 0): void {
  assert.equal(found.length, expected.length);
  expected.forEach((x, i) => {
    if (Number.isNaN(x)) assert.ok(Number.isNaN(found[i]), `${i}: ${found[i]} is not NaN`);
    else assert.ok(Math.abs(found[i] - x) <= tolerance, `${i}: ${found[i]} is not ${x}`);
  });
}

test("fitScaler() agrees with numpy, skips NaN, and gives a constant channel scale 1", () => {
  const z = fitScaler("zscore", values(), 3, { rows });
  close(z.shift, [3.75, 36.666666666666664, -3], 1e-14);
  close(z.scale, [2.680951323690902, 24.944382578492945, 1], 1e-14);
  const one = fitScaler("zscore", values(), 3, { rows, perChannel: false });
  close(one.shift, [10.272727272727273], 1e-14);
  close(one.scale, [21.01986466996878], 1e-14);
  const m = fitScaler("minmax", values(), 3, { rows });
  assert.deepEqual([[...m.shift], [...m.scale]], [[1, 10, -3], [7, 60, 1]]);
  const all = fitScaler("minmax", values(), 3, { rows, perChannel: false });
  assert.deepEqual([[...all.shift], [...all.scale]], [[-3], [73]]);
  const empty = fitScaler("zscore", Float32Array.of(1, NaN, 3, NaN), 2, { rows: [0, 2] });
  assert.deepEqual([[...empty.shift], [...empty.scale]], [[2, 0], [1, 1]]);
});

test("fitScaler() gives scale 1 where rounding of the mean would leave a tiny deviation", () => {
  const constant = new Float32Array(1000).fill(0.1);
  const { shift, scale } = fitScaler("zscore", constant, 1, { rows: [0, 1000] });
  assert.deepEqual([shift[0], scale[0]], [Math.fround(0.1), 1]);
});

test("transform() agrees with numpy, and inverse() undoes it", () => {
  const z = fitScaler("zscore", values(), 3, { rows });
  const expected = [
    ...[-1.0257552862167358, -1.0690449476242065, 0, -0.6527533531188965, NaN, 0],
    ...[0.09325048327445984, -0.26726123690605164, 0, 1.58525812625885, 1.3363062143325806, 0],
    ...[35.90143585205078, 2.5389819145202637, 103],
  ];
  const scaled = z.transform(values());
  close(scaled, expected);
  close(z.inverse(scaled), [...values()], 1e-5);
  assert.throws(
    () => z.transform(new Float32Array(4)),
    /needs a multiple of as many values, received 4/,
  );
});

test("inverseTensor() equals inverse(), leaves no tensor behind, and checks the last axis", async () => {
  await useBackend("cpu");
  for (const perChannel of [true, false]) {
    for (const type of ["zscore", "minmax"] as const) {
      const scaler = fitScaler(type, values(), 3, { rows, perChannel });
      const y = Float32Array.of(0.5, -1, 2, 0, 1, -2);
      const before = tf.memory().numTensors;
      const found = tf.tidy(() => scaler.inverseTensor(tf.tensor(y, [2, 1, 3])).dataSync());
      assert.equal(tf.memory().numTensors, before);
      close(found, [...scaler.inverse(y)], 1e-5);
      tf.tidy(() => {
        assert.throws(
          () => scaler.inverseTensor(tf.zeros([3, 2])),
          /a scaler of 3 channels needs a tensor with that last axis, received shape \[3,2\]/,
        );
      });
    }
  }
});

test("select() keeps the chosen channels, state() survives JSON", () => {
  const z = fitScaler("zscore", values(), 3, { rows });
  const picked = z.select([2, 0]);
  assert.deepEqual([picked.channels, ...picked.shift], [2, -3, 3.75]);
  close(picked.transform(Float32Array.of(-2, 1)), [1, -1.0257552862167358]);
  const one = fitScaler("zscore", values(), 3, { rows, perChannel: false }).select([1]);
  assert.deepEqual([one.channels, one.shift.length], [1, 1]);
  assert.throws(() => z.select([3]), /a channel must be an integer in \[0, 3\), received 3/);
  const again = scalerFromState(JSON.parse(JSON.stringify(picked.state())));
  assert.deepEqual(again.state(), picked.state());
  assert.deepEqual(again.shift, picked.shift);
  assert.throws(
    () => scalerFromState({ type: "zscore", channels: 3, shift: [1, 2], scale: [1, 2] }),
    /a scaler of 3 channels needs .* received \[1,2\] and \[1,2\]/,
  );
});
