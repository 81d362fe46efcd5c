/**
 * Serves a folder with the two headers that make a page cross-origin isolated, without which
 * browsers give it no shared memory, and with it no workers.
 *
 *     deno run -A examples/browser/serve.ts build/browser
 */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { extname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Every file needs them, the script of the workers too. */
export const ISOLATION: Record<string, string> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** Serves the files of `folder` on this machine; port 0 takes a free one. */
export async function serve(
  folder: string,
  port: number,
  headers: Record<string, string> = ISOLATION,
): Promise<Server> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    const name = pathname.replace(/\/$/, "/index.html");
    const type = TYPES[extname(name)];
    try {
      if (type === undefined || name.includes("/.")) throw new Error("nothing that is served");
      const body = await readFile(join(folder, name));
      response.writeHead(200, { ...headers, "content-type": type }).end(body);
    } catch {
      response.writeHead(404, headers).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await serve(process.argv[2] ?? ".", 8000);
  console.log("http://localhost:8000");
}
