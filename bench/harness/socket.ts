// Where the peers of Unix sockets meet.

import { join } from "@std/path";
import type { Meeting } from "./cases.ts";

/** A path; the file is the serving peer's, which may have been killed. */
export function meetAtSocket(directory: string): Meeting {
  return meetAtSockets(directory, ["socket"]);
}

/** The same with several paths. */
export function meetAtSockets(
  directory: string,
  names: readonly string[],
): Meeting {
  const addresses = names.map((name) => join(directory, name));
  return { addresses, [Symbol.dispose]: () => addresses.forEach(remove) };
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
