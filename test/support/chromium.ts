/** Runs a module in headless Chromium, with WebGPU on its software adapter. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root } from "./root.ts";
import { bundle } from "./script.ts";

const PROGRAMS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Flags with which headless Chromium has WebGPU on its software adapter. */
export const FLAGS: string[] = [
  "--headless=new",
  "--no-sandbox",
  "--no-first-run",
  "--disable-dev-shm-usage",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
];

/** A page that has not answered by then never will. */
const LIMIT_MS = 150_000;

/**
 * Chromium's path, which the environment variable CHROMIUM_PATH may name; undefined if it is not
 * installed, which is said in a line, or an error where DOWNHILL_REQUIRE_BROWSER is 1.
 */
export function findChromium(
  environment: Record<string, string | undefined> = process.env,
): string | undefined {
  const { CHROMIUM_PATH, DOWNHILL_REQUIRE_BROWSER } = environment;
  const programs = CHROMIUM_PATH ? [CHROMIUM_PATH] : PROGRAMS;
  const program = programs.find(existsSync);
  if (program !== undefined) return program;
  const reason = `Chromium is not installed: none of ${programs.join(", ")}`;
  if (DOWNHILL_REQUIRE_BROWSER === "1") {
    throw new Error(`a browser is required (DOWNHILL_REQUIRE_BROWSER=1): ${reason}`);
  }
  console.log(`skipped: ${reason}`);
}

/**
 * Bundles TypeScript `source`, whose imports start at the repository root, for browsers, opens it
 * in a page and resolves to what it hands to the global function `done`, sent as JSON. An error
 * that the page does not catch rejects, and so does a page that takes longer than `limitMs`.
 *
 * The server also answers `/wasm/NAME` with tfjs' .wasm files.
 */
export async function runInChromium(
  chromium: string,
  source: string,
  limitMs: number = LIMIT_MS,
): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "downhill-chromium-"));
  const script = join(folder, "page.js");
  bundle(source, script, ["--platform=browser"]);
  let settle: (body: string) => void = () => {};
  const answer = new Promise<string>((resolve) => settle = resolve);
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    const send = (type: string, body: string | Uint8Array) => {
      response.writeHead(200, { "content-type": type });
      response.end(body);
    };
    if (url === "/") send("text/html", PAGE);
    else if (url === "/page.js") send("text/javascript", readFileSync(script));
    else if (/^\/wasm\/[\w-]+\.wasm$/.test(url)) {
      const dist = join(root, "node_modules/@tensorflow/tfjs-backend-wasm/dist");
      send("application/wasm", readFileSync(join(dist, url.slice(6))));
    } else if (url === "/done") {
      let body = "";
      request.setEncoding("utf8").on("data", (part) => body += part);
      request.on("end", () => {
        send("text/plain", "");
        settle(body);
      });
    } else {
      response.writeHead(404);
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const profile = `--user-data-dir=${join(folder, "profile")}`;
  const browser = spawn(chromium, [...FLAGS, profile, `http://127.0.0.1:${port}/`], {
    stdio: "ignore",
  });
  // A program that cannot be started has no exit.
  const gone = new Promise<void>((resolve) =>
    browser.on("exit", () => resolve()).on("error", () => resolve())
  );
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string>((resolve) => {
    const error = `the page has not answered in ${limitMs} ms`;
    timer = setTimeout(() => resolve(JSON.stringify({ error })), limitMs);
  });
  try {
    const early = gone.then(() => JSON.stringify({ error: "Chromium ended before the page did" }));
    const { value, error } = JSON.parse(await Promise.race([answer, early, late]));
    if (error !== undefined) throw new Error(error);
    return value;
  } finally {
    clearTimeout(timer);
    browser.kill("SIGKILL");
    await gone;
    server.closeAllConnections();
    server.close();
    await removeLater(folder);
  }
}

/** Chromium's own processes may write to the profile for a moment after they were killed. */
async function removeLater(folder: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      return rmSync(folder, { recursive: true, force: true });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  console.log(`left behind: ${folder}`);
}

const PAGE = `<!doctype html><meta charset="utf-8"><script type="module">
const send = (message) => fetch("/done", { method: "POST", body: JSON.stringify(message) });
const failed = (error) => send({ error: String(error?.stack ?? error) });
addEventListener("error", (event) => failed(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => failed(event.reason));
globalThis.done = (value) => send({ value });
import("/page.js").catch(failed);
</script>`;
