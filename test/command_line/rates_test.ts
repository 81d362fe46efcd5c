/** `downhill lr CONFIG` prints the groups and draws each one's rates; it reads no data and writes nothing. */
import { strict as assert } from "node:assert";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { main } from "../../src/config/command_line.ts";
import { Lines, withFolder } from "../support/runs.ts";
import { writeFiles } from "./files.ts";

async function rates(more: Record<string, unknown>, ...args: string[]): Promise<string[]> {
  const output = new Lines();
  await withFolder(async (folder) => {
    const path = writeFiles(folder, more);
    rmSync(join(folder, "configs", "data"), { recursive: true });
    assert.equal(await main(["lr", path, ...args], output), 0, output.lines.join("\n"));
    assert.deepEqual(readdirSync(folder), ["configs"]);
  });
  return output.lines;
}

const warmup = {
  type: "SequentialLR",
  milestones: [10],
  schedulers: [
    { type: "LinearLR", params: { start_factor: 0.1, total_iters: "auto" } },
    { type: "PolynomialLR", params: { total_iters: "auto" } },
  ],
};

const curve = [
  " 0.0200 |          **",
  "        |         *  **",
  "        |       **     **",
  " 0.0133 |      *         **",
  "        |     *            ***",
  "        |    *                **",
  "0.00667 |  **                   **",
  "        | *                       **",
  "        |*                          **",
  "      0 |                             *",
  "        +------------------------------",
  "         1                           30",
];

test("lr draws the rates of every iteration, one chart for groups of one curve", async () => {
  const optimizer = (group: Record<string, unknown>) => ({
    type: "AdamW",
    params: { lr: 0.02 },
    groups: [{ match: "bias$", ...group }],
  });
  const same = await rates({ optimizer: optimizer({ weight_decay: 0 }), scheduler: warmup });
  assert.match(same[1], /^0 +AdamW +bias\$ +1 +4 +0\.02 +0$/);
  assert.deepEqual(same.slice(4), ["lr of group 0, 1", ...curve]);
  const other = await rates({ optimizer: optimizer({ lr: 0.01 }), scheduler: warmup });
  assert.deepEqual(other.slice(18), ["lr of group 1", ...curve]);
  assert.deepEqual(other.slice(4, 6), ["lr of group 0", " 0.0100 |          **"]);
});

test("lr draws a constant without a scheduler, another option by its name, and says what it assumes", async () => {
  const flat = await rates({}, "--set", "train.iterations=5");
  assert.deepEqual(flat.slice(2, 5), ["", "lr of group 0", " 0.0100 |*****"]);
  assert.deepEqual(flat.slice(-2), ["        +-----", "         1   5"]);
  const decay = await rates({
    scheduler: { type: "LinearLR", params: { total_iters: 30 }, target: "weight_decay" },
  });
  assert.equal(decay[3], "weight_decay of group 0");
  const plateau = await rates({ scheduler: { type: "ReduceLROnPlateau", monitor: "val/mae" } });
  assert.equal(plateau[3], "drawn as if val/mae kept improving");
});
