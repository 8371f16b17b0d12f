// The types of a snapshot: what processes share, and who holds it.

import type { SysvSemaphoreWaiters } from "../semaphore/sysv_set.ts";

/** The kinds of objects that {@linkcode inspect} finds. */
export type IpcKind = IpcObject["kind"];

/**
 * What a process does with an object:
 *
 * - `"open"`: it has a descriptor; `"maps"`: it has mapped the memory,
 * - `"reads"`, `"writes"`: it has a descriptor that can do that,
 * - `"listens"`: it holds a socket that accepts connections,
 * - `"waits"`: a thread of it is blocked in a call on the object,
 * - `"owns"`: it holds the lock.
 */
export type IpcRole =
  | "open"
  | "maps"
  | "reads"
  | "writes"
  | "listens"
  | "waits"
  | "owns";

/** A process that holds an object. */
export interface IpcHolder {
  /** The process id. */
  readonly pid: number;
  /** What it does with the object. */
  readonly roles: readonly IpcRole[];
  /** The number of its descriptors of the object. */
  readonly descriptors: number;
  /** The first of these descriptors, 16 at most. */
  readonly fds: readonly number[];
  /** The number of its mappings of the object. */
  readonly mappings: number;
  /** The calls in which its threads wait, such as `"msgrcv"`. */
  readonly waitsIn: readonly string[];
}

/** A process of the snapshot: one that holds an object, or that an object names. */
export interface IpcProcess {
  /** The process id. */
  readonly pid: number;
  /** The process id of its parent. */
  readonly parentPid: number;
  /** The user id that it runs as. */
  readonly uid: number;
  /**
   * The command line, its arguments separated by spaces; of a kernel thread, or where it
   * cannot be read, the name in brackets. It may contain any character but NUL.
   */
  readonly command: string;
  /** The name of the process, as ps(1) shows it: 15 bytes at most. */
  readonly name: string;
  /** The state: `"R"` runs, `"S"` and `"D"` wait, `"T"` is stopped, `"Z"` is a zombie. */
  readonly state: string;
  /** When it was started, to a hundredth of a second. */
  readonly started: Date;
}

/** The verdict on an object. */
export interface IpcVerdict {
  /**
   * The state of the object:
   *
   * - `"in use"`: a process holds it,
   * - `"idle"`: no process holds it, as far as can be seen, but it may be needed still,
   * - `"orphaned"`: no process holds it, and those that made or used it have ended,
   * - `"stuck"`: processes wait for something that cannot come, or an owner has died.
   */
  readonly state: "in use" | "idle" | "orphaned" | "stuck";
  /** The reason, in one line. */
  readonly reason: string;
  /**
   * Whether the kernel vouches for it.
   *
   * An object that a process can use without holding it (a System V queue or semaphore
   * set), or whose maker is not recorded, is orphaned as far as can be seen only.
   */
  readonly certain: boolean;
}

/** What all objects of a snapshot have. */
export interface IpcObjectBase<Kind extends string> {
  /** The kind. */
  readonly kind: Kind;
  /** Names the object in this snapshot: the kind, a colon, and an id or a name. */
  readonly ref: string;
  /** The name: a key, a path, or what the kernel calls it. It may have any character. */
  readonly name: string;
  /** The user id of the owner; null if that is not known. */
  readonly uid: number | null;
  /** The group id of the owner; null if that is not known. */
  readonly gid: number | null;
  /** The permission bits; null if there are none. */
  readonly mode: number | null;
  /** The size in bytes: of memory, or of the messages in it; null if that is not known. */
  readonly size: number | null;
  /**
   * When it was made or changed last, of a POSIX queue also sent to or received from;
   * null if that is not known.
   */
  readonly changed: Date | null;
  /** The processes that hold it. */
  readonly holders: readonly IpcHolder[];
  /** The object of this library that it is, if it is one. */
  readonly library: LibraryObject | null;
  /** The verdict. */
  readonly verdict: IpcVerdict;
}

/** What all System V objects have. */
export interface SysvObjectBase<Kind extends string>
  extends IpcObjectBase<Kind> {
  /** The identifier. */
  readonly id: number;
  /** The key, from 0 to 0xffffffff; 0 of a private object. */
  readonly key: number;
  /** The user id of the creator. */
  readonly creatorUid: number;
  /** The group id of the creator. */
  readonly creatorGid: number;
}

/** A System V message queue. Nothing tells who has it open, only who waits in it. */
export interface InspectedSysvQueue extends SysvObjectBase<"sysv-queue"> {
  /** The number of messages. */
  readonly messages: number;
  /** `msg_qbytes`: the maximum number of bytes; null if it cannot be read. */
  readonly maxBytes: number | null;
  /** `msg_lspid`: the process that sent last; null before the first message. */
  readonly lastSenderPid: number | null;
  /** `msg_lrpid`: the process that received last; null before the first. */
  readonly lastReceiverPid: number | null;
  /** When the last message was sent, to a second. */
  readonly sent: Date | null;
  /** When the last message was received, to a second. */
  readonly received: Date | null;
}

