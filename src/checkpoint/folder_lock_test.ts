import { strict as assert } from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { CheckpointError } from "../core/errors.ts";
import { lockFolder } from "./folder_lock.ts";

async function inFolder(use: (folder: string, lines: string[]) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "downhill-lock-"));
  try {
    await use(folder, []);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const take = (folder: string, lines: string[]) => lockFolder(folder, (line) => lines.push(line));

test("lockFolder() lets one run in, and the next when the first is released", async () => {
  await inFolder(async (folder, lines) => {
    const first = await take(folder, lines);
    first.check();
    await assert.rejects(take(folder, lines), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.match(error.message, /^[^\n]*: in use by process \d+ [^\n]*two runs cannot write/);
      assert.ok(error.message.includes(`process ${process.pid} `));
      return true;
    });
    first.check();
    first.release();
    first.release();
    assert.deepEqual(fs.readdirSync(folder), []);
    (await take(folder, lines)).release();
    assert.deepEqual(lines, []);
  });
});

test("lockFolder() lets one of several in that come at once", async () => {
  await inFolder(async (folder, lines) => {
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => take(folder, lines)));
    const held = results.filter((result) => result.status === "fulfilled");
    assert.ok(held.length <= 1);
    assert.equal(fs.readdirSync(folder).length, held.length);
    held.forEach((result) => result.value.release());
  });
});

test("lockFolder() tells the run whose lock was taken away", async () => {
  await inFolder(async (folder, lines) => {
    const lock = await take(folder, lines);
    fs.rmSync(join(folder, fs.readdirSync(folder)[0]));
    assert.throws(() => lock.check(), /is gone: another run took the directory over/);
    lock.release();
  });
});

/** Deno reads /proc only with all permissions. */
function isReadable(path: string): boolean {
  try {
    return fs.readFileSync(path).length > 0;
  } catch {
    return false;
  }
}

/** A child that does nothing, and what `lockFolder` would have written for it. */
function idle(): { pid: number; kill: () => Promise<void> } {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  const gone = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const kill = async () => {
    process.kill(child.pid as number, "SIGKILL");
    await gone;
  };
  return { pid: child.pid as number, kill };
}

test("lockFolder() takes over from what is gone, and not from what lives", async () => {
  const child = idle();
  const dead = idle();
  await dead.kill();
  const linux = isReadable("/proc/self/stat");
  const start = (pid: number): string | null =>
    linux ? fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[21] : null;
  const boot = linux ? fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() : null;
  const owner = {
    pid: child.pid,
    host: hostname(),
    boot,
    start: start(child.pid),
    space: linux ? fs.readlinkSync("/proc/self/ns/pid") : null,
    runtime: "node",
    since: "2026-01-01T00:00:00.000Z",
  };
  const rows: [string, string, number, boolean][] = [
    ["alive", JSON.stringify(owner), 0, true],
    ["alive and silent", JSON.stringify(owner), 600, linux],
    ["alive, start unknown", JSON.stringify({ ...owner, start: null }), 0, true],
    ["silent, start unknown", JSON.stringify({ ...owner, start: null }), 600, false],
    ["another start", JSON.stringify({ ...owner, start: "1" }), 0, !linux],
    ["another boot", JSON.stringify({ ...owner, boot: "1" }), 0, !linux],
    ["no such process", JSON.stringify({ ...owner, pid: dead.pid }), 0, false],
    ["another container", JSON.stringify({ ...owner, pid: dead.pid, space: "pid:[1]" }), 0, linux],
    ["another container, silent", JSON.stringify({ ...owner, space: "pid:[1]" }), 600, false],
    ["of Deno, not locked", JSON.stringify({ ...owner, start: null, runtime: "deno" }), 0, true],
    ["another host", JSON.stringify({ ...owner, pid: dead.pid, host: "elsewhere" }), 0, true],
    ["another host, silent", JSON.stringify({ ...owner, host: "elsewhere" }), 600, false],
    ["empty, new", "", 0, true],
    ["empty, old", "", 600, false],
    ["another thing, old", '{"pid":"1; rm"}', 600, false],
    ["null, old", "null", 600, false],
  ];
  try {
    for (const [title, text, silentSeconds, lives] of rows) {
      if (title === "of Deno, not locked" && "Deno" in globalThis) continue;
      await inFolder(async (folder, lines) => {
        const path = join(folder, "lock-0123abcd");
        fs.writeFileSync(path, text);
        const then = new Date(Date.now() - 1000 * silentSeconds);
        fs.utimesSync(path, then, then);
        if (lives) {
          await assert.rejects(take(folder, lines), /in use by/, title);
          assert.deepEqual(fs.readdirSync(folder), ["lock-0123abcd"], title);
          assert.deepEqual(lines, []);
        } else {
          const lock = await take(folder, lines);
          assert.ok(!fs.existsSync(path), title);
          assert.equal(lines.length, 1, title);
          assert.match(lines[0], /which is gone: taking over$/);
          lock.release();
        }
      });
    }
  } finally {
    await child.kill();
  }
});

