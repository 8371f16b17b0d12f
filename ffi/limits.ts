/**
 * The limits of the system for IPC, and how much of them is used: what `ipcs -l -u` shows.
 *
 * An {@linkcode IpcError} names the limit that it ran into. Ask here before that, for
 * example to choose the size of messages or to warn an operator.
 *
 * ```ts
 * import { ipcLimits } from "@linux/ipc/limits";
 *
 * const { sysvMessageQueues: { queues, maxQueues } } = ipcLimits();
 * if (queues > 0.9 * maxQueues) console.warn(`${queues} of ${maxQueues} queues`);
 * ```
 *
 * @module
 */

import { exact, systemLimit } from "./kernel/limits.ts";
import { MQ_PRIO_MAX } from "./libc/mqueue.ts";
import { SEM_VALUE_MAX } from "./libc/semaphore.ts";
import { IPC_INFO } from "./libc/sys_ipc.ts";
import { MSG_INFO, queueInfo } from "./libc/sys_msg.ts";
import { resourceLimit, RLIMIT_MSGQUEUE } from "./libc/sys_resource.ts";
import { SEM_INFO, setInfo } from "./libc/sys_sem.ts";
import { segmentLimits, segmentUse } from "./libc/sys_shm.ts";
import { pageSize } from "./libc/unistd.ts";

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
export {
  /** One more than the highest priority. */
  MQ_PRIO_MAX,
  /** The maximum value of a POSIX semaphore. */
  SEM_VALUE_MAX,
};

/** The limits of System V message queues, and their use in this IPC namespace. */
export interface SysvMessageQueueLimits {
  /** `msgmni`: the maximum number of queues. */
  readonly maxQueues: number;
  /** `msgmax`: the maximum number of bytes in a message. */
  readonly maxSize: number;
  /** `msgmnb`: the maximum number of bytes in a new queue. */
  readonly maxBytes: number;
  /** The number of queues. */
  readonly queues: number;
  /** The number of messages in all queues. */
  readonly messages: number;
  /** The number of bytes in all queues. */
  readonly bytes: number;
}

/** The limits of System V shared memory, and its use in this IPC namespace. */
export interface SysvSharedMemoryLimits {
  /** `shmmni`: the maximum number of segments. */
  readonly maxSegments: number;
  /** `shmmax`: the maximum size of a segment, in bytes; a bigint above 2^53. */
  readonly maxSize: number | bigint;
  /** `shmall`: the maximum number of pages in all segments; a bigint above 2^53. */
  readonly maxPages: number | bigint;
  /** The number of segments. */
  readonly segments: number;
  /** The number of pages in all segments. */
  readonly pages: number;
  /** The number of those pages that are in memory. */
  readonly residentPages: number;
  /** The number of those pages that are swapped out. */
  readonly swappedPages: number;
}

/** The limits of System V semaphore sets, and their use in this IPC namespace. */
export interface SysvSemaphoreSetLimits {
  /** `SEMMNI`: the maximum number of sets. */
  readonly maxSets: number;
  /** `SEMMSL`: the maximum number of semaphores in a set. */
  readonly maxSize: number;
  /** `SEMMNS`: the maximum number of semaphores in all sets. */
  readonly maxSemaphores: number;
  /** `SEMOPM`: the maximum number of operations in one call. */
  readonly maxOperations: number;
  /** `SEMVMX`: the maximum value of a semaphore. */
  readonly maxValue: number;
  /** The number of sets. */
  readonly sets: number;
  /** The number of semaphores in all sets. */
  readonly semaphores: number;
}

/** The limits of POSIX message queues. Those of /proc are null without /proc. */
export interface PosixMessageQueueLimits {
  /** `MQ_PRIO_MAX - 1`: the highest priority of a message. */
  readonly maxPriority: number;
  /** /proc/sys/fs/mqueue/queues_max: the maximum number of queues. */
  readonly maxQueues: number | null;
  /** /proc/sys/fs/mqueue/msg_max: the maximum number of messages in a queue. */
  readonly maxMessages: number | null;
  /** /proc/sys/fs/mqueue/msgsize_max: the maximum number of bytes in a message. */
  readonly maxSize: number | null;
  /**
   * `RLIMIT_MSGQUEUE` of this process: the maximum number of bytes in all queues of the
   * user, which counts some bytes for each message, too; Infinity if there is none.
   */
  readonly maxBytes: number;
}

