/**
 * Shared memory: `shmget(2)`, the same bytes in the memory of several processes.
 *
 * **Choose shared memory** when processes exchange much data, or the same data
 * again and again: nothing is copied and no system call is made. It is the
 * fastest of all, and the one with the least help: it does not tell a reader
 * when there is something to read, nor keep two writers apart. Put a semaphore
 * beside it.
 *
 * **Choose something else** when a message now and then is all there is (a pipe,
 * a queue, a socket), or when the data shall be in a file (a memory map).
 *
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { i32, struct } from "@linux/ipc/struct";
 *
 * // One process makes it and tells the others its id, or all agree on a key.
 * using memory = SysvSharedMemory.create(null, 4);
 * memory.remove(); // it goes when the last one closes it, even after a crash
 *
 * // Another process:
 * using other = SysvSharedMemory.fromId(memory.id);
 * other.view(struct({ value: i32 })).value = 80;
 *
 * console.log(memory.bytes[0]); // 80
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type {
  CType,
  Fields,
  FieldValues,
  FieldViews,
  Struct,
} from "./struct.ts";
export { ftok } from "./ftok.ts";
export type { RangeOptions, ResizeOptions } from "./memory/file.ts";
export { SequenceCell } from "./memory/cell.ts";
export { type AtomicWords, Memory } from "./memory/memory.ts";
export type { MemoryHandle } from "./memory/share.ts";
export {
  type MemoryAdvice,
  MemoryMap,
  type MemoryMapAnonymousOptions,
  type MemoryMapCreateOptions,
  type MemoryMapFdOptions,
  type MemoryMapOpenOptions,
} from "./memory_map/map.ts";
export {
  MemoryFile,
  type MemoryFileCreateOptions,
  type MemoryFileFromFdOptions,
  type MemoryFileMapOptions,
  type Seal,
} from "./shared_memory/memory_file.ts";
export {
  PosixSharedMemory,
  type PosixSharedMemoryCreateOptions,
  type PosixSharedMemoryOpenOptions,
} from "./shared_memory/posix.ts";
export {
  SysvSharedMemory,
  type SysvSharedMemoryAttachOptions,
  type SysvSharedMemoryChange,
  type SysvSharedMemoryCreateOptions,
  type SysvSharedMemoryEntry,
  type SysvSharedMemoryOpenOptions,
  type SysvSharedMemoryStat,
} from "./shared_memory/sysv.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
