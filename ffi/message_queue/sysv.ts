// System V message queues.

import { checkBytes, checkInteger, checkMode, cKey } from "../arguments.ts";
import { ClosedError, type SystemLimit } from "../errors.ts";
import {
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
import { readProc } from "../libc/proc.ts";
import {
  changePerm,
  checkPermChange,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from "../libc/sys_ipc.ts";
import { copyBytes } from "../libc/string.ts";
import { dateOf } from "../libc/time.ts";
import {
  MSG_COPY,
  MSG_EXCEPT,
  MSG_NOERROR,
  msqidDs,
  SYS_msgrcv,
  SYS_msgsnd,
  sysMsg,
} from "../libc/sys_msg.ts";
import { unistd } from "../libc/unistd.ts";
import type { Fields, Struct } from "../struct.ts";
import { canInterrupt, interrupt } from "../wait/interrupt.ts";
import { type Blocking, type LaneCall, waitInLane } from "../wait/lanes.ts";
import { Mutex } from "../wait/mutex.ts";
import { deadlineOf, type WaitOptions } from "../wait/options.ts";
import { isOverdue, turn } from "../wait/turn.ts";
import { Leftovers, request, requests, type SysvRequest } from "./request.ts";
import { TypedSysvMessageQueue } from "./typed.ts";
import { untilClosed } from "../wait/iteration.ts";

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
  /**
   * `MSG_EXCEPT`: takes the first message of any other type than `type`, which must
   * be above 0.
   *
   * @default {false}
   */
  except?: boolean | undefined;
  /**
   * `MSG_NOERROR`: cuts off what a message has beyond this many bytes. The kernel
   * does not tell whether it did.
   *
   * @default {nothing is cut off}
   */
  truncate?: number | undefined;
  /**
   * Where to put the data, instead of into a new array: `data` is then the part of
   * the buffer that was filled. A message that does not fit stays in the queue, and
   * the call fails with E2BIG.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
}

/** A message taken from a System V queue. */
export interface SysvMessage {
  /** The type: a number where that is exact, else a bigint. */
  readonly type: number | bigint;
  /** The bytes after the type: C's `mtext`. They are the receiver's own. */
  readonly data: Uint8Array<ArrayBuffer>;
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

const LONG_MAX = 2n ** 63n - 1n;
const SIZEOF_LONG = 8; // the message type, which comes before the data
const FIRST_CAPACITY = 8192; // the usual msgmax; grows when a message is larger
const MSGMAX = "/proc/sys/kernel/msgmax";
const MSGMNI = "/proc/sys/kernel/msgmni";
const MSGMNB = "/proc/sys/kernel/msgmnb";
const LIST = "/proc/sysvipc/msg";

// The last type that was a number, and the same as a bigint: mostly the next one, too.
let lastNumber = 0;
let lastLong = 0n;

/** A C long that is not above LONG_MAX, nor below its negative. */
function cLong(name: string, value: unknown, min: bigint): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    if (value !== lastNumber) lastLong = BigInt(lastNumber = value);
    value = lastLong;
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

/** The limit that a change runs into, if it is not refused for another reason. */
function limitOn(
  { maxBytes }: SysvMessageQueueChange,
  owner: { uid: number; cuid: number },
): SystemLimit | undefined {
  const limit = systemLimit(MSGMNB);
  if (maxBytes === undefined || limit === undefined) return undefined;
  if (maxBytes <= limit.value) return undefined;
  const me = unistd().geteuid();
  return owner.uid === me || owner.cuid === me ? limit : undefined;
}

/** The size of a message is an int to the kernel, below /proc/sys/kernel/msgmax. */
function checkData(data: unknown): void {
  checkBytes("data", data);
  checkInteger("data.byteLength", data.byteLength, 0, 0x7fffffff, "int");
}

/** What msgrcv is asked for. */
interface Selection {
  readonly type: bigint;
  readonly flags: number;
  /** The most bytes of data that are taken. */
  readonly most: number;
  readonly buffer: Uint8Array<ArrayBuffer> | undefined;
}

const FIRST: Selection = {
  type: 0n,
  flags: 0,
  most: Infinity,
  buffer: undefined,
};

function selectionOf(options: SysvReceiveOptions | undefined): Selection {
  if (options === undefined) return FIRST;
  const { except = false, truncate, buffer } = options;
  const type = cLong("type", options.type ?? 0, except ? 1n : -LONG_MAX);
  if (truncate !== undefined) {
    checkInteger("truncate", truncate, 0, 0x7fffffff, "int");
  }
  if (buffer !== undefined) checkBytes("buffer", buffer);
  const flags = (except ? MSG_EXCEPT : 0) |
    (truncate === undefined ? 0 : MSG_NOERROR);
  const most = Math.min(truncate ?? Infinity, buffer?.byteLength ?? Infinity);
  return { type, flags, most, buffer };
}

/**
 * The beginning of the caller's buffer; or bytes of the message's own, also when the
 * buffer has become too small during the wait: memory that was closed.
 */
function bytesFor(
  size: number,
  into: Uint8Array<ArrayBuffer> | undefined,
): Uint8Array<ArrayBuffer> {
  if (into === undefined || into.byteLength < size) {
    return new Uint8Array(size);
  }
  return size === into.byteLength ? into : into.subarray(0, size);
}

/** C's `struct msgbuf`: the type, then the data. */
class MessageBuffer {
  bytes!: Uint8Array<ArrayBuffer>;
  capacity!: number;
  #type!: BigInt64Array<ArrayBuffer>;
  #halves!: Uint32Array<ArrayBuffer>;
  #data!: Uint8Array<ArrayBuffer>; // the bytes after the type

  constructor(capacity: number) {
    this.grow(capacity);
  }

  grow(capacity: number): void {
    this.capacity = capacity;
    this.bytes = new Uint8Array(SIZEOF_LONG + capacity);
    this.#type = new BigInt64Array(this.bytes.buffer, 0, 1);
    this.#halves = new Uint32Array(this.bytes.buffer, 0, 2);
    this.#data = this.bytes.subarray(SIZEOF_LONG);
  }

  put(type: bigint, data: Uint8Array<ArrayBuffer>): void {
    this.#type[0] = type;
    copyBytes(this.#data, data, data.byteLength);
  }

  /** The message of `size` bytes that is in here, as a copy. */
  take(size: number, into?: Uint8Array<ArrayBuffer>): SysvMessage {
    const data = bytesFor(size, into);
    copyBytes(data, this.#data, size);
    return { type: this.#readType(), data };
  }

  #readType(): number | bigint {
    const [low, high] = this.#halves;
    if (high === 0) return low!; // nearly always, and without a bigint
    const exact = Number(this.#type[0]!);
    return Number.isSafeInteger(exact) ? exact : this.#type[0]!;
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
  readonly #closing = new AbortController(); // ends the calls that block elsewhere
  #open = true; // its signal says the same, but takes longer to ask
  readonly #sending = new Mutex(); // messages go in the order of their send()
  readonly #leftovers = new Leftovers(this);
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
    return new SysvMessageQueue(id, subject);
  }

  /**
   * `/proc/sysvipc/msg`: the queues of the system, as far as this user may know of
   * them, like `ipcs -q`.
   *
   * @returns The queues, in the order of their making or nearly so.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
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
    this.#checkFits(data);
    const { bytes } = this.#put(cLong("type", options?.type ?? 1, 1n), data);
    // A call that may block says EAGAIN only where the runtime's signal handler has
    // left that in errno.
    while (!this.#send(bytes, data.byteLength, 0));
  }

  /**
   * `msgsnd(id, message, size, 0)`, waiting without blocking the thread while the
   * queue is full. Messages go in the order of the calls.
   *
   * The call blocks on another thread. At most four waits of that kind have one; the
   * others look again every 20 milliseconds.
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
    data: Uint8Array<ArrayBuffer>,
    options?: SysvSendOptions & WaitOptions,
  ): Promise<void> {
    checkData(data);
    const type = cLong("type", options?.type ?? 1, 1n);
    const deadline = deadlineOf(options);
    const signal = options?.signal;
    signal?.throwIfAborted();
    if (!this.#sending.held && this.trySend(data, options)) {
      if (isOverdue()) await turn();
      return;
    }
    this.#checkFits(data);
    const mine = new MessageBuffer(data.byteLength); // it may change during the wait
    mine.put(type, data);
    const free = this.#sending.acquire(this.#subject, deadline, signal);
    if (free !== undefined) await free;
    try {
      await waitInLane(this.#sendCall(mine), deadline, signal);
    } finally {
      this.#sending.release();
    }
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
  trySend(
    data: Uint8Array<ArrayBuffer>,
    options?: SysvSendOptions,
  ): boolean {
    checkData(data);
    const type = cLong("type", options?.type ?? 1, 1n);
    this.#checkOpen();
    const { bytes } = this.#put(type, data);
    return this.#send(bytes, data.byteLength, IPC_NOWAIT);
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, blocking this thread until there is a
   * message. However large it is, it is received whole.
   *
   * @param options `type`, `except`: which message; `truncate`, `buffer`.
   * @returns The message, which is then no longer in the queue.
   * @throws {RangeError} If an option is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the queue may not be read; EIDRM if it was
   * removed, before or during the wait; E2BIG if the message does not fit into
   * `buffer`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgrcv.2.html | msgrcv(2)}
   */
  receiveSync(options?: SysvReceiveOptions): SysvMessage {
    return this.#receive(selectionOf(options), 0)!;
  }

  /**
   * `msgrcv(id, message, size, type, 0)`, waiting without blocking the thread until
   * there is a message. However large it is, it is received whole.
   *
   * The call blocks on another thread. At most four waits of that kind have one; the
   * others look again every 20 milliseconds. A message that was taken before the
   * signal, the timeout or `close()` could end the call is delivered. Only
   * `Worker.terminate()` can lose one, as killing a process can: call `close()` in
   * the Worker first.
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
    const deadline = deadlineOf(options);
    const call = this.#receiveCall(selection);
    return await waitInLane(call, deadline, options?.signal);
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
    return this.#receive(selectionOf(options), IPC_NOWAIT);
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
    const place = { ...FIRST, type: BigInt(index), flags: MSG_COPY };
    return this.#receive(place, IPC_NOWAIT);
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
    return untilClosed(() => this.receive(options));
  }

  /** The messages as they come, until this object is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<SysvMessage, void, unknown> {
    return this.messages();
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
  request(
    data: Uint8Array<ArrayBuffer>,
    options?: SysvSendOptions & WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    return request(this, this.#leftovers, data, options);
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
    return requests(this, this.#leftovers, { type: 1, ...options });
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
    const ds = msqidDs.decode(this.#control(IPC_STAT));
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
    const { maxBytes } = change;
    checkPermChange(change);
    if (maxBytes !== undefined) {
      checkInteger("maxBytes", maxBytes, 0, 0x7fffffff, "int");
    }
    const bytes = this.#control(IPC_STAT);
    const ds = msqidDs.view(bytes);
    changePerm(ds.msg_perm, change);
    if (maxBytes !== undefined) ds.msg_qbytes = BigInt(maxBytes);
    this.#control(IPC_SET, bytes, limitOn(change, ds.msg_perm));
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
    this.#control(IPC_RMID);
  }

  /**
   * Ends the use of this object. The queue and its messages stay. Pending waits end
   * with a ClosedError.
   */
  close(): void {
    this.#open = false;
    this.#closing.abort();
  }

  /** Closes this object; the queue stays. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (!this.#open) throw new ClosedError(this.#subject);
  }

  /** A buffer with the message: a large one is not kept. */
  #put(type: bigint, data: Uint8Array<ArrayBuffer>): MessageBuffer {
    const fits = data.byteLength <= this.#buffer.capacity;
    const buffer = fits ? this.#buffer : new MessageBuffer(data.byteLength);
    buffer.put(type, data);
    return buffer;
  }

  /** Sends a message that is in a buffer; false when there is no room. */
  #send(
    bytes: Uint8Array<ArrayBuffer>,
    size: number,
    flags: number,
  ): boolean {
    this.#checkOpen();
    const { msgsnd } = sysMsg();
    for (;;) {
      if (msgsnd(this.#id, bytes, size, flags) === 0) return true;
      const number = errno();
      if (number === EAGAIN) return false;
      if (number !== EINTR) throw this.#failure(number, "msgsnd");
    }
  }

  /** Linux would wait for ever for room that cannot come. */
  #checkFits(data: Uint8Array): void {
    const bytes = new Uint8Array(msqidDs.size);
    // Who may only write to the queue is not told its size, and waits.
    if (sysMsg().msgctl(this.#id, IPC_STAT, bytes) === -1) return;
    const maxBytes = Number(msqidDs.decode(bytes).msg_qbytes);
    // There may be as many messages as bytes: an empty one takes room, too.
    if (Math.max(data.byteLength, 1) <= maxBytes) return;
    const limit = { name: "msg_qbytes", value: maxBytes };
    throw ipcError(EINVAL, "msgsnd", this.#subject, limit);
  }

  #receive(selection: Selection, flags: number): SysvMessage | null {
    this.#checkOpen();
    const { msgrcv } = sysMsg();
    const all = selection.flags | flags;
    for (;;) {
      const { bytes, capacity } = this.#buffer;
      const most = Math.min(selection.most, capacity);
      const size = msgrcv(this.#id, bytes, most, selection.type, all);
      if (size !== -1) return this.#buffer.take(size, selection.buffer);
      const number = errno();
      if (number === ENOMSG) return null;
      // The message stays in the queue when the buffer is too small for it. The
      // bytes in the queue are the most that it can have.
      if (number === E2BIG && selection.most > capacity) {
        this.#buffer.grow(Math.max(capacity * 2, this.stat().bytes));
      } else if (number === E2BIG) {
        const limit = { name: "buffer.byteLength", value: selection.most };
        throw ipcError(number, "msgrcv", this.#subject, limit);
      } else if (number !== EINTR && number !== EAGAIN) { // as in sendSync
        throw this.#failure(number, "msgrcv");
      }
    }
  }

  #receiveCall(selection: Selection): LaneCall<SysvMessage> {
    const blockingReceive = () => this.#blockingReceive(selection);
    return {
      subject: this.#subject,
      attempt: () => this.#receive(selection, IPC_NOWAIT) ?? undefined,
      get blocking() {
        return blockingReceive();
      },
    };
  }

  #blockingReceive(selection: Selection): Blocking<SysvMessage> | undefined {
    const { type, flags, most } = selection;
    const buffer = new MessageBuffer(Math.min(most, this.#buffer.capacity));
    const { bytes, capacity } = buffer;
    return blocking(SYS_msgrcv, bytes, this.#closing.signal, async () => {
      const { msgrcv_nonblocking: call } = sysMsg();
      const size = await call(this.#id, bytes, capacity, type, flags);
      return size === -1 ? undefined : buffer.take(size, selection.buffer);
    });
  }

  #sendCall({ bytes, capacity }: MessageBuffer): LaneCall<true> {
    return {
      subject: this.#subject,
      attempt: () => this.#send(bytes, capacity, IPC_NOWAIT) || undefined,
      blocking: blocking(SYS_msgsnd, bytes, this.#closing.signal, async () => {
        const { msgsnd_nonblocking: call } = sysMsg();
        const result = await call(this.#id, bytes, capacity, 0);
        return result === -1 ? undefined : true;
      }),
    };
  }

  /** msgctl, with the condition of a removed queue made one. */
  #control(
    operation: number,
    change?: Uint8Array<ArrayBuffer>,
    limit?: SystemLimit,
  ): Uint8Array<ArrayBuffer> {
    this.#checkOpen();
    const bytes = change ?? new Uint8Array(msqidDs.size);
    if (sysMsg().msgctl(this.#id, operation, bytes) !== -1) return bytes;
    const number = errno();
    const gone = number === EINVAL || number === EIDRM;
    throw ipcError(gone ? EIDRM : number, "msgctl", this.#subject, limit);
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

/** How a call on a thread of the pool is made and ended, where it can be ended. */
function blocking<T>(
  syscall: number,
  bytes: Uint8Array<ArrayBuffer>,
  closed: AbortSignal,
  block: () => Promise<T | undefined>,
): Blocking<T> | undefined {
  if (!canInterrupt()) return undefined;
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
  return { block, interrupt: () => interrupt(syscall, address), closed };
}
