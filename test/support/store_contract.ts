/** The contract of a store; in a module without `node:` imports, so that a browser can run it. */
import { CheckpointError, ConfigError } from "../../src/core/errors.ts";
import type { Store } from "../../src/checkpoint/store.ts";

/** The bytes of a text. */
export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A file as text. */
export const read = async (store: Store, name: string): Promise<string | undefined> => {
  const bytes = await store.read(name);
  return bytes && new TextDecoder().decode(bytes);
};

function same(actual: unknown, expected: unknown): void {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value) ?? "undefined");
  if (a !== b) throw new Error(`expected ${b}, received ${a}`);
}

async function rejects(
  work: Promise<unknown>,
  kind: new (...args: never[]) => Error,
  what = "",
): Promise<void> {
  const error = await work.then(() => undefined, (error: unknown) => error);
  if (!(error instanceof kind)) {
    throw new Error(`${what}: expected a ${kind.name}, received ${error}`);
  }
}

/** What every store does. */
export async function storeContract(store: Store): Promise<void> {
  same(await store.read("a/none"), undefined);
  same(await store.list("a"), []);
  same(await store.list(""), []);

  await store.write("a/b/file.bin", text("one"));
  await store.write("a/b/file.bin", text("second"));
  same(await read(store, "a/b/file.bin"), "second");
  await store.write("a/empty", text(""));
  same(await read(store, "a/empty"), "");
  await store.write("top", text("t"));

  await store.append("log", text("line 1\n"));
  await store.append("log", text("line 2\n"));
  same(await read(store, "log"), "line 1\nline 2\n");
  await store.truncate("log", 7);
  same(await read(store, "log"), "line 1\n");
  await store.append("log", text("x"));
  same(await read(store, "log"), "line 1\nx");
  await rejects(store.truncate("log", 9), CheckpointError);
  await store.truncate("none", 0);
  await rejects(store.truncate("none", 1), CheckpointError);

  for (const name of ["a/z", "a/B", "a/10", "a/9"]) await store.write(name, text(name));
  same(await store.list("a"), ["10", "9", "B", "empty", "z"]);
  same(await store.list("a/b"), ["file.bin"]);
  same(await store.list(""), ["log", "top"]);
  await store.remove("a/z");
  await store.remove("a/z");
  same(await store.read("a/z"), undefined);

  const bytes = text("mine");
  await store.write("copy", bytes);
  bytes[0] = 0;
  (await store.read("copy"))![1] = 0;
  same(await read(store, "copy"), "mine");

  const bad = [
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../b",
    "./a",
    "a\\b",
    "C:",
    "a b",
    "a\0",
    "\u00e9",
    "x".repeat(101),
    `${"x".repeat(90)}/${"x".repeat(90)}/${"x".repeat(90)}`,
  ];
  for (const name of bad) {
    await rejects(store.write(name, bytes), ConfigError, name);
    await rejects(store.read(name), ConfigError, name);
    await rejects(store.remove(name), ConfigError, name);
  }

  const lock = await store.lock(() => {});
  lock.check();
  await rejects(store.lock(() => {}), CheckpointError);
  lock.release();
}
