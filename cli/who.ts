// who: everything that one process shares with others.

import { inspect } from "../ffi/inspect.ts";
import { exists } from "../ffi/inspect/privileges.ts";
import { printable } from "../ffi/inspect/text.ts";
import { CommandLine, MAX_PID } from "./command_line.ts";
import { EXIT, Failure } from "./failure.ts";
import { timeOf, userOf } from "./format.ts";
import { jsonOf } from "./json.ts";
import { standardOutput, warnOfUnseen } from "./output.ts";
import { paintOf } from "./style.ts";
import { tableOf } from "./table.ts";

export const WHO_USAGE = `Usage: ipc who PID [--json] [--wide]

Lists the objects that a process holds, what it does with them, and who else holds them.`;

/** Runs it. */
export function who(args: readonly string[]): number {
  const line = new CommandLine(args, WHO_USAGE, {
    flags: ["json", "wide"],
    words: ["PID"],
  });
  const pid = line.integerWord(0, "PID", 1, MAX_PID);
  const snapshot = inspect();
  const output = standardOutput(line.has("wide"));
  const objects = snapshot.objects.filter(({ holders }) =>
    holders.some((holder) => holder.pid === pid)
  );
  const process = snapshot.processes.get(pid);
  if (process === undefined) {
    const isThere = exists(pid);
    if (isThere) warnOfUnseen(output, snapshot.unseen);
    throw new Failure(
      EXIT.missing,
      isThere
        ? `Process ${pid} holds nothing that can be seen`
        : `There is no process ${pid}`,
    );
  }
  if (line.has("json")) {
    output.print(jsonOf({ process, objects, unseen: snapshot.unseen }));
    return EXIT.done;
  }
  output.print(output.style.heading(`${pid} ${printable(process.command)}`));
  output.print(
    `user ${userOf(process.uid)}, state ${process.state}, parent ` +
      `${process.parentPid}, since ${timeOf(process.started)}`,
  );
  const columns = ["KIND", "NAME", "ROLES", "FDS", "STATE", "WITH"]
    .map((heading) => ({ heading }));
  const rows = objects.map(({ kind, name, holders, verdict }) => {
    const { roles, fds } = holders.find((holder) => holder.pid === pid)!;
    const others = holders.filter((holder) => holder.pid !== pid);
    return [
      kind,
      printable(name),
      roles.join(","),
      fds.join(",") || "-",
      paintOf(output.style, verdict.state)(verdict.state),
      others.map((other) => other.pid).join(",") || "-",
    ];
  });
  for (
    const text of tableOf(columns, rows, output.width, output.style.dim)
  ) output.print(text);
  warnOfUnseen(output, snapshot.unseen);
  return EXIT.done;
}
