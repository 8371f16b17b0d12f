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
 * C programs take part with `c/linux_ipc_ring.h`, one file to copy, and programs with
 * Agrona's ring buffers (Java, C, C++) as they are: docs/ring-format.md describes each
 * byte.
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

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { type AtomicWords, Memory } from "./memory/memory.ts";
export type { MemoryAdvice } from "./memory/pages.ts";
export type { RangeOptions } from "./memory/range.ts";
export type { MemoryHandle } from "./memory/share.ts";
export type {
  CType,
  FieldInputs,
  Fields,
  FieldValues,
  FieldViews,
  Layout,
  Struct,
} from "./struct.ts";
export {
  BroadcastProducer,
  BroadcastReceiver,
  SharedBroadcast,
} from "./ring/broadcast.ts";
export { RingClaim } from "./ring/claim.ts";
export { RingConsumer } from "./ring/consumer.ts";
export {
  type ReceivedRingMessage,
  type RingHandler,
  RingMessage,
} from "./ring/message.ts";
export { RingParticipant, type RingWaitOptions } from "./ring/participant.ts";
export { RingProducer, type RingWriteOptions } from "./ring/producer.ts";
export { RingReader } from "./ring/reader.ts";
export {
  type RingCreateOptions,
  type RingOpenOptions,
  type RingSizeOptions,
  SharedRing,
} from "./ring/shared_ring.ts";
export { StructConsumer, StructProducer } from "./ring/typed.ts";
