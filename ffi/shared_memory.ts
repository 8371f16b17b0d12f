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
 * Its `wait()` and `notify()` tell other processes about changes,
 * and readers of a {@linkcode SequenceCell} never see half of a write.
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

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
export type {
  /**
   * A C type: its size, its alignment, and how its values move between JavaScript and
   * memory.
   */
  CType,
  /** The declaration of a struct or a union: its fields, in the order of C. */
  Fields,
  /** The value of a struct or a union with these fields: a plain object. */
  FieldValues,
  /** The live view of a struct or a union with these fields. */
  FieldViews,
  /**
   * A C struct, made by `struct()`: its layout, and the conversions between its bytes
   * and JavaScript values.
   */
  Struct,
} from "./struct.ts";
export type {
  /** A process that holds an object. */
  IpcHolder,
  /** What a process does with an object: */
  IpcRole,
} from "./inspect/types.ts";
export {
  /** `ftok(path, id)`: returns a key for System V objects. */
  ftok,
} from "./ftok.ts";
export type {
  /** The fields that `change()` of a System V object sets; absent ones stay. */
  SysvChange,
  /** A System V object: by its key, or by its identifier. */
  SysvTarget,
} from "./kernel/sysv_object.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
  /** Options of `fromFd()`. */
  FromFdOptions,
} from "./kernel/descriptor_owner.ts";
export type {
  /** Options of `create()` of `MemoryMap` and `PosixSharedMemory`. */
  MapCreateOptions,
  /** Options of `open()` of `MemoryMap` and `PosixSharedMemory`. */
  MapOpenOptions,
  /** Options of a mapping: its range of the file, and its access. */
  MapOptions,
  /** Options of `resize()`. */
  ResizeOptions,
} from "./memory/file.ts";
export {
  /** The words of a memory, for `Atomics`. */
  type AtomicWords,
  /**
   * Mapped memory: the base of `SysvSharedMemory`, `PosixSharedMemory` and `MemoryMap`.
   */
  Memory,
} from "./memory/memory.ts";
export type {
  /** How memory will be used, for `Memory.advise`: `MADV_...`. */
  MemoryAdvice,
} from "./memory/pages.ts";
export type {
  /** A range of bytes in a file, or in a mapping. */
  RangeOptions,
} from "./memory/range.ts";
export {
  /**
   * `struct { _Atomic uint32_t sequence; alignas(8) uint8_t value[size]; }`: bytes in
   * memory with one writer, and readers that get consistent copies.
   */
  SequenceBytes,
  /** Options of `SequenceBytes.read` and its siblings. */
  type SequenceBytesReadOptions,
} from "./memory/sequence_bytes.ts";
export {
  /**
   * `struct { _Atomic uint32_t sequence; alignas(8) T value; }`: a struct in memory
   * with one writer, and readers that get consistent copies: a sequence lock.
   */
  SequenceCell,
} from "./memory/sequence_cell.ts";
export type {
  /**
   * Memory on its way to another thread: the result of `Memory.share`, for one
   * `postMessage` and one `Memory.adopt`.
   */
  MemoryHandle,
} from "./memory/share.ts";
export {
  /** `mmap(...)`: a file, or memory without a file, as bytes. */
  MemoryMap,
  /** Options of `MemoryMap.anonymous`. */
  type MemoryMapAnonymousOptions,
  /** Options of the methods that open a `MemoryMap`. */
  type ResizableOptions,
} from "./memory_map.ts";
export {
  /**
   * A memory file: memory that has no name, and that other processes get with its
   * descriptor.
   */
  MemoryFile,
  /** Options of `create()` of a `MemoryFile`. */
  type MemoryFileCreateOptions,
  /** An entry of `list()` of a `MemoryFile`. */
  type MemoryFileEntry,
  /** Options of `fromFd()` of a `MemoryFile`. */
  type MemoryFileFromFdOptions,
  /** A permanent restriction on a memory file: `F_SEAL_...`. */
  type Seal,
} from "./shared_memory/memory_file.ts";
export {
  /**
   * `shm_open(name, ...)`, `mmap(...)`: a POSIX shared memory object, mapped into this
   * process: memory that has a name.
   */
  PosixSharedMemory,
  /** An entry of `PosixSharedMemory.list`. */
  type PosixSharedMemoryEntry,
  /** The status of a POSIX shared memory object. */
  type PosixSharedMemoryStat,
} from "./shared_memory/posix.ts";
export {
  /**
   * `shmget(key, ...)`, `shmat(id, ...)`: a System V shared memory segment, attached to
   * this process.
   */
  SysvSharedMemory,
  /** Options of `SysvSharedMemory.create` and `openOrCreate()`. */
  type SysvSharedMemoryCreateOptions,
  /** An entry of `SysvSharedMemory.list`. */
  type SysvSharedMemoryEntry,
  /** Options of `SysvSharedMemory.open` and `fromId()`. */
  type SysvSharedMemoryOpenOptions,
  /** The status of a System V shared memory segment: `struct shmid_ds`. */
  type SysvSharedMemoryStat,
} from "./shared_memory/sysv.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
