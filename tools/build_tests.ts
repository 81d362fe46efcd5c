/** Transpiles the whole project into build/node/, where `node --test` runs it under Node 20. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, typescriptFiles } from "./project.ts";
import { transpile } from "./transpile.ts";

/** The folder of the transpiled tree. */
export const nodeBuild: string = join(root, "build", "node");

/** Transpiles every TypeScript file of the project. */
export async function buildTests(): Promise<void> {
  rmSync(nodeBuild, { recursive: true, force: true });
  await transpile(typescriptFiles(), { outdir: nodeBuild, sourcemap: true });
  namePackages();
}

/**
 * Stands before each CommonJS package of tfjs a module that says its names. To find those, Node
 * parses the whole text of a package in each process and each worker, nearly a fifth of what their
 * start costs. What is imported is the same package with the same names; test/package imports it as
 * users do.
 */
function namePackages(): void {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies).filter((name) => name.startsWith("@tensorflow/"))) {
    const folder = join(nodeBuild, "node_modules", name);
    const main = JSON.stringify(resolved(name));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), `{ "type": "module", "exports": "./index.js" }\n`);
    writeFileSync(
      join(folder, "index.js"),
      `import { createRequire } from "node:module";
const found = createRequire(import.meta.url)(${main});
export default found;
export const { ${namesOf(name).join(", ")} } = found;
`,
    );
  }
}

/** The file that Node loads for the package. */
function resolved(name: string): string {
  return inNode(`process.stdout.write(require.resolve(${JSON.stringify(name)}))`);
}

/** The names that Node finds in the package, without `default` and, of newer ones, `module.exports`. */
function namesOf(name: string): string[] {
  const names = inNode(
    `import(${JSON.stringify(name)}).then((all) => console.log("\\n" + Object.keys(all)))`,
  );
  return names.trim().split("\n").at(-1)!.split(",").filter((name) =>
    /^(?!default$)\w+$/.test(name)
  );
}

function inNode(script: string): string {
  const { status, stdout, stderr } = spawnSync("node", ["-e", script], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`node -e ${script}: ${stderr}`);
  return stdout;
}

if (import.meta.main) await buildTests();
