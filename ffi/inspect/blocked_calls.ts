// The calls in which the threads of a process wait: /proc/PID/task/*/syscall, which
// shows the number of the call and its arguments.

import {
  inDirectory,
  namesAt,
  statusAt,
  textAt,
} from "../kernel/proc_files.ts";
import { F_OFD_SETLKW, F_SETLKW } from "../libc/fcntl.ts";
import { FUTEX_WAIT } from "../libc/linux_futex.ts";
import {
  SYS_accept,
  SYS_accept4,
  SYS_fcntl,
  SYS_flock,
  SYS_futex,
  SYS_mq_timedreceive,
  SYS_mq_timedsend,
  SYS_msgrcv,
  SYS_msgsnd,
  SYS_read,
  SYS_readv,
  SYS_recvfrom,
  SYS_recvmsg,
  SYS_semop,
  SYS_semtimedop,
  SYS_sendmsg,
  SYS_sendto,
  SYS_write,
  SYS_writev,
} from "../libc/sys_syscall.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Place } from "./descriptors.ts";
import type { MappedObject } from "./mappings.ts";

/** The calls whose first argument is a descriptor. */
const DESCRIPTOR_CALLS: Record<number, string> = {
  [SYS_read]: "read",
  [SYS_readv]: "readv",
  [SYS_write]: "write",
  [SYS_writev]: "writev",
  [SYS_recvfrom]: "recvfrom",
  [SYS_recvmsg]: "recvmsg",
  [SYS_sendto]: "sendto",
  [SYS_sendmsg]: "sendmsg",
  [SYS_accept]: "accept",
  [SYS_accept4]: "accept",
  [SYS_mq_timedreceive]: "mq_receive",
  [SYS_mq_timedsend]: "mq_send",
  [SYS_flock]: "flock",
  [SYS_fcntl]: "fcntl",
};

/** The calls whose first argument is the identifier of a System V object. */
const SYSV_CALLS: Record<number, [kind: string, call: string]> = {
  [SYS_msgrcv]: ["sysv-queue", "msgrcv"],
  [SYS_msgsnd]: ["sysv-queue", "msgsnd"],
  [SYS_semop]: ["sysv-semaphores", "semop"],
  [SYS_semtimedop]: ["sysv-semaphores", "semop"],
};

const FUTEX_WAIT_BITSET = 9;
const FUTEX_OPERATION = 0x7f; // without its flags

/** What is known of a process before its threads are looked at. */
export interface Held {
  /** Its objects, by their descriptors. */
  readonly descriptors: ReadonlyMap<number, string>;
  /** Its memory. */
  readonly memory: readonly MappedObject[];
}

/** Notes the objects for which a process waits; false if that may not be known. */
export function noteBlockedCalls(
  catalogue: Catalogue,
  place: Place,
  directory: number,
  held: Held,
): boolean {
  let isReadable = true;
  inDirectory(directory, "task", (tasks) => {
    for (const thread of namesAt(tasks, "/proc/PID/task")) {
      const text = textAt(tasks, `${thread}/syscall`);
      if (text !== undefined) noteCall(catalogue, place, held, text);
      // A thread that has ended meanwhile waits for nothing.
      else if (statusAt(tasks, thread) !== undefined) isReadable = false;
    }
  });
  return isReadable;
}

/** Notes one call, such as `0 0x3 0x7ffd 0x400 ...`, a read of descriptor 3. */
function noteCall(
  catalogue: Catalogue,
  { pid, isOwnIpc }: Place,
  { descriptors, memory }: Held,
  text: string,
): void {
  const [number, first, second] = text.split(" ");
  const call = Number(number);
  if (first === undefined || !(call >= 0)) return; // running, or in no call
  const sysv = SYSV_CALLS[call];
  if (sysv !== undefined) {
    if (isOwnIpc) {
      catalogue.noteWait(`${sysv[0]}:${Number(first)}`, pid, sysv[1]);
    }
    return;
  }
  if (call === SYS_futex) {
    const operation = Number(second) & FUTEX_OPERATION;
    if (operation !== FUTEX_WAIT && operation !== FUTEX_WAIT_BITSET) return;
    const address = BigInt(first);
    const part = memory.find(({ start, end }) =>
      address >= start && address < end
    );
    if (part !== undefined) catalogue.noteWait(part.ref, pid, "futex");
    return;
  }
  // Of fcntl only the waits for locks block.
  const operation = Number(second);
  if (
    call === SYS_fcntl && operation !== F_SETLKW && operation !== F_OFD_SETLKW
  ) return;
  const name = DESCRIPTOR_CALLS[call];
  const ref = name && descriptors.get(Number(first));
  if (name && ref) catalogue.noteWait(ref, pid, name);
}
