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
 * All but locks are waited for together with `waitAny` of `@linux/ipc/wait`.
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

export { adoptDescriptor, type AdoptedDescriptor } from "./descriptor/adopt.ts";
export { EventFd, type EventFdOptions } from "./descriptor/event_fd.ts";
export {
  File,
  type FileCreateOptions,
  type FileOpenOptions,
  type SeekOrigin,
} from "./descriptor/file.ts";
export {
  FileLock,
  type FileLockGuard,
  type FileLockHolder,
  type FileLockMode,
  type FileLockRange,
} from "./descriptor/file_lock.ts";
export { type ExitStatus, PidFd } from "./descriptor/pid_fd.ts";
export {
  type TimerClock,
  TimerFd,
  type TimerFdOptions,
  type TimerSetting,
  type TimerStatus,
} from "./descriptor/timer_fd.ts";
export type { DescriptorKind } from "./kernel/descriptor_kind.ts";
export type {
  DescriptorOwner,
  FromFdOptions,
} from "./kernel/descriptor_owner.ts";
export { PosixMessageQueue } from "./message_queue/posix.ts";
export { PipeReader, PipeWriter } from "./pipe.ts";
export { MemoryFile } from "./shared_memory/memory_file.ts";
export {
  PassedDescriptor,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "./socket.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
