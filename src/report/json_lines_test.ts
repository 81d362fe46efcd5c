import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { AppendTarget } from "./append_buffer.ts";
import { JsonLines } from "./json_lines.ts";

/** One file in memory; `fail` makes the next append write half and throw. */
class OneFile implements AppendTarget {
  bytes: number[] = [];
  appends = 0;
  fail = false;

  async append(_: string, bytes: Uint8Array): Promise<void> {
    await Promise.resolve();
    this.appends++;
    const part = this.fail ? bytes.subarray(0, bytes.length >> 1) : bytes;
    this.bytes.push(...part);
    if (this.fail) {
      this.fail = false;
      throw new Error("ENOSPC");
    }
  }

  // deno-lint-ignore require-await
  async truncate(_: string, length: number): Promise<void> {
    this.bytes.length = length;
  }

  get text(): string {
    return new TextDecoder().decode(Uint8Array.from(this.bytes));
  }
}

test("JsonLines writes one object a line, NaN and infinities as strings", async () => {
  const file = new OneFile();
  const lines = new JsonLines(file, "metrics.jsonl");
  lines.write({ iteration: 1, phase: "train", loss: NaN, best: -Infinity, list: [Infinity, 0.1] });
  lines.write({ text: "\u00e9\n" });
  assert.equal(lines.length, 0);
  assert.equal(await lines.flush(), file.bytes.length);
  assert.equal(
    file.text,
    '{"iteration":1,"phase":"train","loss":"NaN","best":"-Infinity","list":["Infinity",0.1]}\n' +
      '{"text":"\u00e9\\n"}\n',
  );
  assert.equal(await lines.flush(), file.bytes.length);
  assert.equal(file.appends, 1);
});

test("JsonLines.resume() cuts back to a length, so that every line is written once", async () => {
  const straight = new OneFile();
  const all = new JsonLines(straight, "a");
  for (let i = 0; i < 6; i++) all.write({ i });
  await all.flush();

  const file = new OneFile();
  const first = new JsonLines(file, "a");
  for (let i = 0; i < 3; i++) first.write({ i });
  const length = await first.flush();
  for (let i = 3; i < 5; i++) first.write({ i });
  await first.flush();

  const second = new JsonLines(file, "a");
  await second.resume(length);
  assert.equal(second.length, length);
  for (let i = 3; i < 6; i++) second.write({ i });
  assert.equal(await second.flush(), straight.bytes.length);
  assert.equal(file.text, straight.text);
});

test("JsonLines.flush() calls follow one another and keep lines written meanwhile", async () => {
  const file = new OneFile();
  const lines = new JsonLines(file, "a");
  lines.write({ i: 0 });
  const first = lines.flush();
  lines.write({ i: 1 });
  const second = lines.flush();
  lines.write({ i: 2 });
  await Promise.all([first, second]);
  await lines.flush();
  assert.equal(file.text, '{"i":0}\n{"i":1}\n{"i":2}\n');
});

test("JsonLines.flush() after a failure leaves neither torn nor doubled lines", async () => {
  const file = new OneFile();
  const lines = new JsonLines(file, "a");
  lines.write({ i: 0 });
  await lines.flush();
  lines.write({ i: 1 });
  file.fail = true;
  await assert.rejects(lines.flush(), /ENOSPC/);
  assert.equal(lines.length, 8);
  lines.write({ i: 2 });
  assert.equal(await lines.flush(), 24);
  assert.equal(file.text, '{"i":0}\n{"i":1}\n{"i":2}\n');
});