test("lockFolder() keeps its file fresh by the clock of the files, not by that of this machine", async () => {
  const timers = process.getBuiltinModule("node:timers");
  const { setInterval, clearInterval } = timers;
  const RealDate = Date;
  let beat = (): void => {};
  await inFolder(async (folder, lines) => {
    try {
      const timer = { unref: () => {} } as unknown as NodeJS.Timeout;
      timers.setInterval = ((work: () => void) => (beat = work, timer)) as typeof setInterval;
      timers.clearInterval = () => {};
      const lock = await take(folder, lines);
      const path = join(folder, fs.readdirSync(folder)[0]);
      const text = fs.readFileSync(path, "utf8");
      const then = new Date(Date.now() - 600_000);
      fs.utimesSync(path, then, then);
      globalThis.Date = class extends RealDate {
        constructor() {
          super(RealDate.now() - 3_600_000);
        }
      } as DateConstructor;
      beat();
      globalThis.Date = RealDate;
      assert.ok(fs.statSync(path).mtimeMs > Date.now() - 60_000);
      assert.equal(fs.readFileSync(path, "utf8"), text);
      fs.rmSync(path);
      beat();
      assert.deepEqual(fs.readdirSync(folder), []);
      assert.throws(() => lock.check(), /is gone/);
      lock.release();
    } finally {
      globalThis.Date = RealDate;
      Object.assign(timers, { setInterval, clearInterval });
    }
  });
});

test("lockFolder() leaves other files alone", async () => {
  await inFolder(async (folder, lines) => {
    for (const name of ["lock", "lock-1", "lock-0123abcd.txt", "config.json"]) {
      fs.writeFileSync(join(folder, name), "");
    }
    // Neither a file, so that it is not read: a pipe would make it wait.
    fs.mkdirSync(join(folder, "lock-00000003"));
    spawnSync("mkfifo", [join(folder, "lock-00000004"), join(folder, "lock-00000005.new")]);
    const names = fs.readdirSync(folder);
    assert.ok(names.length >= 5);
    (await take(folder, lines)).release();
    assert.deepEqual(fs.readdirSync(folder), names);
    assert.deepEqual(lines, []);
  });
});

test("lockFolder() is not kept out by the draft of a run that was killed, and removes old ones", async () => {
  await inFolder(async (folder, lines) => {
    const [fresh, old] = ["lock-00000001.new", "lock-00000002.new"];
    for (const name of [fresh, old]) fs.writeFileSync(join(folder, name), "");
    const then = new Date(Date.now() - 600_000);
    fs.utimesSync(join(folder, old), then, then);
    (await take(folder, lines)).release();
    assert.deepEqual([fs.readdirSync(folder), lines], [[fresh], []]);
  });
});
