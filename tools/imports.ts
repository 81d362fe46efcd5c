/**
 * The imports of a TypeScript module, found by the shape that `deno fmt` gives them: a statement at
 * the start of a line, specifiers in double quotes. Comments never look like that.
 */

/** One import. */
export interface Import {
  readonly specifier: string;
  /** 1-based. */
  readonly line: number;
  /** `type`: `import type` or `export type`; `bare`: for side effects; `dynamic`: `import("x")`, also inside a type. */
  readonly kind: "value" | "type" | "bare" | "dynamic";
}

const statement =
  /^(?:import|export)\s+(type\s+(?!from\b))?(?:[\w$]+\s*,?\s*)?(?:\*(?:\s*as\s+[\w$]+)?|\{[^}]*\})?\s*from\s*"([^"\n]+)"/gm;
const bare = /^import\s*"([^"\n]+)"/gm;
const dynamic = /\bimport\(\s*"([^"\n]+)"/g;

/** Every import in `source`, in order; a dynamic one only if its specifier is a literal. */
export function findImports(source: string): Import[] {
  const found: (Import & { index: number })[] = [];
  const add = (index: number, kind: Import["kind"], specifier: string): void => {
    found.push({ specifier, kind, index, line: lineOf(source, index) });
  };
  for (const m of source.matchAll(statement)) {
    add(m.index, m[1] === undefined ? "value" : "type", m[2]);
  }
  for (const m of source.matchAll(bare)) add(m.index, "bare", m[1]);
  for (const m of source.matchAll(dynamic)) {
    if (!isComment(lineText(source, m.index))) add(m.index, "dynamic", m[1]);
  }
  return found
    .sort((a, b) => a.index - b.index)
    .map(({ specifier, line, kind }) => ({ specifier, line, kind }));
}

/** The 1-based lines of `source` that name `text` outside a comment. */
export function linesNaming(source: string, text: string): number[] {
  return source.split("\n").flatMap((line, i) =>
    line.includes(text) && !isComment(line) ? [i + 1] : []
  );
}

function isComment(line: string): boolean {
  return /^\s*(\*|\/\/|\/\*)/.test(line);
}

function lineOf(source: string, index: number): number {
  return source.slice(0, index).split("\n").length;
}

function lineText(source: string, index: number): string {
  const start = source.lastIndexOf("\n", index - 1) + 1;
  const end = source.indexOf("\n", index);
  return source.slice(start, end === -1 ? undefined : end);
}
