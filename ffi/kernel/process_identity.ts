// Which thread owns something in shared memory, and whether that thread has ended. A
// number alone does not say: the kernel gives the numbers of ended threads to new ones.

import { errno, ESRCH } from "../libc/errno.ts";
import { signal } from "../libc/signal.ts";
import { linkedTo, unistd } from "../libc/unistd.ts";
import { readProc } from "./proc.ts";

/** A thread, for as long as the system runs. */
export interface ProcessIdentity {
  /** Its number: that of the process, if it is the first thread. */
  readonly id: number;
  /** When it has started, in clock ticks since boot; 0 if that is unknown. */
  readonly start: bigint;
  /** The inode of its PID namespace, in which the number is valid; 0 if unknown. */
  readonly namespace: bigint;
}

let own: ProcessIdentity | undefined;

/** This thread. A Worker is a thread of its own, and ends when it is terminated. */
export function ownIdentity(): ProcessIdentity {
  return own ??= readOwn();
}

function readOwn(): ProcessIdentity {
  const stat = readProc("/proc/thread-self/stat");
  if (stat === undefined) {
    return { id: unistd().getpid(), start: 0n, namespace: 0n };
  }
  const id = parseInt(stat);
  // By the path that others use: emulators show another start under their own.
  const { start } = parse(readProc(`/proc/${id}/stat`) ?? stat);
  return { id, start, namespace: ownNamespace() };
}

function ownNamespace(): bigint {
  try {
    return BigInt(linkedTo("/proc/self/ns/pid").replaceAll(/\D/g, ""));
  } catch {
    return 0n;
  }
}

/** The state and the start of a process, from its `stat` file: proc_pid_stat(5). */
function parse(stat: string): { state: string; start: bigint } {
  // The name, in parentheses, may contain anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0]!, start: BigInt(fields[19]!) };
}

/**
 * Whether a thread has certainly ended. False where this process cannot know that: the
 * thread is in another PID namespace, or /proc hides it.
 */
export function hasEnded({ id, start, namespace }: ProcessIdentity): boolean {
  if (namespace === 0n || namespace !== ownIdentity().namespace) return false;
  if (signal().kill(id, 0) === -1 && errno() === ESRCH) return true;
  const stat = readProc(`/proc/${id}/stat`);
  if (stat === undefined) return false;
  const present = parse(stat);
  if (present.state === "Z" || present.state === "X") return true;
  return start !== 0n && present.start !== start;
}
