/**
 * TypeScript to ESM, file by file: the tree stays, types go, `./x.ts` becomes `./x.js`.
 *
 * esbuild runs as a bundler in which every import is external, because only then it hands out the
 * specifiers to rewrite. `new URL("./x.ts", import.meta.url)` and `import.meta.resolve("./x.ts")`
 * are no imports to esbuild; they are rewritten in its output.
 */
import { build, type Plugin, stop } from "esbuild";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { root } from "./project.ts";

/** Writes `files` (relative to `folder`) as JavaScript under `outdir`. */
export async function transpile(
  files: readonly string[],
  { outdir, folder = root, sourcemap = false }: {
    outdir: string;
    folder?: string;
    /** Whether each file carries its source map (for stack traces that name the source). */
    sourcemap?: boolean;
  },
): Promise<void> {
  const result = await build({
    absWorkingDir: folder,
    entryPoints: [...files],
    outbase: folder,
    outdir,
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    charset: "utf8",
    treeShaking: false,
    sourcemap: sourcemap ? "inline" : false,
    sourcesContent: false,
    write: false,
    plugins: [externalImports],
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    logLevel: "silent",
  });
  await stop();
  for (const file of result.outputFiles) {
    await mkdir(dirname(file.path), { recursive: true });
    await writeFile(file.path, rewriteUrls(file.text));
  }
}

const externalImports: Plugin = {
  name: "external-imports",
  setup(build): void {
    build.onResolve({ filter: /.*/ }, ({ kind, path }) => {
      if (kind === "entry-point") return undefined;
      return { path: toJs(path), external: true };
    });
  },
};

/** `./x.ts` as `./x.js`; packages and other files as they are. */
export function toJs(specifier: string): string {
  return /^\.{1,2}\//.test(specifier) ? specifier.replace(/\.ts$/, ".js") : specifier;
}

/** Rewrites `.ts` to `.js` where a module is named relative to `import.meta`. */
export function rewriteUrls(code: string): string {
  return code
    .replace(
      /(\bnew URL\(\s*)(["'])(\.{1,2}\/[^"'\n]+)\.ts\2(\s*,\s*import\.meta\.url\b)/g,
      "$1$2$3.js$2$4",
    )
    .replace(/(\bimport\.meta\.resolve\(\s*)(["'])(\.{1,2}\/[^"'\n]+)\.ts\2/g, "$1$2$3.js$2");
}

/** Rewrites the specifiers of a declaration file. */
export function rewriteDeclaration(text: string): string {
  return text.replace(
    /((?:\bfrom|\bimport|\bimport\(|\bmodule)\s*)(["'])(\.{1,2}\/[^"'\n]+)\.ts\2/g,
    "$1$2$3.js$2",
  );
}
