/**
 * Messages through shared memory: ring buffers.
 *
 * **Choose a ring** for the most messages per second between processes: millions of small
 * ones, or large ones that are written in place. A message takes no system call while both
 * sides are busy, and a reader can look at it without a copy.
 * {@linkcode SharedRing} has one producer or many, and one consumer; it loses nothing.
 * {@linkcode SharedBroadcast} has one producer and any number of receivers; a slow one is
 * told how much it has missed.
 *
 * **Choose something else** for the latest value only (`SequenceCell`), between processes
 * that do not trust each other with one memory (sockets), or where a few thousand messages
 * a second are enough: pipes, queues and sockets need no size in advance, and the kernel
 * closes them when a process dies.
 *
 * C programs take part with [c/linux_ipc_ring.h](/c/linux_ipc_ring.h), one file to copy,
 * and programs with Agrona's ring buffers (Java, C, C++) as they are:
 * [the format](/docs/ring-format.md) describes each byte.
 *
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedRing } from "@linux/ipc/ring";
 *
 * using memory = MemoryMap.anonymous(SharedRing.size(1 << 16));
 * const ring = SharedRing.create(memory);
 * using producer = ring.producer(); // usually in another process
 * using consumer = ring.consumer();
 * await producer.write(new TextEncoder().encode("message"));
 * console.log(new TextDecoder().decode((await consumer.read())?.data)); // message
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
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
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
export type {
  /**
   * Memory on its way to another thread: the result of `Memory.share`, for one
   * `postMessage` and one `Memory.adopt`.
   */
  MemoryHandle,
} from "./memory/share.ts";
export type {
  /**
   * A C type: its size, its alignment, and how its values move between JavaScript and
   * memory.
   */
  CType,
  /** The values that can be written to a struct with these fields. */
  FieldInputs,
  /** The declaration of a struct or a union: its fields, in the order of C. */
  Fields,
  /** The value of a struct or a union with these fields: a plain object. */
  FieldValues,
  /** The live view of a struct or a union with these fields. */
  FieldViews,
  /** The conversions between the bytes of a struct or a union and JavaScript values. */
  Layout,
  /**
   * A C struct, made by `struct()`: its layout, and the conversions between its bytes
   * and JavaScript values.
   */
  Struct,
} from "./struct.ts";
export {
  /** Writes the messages of a `SharedBroadcast`. */
  BroadcastProducer,
  /** Reads the messages of a `SharedBroadcast`. */
  BroadcastReceiver,
  /**
   * Messages from one producer to any number of receivers, in shared memory: a
   * broadcast.
   */
  SharedBroadcast,
} from "./ring/broadcast.ts";
export {
  /** Space for one message in a ring: fill `RingClaim.bytes`, then commit it. */
  RingClaim,
} from "./ring/claim.ts";
export {
  /** Reads the messages of a `SharedRing`, which has one consumer at a time. */
  RingConsumer,
} from "./ring/consumer.ts";
export {
  /** A message that was copied out of a ring. */
  type ReceivedRingMessage,
  /** What a reader does with each message. */
  type RingHandler,
  /** A message in the memory of a ring. */
  RingMessage,
} from "./ring/message.ts";
export {
  /** The base class of all that takes part in a ring. */
  RingParticipant,
  /** Options of everything that takes part in a ring. */
  type RingWaitOptions,
} from "./ring/participant.ts";
export {
  /** Writes messages into a `SharedRing`. */
  RingProducer,
  /** Options of the waits of a `RingProducer`. */
  type RingWriteOptions,
} from "./ring/producer.ts";
export {
  /** The base class of the readers of a ring and of a broadcast. */
  RingReader,
} from "./ring/reader.ts";
export {
  /** Options of `SharedRing.create`. */
  type RingCreateOptions,
  /** Where a ring is in its memory. */
  type RingOpenOptions,
  /** Options of `create()` of a ring or a broadcast. */
  type RingSizeOptions,
  /**
   * A queue of messages in shared memory, between processes: a ring buffer with one
   * producer or many, and one consumer.
   */
  SharedRing,
} from "./ring/shared_ring.ts";
export {
  /** Reads C structs from a ring or a broadcast. */
  StructConsumer,
  /** Writes C structs into a ring. */
  StructProducer,
} from "./ring/typed.ts";
