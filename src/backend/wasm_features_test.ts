import { strict as assert } from "node:assert";
import { test } from "node:test";
import { runtime } from "../core/host.ts";
import { hasFusedRelaxedSimd, hasSimd } from "./wasm_features.ts";

test("hasSimd() is true in every supported runtime", () => {
  assert.equal(hasSimd(), true);
});

test("hasFusedRelaxedSimd() is false where the instruction rounds twice or does not exist", () => {
  const once = hasFusedRelaxedSimd();
  for (let i = 0; i < 1000; i++) assert.equal(hasFusedRelaxedSimd(), once);
  if (runtime === "bun") assert.equal(once, false);
  // Fusing needs the processor's instruction; every x64 and arm64 machine of the last decade has it.
  if (runtime === "deno") assert.equal(once, true);
});
