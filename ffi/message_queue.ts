/**
 * Message queues: `msgget(2)`, messages that the kernel keeps until somebody
 * takes them.
 *
 * **Choose a message queue** when messages must stay apart, must outlive their
 * sender, and when any of several processes may take the next one. A System V
 * message has a type, and a receiver may ask for one type: so one queue can serve
 * several receivers.
 *
 * **Choose something else** when a sender must know that its message arrived (a
 * socket has a peer that answers), or when messages are large: a queue holds
 * 16384 bytes in all unless the administrator allows more.
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
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { WaitOptions } from "./wait/options.ts";
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
export { SysvRequest } from "./message_queue/request.ts";
export {
  type SysvMessage,
  SysvMessageQueue,
  type SysvMessageQueueChange,
  type SysvMessageQueueCreateOptions,
  type SysvMessageQueueEntry,
  type SysvMessageQueueStat,
  type SysvReceiveOptions,
  type SysvSendOptions,
} from "./message_queue/sysv.ts";
export {
  type TypedSysvMessage,
  TypedSysvMessageQueue,
} from "./message_queue/typed.ts";
