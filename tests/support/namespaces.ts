/** Whether children can have namespaces of their own here: limits and mounts. */
import { type Ended, run, type SpawnOptions, succeeds } from "./process.ts";

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

/** Why no child can have other resource limits here, or null. */
export const noPrlimit: string | null = succeeds("prlimit", "--version")
  ? null
  : "no prlimit (util-linux)";

/**
 * A wrapper that runs a program where /proc has nothing but /proc/self/exe, without which
 * Deno before 2.9 does not start.
 */
export const WITHOUT_PROC: readonly string[] = [
  ...["unshare", "--mount", "sh", "-c"],
  "mount -t tmpfs none /proc && mkdir /proc/self && " +
  'ln -s "$1" /proc/self/exe && exec "$@"',
  "sh",
];

const MSGMAX = "/proc/sys/kernel/msgmax";

/** `unshare` with which a child has IPC, and limits, of its own. */
const ownIpc = unshareFlags("--ipc", "sh", "-c", `echo 8192 > ${MSGMAX}`);

/** Why no child can have limits of its own here, or null. */
export const noOwnLimits: string | null = ownIpc === undefined
  ? "no IPC namespace, in which msgmax could be set"
  : null;

/** Limits of IPC, by their names in /proc/sys: "kernel/msgmax". */
export type Limits = Record<string, number | string>;

/** A wrapper that runs a command where these limits hold, and no IPC object exists. */
export function limited(limits: Limits): string[] {
  const set = Object.entries(limits).map(([name, value]) =>
    `echo "${value}" > /proc/sys/${name} && `
  );
  const script = `${set.join("")}exec "$0" "$@"`;
  return ["unshare", ...ownIpc!, "sh", "-c", script];
}

/** Runs a Deno with these arguments where these limits hold. */
export function runLimited(
  limits: Limits,
  args: string[],
  options: SpawnOptions = {},
): Promise<Ended> {
  const [command, ...rest] = [...limited(limits), Deno.execPath(), ...args];
  return run(command!, { ...options, args: rest });
}
