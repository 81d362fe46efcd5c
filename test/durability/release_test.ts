/** Checkpoints of every release load, for ever. */
import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner } from "../../mod.ts";
import { weightsSha256 } from "../../src/checkpoint/tensors.ts";
import { Lines, withFolder } from "../support/runs.ts";
import { type Release, releaseConfig, releasesFile } from "./release.ts";

const releases = JSON.parse(readFileSync(releasesFile, "utf8")) as Release[];

for (const release of releases) {
  const { version, format, files, iteration, best } = release;
  test(`a checkpoint of ${version} (format ${format}) is resumed`, async () => {
    await withFolder(async (directory) => {
      const folder = join(directory, "run", "checkpoints");
      mkdirSync(folder, { recursive: true });
      for (const [name, base64] of Object.entries(files)) {
        writeFileSync(join(folder, name), Buffer.from(base64, "base64"));
      }
      const output = new Lines();
      const run = await IterationRunner.create(releaseConfig(directory), { output });
      try {
        assert.equal(await run.restore(), true);
        const { parameters, buffers } = run.model;
        assert.equal(await weightsSha256({ ...parameters, ...buffers }), release.weightsSha256);
        assert.equal(run.state.iteration, iteration);
        assert.equal(run.state.best?.iteration, best.iteration);
        assert.equal(run.state.best?.value, best.value);
        assert.equal(output.lines.some((line) => line.includes("without digests")), format === 1);
      } finally {
        run.dispose();
      }
    });
  });
}

test("there is a checkpoint of the present format", () => {
  assert.ok(releases.some(({ format }) => format === 2));
});
