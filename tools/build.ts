/**
 * Builds the npm package into dist/: one JavaScript and one declaration file for each source file.
 *
 *     deno run -A tools/build.ts
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, root, typescriptFiles } from "./project.ts";
import { rewriteDeclaration, transpile } from "./transpile.ts";

/** The source files of the package: the entry points, src/ and workers/ without their tests. */
export function shippedFiles(folder: string = root): string[] {
  return typescriptFiles(folder).filter((file) =>
    /^(mod|cli)\.ts$|^(src|workers)\//.test(file) && !file.endsWith("_test.ts")
  );
}

/** Builds dist/ anew. */
export async function buildPackage(): Promise<void> {
  const dist = join(root, "dist");
  const files = shippedFiles();
  rmSync(dist, { recursive: true, force: true });
  await transpile(files, { outdir: dist });
  emitDeclarations(files, dist);
  const cli = join(dist, "cli.js");
  if (existsSync(cli)) {
    const code = readFileSync(cli, "utf8").replace(/^#!.*\n/, "");
    writeFileSync(cli, `#!/usr/bin/env node\n${code}`);
    chmodSync(cli, 0o755);
  }
}

function emitDeclarations(files: readonly string[], dist: string): void {
  const options = {
    declaration: true,
    emitDeclarationOnly: true,
    allowImportingTsExtensions: true,
    strict: true,
    skipLibCheck: true,
    target: "es2022",
    module: "esnext",
    moduleResolution: "bundler",
    lib: "esnext,dom,dom.iterable",
    types: "node,@webgpu/types",
    rootDir: root,
    outDir: dist,
  };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { status, stdout } = spawnSync(binary("tsc"), [...flags, ...files], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`tsc could not write the declarations:\n${stdout}`);
  for (const file of files) {
    const path = join(dist, file.replace(/\.ts$/, ".d.ts"));
    writeFileSync(path, rewriteDeclaration(readFileSync(path, "utf8")));
  }
}

if (import.meta.main) {
  const start = performance.now();
  await buildPackage();
  console.log(`dist/ built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
