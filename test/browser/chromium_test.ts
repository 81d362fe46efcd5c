/** The means of the browser tests themselves. */
import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { findChromium, runInChromium } from "../support/chromium.ts";

test("findChromium() takes what CHROMIUM_PATH names, and nothing else", () => {
  assert.equal(findChromium({ CHROMIUM_PATH: process.execPath }), process.execPath);
  const environment = { CHROMIUM_PATH: "/nowhere/chromium" };
  assert.equal(findChromium(environment), undefined);
  assert.throws(
    () => findChromium({ ...environment, DOWNHILL_REQUIRE_BROWSER: "1" }),
    /not installed: none of \/nowhere\/chromium$/,
  );
});

test("runInChromium() gives a page that never answers up", async () => {
  const chromium = findChromium();
  if (chromium === undefined) return;
  await assert.rejects(runInChromium(chromium, "setInterval(() => {}, 1000);", 1500), {
    message: "the page has not answered in 1500 ms",
  });
});
