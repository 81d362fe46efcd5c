/** Transpiles the whole project into build/node/, where `node --test` runs it under Node 20. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { root, typescriptFiles } from "./project.ts";
import { transpile } from "./transpile.ts";

/** The folder of the transpiled tree. */
export const nodeBuild: string = join(root, "build", "node");

/** Transpiles every TypeScript file of the project. */
export async function buildTests(): Promise<void> {
  rmSync(nodeBuild, { recursive: true, force: true });
  await transpile(typescriptFiles(), { outdir: nodeBuild, sourcemap: true });
}

if (import.meta.main) await buildTests();
