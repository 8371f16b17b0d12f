/**
 * Message queues: `msgget(2)` and `mq_open(3)`. The kernel keeps messages until a process
 * receives them.
 *
 * **Choose a message queue** when messages must have boundaries and must outlive their
 * sender, or when any of several processes may receive the next one.
 *
 * **System V or POSIX?** A {@linkcode SysvMessageQueue} has a number as its key. Its
 * messages have a type, and a receiver can select one: so one queue serves several
 * receivers, and a reply reaches the process that asked. A {@linkcode PosixMessageQueue}
 * has a name, and its messages have a priority: the highest is received first. It also
 * has a descriptor: any number of waits share one thread, end at once when they are
 * cancelled, and combine with waits for pipes and sockets; and a child process can inherit
 * it. Choose POSIX unless you need types, or the peer is a System V program.
 *
 * **Choose something else** when a sender must know that its message was received (a
 * socket has a peer that replies), or when messages are large: by default a System V queue
 * holds 16384 bytes in all, and a POSIX queue 10 messages of 8192 bytes.
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
 * The same with a POSIX queue, where a message has a priority in place of a type:
 *
 * ```ts
 * import { PosixMessageQueue } from "@linux/ipc/message-queue";
 * import { cstring, i16, struct } from "@linux/ipc/struct";
 *
 * const human = struct({ age: i16, name: cstring(20) });
 *
 * using queue = PosixMessageQueue.openOrCreate("/people", { maxSize: human.size });
 * await queue.send(human.encode({ age: 80, name: "ghkim" }), { priority: 1 });
 * const message = await queue.receive({ timeout: 1000 });
 * console.log(message.priority, human.decode(message.data));
 * PosixMessageQueue.unlink(queue.name);
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export type { SysvChange, SysvTarget } from "./kernel/sysv_object.ts";
export type { DescriptorOwner } from "./kernel/descriptor_owner.ts";
export { ftok } from "./ftok.ts";
export {
  type PosixMessage,
  PosixMessageQueue,
  type PosixMessageQueueCreateOptions,
  type PosixMessageQueueOpenOptions,
  type PosixMessageQueueStat,
  type PosixReceiveOptions,
  type PosixSendOptions,
} from "./message_queue/posix.ts";
export type { PosixMessageQueueEntry } from "./message_queue/posix_list.ts";
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
