/** Programs of others that these tests need: whether they are here, and since when. */
import { exists, until } from "../support/process.ts";

/** Why a program is not here, or null. */
export function missing(command: string, packageName: string): string | null {
  const directories = (Deno.env.get("PATH") ?? "").split(":");
  return directories.some((directory) => exists(`${directory}/${command}`))
    ? null
    : `no ${command} (on Debian: ${packageName})`;
}

/** Waits until a server has made its socket. */
export function bound(path: string): Promise<void> {
  return until(() => exists(path), path);
}
