// Mutexes of C in shared memory. Nothing marks them; but a thread that waits for one has
// told the kernel its address, and there is the owner.

import type { ProcessMemory } from "../kernel/process_memory.ts";
import { FUTEX_TID_MASK } from "../libc/linux_futex.ts";
import {
  OFFSETOF_MUTEX_KIND,
  OFFSETOF_MUTEX_LOCK,
  OFFSETOF_MUTEX_OWNER,
} from "../libc/pthread.ts";
import {
  inheritsPriority,
  isOfProcesses,
  isRobust,
} from "../pthread/mutex_kind.ts";
import type { Catalogue, Draft } from "./catalogue.ts";
import { threadOf } from "./processes.ts";
import type { InspectedMutex, IpcKind } from "./types.ts";

/** The kinds of objects that can have mutexes in them. */
export const MEMORY_KINDS: readonly IpcKind[] = [
  "sysv-memory",
  "posix-memory",
  "memory-file",
];

const CONTENDED = 2; // the lock of a plain mutex that others wait for

/**
 * The thread that owns the mutex whose lock is at an address; undefined if that is not a
 * mutex of processes, as glibc has them, that a thread owns.
 */
export function ownerAt(
  memory: ProcessMemory,
  address: bigint,
): number | undefined {
  const words = memory.read(
    address - BigInt(OFFSETOF_MUTEX_LOCK),
    OFFSETOF_MUTEX_KIND + 4,
  );
  if (words === undefined) return undefined;
  const word = (offset: number) => words.getInt32(offset, true);
  const kind = word(OFFSETOF_MUTEX_KIND);
  if (!isOfProcesses(kind)) return undefined;
  const lock = word(OFFSETOF_MUTEX_LOCK);
  if (isRobust(kind) || inheritsPriority(kind)) {
    return lock & FUTEX_TID_MASK || undefined;
  }
  const owner = word(OFFSETOF_MUTEX_OWNER);
  return lock === CONTENDED && owner > 0 ? owner : undefined;
}

/** Notes the mutexes of memory, and that their owners own something in it. */
export function noteMutexes(draft: Draft, catalogue: Catalogue): void {
  if (!MEMORY_KINDS.includes(draft.kind)) return;
  const mutexes = mutexesIn(draft);
  for (const { ownerPid, ownerEnded } of mutexes) {
    if (!ownerEnded) catalogue.note(draft.ref, ownerPid, "owns");
  }
  draft.fields.mutexes = mutexes;
}

/** Those whose owners have the memory mapped, or have ended. */
function mutexesIn({ mutexes, holders }: Draft): InspectedMutex[] {
  return [...mutexes ?? []].flatMap(([offset, { owner, waiters }]) => {
    const { process, hasEnded } = threadOf(owner);
    if (!hasEnded && !holders.get(process)?.mappings) return [];
    return [{
      offset,
      ownerPid: process,
      ownerEnded: hasEnded,
      waiters: [...waiters].sort((a, b) => a - b),
    }];
  }).sort((a, b) => a.offset - b.offset);
}
