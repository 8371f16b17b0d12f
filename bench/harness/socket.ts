// Where the peers of Unix sockets meet.

import { join } from "@std/path";
import type { Meeting } from "./cases.ts";

/** A path; the file is the serving peer's, which may have been killed. */
export function meetAtSocket(directory: string): Meeting {
  const path = join(directory, "socket");
  return {
    addresses: [path],
    [Symbol.dispose]() {
      try {
        Deno.removeSync(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    },
  };
}
