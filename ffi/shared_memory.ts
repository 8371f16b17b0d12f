/**
 * Shared memory: `shmget(2)`, `shm_open(3)` and `memfd_create(2)`, the same bytes in the
 * memory of several processes.
 *
 * **Choose shared memory** when processes exchange much data, or the same data again
 * and again: it needs neither copies nor system calls. It is the fastest mechanism, and
 * the one with the least help: it does not keep two writers apart. Use a semaphore or a
 * lock for that.
 *
 * **Choose something else** for occasional messages (a pipe, a queue, a socket), or for
 * persistent data (a memory map).
 *
 * | class                          | found by              | size      | for                        |
 * | ------------------------------ | --------------------- | --------- | -------------------------- |
 * | {@linkcode PosixSharedMemory}  | a name                | can grow  | processes that know a name |
 * | {@linkcode SysvSharedMemory}   | a number              | fixed     | C programs that use it     |
 * | {@linkcode MemoryFile}         | a passed descriptor   | sealable  | peers that are not trusted |
 *
 * Each is a {@linkcode Memory} once it is mapped: bytes, C structs, words for `Atomics`.
 * {@linkcode Memory.wait} and {@linkcode Memory.notify} tell other processes about
 * changes, and readers of a {@linkcode SequenceCell} never see half of a write.
 *
 * ```ts
 * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
 * import { i32, struct } from "@linux/ipc/struct";
 *
 * // One process creates it and tells the others its name, or all agree on a name.
 * using memory = PosixSharedMemory.create(null, 8);
 *
 * // Another process:
 * using other = PosixSharedMemory.open(memory.name);
 * PosixSharedMemory.unlink(memory.name); // destroyed when all have closed it
 * other.view(0, struct({ ready: i32, count: i32 })).count = 80;
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
export type { SysvChange, SysvTarget } from "./kernel/sysv_object.ts";
export type {
  DescriptorOwner,
  FromFdOptions,
} from "./kernel/descriptor_owner.ts";
export type {
  MapCreateOptions,
  MapOpenOptions,
  MapOptions,
  ResizeOptions,
} from "./memory/file.ts";
export { type AtomicWords, Memory } from "./memory/memory.ts";
export type { MemoryAdvice } from "./memory/pages.ts";
export type { RangeOptions } from "./memory/range.ts";
export {
  SequenceBytes,
  type SequenceBytesReadOptions,
} from "./memory/sequence_bytes.ts";
export { SequenceCell } from "./memory/sequence_cell.ts";
export type { MemoryHandle } from "./memory/share.ts";
export {
  MemoryMap,
  type MemoryMapAnonymousOptions,
  type ResizableOptions,
} from "./memory_map.ts";
export {
  MemoryFile,
  type MemoryFileCreateOptions,
  type MemoryFileFromFdOptions,
  type Seal,
} from "./shared_memory/memory_file.ts";
export {
  PosixSharedMemory,
  type PosixSharedMemoryEntry,
  type PosixSharedMemoryStat,
} from "./shared_memory/posix.ts";
export {
  SysvSharedMemory,
  type SysvSharedMemoryCreateOptions,
  type SysvSharedMemoryEntry,
  type SysvSharedMemoryOpenOptions,
  type SysvSharedMemoryStat,
} from "./shared_memory/sysv.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
