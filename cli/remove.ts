// rm and clean: remove what is orphaned, and nothing that a process holds.

import { inspect, type IpcObject } from "../ffi/inspect.ts";
import {
  isRemovable,
  type Removable,
  REMOVED,
  removeOrphan,
} from "../ffi/inspect/removal.ts";
import { printable } from "../ffi/inspect/text.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT } from "./failure.ts";
import { kindsOf, objectOf } from "./objects.ts";
import { type Output, standardOutput, warnOfUnseen } from "./output.ts";

const WHAT = `
An object is removed only if it is orphaned: no process holds it, and those that made or
used it have ended. It is looked at again right before, and stays if it was taken:

- POSIX memory and semaphores: a process that opens the object at any time keeps it,
  under its name. (Only one that was halted by the kernel inside of its open() for 20 ms
  would get an object without a name.)
- POSIX queues: one that has the queue open keeps it. One that calls mq_open() between
  the last check and the unlink, within microseconds, gets a queue without a name.
- System V segments: one that attaches within microseconds keeps its memory, and the key
  is gone; that is told.
- System V queues and semaphore sets are not held by anything but a wait. Whether a
  process that sleeps wants to use one later cannot be known.`;

export const RM_USAGE = `Usage: ipc rm OBJECT ... [--kind KIND] [--yes]

Removes objects by name, key, identifier or ref. Without --yes it says what it would do.
${WHAT}`;

export const CLEAN_USAGE = `Usage: ipc clean [KIND ...] [--uncertain] [--yes]

Removes what is orphaned for certain. Without --yes it says what it would do.

  --uncertain  also what is orphaned as far as can be seen only: "orphaned?" in ls
  --dry-run    the default
${WHAT}`;

/** Runs rm. */
export function rm(args: readonly string[]): number {
  const line = new CommandLine(args, RM_USAGE, {
    flags: ["yes", "dry-run"],
    lists: ["kind"],
    words: ["OBJECT ..."],
  });
  const isReal = isConfirmed(line);
  const snapshot = inspect({ kinds: kindsOf(line.values("kind")) });
  const output = standardOutput(true, goOn);
  const objects = line.words.map((word) => objectOf(snapshot, word));
  const results = objects.map((object) => {
    const reason = reasonAgainst(object);
    if (reason !== undefined) return refuse(output, object, reason);
    return remove(output, object as Removable, isReal);
  });
  return results.every(Boolean) ? EXIT.done : EXIT.refused;
}

/** Runs clean. */
export function clean(args: readonly string[]): number {
  const line = new CommandLine(args, CLEAN_USAGE, {
    flags: ["yes", "dry-run", "uncertain"],
    words: ["[KIND ...]"],
  });
  const isReal = isConfirmed(line);
  const snapshot = inspect({ kinds: kindsOf(line.words) });
  const output = standardOutput(true, goOn);
  const orphans = snapshot.objects.filter(({ verdict }) =>
    verdict.state === "orphaned"
  );
  const isWanted = ({ verdict }: IpcObject) =>
    verdict.certain || line.has("uncertain");
  const wanted = orphans.filter(isWanted);
  const isAll = wanted.filter(isRemovable)
    .map((object) => remove(output, object, isReal))
    .every(Boolean);
  for (const object of orphans) {
    if (isWanted(object)) continue;
    output.print(
      `${
        name(object)
      } stays, unless --uncertain is given: ${object.verdict.reason}`,
    );
  }
  if (orphans.length === 0) output.print("Nothing is orphaned");
  else if (!isReal && wanted.length > 0) {
    output.print("Nothing was removed: --yes does it");
  }
  warnOfUnseen(output, snapshot.unseen);
  return isAll ? EXIT.done : EXIT.refused;
}

/** What was begun is finished, also if nobody reads what is said of it. */
function goOn(): void {}

/** Whether --yes is given, as opposed to --dry-run. */
function isConfirmed(line: CommandLine): boolean {
  if (line.has("yes") && line.has("dry-run")) {
    throw line.wrong("--yes and --dry-run exclude each other");
  }
  return line.has("yes");
}

function name({ ref, name }: IpcObject): string {
  const more = ref.endsWith(name) ? "" : ` (${printable(name)})`;
  return `${printable(ref)}${more}`;
}

/** Why an object is not removed at all; undefined if it may be. */
function reasonAgainst(object: IpcObject): string | undefined {
  if (!isRemovable(object)) {
    return "it has no name that could be removed: it ends with its last holder";
  }
  const { state, reason } = object.verdict;
  return state === "orphaned" ? undefined : `it is ${state}: ${reason}`;
}

function refuse(output: Output, object: IpcObject, reason: string): false {
  output.print(`${name(object)} stays: ${reason}`);
  return false;
}

/** Removes an orphan, or says that it would; false if it stays. */
function remove(
  output: Output,
  object: Removable,
  isReal: boolean,
): boolean {
  if (!isReal) {
    output.print(`${name(object)} would be removed: ${object.verdict.reason}`);
    return true;
  }
  let refusal: string | undefined;
  try {
    refusal = removeOrphan(object);
  } catch (error) {
    refusal = error instanceof Error ? error.message : String(error);
  }
  if (refusal === undefined) {
    output.print(`${name(object)} is removed: ${object.verdict.reason}`);
    return true;
  }
  if (refusal.startsWith(REMOVED)) {
    output.print(`${name(object)}: ${refusal}`);
    return true;
  }
  return refuse(output, object, refusal);
}
