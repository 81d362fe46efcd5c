/**
 * Keeps two runs out of one folder.
 *
 * A run announces itself with a file `lock-XXXXXXXX` of its own (process, host, start time) and
 * only then looks for others: of two that do so, at least the later one sees the other and draws
 * back. No file is ever replaced, so nothing can be taken from a living run by mistake. A file
 * whose process is gone is removed. Whether it is gone: its start time in /proc (Linux), else an
 * operating system's lock on the file (Deno, which may not look at processes), else that there is
 * no such process, else that the file, touched every few seconds, was not touched for a minute. Of
 * the process of another host or container only the last can be asked.
 */
import { CheckpointError } from "../core/errors.ts";
import {
  fileSystem,
  hostName,
  hostProcess,
  inBackground,
  lockFile,
  pathModule,
  processExists,
  runtime,
} from "../core/host.ts";
import type { StoreLock } from "./store.ts";

/** What a lock file says, as JSON. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** The boot of the host and the start of the process, in its ticks; null where not told. */
  readonly boot: string | null;
  readonly start: string | null;
  /** The namespace in which the process has its number, null where not told: containers have their own. */
  readonly space?: string | null;
  readonly runtime: string;
  readonly since: string;
}

const LOCK_NAME = /^lock-[0-9a-f]{8}$/;
const DRAFT_NAME = /^lock-[0-9a-f]{8}\.new$/;
const TOUCH_MS = 5000;
const SILENT_MS = 60_000;
const ATTEMPTS = 4;

/** Locks an existing folder. */
export async function lockFolder(
  folder: string,
  log: (line: string) => void,
): Promise<StoreLock> {
  const path = pathModule().join(folder, `lock-${randomHex()}`);
  for (let attempt = 1;; attempt++) {
    const lock = announce(path);
    try {
      const other = findOther(folder, path, log);
      if (other === undefined) return lock;
      lock.release();
      if (attempt === ATTEMPTS) {
        throw new CheckpointError(
          `${folder}: in use by ${other}; two runs cannot write to one directory`,
        );
      }
    } catch (error) {
      lock.release();
      throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50 + 100 * Math.random()));
  }
}

/** Writes the lock file, and keeps it fresh. */
function announce(path: string): StoreLock {
  const fs = fileSystem();
  // It gets its name when it is whole and locked: a process that is killed before leaves a draft,
  // which keeps nobody out, and whoever can read the file can also ask for the lock.
  const draft = `${path}.new`;
  const text = `${JSON.stringify(thisProcess())}\n`;
  let unlock: ReturnType<typeof lockFile>;
  try {
    fs.writeFileSync(draft, text, { flag: "wx" });
    unlock = lockFile(draft);
    fs.renameSync(draft, path);
  } catch (error) {
    if (unlock) unlock();
    // A full disk takes a name and no bytes.
    if (code(error) !== "EEXIST") removeIfPossible(draft);
    throw error;
  }
  let lost = false;
  const quiet = inBackground(TOUCH_MS, () => {
    try {
      touch(path, text);
    } catch (error) {
      lost ||= code(error) === "ENOENT";
    }
  });
  let held = true;
  return {
    check: () => {
      lost ||= !fs.existsSync(path);
      if (lost) throw new CheckpointError(`${path} is gone: another run took the directory over`);
    },
    release: () => {
      if (!held) return;
      held = false;
      quiet();
      if (unlock) unlock();
      removeIfPossible(path);
    },
  };
}

/**
 * Writes again what stands in the file, so that it gets its time from the clock of the file system,
 * as our own of other hosts do; to set one would be to set that of this machine.
 */
function touch(path: string, text: string): void {
  const fs = fileSystem();
  const file = fs.openSync(path, "r+");
  try {
    fs.writeSync(file, text, 0);
  } finally {
    fs.closeSync(file);
  }
}

/** What stays is found by the next run, as of a process that is gone, or as silent. */
function removeIfPossible(path: string): void {
  try {
    fileSystem().rmSync(path, { force: true });
  } catch {
    // The directory has become read-only.
  }
}

/** Who else holds a lock file and lives; the files of dead ones are removed. */
function findOther(
  folder: string,
  own: string,
  log: (line: string) => void,
): string | undefined {
  const fs = fileSystem();
  const { join, basename } = pathModule();
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    // A link or a pipe is no run's.
    if (!entry.isFile()) continue;
    const { name } = entry;
    const path = join(folder, name);
    if (DRAFT_NAME.test(name) && !isFresh(path, own)) fs.rmSync(path, { force: true });
    if (!LOCK_NAME.test(name) || name === basename(own)) continue;
    const owner = readOwner(path);
    if (owner === undefined) continue;
    const whose = owner === "unreadable"
      ? "a process that has not said who it is"
      : `process ${owner.pid}${owner.host === "" ? "" : ` on ${owner.host}`} since ${owner.since}`;
    const alive = owner === "unreadable" ? isFresh(path, own) : isAlive(owner, path, own);
    if (alive) return whose;
    fs.rmSync(path, { force: true });
    log(`${folder}: was in use by ${whose}, which is gone: taking over`);
  }
}

/** Undefined if the file has just gone. */
function readOwner(path: string): Owner | "unreadable" | undefined {
  let text: string;
  try {
    text = fileSystem().readFileSync(path, "utf8");
  } catch (error) {
    if (code(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const owner = JSON.parse(text) as Owner;
    const valid = Number.isSafeInteger(owner.pid) && owner.pid > 0 &&
      [owner.host, owner.runtime, owner.since].every((value) => typeof value === "string");
    return valid ? owner : "unreadable";
  } catch {
    return "unreadable";
  }
}

function isAlive(owner: Owner, path: string, own: string): boolean {
  if (owner.host !== hostName()) return isFresh(path, own);
  const boot = bootOfHost();
  if (boot !== null && owner.boot !== null && boot !== owner.boot) return false;
  const space = processSpace();
  if (space !== null && (owner.space ?? space) !== space) return isFresh(path, own);
  const start = startOf(owner.pid);
  if (start === "gone") return false;
  if (start !== null && owner.start !== null) return start === owner.start;
  if (owner.runtime === "deno") {
    const free = lockFile(path);
    if (free) free();
    if (free !== undefined) return free === false;
  }
  return processExists(owner.pid) && isFresh(path, own);
}

/** Whether it was touched shortly before our own file was written: one clock, that of the files. */
function isFresh(path: string, own: string): boolean {
  const fs = fileSystem();
  try {
    return fs.statSync(own).mtimeMs - fs.statSync(path).mtimeMs < SILENT_MS;
  } catch {
    return fs.existsSync(path);
  }
}

function thisProcess(): Owner {
  const pid = hostProcess!.pid;
  const start = startOf(pid);
  return {
    pid,
    host: hostName(),
    boot: bootOfHost(),
    start: start === "gone" ? null : start,
    space: processSpace(),
    runtime,
    since: new Date().toISOString(),
  };
}

/** Field 22 of /proc/PID/stat; null where it cannot be read. A process that only waits to be reaped is gone. */
function startOf(pid: number): string | "gone" | null {
  try {
    const text = fileSystem().readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in field 2 may hold spaces and brackets.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return "ZX".includes(fields[0]) ? "gone" : fields[19];
  } catch (error) {
    return code(error) === "ENOENT" && bootOfHost() !== null ? "gone" : null;
  }
}

function bootOfHost(): string | null {
  try {
    return fileSystem().readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return null;
  }
}

function processSpace(): string | null {
  try {
    return fileSystem().readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}

function randomHex(): string {
  return crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
}

function code(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
