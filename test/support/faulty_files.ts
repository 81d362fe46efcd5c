/** The real file system, with faults. */
import * as fs from "node:fs";
import type { FileOperations } from "../../src/checkpoint/file_store.ts";

/** `node:fs/promises` with `fault` before every operation and at most `most` bytes a write. */
export function faulty(
  fault: (operation: string, path: string) => void | Promise<void>,
  most = Infinity,
): FileOperations {
  const real = fs.promises;
  const guard = <T extends object>(target: T, path = ""): T =>
    new Proxy(target, {
      get: (object, key) => {
        const value = Reflect.get(object, key);
        if (typeof value !== "function") return value;
        return async (...args: unknown[]): Promise<unknown> => {
          const at = path === "" ? String(args[0]) : path;
          // A real file is closed in any case.
          if (key === "close") await Reflect.apply(value, object, args);
          await fault(String(key), at);
          if (key === "close") return undefined;
          if (key === "write") args[2] = Math.min(args[2] as number, most);
          const result = await Reflect.apply(value, object, args);
          return key === "open" ? guard(result as object, at) : result;
        };
      },
    });
  return guard(real) as FileOperations;
}