/**
 * A mutex of C (`pthread_mutex_t` of glibc) in shared memory, for which a thread waits.
 * Nothing tells of the others.
 */
export interface InspectedMutex {
  /** The offset in the memory. */
  readonly offset: number;
  /** The process that owns it; the thread if it has ended. */
  readonly ownerPid: number;
  /** Whether the owner has ended: a mutex that is not robust stays locked then. */
  readonly ownerEnded: boolean;
  /** The processes that wait. */
  readonly waiters: readonly number[];
}

/** A System V shared memory segment. */
export interface InspectedSysvMemory extends SysvObjectBase<"sysv-memory"> {
  /** `shm_nattch`: the number of attachments, in all namespaces. */
  readonly attachments: number;
  /** `shm_cpid`: the process that created it; 0 in another PID namespace. */
  readonly creatorPid: number;
  /** `shm_lpid`: the process that attached or detached last; null before the first. */
  readonly lastPid: number | null;
  /** When it was attached last, to a second. */
  readonly attached: Date | null;
  /** When it was detached last, to a second. */
  readonly detached: Date | null;
  /** Whether it is removed, and is freed with its last attachment. */
  readonly removed: boolean;
  /** The number of bytes in memory. */
  readonly resident: number;
  /** The mutexes in it for which threads wait. */
  readonly mutexes: readonly InspectedMutex[];
}

/** One semaphore of a System V set. */
export interface InspectedSemaphore {
  /** The value. */
  readonly value: number;
  /** `GETNCNT`, `GETZCNT`: how many wait for a higher value, and for 0. */
  readonly waiters: SysvSemaphoreWaiters;
  /** `GETPID`: the process that changed it last; 0 before the first. */
  readonly lastPid: number;
}

/**
 * A System V semaphore set. Nothing tells who has it open, only who waits in it; and
 * nothing tells what the kernel will undo for a process (`SEM_UNDO`).
 */
export interface InspectedSemaphoreSet
  extends SysvObjectBase<"sysv-semaphores"> {
  /** The number of semaphores. */
  readonly count: number;
  /** The semaphores; null without read permission. */
  readonly semaphores: readonly InspectedSemaphore[] | null;
  /** The time of the last `semop`, to a second. */
  readonly operated: Date | null;
}

/** A POSIX message queue. */
export interface InspectedPosixQueue extends IpcObjectBase<"posix-queue"> {
  /** The number of messages; null without read permission. */
  readonly messages: number | null;
  /** `mq_maxmsg`: the maximum number of messages; null without read permission. */
  readonly maxMessages: number | null;
  /** `mq_msgsize`: the maximum size of a message; null without read permission. */
  readonly maxSize: number | null;
  /** The inode of the queue. */
  readonly inode: number;
  /** The process that `mq_notify` tells of a message; null without one. */
  readonly notifyPid: number | null;
  /** Whether its name is unlinked. */
  readonly unlinked: boolean;
}

/** POSIX shared memory: a file in /dev/shm. */
export interface InspectedPosixMemory extends IpcObjectBase<"posix-memory"> {
  /** The inode of the file. */
  readonly inode: number;
  /** Whether its name is unlinked. */
  readonly unlinked: boolean;
  /** The mutexes in it for which threads wait. */
  readonly mutexes: readonly InspectedMutex[];
}

/** A POSIX semaphore with a name: a file in /dev/shm. */
export interface InspectedPosixSemaphore
  extends IpcObjectBase<"posix-semaphore"> {
  /** The inode of the file. */
  readonly inode: number;
  /** Whether its name is unlinked. */
  readonly unlinked: boolean;
  /** The value; null if it cannot be read, or is not a semaphore of this C library. */
  readonly value: number | null;
  /** The number of waiters that the semaphore counts; killed ones are counted, too. */
  readonly waiters: number | null;
}

/** A memory file: `memfd_create`. */
export interface InspectedMemoryFile extends IpcObjectBase<"memory-file"> {
  /** The inode of the file. */
  readonly inode: number;
  /** The mutexes in it for which threads wait. */
  readonly mutexes: readonly InspectedMutex[];
}

/** A FIFO that a process has open. */
export interface InspectedFifo extends IpcObjectBase<"fifo"> {
  /** The inode of the file. */
  readonly inode: number;
  /** Whether its name is unlinked. */
  readonly unlinked: boolean;
}

/** A pipe. */
export interface InspectedPipe extends IpcObjectBase<"pipe"> {
  /** The inode. */
  readonly inode: number;
}

