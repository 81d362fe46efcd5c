/** The means of the browser tests themselves. */
import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { findChromium, runInChromium } from "../support/chromium.ts";

test("findChromium() takes what CHROMIUM_PATH names, and nothing else", () => {
  const before = { ...process.env };
  try {
    delete process.env.DOWNHILL_REQUIRE_BROWSER;
    process.env.CHROMIUM_PATH = process.execPath;
    assert.equal(findChromium(), process.execPath);
    process.env.CHROMIUM_PATH = "/nowhere/chromium";
    assert.equal(findChromium(), undefined);
    process.env.DOWNHILL_REQUIRE_BROWSER = "1";
    assert.throws(findChromium, /not installed: none of \/nowhere\/chromium$/);
  } finally {
    for (const name of ["CHROMIUM_PATH", "DOWNHILL_REQUIRE_BROWSER"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
});

test("runInChromium() gives a page that never answers up", { timeout: 60_000 }, async () => {
  const chromium = findChromium();
  if (chromium === undefined) return;
  await assert.rejects(runInChromium(chromium, "setInterval(() => {}, 1000);", 1500), {
    message: "the page has not answered in 1500 ms",
  });
});
