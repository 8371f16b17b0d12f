// The calls in which the threads of a process wait: /proc/PID/task/*/syscall, which
// shows the number of the call and its arguments.

import {
  inDirectory,
  namesAt,
  statusAt,
  textAt,
} from "../kernel/proc_files.ts";
import { F_OFD_SETLKW, F_SETLKW } from "../libc/fcntl.ts";
import { ProcessMemory } from "../kernel/process_memory.ts";
import {
  FUTEX_LOCK_PI,
  FUTEX_LOCK_PI2,
  FUTEX_WAIT,
  FUTEX_WAITV_MAX,
  futexWaitv,
} from "../libc/linux_futex.ts";
import {
  SYS_accept,
  SYS_accept4,
  SYS_fcntl,
  SYS_flock,
  SYS_futex,
  SYS_futex_waitv,
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
import { ownerAt } from "./mutexes.ts";

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
/** The operations of `futex` that wait. */
const FUTEX_WAITS = [
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  FUTEX_LOCK_PI,
  FUTEX_LOCK_PI2,
];
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
  const memory = new ProcessMemory(directory);
  try {
    inDirectory(directory, "task", (tasks) => {
      for (const thread of namesAt(tasks, "/proc/PID/task")) {
        const text = textAt(tasks, `${thread}/syscall`);
        if (text !== undefined) noteCall(catalogue, place, held, memory, text);
        // A thread that has ended meanwhile waits for nothing.
        else if (statusAt(tasks, thread) !== undefined) isReadable = false;
      }
    });
  } finally {
    memory[Symbol.dispose]();
  }
  return isReadable;
}

/** Notes one call, such as `0 0x3 0x7ffd 0x400 ...`, a read of descriptor 3. */
function noteCall(
  catalogue: Catalogue,
  place: Place,
  held: Held,
  memory: ProcessMemory,
  text: string,
): void {
  const { pid, isOwnIpc } = place;
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
    if (!FUTEX_WAITS.includes(Number(second) & FUTEX_OPERATION)) return;
    noteWord(catalogue, place, held, memory, BigInt(first), "futex");
    return;
  }
  if (call === SYS_futex_waitv) {
    const count = Math.min(Number(second), FUTEX_WAITV_MAX);
    const { size, offsets } = futexWaitv;
    const list = memory.read(BigInt(first), count * size);
    for (let index = 0; list !== undefined && index < count; index++) {
      const at = index * size + offsets.uaddr;
      const address = list.getBigUint64(at, true);
      noteWord(catalogue, place, held, memory, address, "futex_waitv");
    }
    return;
  }
  // Of fcntl only the waits for locks block.
  const operation = Number(second);
  if (
    call === SYS_fcntl && operation !== F_SETLKW && operation !== F_OFD_SETLKW
  ) return;
  const name = DESCRIPTOR_CALLS[call];
  const ref = name && held.descriptors.get(Number(first));
  if (name && ref) catalogue.noteWait(ref, pid, name);
}

/** Notes a wait for a word in memory, and the owner of the mutex that the word may be of. */
function noteWord(
  catalogue: Catalogue,
  { pid, isForeign }: Place,
  held: Held,
  memory: ProcessMemory,
  address: bigint,
  call: string,
): void {
  const part = held.memory.find(({ start, end }) =>
    address >= start && address < end
  );
  if (part === undefined) return;
  catalogue.noteWait(part.ref, pid, call);
  // Of another PID namespace the numbers of threads say nothing here.
  const owner = isForeign ? undefined : ownerAt(memory, address);
  if (owner === undefined) return;
  const offset = part.offset + Number(address - part.start);
  catalogue.noteMutex(part.ref, offset, owner, pid);
}