/** A Unix domain socket. */
export interface InspectedUnixSocket extends IpcObjectBase<"unix-socket"> {
  /** The inode. */
  readonly inode: number;
  /** The type. */
  readonly type: "stream" | "datagram" | "seqpacket";
  /** The state. */
  readonly state: "listening" | "connected" | "unconnected";
  /** The address: a path, or `"@name"` for an abstract name; null without one. */
  readonly address: string | null;
  /** The {@linkcode IpcObjectBase.ref} of the socket it is connected to. */
  readonly peer: string | null;
  /**
   * Bytes to be read, of datagrams those of the first; of a listener the number of
   * connections to be accepted.
   */
  readonly receiveQueue: number;
  /**
   * Memory of what the peer has not read yet, in bytes, with what the kernel needs for
   * itself; of a listener the backlog.
   */
  readonly sendQueue: number;
}

/** A lock on a file, or a wait for one: a line of /proc/locks. */
export interface InspectedLock {
  /** The number of the lock in /proc/locks; a wait has that of the lock before it. */
  readonly number: number;
  /** The family: of `flock`, of `fcntl`, or of `fcntl` with `F_OFD_SETLK`. */
  readonly type: "flock" | "posix" | "ofd" | "lease";
  /** Whether it is shared (`F_RDLCK`, `LOCK_SH`); exclusive otherwise. */
  readonly shared: boolean;
  /**
   * The processes that have it, or wait. A lock of an open file (`flock`, `F_OFD_SETLK`) is
   * of all processes that have that open file: those that may be seen. A wait for a lock
   * of `F_OFD_SETLKW` names none.
   */
  readonly pids: readonly number[];
  /** The first byte. */
  readonly start: number;
  /** The number of bytes; 0 for all up to the end of the file. */
  readonly length: number;
  /** Whether it is a wait for the others, not a lock. */
  readonly waits: boolean;
}

/** A file on which there are locks. */
export interface InspectedFileLock extends IpcObjectBase<"file-lock"> {
  /** The path, if a process that can be seen has it open; null otherwise. */
  readonly path: string | null;
  /** The device, as `major:minor` in hexadecimal digits. */
  readonly device: string;
  /** The inode of the file. */
  readonly inode: number;
  /** The locks. */
  readonly locks: readonly InspectedLock[];
}

/** An eventfd. */
export interface InspectedEventFd extends IpcObjectBase<"eventfd"> {
  /** The counter; a bigint above 2^53, null if it cannot be read. */
  readonly value: number | bigint | null;
  /** Whether a read takes 1 only: `EFD_SEMAPHORE`; null if it is not known. */
  readonly semaphore: boolean | null;
}

/** An object that processes share. */
export type IpcObject =
  | InspectedSysvQueue
  | InspectedSysvMemory
  | InspectedSemaphoreSet
  | InspectedPosixQueue
  | InspectedPosixMemory
  | InspectedPosixSemaphore
  | InspectedMemoryFile
  | InspectedFifo
  | InspectedPipe
  | InspectedUnixSocket
  | InspectedFileLock
  | InspectedEventFd;

/** An object of this library, which is recognised by its content. */
export interface LibraryObject {
  /** The class, such as `"SharedMutex"`. */
  readonly class: string;
  /**
   * The process that owns it, of a lock; 0 if it is in another PID namespace; null without
   * one.
   */
  readonly ownerPid: number | null;
  /** The state, in a few words. */
  readonly state: string;
  /** Whether an owner has died in it, and the data was not repaired since. */
  readonly ownerDied: boolean;
  /** What keeps it from being used, in one line; null if nothing is known. */
  readonly problem: string | null;
}

/** Something that a snapshot lacks, and why. */
export interface Unseen {
  /** What is missing. */
  readonly what: string;
  /** In how many cases; null if that is not known. */
  readonly count: number | null;
  /** The processes, as far as they are known: the first 16. */
  readonly pids: readonly number[];
  /** Why, and what would show it. */
  readonly reason: string;
}

/** Processes that wait for each other. */
export interface Deadlock {
  /** The processes, each of which waits for what the next one owns, the last for the first. */
  readonly pids: readonly number[];
  /** What each of them waits for: the {@linkcode IpcObjectBase.ref} of a lock. */
  readonly refs: readonly string[];
}

/** Everything that processes share at a moment. */
export interface IpcSnapshot {
  /** When it was taken. */
  readonly time: Date;
  /** The objects, sorted by kind and name. */
  readonly objects: readonly IpcObject[];
  /** The processes that hold them, or that they name, by process id; living ones only. */
  readonly processes: ReadonlyMap<number, IpcProcess>;
  /** Processes that wait for each other for ever. */
  readonly deadlocks: readonly Deadlock[];
  /** What could not be seen. */
  readonly unseen: readonly Unseen[];
}

/** Options of {@linkcode inspect}. */
export interface InspectOptions {
  /**
   * The kinds to find. Fewer kinds take less time.
   *
   * @default {all}
   */
  kinds?: readonly IpcKind[] | undefined;
}
