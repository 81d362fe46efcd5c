/** Folders, one after the other. */
import { fileSystem, pathModule } from "./host.ts";

/**
 * Makes `folder` and those above it that are missing; answers the first that was made.
 *
 * Node's own `recursive` never ends where a folder is denied as if its parent were missing, as
 * /proc does.
 */
export function makeFolders(folder: string): string | undefined {
  const { mkdirSync, statSync } = fileSystem();
  const { dirname, resolve } = pathModule();
  const path = resolve(folder);
  const make = (): boolean => {
    try {
      mkdirSync(path);
      return true;
    } catch (error) {
      const isThere = (error as { code?: string }).code === "EEXIST" &&
        statSync(path).isDirectory();
      if (isThere) return false;
      throw error;
    }
  };
  try {
    return make() ? path : undefined;
  } catch (error) {
    const parent = dirname(path);
    if ((error as { code?: string }).code !== "ENOENT" || parent === path) throw error;
    const first = makeFolders(parent);
    return make() ? first ?? path : first;
  }
}
