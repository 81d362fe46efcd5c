import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Output, terminalOutput } from "./console.ts";
import { ProgressBar } from "./progress_bar.ts";

function heldClock(): { at: number; now(): number; wall(): number } {
  return {
    at: 0,
    now() {
      return this.at;
    },
    wall: () => 0,
  };
}

function streams(isTTY: boolean, columns = 80): {
  all: string[];
  stdout: { write(text: string): void; isTTY: boolean; columns: number };
  stderr: { write(text: string): void };
} {
  const all: string[] = [];
  return {
    all,
    stdout: { write: (text) => void all.push(text), isTTY, columns },
    stderr: { write: (text) => void all.push(`stderr ${text}`) },
  };
}

test("ProgressBar on a terminal shows count, time, eta and values, at most 10 times a second", () => {
  const clock = heldClock();
  const statuses: string[] = [];
  const output: Output = {
    line: (text) => lines.push(text),
    status: (text) => statuses.push(text),
  };
  const lines: string[] = [];
  const bar = new ProgressBar(output, { total: 1000, start: 200, label: "train", clock });
  for (let i = 201; i <= 400; i++) {
    clock.at += 10;
    bar.update(i, { loss: 0.5, "samples/s": 3200 });
  }
  assert.equal(statuses.length, 20);
  // 191 iterations of 10 ms each are done, 609 are left.
  assert.equal(
    statuses[19],
    "train  391/1000  39% [=======             ] 1.9s, eta 6.1s  loss 0.5000  samples/s 3200",
  );
  bar.finish();
  assert.equal(statuses[20], "");
  assert.deepEqual(lines, ["train  400/1000  40% 2.0s, eta 6.0s  loss 0.5000  samples/s 3200"]);
});

test("ProgressBar elsewhere writes a line every 10 s and at tenths a second apart", () => {
  const clock = heldClock();
  const lines: string[] = [];
  const run = (total: number, stepMs: number): number[] => {
    lines.length = 0;
    const bar = new ProgressBar({ line: (text) => lines.push(text) }, { total, clock });
    for (let i = 1; i <= total; i++) {
      clock.at += stepMs;
      bar.update(i);
    }
    return lines.map((line) => Number.parseInt(line));
  };
  assert.deepEqual(run(5, 100), []);
  assert.deepEqual(run(20, 600), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  assert.deepEqual(run(1000, 100), [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
  assert.deepEqual(run(1000, 150).slice(0, 5), [67, 100, 167, 200, 267]);
});

test("terminalOutput() prints lines above the status and cuts the status to the width", () => {
  const { all, ...process } = streams(true, 10);
  const output = terminalOutput(process);
  output.line("first");
  output.status!("0123456789abc");
  output.line("second");
  output.error!("bad");
  output.status!("");
  output.line("last");
  assert.deepEqual(
    all.join("|").replaceAll("\r\x1b[K", "<erase>"),
    [
      "first\n",
      "<erase>012345678",
      "<erase>",
      "second\n",
      "012345678",
      "<erase>",
      "stderr bad\n",
      "012345678",
      "<erase>",
      "last\n",
    ].join("|"),
  );
});

test("terminalOutput() writes plain lines where there is no terminal", () => {
  const { all, ...process } = streams(false);
  const output = terminalOutput(process);
  assert.equal(output.status, undefined);
  output.line("first");
  output.error!("bad");
  assert.deepEqual(all, ["first\n", "stderr bad\n"]);
});
