// System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

import {
  checkInteger,
  checkMode,
  cKey,
  showKey,
  unsignedKey,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import {
  changeOf,
  rowsOfTable,
  type SysvChange,
  SysvObject,
  type SysvTarget,
} from "../kernel/sysv_object.ts";
import { IPC_CREAT, IPC_EXCL } from "../libc/sys_ipc.ts";
import { msqidDs } from "../libc/sys_msg.ts";
import { dateOf } from "../libc/time.ts";
import { untilClosed } from "../wait/iteration.ts";
import { promised } from "../wait/attempt.ts";
import {
  deadlineOf,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import type { SysvMessage } from "./sysv_buffer.ts";
import { changeQueue, MESSAGE_QUEUES, QueueHandle } from "./sysv_handle.ts";
import {
  MAX_REQUEST,
  request,
  requests,
  type SysvRequest,
} from "./sysv_request.ts";
import {
  checkData,
  FIRST,
  selectionOf,
  type SysvReceiveOptions,
  type SysvSendOptions,
  typeToSend,
} from "./sysv_selection.ts";

/** Options of {@linkcode SysvMessageQueue.create} and `openOrCreate()`. */
export interface SysvMessageQueueCreateOptions {
  /**
   * The permission bits: read permission is to receive, write permission is to send. The
   * umask does not apply to System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** The status of a System V message queue: `struct msqid_ds`. */
export interface SysvMessageQueueStat {
  /** The key, from 0 to 0xffffffff; 0 of a private queue. */
  readonly key: number;
  /** The number of messages in the queue. */
  readonly messages: number;
  /** The number of bytes in the queue: data without the types. */
  readonly bytes: number;
  /** The maximum number of bytes in the queue. */
  readonly maxBytes: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** The user id of the creator. */
  readonly creatorUid: number;
  /** The group id of the creator. */
  readonly creatorGid: number;
  /** The process that sent last; 0 before the first send. */
  readonly lastSenderPid: number;
  /**
   * The process that received last; 0 before the first receive.
   *
   * After a receive that had to wait, Linux reports the thread that waited: with
   * `receive()` that is a thread of the runtime, whose id is not the process id.
   */
  readonly lastReceiverPid: number;
  /** The time of the last send, in whole seconds; null before the first. */
  readonly sent: Date | null;
  /** The time of the last receive, in whole seconds; null before the first. */
  readonly received: Date | null;
  /** The time of the creation or of the last `change()`, in whole seconds. */
  readonly changed: Date;
}

/** The fields that {@linkcode SysvMessageQueue.change} sets; absent ones stay. */
export interface SysvMessageQueueChange extends SysvChange {
  /** The maximum number of bytes in the queue. */
  maxBytes?: number | undefined;
}

/** An entry of {@linkcode SysvMessageQueue.list}. */
export interface SysvMessageQueueEntry {
  /** The key, from 0 to 0xffffffff; 0 of a private queue. */
  readonly key: number;
  /** The identifier, for {@linkcode SysvMessageQueue.fromId}. */
  readonly id: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** The number of bytes in the queue. */
  readonly bytes: number;
  /** The number of messages in the queue. */
  readonly messages: number;
}

/** The checked mode of a queue to create. */
function modeOf(options: SysvMessageQueueCreateOptions | undefined): number {
  const mode = options?.mode ?? 0o600;
  checkMode(mode);
  return mode;
}

/** The checked fields of a change. */
function queueChangeOf(
  { uid, gid, mode, maxBytes }: SysvMessageQueueChange,
): [SysvChange, number | undefined] {
  if (maxBytes !== undefined) {
    checkInteger("maxBytes", maxBytes, 0, 0x7fffffff, "int");
  }
  return [changeOf({ uid, gid, mode }), maxBytes];
}

function statOf(bytes: Uint8Array<ArrayBuffer>): SysvMessageQueueStat {
  const ds = msqidDs.decode(bytes);
  return {
    key: unsignedKey(ds.msg_perm.key),
    messages: Number(ds.msg_qnum),
    bytes: Number(ds.msg_cbytes),
    maxBytes: Number(ds.msg_qbytes),
    mode: ds.msg_perm.mode & 0o777,
    uid: ds.msg_perm.uid,
    gid: ds.msg_perm.gid,
    creatorUid: ds.msg_perm.cuid,
    creatorGid: ds.msg_perm.cgid,
    lastSenderPid: ds.msg_lspid,
    lastReceiverPid: ds.msg_lrpid,
    sent: dateOf(ds.msg_stime),
    received: dateOf(ds.msg_rtime),
    changed: dateOf(ds.msg_ctime)!,
  };
}

/**
 * A System V message queue.
 *
 * Every process with the key and the permission can use it. It exists until it is
 * removed, or until the system shuts down, whether or not a process uses it.
 *
 * The data of a message is bytes: `struct()` of {@link [struct] @linux/ipc/struct}
 * converts C structs.
 *
 * @example Two types in one queue
 * ```ts
 * import { SysvMessageQueue } from "@linux/ipc/message-queue";
 * import { assertEquals } from "@std/assert";
 *
 * using queue = SysvMessageQueue.create(null);
 * queue.sendSync(Uint8Array.of(1), { type: 5 });
 * queue.sendSync(Uint8Array.of(2), { type: 7 });
 * assertEquals(queue.receiveSync({ type: 7 }).data, Uint8Array.of(2));
 * assertEquals(queue.tryReceive({ type: 7 }), undefined);
 * queue.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/sysvipc.7.html | sysvipc(7)}
 */
export class SysvMessageQueue implements Disposable {
  readonly #queue: QueueHandle;

  /**
   * Made by the static methods.
   *
   * @ignore
   */
  private constructor(token: typeof internal, queue: QueueHandle) {
    checkInternal(token, "SysvMessageQueue");
    this.#queue = queue;
  }

  /**
   * `msgget(key, IPC_CREAT | IPC_EXCL | mode)`: creates a queue.
   *
   * @param key A 32-bit number, signed or unsigned, not 0; null creates a private queue
   * (`IPC_PRIVATE`), which other processes open by its `id` only.
   * @param options `mode`.
   * @returns The queue. It exists until it is removed.
   * @throws {TypeError} If the key or the mode is not a number.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EEXIST if the key is in use; ENOSPC if there are too many queues
   * (/proc/sys/kernel/msgmni); ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgget.2.html | msgget(2)}
   */
  static create(
    key: number | null,
    options?: SysvMessageQueueCreateOptions,
  ): SysvMessageQueue {
    const flags = IPC_CREAT | IPC_EXCL;
    return SysvMessageQueue.#get(cKey(key, true), flags | modeOf(options));
  }

  /**
   * `msgget(key, 0)`: opens a queue that exists.
   *
   * @param key A 32-bit number, signed or unsigned, not 0.
   * @returns The queue.
   * @throws {TypeError} If the key is not a number.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if no queue has this key. Permissions are checked when a
   * message is sent or received.
   *
   * @example A key that is not in use
   * ```ts
   * import { IpcError, SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => SysvMessageQueue.open(0x7abcdef1), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgget.2.html | msgget(2)}
   */
  static open(key: number): SysvMessageQueue {
    return SysvMessageQueue.#get(cKey(key, false), 0);
  }

  /**
   * `msgget(key, IPC_CREAT | mode)`: opens a queue, or creates it.
   *
   * @param key A 32-bit number, signed or unsigned, not 0.
   * @param options `mode` of a queue that is created.
   * @returns The queue.
   * @throws {TypeError} If the key or the mode is not a number.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the queue exists and does not grant this process the
   * permissions in `mode`; ENOSPC if there are too many queues
   * (/proc/sys/kernel/msgmni); ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgget.2.html | msgget(2)}
   */
  static openOrCreate(
    key: number,
    options?: SysvMessageQueueCreateOptions,
  ): SysvMessageQueue {
    return SysvMessageQueue.#get(
      cKey(key, false),
      IPC_CREAT | modeOf(options),
    );
  }

  /**
   * `msgctl(id, IPC_STAT, ...)`: opens a queue by its identifier, such as a private one.
   *
   * @param id {@linkcode SysvMessageQueue.prototype.id | SysvMessageQueue.id} in another
   * process.
   * @returns The queue.
   * @throws {TypeError} If the id is not a number.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if no queue has this id. Permissions are checked when a
   * message is sent or received.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  static fromId(id: number): SysvMessageQueue {
    return new SysvMessageQueue(internal, QueueHandle.fromId(id));
  }

  /**
   * `/proc/sysvipc/msg`: lists the queues of this IPC namespace, like `ipcs -q`, also
   * those that this process has no permission for.
   *
   * @returns The queues, roughly in the order of their creation.
   * @throws {Deno.errors.NotSupported} If the file cannot be read: /proc is not mounted,
   * or the kernel has no System V IPC.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Find a queue by its id
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assert } from "@std/assert";
   *
   * using queue = SysvMessageQueue.create(null);
   * assert(SysvMessageQueue.list().some(({ id }) => id === queue.id));
   * queue.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html | proc_sysvipc(5)}
   */
  static list(): SysvMessageQueueEntry[] {
    const rows = rowsOfTable(MESSAGE_QUEUES);
    return rows.map(([key, id, mode, bytes, messages, , , uid, gid]) => ({
      key: unsignedKey(Number(key)),
      id: Number(id),
      mode: parseInt(mode!, 8),
      uid: Number(uid),
      gid: Number(gid),
      bytes: Number(bytes),
      messages: Number(messages),
    }));
  }

  /**
   * `msgctl(id, MSG_STAT_ANY, ...)`: returns the status of a queue, which needs no
   * permission.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @returns Counts, sizes in bytes, permissions, process ids and times.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or one that
   * is not a number.
   * @throws {RangeError} If the key or the id is out of range.
   * @throws {IpcError} ENOENT if no queue has this key; EIDRM if no queue has this id;
   * EACCES without read permission, before Linux 4.17 only.
   *
   * @example A queue that its owner may not read
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * const { id } = SysvMessageQueue.create(null, { mode: 0 });
   * assertEquals(SysvMessageQueue.stat({ id }).messages, 0);
   * SysvMessageQueue.change({ id }, { mode: 0o600 });
   * SysvMessageQueue.remove({ id });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  static stat(target: SysvTarget): SysvMessageQueueStat {
    return statOf(SysvObject.at(MESSAGE_QUEUES, target).statAny());
  }

  /**
   * `msgctl(id, IPC_SET, ...)`: changes the owner, the permissions, or the maximum number
   * of bytes of a queue. Only its owner, its creator and a privileged process may do
   * that.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @param change `uid`, `gid`, `mode`, `maxBytes`; absent ones stay.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or if an
   * argument is not a number.
   * @throws {RangeError} If an argument is out of range.
   * @throws {IpcError} ENOENT if no queue has this key; EIDRM if no queue has this id;
   * otherwise as the method {@linkcode SysvMessageQueue.prototype.change}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  static change(target: SysvTarget, change: SysvMessageQueueChange): void {
    const fields = queueChangeOf(change);
    changeQueue(SysvObject.at(MESSAGE_QUEUES, target), ...fields);
  }

  /**
   * `msgctl(id, IPC_RMID)`: destroys a queue with its messages. Only its owner, its
   * creator and a privileged process may do that.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or one that
   * is not a number.
   * @throws {RangeError} If the key or the id is out of range.
   * @throws {IpcError} ENOENT if no queue has this key; EIDRM if no queue has this id;
   * EPERM if this process is neither owner nor creator, nor privileged.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  static remove(target: SysvTarget): void {
    SysvObject.at(MESSAGE_QUEUES, target).remove();
  }

  static #get(key: number, flags: number): SysvMessageQueue {
    return new SysvMessageQueue(internal, QueueHandle.get(key, flags));
  }

  /** The identifier: the same in every process. It is not the key. */
  get id(): number {
    return this.#queue.id;
  }

  /**
   * `msgsnd(id, message, size, 0)`: sends a message, blocking this thread while the queue
   * is full. A Worker that blocks here cannot be terminated: see
   * {@linkcode SyncWaitOptions}.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message too.
   * At most 8192, or what /proc/sys/kernel/msgmax says.
   * @param options `type`; `timeout` in milliseconds. msgsnd has no timeout: with one,
   * the call is repeated after 1, 2, 4 ... and then every 20 milliseconds.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the type is below 1 or above a C long, or the timeout is
   * negative or NaN.
   * @throws {Error} If an asynchronous send is pending: it would be overtaken.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the message is larger than msgmax, or than the whole
   * queue; EACCES without write permission; EIDRM if the queue was removed, before or
   * during the wait; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: SysvSendOptions & SyncWaitOptions,
  ): void {
    checkData(data);
    const type = typeToSend(options);
    this.#queue.sendSync(data, type, deadlineOf(options));
  }

  /**
   * `msgsnd(id, message, size, 0)`: sends a message, waiting without blocking the thread
   * while the queue is full. Messages are sent in the order of the calls.
   *
   * The first waiting send of an object blocks a thread of the runtime's pool. At most
   * four waits for System V objects on a JavaScript thread do so at a time; the others
   * repeat the call every 20 milliseconds, or less often where there are thousands, and
   * all of them do where signals cannot be sent.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message too.
   * At most 8192, or what /proc/sys/kernel/msgmax says.
   * @param options `type`; `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the type is below 1 or above a C long, or the timeout is
   * negative or NaN.
   * @throws {ClosedError} If this object is closed, before or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. The message was not
   * sent.
   * @throws {IpcError} EINVAL if the message is larger than msgmax, or than the whole
   * queue; EACCES without write permission; EIDRM if the queue was removed, before or
   * during the wait; ENOMEM.
   * @throws The reason of the signal if it is aborted. The message was not sent.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  async send(
    data: Uint8Array,
    options?: SysvSendOptions & WaitOptions,
  ): Promise<void> {
    checkData(data);
    const type = typeToSend(options);
    await this.#queue.send(data, type, limitsOf(options));
  }

  /**
   * `msgsnd(id, message, size, IPC_NOWAIT)`: sends a message if there is room.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message too.
   * At most 8192, or what /proc/sys/kernel/msgmax says.
   * @param options `type`.
   * @returns Whether the message was sent; false if the queue is full or too small for
   * the message, or if an asynchronous send is pending.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the type is below 1 or above a C long.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EINVAL if the message is larger than msgmax; EACCES without write
   * permission; EIDRM if the queue was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  trySend(data: Uint8Array, options?: SysvSendOptions): boolean {
    checkData(data);
    return this.#queue.trySend(data, typeToSend(options));
  }

  /**
   * `msgrcv(id, message, size, type, 0)`: receives a message of any size, blocking this
   * thread until there is one. A Worker that blocks here cannot be terminated: see
   * {@linkcode SyncWaitOptions}.
   *
   * @param options `type` and `except` select the message; `truncate`, `buffer`;
   * `timeout` in milliseconds. msgrcv has no timeout: with one, the call is repeated
   * after 1, 2, 4 ... and then every 20 milliseconds.
   * @returns The message, which is removed from the queue.
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES without read permission; EIDRM if the queue was removed,
   * before or during the wait; E2BIG if the message does not fit into `buffer`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  receiveSync(options?: SysvReceiveOptions & SyncWaitOptions): SysvMessage {
    const selection = selectionOf(options);
    return this.#queue.receiveSync(selection, deadlineOf(options));
  }

  /**
   * `msgrcv(id, message, size, type, 0)`: receives a message of any size, waiting without
   * blocking the thread until there is one.
   *
   * Calls that select the same messages are served in their order.
   *
   * The first waiting receive of an object for the same messages blocks a thread of the
   * runtime's pool. At most four waits for System V objects on a JavaScript thread do so
   * at a time; the others repeat the call every 20 milliseconds, or less often where
   * there are thousands, and all of them do where signals cannot be sent.
   *
   * The blocked call does not take the message, so none is lost when the wait ends or
   * its Worker is terminated. The exception is an empty message, which the kernel hands
   * out all the same: a Worker that is terminated can lose one.
   *
   * @param options `type` and `except` select the message; `truncate`, `buffer`;
   * `timeout` in milliseconds, and `signal`.
   * @returns The message, which is removed from the queue.
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed, before or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES without read permission; EIDRM if the queue was removed,
   * before or during the wait; E2BIG if the message does not fit into `buffer`.
   * @throws The reason of the signal if it is aborted.
   *
   * @example With a timeout
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * using queue = SysvMessageQueue.create(null);
   * await assertRejects(() => queue.receive({ timeout: 10 }), DOMException);
   * setTimeout(() => queue.trySend(Uint8Array.of(42)), 10);
   * assertEquals((await queue.receive()).data, Uint8Array.of(42));
   * queue.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  receive(
    options?: SysvReceiveOptions & WaitOptions,
  ): Promise<SysvMessage> {
    return promised(() =>
      this.#queue.receive(selectionOf(options), limitsOf(options))
    );
  }

  /**
   * `msgrcv(id, message, size, type, IPC_NOWAIT)`: receives a message if there is one.
   *
   * @param options `type` and `except` select the message; `truncate`, `buffer`.
   * @returns The message, which is removed from the queue; undefined if none is selected.
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES without read permission; EIDRM if the queue was removed;
   * E2BIG if the message does not fit into `buffer`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  tryReceive(options?: SysvReceiveOptions): SysvMessage | undefined {
    return this.#queue.tryReceive(selectionOf(options));
  }

  /**
   * `msgrcv(id, message, size, index, MSG_COPY | IPC_NOWAIT)`: copies a message without
   * removing it from the queue, and without waiting.
   *
   * @param index The position in the queue, from 0.
   * @returns The message; undefined if the queue has no more than `index` messages.
   * @throws {TypeError} If the index is not a number.
   * @throws {RangeError} If the index is no integer from 0 to 2147483647.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES without read permission; EIDRM if the queue was removed;
   * ENOSYS if the kernel was built without CONFIG_CHECKPOINT_RESTORE.
   *
   * @example Peek at a message
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * using queue = SysvMessageQueue.create(null);
   * queue.sendSync(Uint8Array.of(1, 2, 3), { type: 7 });
   * assertEquals(queue.tryPeek(0)?.type, 7);
   * assertEquals(queue.tryPeek(1), undefined);
   * assertEquals(queue.stat().messages, 1);
   * queue.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  tryPeek(index: number): SysvMessage | undefined {
    checkInteger("index", index, 0, 0x7fffffff, "int");
    return this.#queue.tryPeek(index);
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, repeated: yields the messages as they arrive,
   * until this object is closed.
   *
   * @param options The options of
   * {@linkcode SysvMessageQueue.prototype.receive | SysvMessageQueue.receive}, for each
   * message.
   * @throws The errors of
   * {@linkcode SysvMessageQueue.prototype.receive | SysvMessageQueue.receive}, except
   * ClosedError.
   */
  messages(
    options?: SysvReceiveOptions & WaitOptions,
  ): AsyncGenerator<SysvMessage, void, unknown> {
    const selection = selectionOf(options);
    const { timeout, signal } = options ?? {};
    return untilClosed(() =>
      this.#queue.receive(selection, limitsOf({ timeout, signal }))
    );
  }

  /** Yields the messages as they arrive, until this object is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<SysvMessage, void, unknown> {
    return untilClosed(() => this.#queue.receive(FIRST, NO_LIMITS));
  }

  /**
   * `msgsnd`, then `msgrcv`: sends a request and waits for its reply.
   *
   * A process that iterates over
   * {@linkcode SysvMessageQueue.prototype.requests | SysvMessageQueue.requests} of the
   * queue answers it. A queue does not report whether a message was received; the reply
   * does.
   *
   * Requests and replies share the queue with other messages. A request is sent only
   * while requests and replies take at most half of the bytes that those leave, or if it
   * is the only one: so there is room for replies. Until then the call is repeated after
   * 1, 2, 4 ... and then every 20 milliseconds. The requests of a thread are sent in the
   * order of the calls.
   *
   * In C, the data of a request begins with a `long`: the type of the reply. The reply is
   * a message of that type, without that number. The type is `pid << 32 | number`, and
   * has in its bits 54 to 61 a tag of the PID namespace of the client, 1 to 255. A client
   * in C leaves them 0; then its process id must be valid for the server. When a client
   * stops waiting, it sends an empty message of the type of the reply with bit 62 set; a
   * server in C can receive that and drop its reply, or leave it in the queue. Types from
   * 2^32 on are for replies only.
   *
   * @param data The bytes of the request.
   * @param options `type` of the request; `timeout` in milliseconds for request and reply
   * together, and `signal`.
   * @returns The bytes of the reply.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the type is below 1 or above 4294967295, or the timeout is
   * negative or NaN.
   * @throws {DOMException} `TimeoutError` if there is no reply within the timeout: no
   * process serves the queue, or it ended, or it takes longer. The request may have been
   * carried out.
   * @throws {ClosedError} If this object is closed, before or during the wait.
   * @throws {IpcError} EINVAL if the request, with 8 bytes before its data, is larger
   * than msgmax, or than the whole queue; EACCES without permission to read and write;
   * EIDRM if the queue was removed, before or during the wait; ENOMEM.
   * @throws The reason of the signal if it is aborted.
   *
   * @example A service that doubles numbers
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * const queue = SysvMessageQueue.create(null); // the service's
   * const served = (async () => {
   *   for await (const request of queue.requests()) {
   *     await request.reply(request.data.map((byte) => byte * 2));
   *   }
   * })();
   *
   * using client = SysvMessageQueue.fromId(queue.id); // usually in another process
   * const reply = await client.request(Uint8Array.of(21), { timeout: 1000 });
   * assertEquals(reply, Uint8Array.of(42));
   * queue.remove();
   * queue.close();
   * await served;
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  async request(
    data: Uint8Array,
    options?: SysvSendOptions & WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    checkData(data);
    const type = typeToSend(options, MAX_REQUEST);
    return await request(this.#queue, data, type, limitsOf(options));
  }

  /**
   * `msgrcv`, repeated: yields the requests as they arrive, until this object is closed.
   *
   * Answer each with {@linkcode SysvRequest.prototype.reply | SysvRequest.reply}. Several
   * processes can serve a queue. The call removes the replies to processes that have
   * ended.
   *
   * Requests that `reply()` takes out of the queue for its reply are yielded next. Those
   * that were not yielded go back into the queue when the iteration ends.
   *
   * @param options `type` of the requests, by default 1, and the other options of
   * {@linkcode SysvMessageQueue.prototype.receive | SysvMessageQueue.receive}.
   * @throws The errors of
   * {@linkcode SysvMessageQueue.prototype.receive | SysvMessageQueue.receive}, except
   * ClosedError.
   */
  requests(
    options?: SysvReceiveOptions & WaitOptions,
  ): AsyncGenerator<SysvRequest, void, unknown> {
    const selection = selectionOf(options, 1);
    const { timeout, signal } = options ?? {};
    return requests(this.#queue, selection, { timeout, signal });
  }

  /**
   * `msgctl(id, IPC_STAT, ...)`: returns the status of the queue.
   *
   * @returns Counts, sizes in bytes, permissions, process ids and times.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES without read permission, which the static method of this
   * name does not need; EIDRM if the queue was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  stat(): SysvMessageQueueStat {
    return statOf(this.#queue.stat());
  }

  /**
   * `msgctl(id, IPC_SET, ...)`: changes the owner, the permissions, or the maximum number
   * of bytes in the queue.
   *
   * @param change `uid`, `gid`, `mode`, `maxBytes`; absent ones stay.
   * @throws {TypeError} If one of them is not a number.
   * @throws {RangeError} If one of them is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged, or if `maxBytes` is above /proc/sys/kernel/msgmnb and the process lacks
   * CAP_SYS_RESOURCE; EACCES if it is neither owner nor creator, lacks read permission,
   * and does not give all four; EIDRM if the queue was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  change(change: SysvMessageQueueChange): void {
    changeQueue(this.#queue, ...queueChangeOf(change));
  }

  /**
   * `msgctl(id, IPC_RMID)`: destroys the queue with its messages. Waits for it, in every
   * process, end with EIDRM.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EIDRM if the queue was already removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  remove(): void {
    this.#queue.remove();
  }

  /**
   * Keeps the program alive while waits of this object are pending. This is the default.
   */
  ref(): void {
    this.#queue.closing.liveness.ref();
  }

  /** Lets the program end while waits of this object are pending. */
  unref(): void {
    this.#queue.closing.liveness.unref();
  }

  /**
   * Ends the use of this object.
   *
   * Pending waits end with a ClosedError. Closing twice does nothing. There is no system
   * call behind it: the queue and its messages stay, until
   * {@linkcode SysvMessageQueue.remove}.
   */
  close(): void {
    this.#queue.closing.close();
  }

  /** Closes this object. The queue stays. */
  [Symbol.dispose](): void {
    this.close();
  }

  static {
    inspectAs(this, (queue) => {
      const { id, key, closing: { closed } } = queue.#queue;
      const shown = key === undefined ? undefined : showKey(key);
      return { id, key: shown, closed };
    });
  }
}