/** The limits that {@linkcode ipcLimits} returns. */
export interface IpcLimits {
  /** `sysconf(_SC_PAGESIZE)`: the number of bytes in a page of memory. */
  readonly pageSize: number;
  /** System V message queues. */
  readonly sysvMessageQueues: SysvMessageQueueLimits;
  /** System V shared memory. */
  readonly sysvSharedMemory: SysvSharedMemoryLimits;
  /** System V semaphore sets. */
  readonly sysvSemaphoreSets: SysvSemaphoreSetLimits;
  /** POSIX message queues. */
  readonly posixMessageQueues: PosixMessageQueueLimits;
  /** `SEM_VALUE_MAX`: the maximum value of a POSIX semaphore. */
  readonly maxSemaphoreValue: number;
}

/**
 * `msgctl(0, IPC_INFO, ...)` and its siblings: returns the limits of the system for IPC,
 * and how much of them is used now. It needs no permission.
 *
 * @returns The limits, in the units that each of them names.
 * @throws {IpcError} ENOSYS if the kernel has no System V IPC.
 *
 * @example The room for another queue
 * ```ts
 * import { ipcLimits } from "@linux/ipc/limits";
 * import { assert } from "@std/assert";
 *
 * const { sysvMessageQueues, pageSize } = ipcLimits();
 * assert(sysvMessageQueues.queues <= sysvMessageQueues.maxQueues);
 * assert(pageSize >= 4096);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
 */
export function ipcLimits(): IpcLimits {
  return {
    pageSize: pageSize(),
    sysvMessageQueues: messageQueues(),
    sysvSharedMemory: sharedMemory(),
    sysvSemaphoreSets: semaphoreSets(),
    posixMessageQueues: {
      maxPriority: MQ_PRIO_MAX - 1,
      maxQueues: fileLimit("queues_max"),
      maxMessages: fileLimit("msg_max"),
      maxSize: fileLimit("msgsize_max"),
      maxBytes: bytesOfUser(),
    },
    maxSemaphoreValue: SEM_VALUE_MAX,
  };
}

function messageQueues(): SysvMessageQueueLimits {
  const { msgmni, msgmax, msgmnb } = queueInfo(IPC_INFO);
  const { msgpool, msgmap, msgtql } = queueInfo(MSG_INFO);
  return {
    maxQueues: msgmni,
    maxSize: msgmax,
    maxBytes: msgmnb,
    queues: msgpool,
    messages: msgmap,
    bytes: msgtql,
  };
}

function sharedMemory(): SysvSharedMemoryLimits {
  const { shmmni, shmmax, shmall } = segmentLimits();
  const { used_ids, shm_tot, shm_rss, shm_swp } = segmentUse();
  return {
    maxSegments: Number(shmmni),
    maxSize: exact(shmmax),
    maxPages: exact(shmall),
    segments: used_ids,
    pages: Number(shm_tot),
    residentPages: Number(shm_rss),
    swappedPages: Number(shm_swp),
  };
}

function semaphoreSets(): SysvSemaphoreSetLimits {
  const { semmni, semmsl, semmns, semopm, semvmx } = setInfo(IPC_INFO);
  const { semusz, semaem } = setInfo(SEM_INFO);
  return {
    maxSets: semmni,
    maxSize: semmsl,
    maxSemaphores: semmns,
    maxOperations: semopm,
    maxValue: semvmx,
    sets: semusz,
    semaphores: semaem,
  };
}

function fileLimit(name: string): number | null {
  const limit = systemLimit(`/proc/sys/fs/mqueue/${name}`);
  return limit === undefined ? null : Number(limit.value);
}

function bytesOfUser(): number {
  const { value } = resourceLimit("RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE);
  return typeof value === "bigint" ? Infinity : value; // RLIM_INFINITY
}
