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
export type {
  /** The fields that `change()` of a System V object sets; absent ones stay. */
  SysvChange,
  /** A System V object: by its key, or by its identifier. */
  SysvTarget,
} from "./kernel/sysv_object.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
} from "./kernel/descriptor_owner.ts";
export {
  /** `ftok(path, id)`: returns a key for System V objects. */
  ftok,
} from "./ftok.ts";
export {
  /** A message received from a POSIX queue. */
  type PosixMessage,
  /** A POSIX message queue. */
  PosixMessageQueue,
  /** Options of `create()` and `openOrCreate()` of a `PosixMessageQueue`. */
  type PosixMessageQueueCreateOptions,
  /** Options of `open()` of a `PosixMessageQueue`. */
  type PosixMessageQueueOpenOptions,
  /** The status of a POSIX message queue: `struct mq_attr`, and its permissions. */
  type PosixMessageQueueStat,
  /** Options of `receive()` of a `PosixMessageQueue`, and its siblings. */
  type PosixReceiveOptions,
  /** Options of `send()` of a `PosixMessageQueue`, and its siblings. */
  type PosixSendOptions,
} from "./message_queue/posix.ts";
export type {
  /** An entry of `list()` of `PosixMessageQueue`. */
  PosixMessageQueueEntry,
} from "./message_queue/posix_list.ts";
export {
  /** A request, received by `SysvMessageQueue.requests`. */
  SysvRequest,
} from "./message_queue/sysv_request.ts";
export type {
  /** A message received from a System V queue. */
  SysvMessage,
} from "./message_queue/sysv_buffer.ts";
export type {
  /** Options of `SysvMessageQueue.receive` and its siblings. */
  SysvReceiveOptions,
  /** Options of `SysvMessageQueue.send` and its siblings. */
  SysvSendOptions,
} from "./message_queue/sysv_selection.ts";
export {
  /** A System V message queue. */
  SysvMessageQueue,
  /** The fields that `SysvMessageQueue.change` sets; absent ones stay. */
  type SysvMessageQueueChange,
  /** Options of `SysvMessageQueue.create` and `openOrCreate()`. */
  type SysvMessageQueueCreateOptions,
  /** An entry of `SysvMessageQueue.list`. */
  type SysvMessageQueueEntry,
  /** The status of a System V message queue: `struct msqid_ds`. */
  type SysvMessageQueueStat,
} from "./message_queue/sysv.ts";
