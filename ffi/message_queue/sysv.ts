// System V message queues.

import { checkBytes, checkInteger, checkMode, cKey } from "../arguments.ts";
import { ClosedError } from "../errors.ts";
import {
  check,
  E2BIG,
  EACCES,
  EAGAIN,
  EIDRM,
  EINTR,
  EINVAL,
  ENOMSG,
  ENOSPC,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { systemLimit } from "../libc/limits.ts";
import {
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_STAT,
} from "../libc/sys_ipc.ts";
import { msqidDs, sysMsg } from "../libc/sys_msg.ts";

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

/** How a message is sent. */
export interface SysvSendOptions {
  /**
   * The type: a C `long` of at least 1.
   *
   * @default {1}
   */
  type?: number | bigint | undefined;
}

/** Which message is received. */
export interface SysvReceiveOptions {
  /**
   * 0 takes the first message, n the first of type n, -n the first of the lowest
   * type that is at most n.
   *
   * @default {0}
   */
  type?: number | bigint | undefined;
}

/** A message taken from a System V queue. */
export interface SysvMessage {
  /** The type: a number where that is exact, else a bigint. */
  readonly type: number | bigint;
  /** The bytes after the type: C's `mtext`. They are the caller's own. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** What the kernel tells of a System V message queue: `struct msqid_ds`. */
export interface SysvMessageQueueStat {
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
  /** The process that sent last; 0 if none did. */
  readonly lastSender: number;
  /** The process that received last; 0 if none did. */
  readonly lastReceiver: number;
}

const LONG_MAX = 2n ** 63n - 1n;
const SIZEOF_LONG = 8; // the message type, which comes before the data
const FIRST_CAPACITY = 8192; // the usual msgmax; grows when a message is larger
const MSGMAX = "/proc/sys/kernel/msgmax";
const MSGMNI = "/proc/sys/kernel/msgmni";

/** A C long that is not above LONG_MAX, nor below its negative. */
function cLong(name: string, value: unknown, min: bigint): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    value = BigInt(value);
  }
  if (typeof value === "number") {
    throw new RangeError(
      `Argument "${name}" must be a safe integer or a bigint: ${value}`,
    );
  }
  if (typeof value !== "bigint") {
    throw new TypeError(
      `Argument "${name}" must be a number or a bigint: ${String(value)}`,
    );
  }
  if (value < min || value > LONG_MAX) {
    throw new RangeError(
      `Argument "${name}" must be from ${min} to ${LONG_MAX} (long): ${value}`,
    );
  }
  return value;
}

/** C's `struct msgbuf`: the type, then the data. */
class MessageBuffer {
  bytes!: Uint8Array<ArrayBuffer>;
  capacity!: number;
  #type!: BigInt64Array<ArrayBuffer>;

  constructor(capacity: number) {
    this.grow(capacity);
  }

  grow(capacity: number): void {
    this.capacity = capacity;
    this.bytes = new Uint8Array(SIZEOF_LONG + capacity);
    this.#type = new BigInt64Array(this.bytes.buffer, 0, 1);
  }

  put(type: bigint, data: Uint8Array): void {
    if (data.byteLength > this.capacity) this.grow(data.byteLength);
    this.#type[0] = type;
    this.bytes.set(data, SIZEOF_LONG);
  }

  /** The message of `size` bytes in the buffer, as a copy. */
  take(size: number): SysvMessage {
    const type = this.#type[0]!;
    const exact = Number(type);
    return {
      type: Number.isSafeInteger(exact) ? exact : type,
      data: this.bytes.slice(SIZEOF_LONG, SIZEOF_LONG + size),
    };
  }
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
  readonly #id: number;
  readonly #subject: string;
  #open = true;
  #buffer = new MessageBuffer(FIRST_CAPACITY);

  private constructor(id: number, subject: string) {
    this.#id = id;
    this.#subject = subject;
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
   * @throws {IpcError} EINVAL or EIDRM if there is no such queue, EACCES if it
   * may not be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  static fromId(id: number): SysvMessageQueue {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const queue = new SysvMessageQueue(id, `queue id ${id}`);
    queue.stat();
    return queue;
  }

  static #get(key: number, flags: number): SysvMessageQueue {
    const subject = key === 0 ? "private queue" : `queue key ${key}`;
    const id = sysMsg().msgget(key, flags);
    if (id === -1) {
      const number = errno();
      const limit = number === ENOSPC ? systemLimit(MSGMNI) : undefined;
      throw ipcError(number, "msgget", subject, limit);
    }
    return new SysvMessageQueue(id, subject);
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#id;
  }

