/** Checkpoints whose metadata someone else has written: nothing is polluted, every refusal is one line. */
import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IterationRunner } from "../../mod.ts";
import { decodeSealed, encodeSealed } from "../../src/checkpoint/sealed.ts";
import { CheckpointError } from "../../src/core/errors.ts";
import { Lines, withFolder } from "../support/runs.ts";
import { type Release, releaseConfig, releasesFile } from "./release.ts";

const release = (JSON.parse(readFileSync(releasesFile, "utf8")) as Release[]).at(-1)!;
const STEP = "step-00000007.safetensors";

/** Keys of the metadata, at every level, under which something hostile is put. */
const PATHS = [
  "",
  "meta",
  "meta.state",
  "meta.state.best",
  "meta.fingerprint",
  "meta.fingerprint.optimizer.params",
  "meta.fingerprint.contents",
  "meta.numeric",
  "meta.optimizer",
  "meta.scheduler",
  "meta.meters",
  "meta.callbacks",
  "meta.callbacks.EarlyStopping",
  "meta.callbacks.JsonLines",
];

const VALUES = [
  "null",
  "5",
  '"text"',
  "[]",
  "{}",
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"prototype":{"polluted":1},"toString":1,"hasOwnProperty":null}',
  '{"length":-1,"iteration":1e300,"best":"x"}',
];

/** The JSON text with the value at `path` replaced. */
function changed(text: string, path: string, value: string): string {
  const marker = "a marker that stands nowhere else";
  const whole = JSON.parse(text);
  const keys = path === "" ? [] : path.split(".");
  if (keys.length === 0) return value;
  let at = whole;
  for (const key of keys.slice(0, -1)) at = at[key];
  at[keys[keys.length - 1]] = marker;
  return JSON.stringify(whole).replace(JSON.stringify(marker), value);
}

test("a checkpoint with hostile metadata is refused in one line or restored, and pollutes nothing", async () => {
  const content = await decodeSealed(
    new Uint8Array(Buffer.from(release.files[STEP], "base64")),
    "x",
  );
  let refused = 0, restored = 0;
  await withFolder(async (directory) => {
    const folder = join(directory, "run", "checkpoints");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "latest"), STEP);
    for (const path of PATHS) {
      for (const value of VALUES) {
        const downhill = changed(content.metadata.downhill, path, value);
        writeFileSync(join(folder, STEP), await encodeSealed(content.tensors, { downhill }));
        const run = await IterationRunner.create(releaseConfig(directory), { output: new Lines() });
        const what = `${path} = ${value}`;
        try {
          await run.restore();
          restored++;
        } catch (error) {
          assert.ok(error instanceof CheckpointError, `${what}: ${(error as Error)?.stack}`);
          assert.ok(!error.message.includes("\n"), error.message);
          refused++;
        } finally {
          run.dispose();
        }
        assert.equal(({} as { polluted?: unknown }).polluted, undefined, what);
        assert.equal(typeof ({}).toString, "function", what);
      }
    }
    assert.deepEqual(readdirSync(directory), ["run"]);
    assert.deepEqual(readdirSync(join(directory, "run")), ["checkpoints"]);
  });
  assert.equal(refused + restored, PATHS.length * VALUES.length);
  assert.ok(refused > 60, `${refused} refused, ${restored} restored`);
});
