/** Whether children can have namespaces of their own here: limits and mounts. */
import { succeeds } from "./process.ts";

/**
 * The flags of an `unshare` that makes such a namespace ("--ipc"), if need be as
 * root of a user namespace, in which the command succeeds; else undefined.
 */
export function unshareFlags(
  namespace: "--ipc" | "--mount",
  ...command: string[]
): string[] | undefined {
  return [
    [namespace],
    ["--user", "--map-root-user", namespace],
  ].find((flags) => succeeds("unshare", ...flags, ...command));
}

/** Why a command does not work here, which takes root; or null. */
export function reasonAgainst(
  what: string,
  [command, ...args]: string[],
): string | null {
  if (Deno.uid() !== 0) return `only root can ${what}`;
  const ignored = { stdin: "null", stdout: "null", stderr: "null" } as const;
  try {
    const { success } = new Deno.Command(command!, { args, ...ignored })
      .outputSync();
    return success ? null : `this root may not ${what}`;
  } catch {
    return `no ${command}(1)`;
  }
}
