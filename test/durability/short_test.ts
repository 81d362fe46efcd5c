/** The short forms of what `npm run test:durability` does at length. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { damageAll } from "./damage.ts";
import { readMutations } from "./mutations.ts";
import { interruptTwice } from "./pairs.ts";
import { soak } from "./soak.ts";

test("decodeSafetensors() answers mutations with tensors that fit or with one line", () => {
  const { refused, accepted } = readMutations(20_000, 1);
  assert.ok(refused > 10_000 && accepted > 300, `${refused} refused, ${accepted} accepted`);
});

test("a run that is interrupted twice, anywhere, ends with the same bytes", async () => {
  await interruptTwice(4, 2);
});

test("a damaged checkpoint of a run is found, and the one before is used", async () => {
  const { flips, cuts, largeFlips } = await damageAll(29, 5, 3);
  assert.ok(flips > 300 && flips === cuts && largeFlips === 5, `${flips} ${cuts}`);
});

test("a long run holds no more at its end than at its beginning", async () => {
  const { tensors, descriptors, checkpoints, evaluations } = await soak(250, "cpu");
  assert.equal(tensors[1], tensors[0]);
  assert.ok(descriptors[1] <= descriptors[0] + 2, descriptors.join());
  assert.ok(checkpoints >= 249 && evaluations === 250, `${checkpoints} ${evaluations}`);
});