  /**
   * `msgsnd(id, message, size, 0)`, blocking this thread while the queue is full.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message
   * too. At most 8192 unless /proc/sys/kernel/msgmax says otherwise.
   * @param options `type`.
   * @throws {RangeError} If the type is below 1 or above a C long.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EINVAL if the message is larger than msgmax, or than the
   * whole queue may hold; EACCES if the queue may not be written to; EIDRM if it
   * was removed, before or during the wait; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  sendSync(data: Uint8Array<ArrayBuffer>, options?: SysvSendOptions): void {
    if (this.trySend(data, options)) return;
    // Linux would wait for ever for room that cannot come.
    const { maxBytes } = this.stat();
    if (data.byteLength > maxBytes) {
      throw ipcError(EINVAL, "msgsnd", this.#subject, {
        name: "msg_qbytes",
        value: maxBytes,
      });
    }
    this.#send(data.byteLength, 0); // the message is in the buffer already
  }

  /**
   * `msgsnd(id, message, size, IPC_NOWAIT)`: sends if there is room.
   *
   * @param data The bytes of the message, without the type; 0 bytes are a message
   * too. At most 8192 unless /proc/sys/kernel/msgmax says otherwise.
   * @param options `type`.
   * @returns Whether the message was sent; false when the queue is full.
   * @throws {RangeError} If the type is below 1 or above a C long.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EINVAL if the message is larger than msgmax; EACCES if the
   * queue may not be written to; EIDRM if it was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  trySend(
    data: Uint8Array<ArrayBuffer>,
    options?: SysvSendOptions,
  ): boolean {
    checkBytes("data", data);
    const type = cLong("type", options?.type ?? 1, 1n);
    this.#checkOpen();
    this.#buffer.put(type, data);
    return this.#send(data.byteLength, IPC_NOWAIT);
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, blocking this thread until there is a
   * message. However large it is, it is received whole.
   *
   * @param options `type`: which message.
   * @returns The message, which is then no longer in the queue.
   * @throws {RangeError} If the type is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was
   * removed, before or during the wait.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  receiveSync(options?: SysvReceiveOptions): SysvMessage {
    return this.#receive(options, 0)!;
  }

  /**
   * `msgrcv(id, message, size, type, IPC_NOWAIT)`: takes a message that is there.
   *
   * @param options `type`: which message.
   * @returns The message, or null when there is none of that type.
   * @throws {RangeError} If the type is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was
   * removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  tryReceive(options?: SysvReceiveOptions): SysvMessage | null {
    return this.#receive(options, IPC_NOWAIT);
  }

  /**
   * `msgctl(id, IPC_STAT, ...)`: what the kernel tells of the queue.
   *
   * @returns Counts, sizes in bytes, permissions and process ids.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read, EIDRM or EINVAL if it
   * was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  stat(): SysvMessageQueueStat {
    this.#checkOpen();
    const bytes = new Uint8Array(msqidDs.size);
    check(sysMsg().msgctl(this.#id, IPC_STAT, bytes), "msgctl", this.#subject);
    const ds = msqidDs.decode(bytes);
    return {
      messages: Number(ds.msg_qnum),
      bytes: Number(ds.msg_cbytes),
      maxBytes: Number(ds.msg_qbytes),
      mode: ds.msg_perm.mode & 0o777,
      uid: ds.msg_perm.uid,
      gid: ds.msg_perm.gid,
      lastSender: ds.msg_lspid,
      lastReceiver: ds.msg_lrpid,
    };
  }

  /**
   * `msgctl(id, IPC_RMID)`: destroys the queue with all the messages in it.
   * Processes that wait for it are told with EIDRM.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, EIDRM
   * or EINVAL if the queue was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgctl.2.html | msgctl(2)}
   */
  remove(): void {
    this.#checkOpen();
    check(sysMsg().msgctl(this.#id, IPC_RMID, null), "msgctl", this.#subject);
  }

  /** Ends the use of this object. The queue and its messages stay. */
  close(): void {
    this.#open = false;
  }

  /** Closes this object; the queue stays. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (!this.#open) throw new ClosedError(this.#subject);
  }

  /** Sends what is in the buffer; false when there is no room. */
  #send(size: number, flags: number): boolean {
    const { msgsnd } = sysMsg();
    for (;;) {
      if (msgsnd(this.#id, this.#buffer.bytes, size, flags) === 0) return true;
      const number = errno();
      if (number === EAGAIN) return false;
      if (number !== EINTR) throw this.#failure(number, "msgsnd");
    }
  }

  #receive(
    options: SysvReceiveOptions | undefined,
    flags: number,
  ): SysvMessage | null {
    const wanted = options?.type;
    const type = wanted === undefined ? 0n : cLong("type", wanted, -LONG_MAX);
    this.#checkOpen();
    const { msgrcv } = sysMsg();
    for (;;) {
      const { bytes, capacity } = this.#buffer;
      const size = msgrcv(this.#id, bytes, capacity, type, flags);
      if (size !== -1) return this.#buffer.take(size);
      const number = errno();
      if (number === ENOMSG) return null;
      // The message stays in the queue when the buffer is too small for it. The
      // bytes in the queue are the most that it can have.
      if (number === E2BIG) {
        this.#buffer.grow(Math.max(capacity * 2, this.stat().bytes));
      } else if (number !== EINTR) throw this.#failure(number, "msgrcv");
    }
  }

  /**
   * To the caller, a queue that was removed is one condition: EIDRM. The kernel
   * says EINVAL to whoever comes after the removal.
   */
  #failure(number: number, syscall: string): Error {
    if (number !== EINVAL) return ipcError(number, syscall, this.#subject);
    const ds = new Uint8Array(msqidDs.size);
    if (sysMsg().msgctl(this.#id, IPC_STAT, ds) === -1 && errno() !== EACCES) {
      return ipcError(EIDRM, syscall, this.#subject);
    }
    return ipcError(number, syscall, this.#subject, systemLimit(MSGMAX));
  }
}
