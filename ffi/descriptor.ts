/**
 * Descriptors of every kind: `read(2)` and `write(2)` of files that were passed,
 * `eventfd(2)`, `pidfd_open(2)`, `timerfd_create(2)`, and locks of files, `fcntl(2)`.
 *
 * **Choose this** for what another program hands over: {@linkcode adoptDescriptor} asks
 * what a descriptor is, and returns an object of the class that fits. {@linkcode File}
 * reads and writes what has no class of its own. `--allow-ffi` is enough, also for a file
 * that this process could not open.
 *
 * - {@linkcode EventFd} wakes another process, and counts how often.
 * - {@linkcode PidFd} tells when a process has ended, and signals it and no other one.
 * - {@linkcode TimerFd} is a timer that is waited for beside other descriptors.
 * - {@linkcode FileLock} excludes programs in any language, as `fcntl.lockf` of Python.
 *
 * All but locks are waited for together with `waitAny` of {@link [wait] @linux/ipc/wait}.
 *
 * **Choose something else** for a path that this program may open: `Deno.open`. Between
 * programs of this module, a semaphore or a lock in shared memory is faster than an eventfd
 * or a file lock.
 *
 * ```ts
 * import { EventFd, TimerFd } from "@linux/ipc/descriptor";
 * import { waitAny } from "@linux/ipc/wait";
 *
 * using event = EventFd.create();
 * using timer = TimerFd.create();
 * timer.arm({ after: 10 });
 * const first = await waitAny([event, timer]);
 * console.log(first === timer, timer.tryRead()); // true 1
 * ```
 *
 * @example A descriptor for `node:child_process`
 * ```ts
 * import { File } from "@linux/ipc/descriptor";
 * import { spawn } from "node:child_process";
 *
 * using file = File.open("/etc/hostname");
 * const child = spawn("cat", ["/proc/self/fd/3"], {
 *   stdio: ["ignore", "ignore", "inherit", file.fd], // the child's descriptor 3
 * });
 * await new Promise((resolve) => child.on("close", resolve));
 * ```
 *
 * @module
 */

export {
  /**
   * `fstat(2)`, `getsockopt(2)` and others: asks the kernel what a descriptor is, and
   * makes it an object of the class that fits, with its `fromFd()`.
   */
  adoptDescriptor,
  /** What `adoptDescriptor` returns: tell them apart with `instanceof`. */
  type AdoptedDescriptor,
} from "./descriptor/adopt.ts";
export {
  /**
   * A counter in the kernel, on which processes wait until it is not zero: a wake-up
   * that is not lost, and costs one descriptor.
   */
  EventFd,
  /** An entry of `EventFd.list`. */
  type EventFdEntry,
  /** Options of `EventFd.create`. */
  type EventFdOptions,
} from "./descriptor/event_fd.ts";
export {
  /**
   * An open file of any kind, for the descriptor of another program: a regular file, a
   * device, a terminal, inotify, a socket of another family than `AF_UNIX`.
   */
  File,
  /** Options of `File.create` and `File.openOrCreate`. */
  type FileCreateOptions,
  /** Options of `File.open`. */
  type FileOpenOptions,
  /** What an offset of `File.seek` is relative to. */
  type SeekOrigin,
} from "./descriptor/file.ts";
export {
  /**
   * A lock of a file, or of a range of its bytes, which processes in any language see:
   * `fcntl` in C, `fcntl.lockf` in Python, SQLite.
   */
  FileLock,
  /** An entry of `FileLock.list`: a lock, or a wait for one. */
  type FileLockEntry,
  /** What a lock is held by. */
  type FileLockGuard,
  /** A lock that another one conflicts with. */
  type FileLockHolder,
  /** Whether a lock is shared. */
  type FileLockMode,
  /** Options of `FileLock.of`: the bytes that are locked. */
  type FileLockRange,
} from "./descriptor/file_lock.ts";
export {
  /** How a process has ended. */
  type ExitStatus,
  /**
   * A process, as a descriptor: it stands for that process even if its number is used
   * again, and is readable when the process has ended.
   */
  PidFd,
} from "./descriptor/pid_fd.ts";
export {
  /** The clock of a timer. */
  type TimerClock,
  /**
   * A timer in the kernel that is waited for like a pipe: beside other descriptors with
   * `waitAny`, or by another process to which it is passed.
   */
  TimerFd,
  /** Options of `TimerFd.create`. */
  type TimerFdOptions,
  /** When a timer expires: one of `after` and `at`, or `interval` alone. */
  type TimerSetting,
  /** What a timer is going to do. */
  type TimerStatus,
} from "./descriptor/timer_fd.ts";
export type {
  /** A process that holds an object. */
  IpcHolder,
  /** What a process does with an object: */
  IpcRole,
} from "./inspect/types.ts";
export type {
  /** What a descriptor is. */
  DescriptorKind,
} from "./kernel/descriptor_kind.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
  /** Options of `fromFd()`. */
  FromFdOptions,
} from "./kernel/descriptor_owner.ts";
export {
  /** A descriptor that was received. */
  PassedDescriptor,
} from "./socket/passed_descriptor.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
