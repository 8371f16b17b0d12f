/**
 * Message queues: `msgget(2)` and `mq_open(3)`, messages that the kernel keeps until
 * somebody takes them.
 *
 * **Choose a message queue** when messages must stay apart, must outlive their
 * sender, and when any of several processes may take the next one.
 *
 * **System V or POSIX?** A {@linkcode SysvMessageQueue} has a number for a name. Its
 * messages have a type, and a receiver may ask for one: so one queue serves several
 * receivers, and a reply finds whoever asked. A {@linkcode PosixMessageQueue} has a name
 * like a file's, and its messages have a priority: what is urgent comes first. It has a
 * descriptor, so that any number of waits for it take no thread, can be ended at once,
 * and go together with those for pipes and sockets; and a child can inherit it. Choose
 * POSIX unless you need types, or the other side is System V.
 *
 * **Choose something else** when a sender must know that its message arrived (a
 * socket has a peer that answers), or when messages are large: unless the administrator
 * allows more, a System V queue holds 16384 bytes in all, and a POSIX one 10 messages
 * of 8192 bytes.
 *
 * ```ts
 * import { SysvMessageQueue } from "@linux/ipc/message-queue";
 * import { cstring, i16, struct } from "@linux/ipc/struct";
 *
 * // struct human { short age; char name[20]; };
 * const human = struct({ age: i16, name: cstring(20) });
 *
 * using queue = SysvMessageQueue.create(null);
 * queue.sendSync(human.encode({ age: 80, name: "ghkim" }), { type: 1 });
 * const message = queue.receiveSync();
 * console.log(message.type, human.decode(message.data));
 * queue.remove();
 * ```
 *
 * The same with a POSIX queue, and with a priority instead of the type:
 *
 * ```ts
 * import { PosixMessageQueue } from "@linux/ipc/message-queue";
 * import { cstring, i16, struct } from "@linux/ipc/struct";
 *
 * const human = struct({ age: i16, name: cstring(20) });
 *
 * using queue = PosixMessageQueue.openOrCreate("/people", { maxSize: human.size });
 * const people = queue.typed(human);
 * await people.send({ age: 80, name: "ghkim" }, { priority: 1 });
 * console.log(await people.receive({ timeout: 1000 }));
 * PosixMessageQueue.unlink(queue.name);
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export type {
  CType,
  Fields,
  FieldValues,
  FieldViews,
  Struct,
  ValueOf,
  ViewOf,
} from "./struct.ts";
export { ftok } from "./ftok.ts";
export {
  type PosixMessage,
  PosixMessageQueue,
  type PosixMessageQueueAttributes,
  type PosixMessageQueueCreateOptions,
  type PosixMessageQueueEntry,
  type PosixMessageQueueOpenOptions,
  type PosixReceiveOptions,
  type PosixSendOptions,
} from "./message_queue/posix.ts";
export {
  type TypedPosixMessage,
  TypedPosixMessageQueue,
} from "./message_queue/posix_typed.ts";
export { SysvRequest } from "./message_queue/sysv_request.ts";
export type { SysvMessage } from "./message_queue/sysv_buffer.ts";
export type {
  SysvReceiveOptions,
  SysvSendOptions,
} from "./message_queue/sysv_selection.ts";
export {
  SysvMessageQueue,
  type SysvMessageQueueChange,
  type SysvMessageQueueCreateOptions,
  type SysvMessageQueueEntry,
  type SysvMessageQueueStat,
} from "./message_queue/sysv.ts";
export {
  type TypedSysvMessage,
  TypedSysvMessageQueue,
} from "./message_queue/sysv_typed.ts";
