/** Modules of a user that register components. */
import { ConfigError, oneLine } from "./errors.ts";
import { runtime } from "./host.ts";
import { join } from "./options.ts";

/** Imports modules that register components, one after the other; `done` is called after each. */
export async function importModules(
  specifiers: readonly string[],
  done: () => void = () => {},
): Promise<void> {
  for (const [i, specifier] of specifiers.entries()) {
    await importModule(specifier, join("imports", i));
    done();
  }
}

async function importModule(specifier: string, path: string): Promise<void> {
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
        path,
        `this runtime cannot import TypeScript (${specifier}); compile it to JavaScript first, or use Deno or Bun`,
        { cause: error },
      );
    }
    throw new ConfigError(
      path,
      `cannot import ${specifier}: ${oneLine(error)}`,
      { cause: error },
    );
  }
}
