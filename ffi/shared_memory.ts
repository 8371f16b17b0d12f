/**
 * Shared memory: `shmget(2)`, `shm_open(3)` and `memfd_create(2)`, the same bytes
 * in the memory of several processes.
 *
 * **Choose shared memory** when processes exchange much data, or the same data
 * again and again: nothing is copied and no system call is made. It is the
 * fastest of all, and the one with the least help: nobody keeps two writers apart.
 * Put a semaphore beside it.
 *
 * **Choose something else** when a message now and then is all there is (a pipe,
 * a queue, a socket), or when the data shall be in a file (a memory map).
 *
 * | which                          | others find it by           | size     | for                          |
 * | ------------------------------ | --------------------------- | -------- | ---------------------------- |
 * | {@linkcode PosixSharedMemory}  | a name                      | can grow | processes that know a name   |
 * | {@linkcode SysvSharedMemory}   | a number                    | fixed    | C programs that use it       |
 * | {@linkcode MemoryFile}         | a descriptor that they get  | sealable | peers that are not trusted   |
 *
 * All of them are a {@linkcode Memory} when they are mapped: bytes, C structs,
 * words for `Atomics`. And though shared memory tells nobody when there is something
 * to read, {@linkcode Memory.wait} and {@linkcode Memory.notify} do, and a
 * {@linkcode SequenceCell} never shows half of what is written.
 *
 * ```ts
 * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
 * import { i32, struct } from "@linux/ipc/struct";
 *
 * // One process makes it and tells the others its name, or all agree on one.
 * using memory = PosixSharedMemory.create(null, 8);
 *
 * // Another process:
 * using other = PosixSharedMemory.open(memory.name);
 * PosixSharedMemory.unlink(memory.name); // it goes when the last one closes it
 * const { count } = other.view(struct({ ready: i32, count: i32 }));
 * other.view(struct({ ready: i32, count: i32 })).count = count + 80;
 * Atomics.store(other.atomics.int32, 0, 1);
 * other.notify(0);
 *
 * // The first one again:
 * await memory.wait(0, 0);
 * console.log(memory.bytes[4]); // 80
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
} from "./memory_map.ts";
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
