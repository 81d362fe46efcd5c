/** The names a store accepts: portable, and unable to leave the store's directory. */
import { ConfigError, show } from "../core/errors.ts";

/**
 * Checks a relative file name: segments of `[A-Za-z0-9._-]` joined by `/`, each at most 100
 * characters and neither `.` nor `..`, at most 240 characters in all.
 *
 * @throws {ConfigError} With the name.
 */
export function checkFileName(name: string): void {
  const segments = name.split("/");
  const legal = name.length <= 240 &&
    segments.every((part) => /^[A-Za-z0-9._-]{1,100}$/.test(part) && !/^\.\.?$/.test(part));
  if (!legal) {
    throw new ConfigError(
      "",
      "a file name must be segments of [A-Za-z0-9._-] joined by '/', without '..', at most 100 " +
        `characters each and 240 in all, received ${show(name)}`,
    );
  }
}
