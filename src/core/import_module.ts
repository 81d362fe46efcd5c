/** Modules of a user that register components. */
import { ConfigError } from "./errors.ts";
import { runtime } from "./host.ts";

/** Imports a module that registers components. */
export async function importModule(specifier: string): Promise<void> {
  try {
    await import(specifier);
  } catch (error) {
    if (
      runtime === "node" && /\.[cm]?ts$/.test(specifier) &&
      /Unknown file extension|ERR_UNKNOWN_FILE_EXTENSION|Unexpected token|strip/i.test(
        String(error),
      )
    ) {
      throw new ConfigError(
        "imports",
        `this runtime cannot import TypeScript (${specifier}); compile it to JavaScript first, or use Deno or Bun`,
        { cause: error },
      );
    }
    throw new ConfigError(
      "imports",
      `cannot import ${specifier}: ${(error as Error).message.split("\n")[0]}`,
      { cause: error },
    );
  }
}
