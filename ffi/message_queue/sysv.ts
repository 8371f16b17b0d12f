// System V message queues.

import { checkInteger, checkMode, cKey } from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import { EACCES, ENOSPC, errno, ipcError } from "../libc/errno.ts";
import { checkInternal, internal } from "../internal.ts";
import { systemLimit } from "../kernel/limits.ts";
import { readProc } from "../kernel/proc.ts";
import {
  changePerm,
  checkPermChange,
  IPC_CREAT,
  IPC_EXCL,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from "../libc/sys_ipc.ts";
import { msqidDs, sysMsg } from "../libc/sys_msg.ts";
import { dateOf } from "../libc/time.ts";
import { unistd } from "../libc/unistd.ts";
import type { Fields, Struct } from "../struct.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { QueueHandle } from "./sysv_handle.ts";
import type { SysvMessage } from "./sysv_buffer.ts";
import { request, requests, type SysvRequest } from "./sysv_request.ts";
import {
  checkData,
  FIRST,
  selectionOf,
  type SysvReceiveOptions,
  type SysvSendOptions,
  typeToSend,
} from "./sysv_selection.ts";
import { TypedSysvMessageQueue } from "./sysv_typed.ts";

/** How a System V message queue is created. */
export interface SysvMessageQueueCreateOptions {
  /**
   * The permission bits: read is to receive, write is to send. The umask has no
   * say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** What the kernel tells of a System V message queue: `struct msqid_ds`. */
export interface SysvMessageQueueStat {
  /** The key; 0 for a private queue. */
  readonly key: number;
  /** Messages in the queue. */
  readonly messages: number;
  /** Bytes in the queue: those of the messages, without their types. */
  readonly bytes: number;
  /** The most bytes that the queue takes. */
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
  /** The process that sent last; 0 if none did. */
  readonly lastSender: number;
  /**
   * The process that received last; 0 if none did. Of one that had to wait, Linux
   * tells the thread that waited: with `receive()` that is another number.
   */
  readonly lastReceiver: number;
  /** When somebody sent last; null if nobody did. To the second. */
  readonly sent: Date | null;
  /** When somebody received last; null if nobody did. To the second. */
  readonly received: Date | null;
  /** When the queue was made, or changed by `set()`. To the second. */
  readonly changed: Date;
}

/** What {@linkcode SysvMessageQueue.set} changes; what is absent stays. */
export interface SysvMessageQueueChange {
  /** The user id of the owner. */
  uid?: number | undefined;
  /** The group id of the owner. */
  gid?: number | undefined;
  /** The permission bits. */
  mode?: number | undefined;
  /** The most bytes that the queue takes. */
  maxBytes?: number | undefined;
}

/** One of the queues that {@linkcode SysvMessageQueue.list} finds. */
export interface SysvMessageQueueEntry {
  /** The key; 0 for a private queue. */
  readonly key: number;
  /** The identifier, for {@linkcode SysvMessageQueue.fromId}. */
  readonly id: number;
  /** The permission bits. */
  readonly mode: number;
  /** Bytes in the queue. */
  readonly bytes: number;
  /** Messages in the queue. */
  readonly messages: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

const MSGMNI = "/proc/sys/kernel/msgmni";
const MSGMNB = "/proc/sys/kernel/msgmnb";
const LIST = "/proc/sysvipc/msg";

/** The limit that a change runs into, if it is not refused for another reason. */
function limitOn(
  maxBytes: number | undefined,
  owner: { uid: number; cuid: number },
): SystemLimit | undefined {
  const limit = systemLimit(MSGMNB);
  if (maxBytes === undefined || limit === undefined) return undefined;
  if (maxBytes <= limit.value) return undefined;
  const me = unistd().geteuid();
  return owner.uid === me || owner.cuid === me ? limit : undefined;
}

/**
 * A System V message queue.
 *
 * Any process with the key and the permission can use it, and it stays until
 * somebody removes it, whether or not a process has it open.
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
 * assertEquals(queue.tryReceive({ type: 7 }), null);
 * queue.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/sysvipc.7.html | sysvipc(7)}
 */
export class SysvMessageQueue implements Disposable {
  readonly #queue: QueueHandle;

  /** Made by the static methods. */
  private constructor(token: typeof internal, queue: QueueHandle) {
    checkInternal(token, "a SysvMessageQueue");
    this.#queue = queue;
  }

  /**
   * `msgget(key, IPC_CREAT | IPC_EXCL | mode)`: makes a queue under a new key.
   *
   * @param key A 32-bit number, not 0; null makes a private queue
   * (`IPC_PRIVATE`), which others find by its `id` only.
   * @param options `mode`.
   * @returns The queue. It stays until somebody removes it.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a queue under this key, ENOSPC if
   * there are too many queues (/proc/sys/kernel/msgmni), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgget.2.html | msgget(2)}
   */
  static create(
    key: number | null,
    options?: SysvMessageQueueCreateOptions,
  ): SysvMessageQueue {
    const number = cKey(key, true);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    return SysvMessageQueue.#get(number, IPC_CREAT | IPC_EXCL | mode);
  }

  /**
   * `msgget(key, 0)`: opens a queue that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The queue.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is no queue under this key. Permissions
   * are checked when a message is sent or received.
   *
   * @example A key that nobody uses
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
   * `msgget(key, IPC_CREAT | mode)`: opens a queue, or makes it.
   *
   * @param key A 32-bit number, not 0.
   * @param options `mode`, of a queue that is made.
   * @returns The queue.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the queue exists and does not grant this process
   * what `mode` asks for, ENOSPC if there are too many queues
   * (/proc/sys/kernel/msgmni), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgget.2.html | msgget(2)}
   */
  static openOrCreate(
    key: number,
    options?: SysvMessageQueueCreateOptions,
  ): SysvMessageQueue {
    const number = cKey(key, false);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    return SysvMessageQueue.#get(number, IPC_CREAT | mode);
  }

  /**
   * `msgctl(id, IPC_STAT)`: opens a queue by its identifier, which is how a
   * private one is found.
   *
   * @param id What {@linkcode SysvMessageQueue.id} is in the other process.
   * @returns The queue.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EINVAL or EIDRM if there is no such queue. Permissions are
   * checked when a message is sent or received.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  static fromId(id: number): SysvMessageQueue {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const subject = `queue id ${id}`;
    const ds = new Uint8Array(msqidDs.size);
    if (sysMsg().msgctl(id | 0, IPC_STAT, ds) === -1) {
      const number = errno();
      // Who may only write to a queue is not told of it, but may use it.
      if (number !== EACCES) throw ipcError(number, "msgctl", subject);
    }
    return new SysvMessageQueue(internal, new QueueHandle(id, subject));
  }

  /**
   * `/proc/sysvipc/msg`: the queues of the system, as far as this user may know of
   * them, like `ipcs -q`.
   *
   * @returns The queues, in the order of their making or nearly so.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors.
   *
   * @example Find a queue again
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
    const text = readProc(LIST);
    if (text === undefined) {
      throw new Deno.errors.NotSupported(`Cannot read ${LIST}`);
    }
    return text.trimEnd().split("\n").slice(1).map((line) => {
      const [key, id, mode, bytes, messages, , , uid, gid] = line.trim()
        .split(/\s+/);
      return {
        key: Number(key),
        id: Number(id),
        mode: parseInt(mode!, 8),
        bytes: Number(bytes),
        messages: Number(messages),
        uid: Number(uid),
        gid: Number(gid),
      };
    });
  }

  static #get(key: number, flags: number): SysvMessageQueue {
    const subject = key === 0 ? "private queue" : `queue key ${key}`;
    const id = sysMsg().msgget(key, flags);
    if (id === -1) {
      const number = errno();
      const limit = number === ENOSPC ? systemLimit(MSGMNI) : undefined;
      throw ipcError(number, "msgget", subject, limit);
    }
    return new SysvMessageQueue(internal, new QueueHandle(id, subject));
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#queue.id;
  }

  /**
   * `msgsnd(id, message, size, 0)`, blocking this thread while the queue is full.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message
   * too. At most 8192 unless /proc/sys/kernel/msgmax says otherwise.
   * @param options `type`; `timeout` in milliseconds. With a timeout it tries again
   * after 1, 2, 4 ... and from then on every 20 milliseconds: msgsnd has none.
   * @throws {RangeError} If the type is below 1 or above a C long.
   * @throws {Error} If an asynchronous send is pending, which goes first.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the message is larger than msgmax, or than the
   * whole queue may hold; EACCES if the queue may not be written to; EIDRM if it
   * was removed, before or during the wait; ENOMEM.
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
   * `msgsnd(id, message, size, 0)`, waiting without blocking the thread while the
   * queue is full. Messages go in the order of the calls.
   *
   * A call blocks on another thread, for the first of those that wait in this object.
   * Four such calls are made at a time on a thread of JavaScript; other waits try
   * again every 20 milliseconds. Where signals cannot be sent, all do.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message
   * too. At most 8192 unless /proc/sys/kernel/msgmax says otherwise.
   * @param options `type`; `timeout` in milliseconds, and `signal`.
   * @throws {RangeError} If the type is below 1 or above a C long.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; the message was
   * not sent then.
   * @throws {IpcError} EINVAL if the message is larger than msgmax, or than the
   * whole queue may hold; EACCES if the queue may not be written to; EIDRM if it
   * was removed, before or during the wait; ENOMEM.
   * @throws The reason of the signal, if it is aborted; the message was not sent
   * then.
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
   * `msgsnd(id, message, size, IPC_NOWAIT)`: sends if there is room.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message
   * too. At most 8192 unless /proc/sys/kernel/msgmax says otherwise.
   * @param options `type`.
   * @returns Whether the message was sent; false when the queue is full, or too small
   * for the message.
   * @throws {RangeError} If the type is below 1 or above a C long.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EINVAL if the message is larger than msgmax; EACCES if the
   * queue may not be written to; EIDRM if it was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  trySend(data: Uint8Array, options?: SysvSendOptions): boolean {
    checkData(data);
    return this.#queue.trySend(data, typeToSend(options));
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, blocking this thread until there is a
   * message. However large it is, it is received whole.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `type`, `except`: which message; `truncate`, `buffer`; `timeout` in
   * milliseconds. With a timeout it tries again after 1, 2, 4 ... and from then on
   * every 20 milliseconds: msgrcv has none.
   * @returns The message, which is then no longer in the queue.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was
   * removed, before or during the wait; E2BIG if the message does not fit into
   * `buffer`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  receiveSync(options?: SysvReceiveOptions & SyncWaitOptions): SysvMessage {
    const selection = selectionOf(options);
    return this.#queue.receiveSync(selection, deadlineOf(options));
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, waiting without blocking the thread until
   * there is a message. However large it is, it is received whole.
   *
   * A call blocks on another thread, for the first of those that wait in this object
   * for the same messages. Four such calls are made at a time on a thread of
   * JavaScript; other waits try again every 20 milliseconds. Where signals cannot be
   * sent, all do.
   *
   * The call takes nothing, so nothing is lost when the wait ends, or the Worker that
   * waits is terminated; but for an empty message, which the kernel hands out all the
   * same: a terminated Worker may lose one.
   *
   * @param options `type`, `except`: which message; `truncate`, `buffer`; `timeout`
   * in milliseconds, and `signal`.
   * @returns The message, which is then no longer in the queue.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was
   * removed, before or during the wait.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Not for ever
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
  async receive(
    options?: SysvReceiveOptions & WaitOptions,
  ): Promise<SysvMessage> {
    const selection = selectionOf(options);
    return await this.#queue.receive(selection, limitsOf(options));
  }

  /**
   * `msgrcv(id, message, size, type, IPC_NOWAIT)`: takes a message that is there.
   *
   * @param options `type`, `except`: which message; `truncate`, `buffer`.
   * @returns The message, or null when there is none of that type.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was
   * removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  tryReceive(options?: SysvReceiveOptions): SysvMessage | null {
    return this.#queue.tryReceive(selectionOf(options)) ?? null;
  }

  /**
   * `msgrcv(id, message, size, index, MSG_COPY | IPC_NOWAIT)`: a copy of a message
   * that stays in the queue.
   *
   * @param index The place in the queue, from 0.
   * @returns The message, or null when there are not that many.
   * @throws {RangeError} If the index is no integer from 0 to 2147483647.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was removed;
   * ENOSYS if the kernel was built without CONFIG_CHECKPOINT_RESTORE.
   *
   * @example Look without taking
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * using queue = SysvMessageQueue.create(null);
   * queue.sendSync(Uint8Array.of(1, 2, 3), { type: 7 });
   * assertEquals(queue.peek(0)?.type, 7);
   * assertEquals(queue.peek(1), null);
   * assertEquals(queue.stat().messages, 1);
   * queue.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  peek(index: number): SysvMessage | null {
    checkInteger("index", index, 0, 0x7fffffff, "int");
    return this.#queue.peek(index) ?? null;
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, again and again: the messages as they come,
   * until this object is closed.
   *
   * @param options As those of {@linkcode SysvMessageQueue.receive}, for each one.
   * @throws What {@linkcode SysvMessageQueue.receive} throws, but for the ClosedError.
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

  /** The messages as they come, until this object is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<SysvMessage, void, unknown> {
    return untilClosed(() => this.#queue.receive(FIRST, NO_LIMITS));
  }

  /**
   * `msgsnd`, then `msgrcv` of the reply: sends a request to whoever serves the
   * queue's {@linkcode SysvMessageQueue.requests}. A queue alone does not tell whether
   * a message arrived; the reply does.
   *
   * In C, the request's data begins with a `long`, the type that the reply must have:
   * `pid << 32 | number`. The reply is a message of that type.
   *
   * @param data The bytes of the request.
   * @param options `type` of the request; `timeout` in milliseconds for the whole, and
   * `signal`.
   * @returns The bytes of the reply.
   * @throws {DOMException} `TimeoutError` if the timeout has passed: nobody serves, or
   * who did died, or the reply took too long. Whether the request was carried out is
   * not known then.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {IpcError} As {@linkcode SysvMessageQueue.send} and
   * {@linkcode SysvMessageQueue.receive}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example A service that doubles
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
   * using client = SysvMessageQueue.fromId(queue.id); // mostly in another process
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
    const type = typeToSend(options);
    return await request(this.#queue, data, type, limitsOf(options));
  }

  /**
   * `msgrcv`, again and again: the requests as they come, until this object is closed.
   * Each takes one reply. Several processes may serve one queue.
   *
   * @param options `type` of the requests, 1 unless it is given, and others of
   * {@linkcode SysvMessageQueue.receive}.
   * @throws What {@linkcode SysvMessageQueue.receive} throws, but for the ClosedError.
   */
  requests(
    options?: SysvReceiveOptions & WaitOptions,
  ): AsyncGenerator<SysvRequest, void, unknown> {
    const selection = selectionOf(options, 1);
    const { timeout, signal } = options ?? {};
    return requests(this.#queue, selection, { timeout, signal });
  }

  /**
   * `struct msgbuf { long mtype; struct ... mtext; }`: the same queue with messages
   * that are C structs, as a header file declares them for both sides.
   *
   * @param layout The struct, without the type.
   * @returns A view of this queue, of use until this object is closed.
   *
   * @example What data.h is in C
   * ```ts
   * import { SysvMessageQueue } from "@linux/ipc/message-queue";
   * import { cstring, i16, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const human = struct({ age: i16, name: cstring(20) });
   * using queue = SysvMessageQueue.create(null);
   * const people = queue.typed(human);
   * people.sendSync({ age: 80, name: "ghkim" });
   * assertEquals(people.receiveSync().value, { age: 80, name: "ghkim" });
   * queue.remove();
   * ```
   */
  typed<F extends Fields>(layout: Struct<F>): TypedSysvMessageQueue<F> {
    return new TypedSysvMessageQueue(this, layout);
  }

  /**
   * `msgctl(id, IPC_STAT, ...)`: what the kernel tells of the queue.
   *
   * @returns Counts, sizes in bytes, permissions, process ids and times.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  stat(): SysvMessageQueueStat {
    const ds = msqidDs.decode(this.#queue.control(IPC_STAT));
    return {
      key: ds.msg_perm.key,
      messages: Number(ds.msg_qnum),
      bytes: Number(ds.msg_cbytes),
      maxBytes: Number(ds.msg_qbytes),
      mode: ds.msg_perm.mode & 0o777,
      uid: ds.msg_perm.uid,
      gid: ds.msg_perm.gid,
      creatorUid: ds.msg_perm.cuid,
      creatorGid: ds.msg_perm.cgid,
      lastSender: ds.msg_lspid,
      lastReceiver: ds.msg_lrpid,
      sent: dateOf(ds.msg_stime),
      received: dateOf(ds.msg_rtime),
      changed: dateOf(ds.msg_ctime)!,
    };
  }

  /**
   * `msgctl(id, IPC_SET, ...)`: changes the owner, the permissions, or how much the
   * queue takes.
   *
   * @param change `uid`, `gid`, `mode`, `maxBytes`; what is absent stays.
   * @throws {RangeError} If one of them is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, or if
   * `maxBytes` is above /proc/sys/kernel/msgmnb and it is not privileged; EACCES if
   * the queue may not be read; EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  set(change: SysvMessageQueueChange): void {
    const { uid, gid, mode, maxBytes } = change;
    checkPermChange({ uid, gid, mode });
    if (maxBytes !== undefined) {
      checkInteger("maxBytes", maxBytes, 0, 0x7fffffff, "int");
    }
    const bytes = this.#queue.control(IPC_STAT);
    const ds = msqidDs.view(bytes);
    changePerm(ds.msg_perm, { uid, gid, mode });
    if (maxBytes !== undefined) ds.msg_qbytes = BigInt(maxBytes);
    this.#queue.control(IPC_SET, bytes, limitOn(maxBytes, ds.msg_perm));
  }

  /**
   * `msgctl(id, IPC_RMID)`: destroys the queue with all the messages in it.
   * Processes that wait for it are told with EIDRM.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, EIDRM if
   * the queue was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  remove(): void {
    this.#queue.control(IPC_RMID);
  }

  /**
   * Ends the use of this object. The queue and its messages stay. Pending waits end
   * with a ClosedError.
   */
  close(): void {
    this.#queue.closing.close();
  }

  /** Closes this object; the queue stays. */
  [Symbol.dispose](): void {
    this.close();
  }
}
