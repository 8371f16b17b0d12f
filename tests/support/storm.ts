/** Signals, many of them, for a process that must not mind. */

/**
 * Sends SIGUSR1 to this process until it is killed; in gusts, because without a pause
 * no system call of a slow machine would ever end.
 */
export function stormOfSignals(): Deno.ChildProcess {
  const gusts = `kill="kill -USR1 ${Deno.pid}"
    while $kill && $kill && $kill && $kill && $kill; do sleep 0.001; done`;
  return new Deno.Command("sh", {
    args: ["-c", gusts],
    stderr: "null",
  }).spawn();
}
