// POSIX message queues.

import {
  byteLengthOf,
  checkBytes,
  checkFd,
  checkInteger,
  checkKept,
  checkMode,
  cName,
  viewOf,
} from "../arguments.ts";
import type { IpcError, SystemLimit } from "../errors.ts";
import { Descriptor, takeOver } from "../kernel/descriptor.ts";
import { namesIn } from "../libc/dirent.ts";
import {
  check,
  EAGAIN,
  EINTR,
  EINVAL,
  EMFILE,
  ENOENT,
  ENOSPC,
  errno,
  ETIMEDOUT,
  ipcError,
} from "../libc/errno.ts";
import {
  F_GETFD,
  fcntl,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../libc/fcntl.ts";
import { checkInternal, internal } from "../internal.ts";
import { systemLimit } from "../kernel/limits.ts";
import { MQ_PRIO_MAX, mqAttr, mqueue } from "../libc/mqueue.ts";
import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { readProc } from "../kernel/proc.ts";
import { EFD_CLOEXEC, sysEventfd } from "../libc/sys_eventfd.ts";
import { resourceLimit, RLIMIT_MSGQUEUE } from "../libc/sys_resource.ts";
import { statusOfFd, statusOfPath } from "../libc/sys_stat.ts";
import { timespec } from "../libc/time.ts";
import { linkedTo, unistd } from "../libc/unistd.ts";
import type { Fields, Struct } from "../struct.ts";
import { attempt, attemptSync, type TryOnce } from "../wait/attempt.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { DescriptorSource, readySync } from "../wait/reactor.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { TypedPosixMessageQueue } from "./posix_typed.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A message that is to be sent. */
interface Outgoing {
  readonly data: Uint8Array;
  readonly size: number;
  readonly priority: number;
}

/** How a POSIX message queue is opened. */
export interface PosixMessageQueueOpenOptions {
  /**
   * What this process needs the permission for: `"receive"` is to read, `"send"` is
   * to write.
   *
   * @default {"both"}
   */
  access?: "both" | "receive" | "send" | undefined;
}

/** How a POSIX message queue is created. */
export interface PosixMessageQueueCreateOptions
  extends PosixMessageQueueOpenOptions {
  /**
   * The permission bits: read is to receive, write is to send. The umask of the
   * process takes its bits away.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * How many messages the queue holds: at most 10, unless
   * /proc/sys/fs/mqueue/msg_max says otherwise or this process is privileged.
   *
   * @default {10, or what /proc/sys/fs/mqueue/msg_default says}
   */
  maxMessages?: number | undefined;
  /**
   * How many bytes a message may have: at most 8192, unless
   * /proc/sys/fs/mqueue/msgsize_max says otherwise or this process is privileged.
   *
   * @default {8192, or what /proc/sys/fs/mqueue/msgsize_default says}
   */
  maxSize?: number | undefined;
}

/** How a message is sent. */
export interface PosixSendOptions {
  /**
   * 0 to 32767: a higher one is received first.
   *
   * @default {0}
   */
  priority?: number | undefined;
}

/** A message taken from a POSIX queue. */
export interface PosixMessage {
  /** The priority, 0 to 32767. */
  readonly priority: number;
  /** The bytes. They are the caller's own. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** How a message is received. */
export interface PosixReceiveOptions {
  /**
   * Where to put the data, instead of into a new array: `data` is then the part of the
   * buffer that was filled. It has to be large enough for every message of the queue:
   * {@linkcode PosixMessageQueue.maxSize} bytes.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
}

/** What the kernel tells of a POSIX message queue: `struct mq_attr`. */
export interface PosixMessageQueueAttributes {
  /** How many messages the queue holds at most. */
  readonly maxMessages: number;
  /** How many bytes a message has at most. */
  readonly maxSize: number;
  /** How many messages there are now. */
  readonly messages: number;
}

/** One of the queues that {@linkcode PosixMessageQueue.list} finds. */
export interface PosixMessageQueueEntry {
  /** The name, beginning with a slash. */
  readonly name: string;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** Bytes in the queue; null if this process may not read it. */
  readonly bytes: number | null;
}

const NAME_BYTES = 255; // NAME_MAX
const HARD_MSGMAX = 65536; // of the kernel's ipc_namespace.h, as HARD_MSGSIZEMAX is
const HARD_MSGSIZEMAX = 16 * 1024 * 1024;
const LIMITS = "/proc/sys/fs/mqueue";
const MOUNTS = "/proc/self/mounts";
// A deadline that has passed makes a call fail instead of waiting. O_NONBLOCK would do,
// too, but it belongs to all who share the open queue.
const PAST = timespec.encode({ tv_sec: 0n, tv_nsec: 0n });
const ACCESS = { both: O_RDWR, receive: O_RDONLY, send: O_WRONLY };

/** A name that nobody else has, and that says whose it is. */
function randomName(): string {
  return `/ipc-${Deno.pid}-${crypto.randomUUID()}`;
}

function accessOf(options: PosixMessageQueueOpenOptions | undefined): number {
  const access = options?.access ?? "both";
  if (Object.hasOwn(ACCESS, access)) return ACCESS[access];
  throw new TypeError(
    `Argument "access" must be "both", "receive" or "send": ${String(access)}`,
  );
}

function checkPriority(priority: unknown): asserts priority is number {
  checkInteger("priority", priority, 0, MQ_PRIO_MAX - 1, "MQ_PRIO_MAX - 1");
}

/** A number of /proc/sys/fs/mqueue, or what it is unless somebody changes it. */
function defaultOf(name: string, most: string, usual: number): number {
  const numbers = [name, most].map((name) =>
    Number(systemLimit(`${LIMITS}/${name}`)?.value ?? usual)
  );
  return Math.min(...numbers);
}

/** The attributes of a new queue for C; null for the system's own. */
function attributesFor(
  options: PosixMessageQueueCreateOptions | undefined,
): Uint8Array<ArrayBuffer> | null {
  const { maxMessages, maxSize } = options ?? {};
  if (maxMessages === undefined && maxSize === undefined) return null;
  const messages = maxMessages ?? defaultOf("msg_default", "msg_max", 10);
  const size = maxSize ?? defaultOf("msgsize_default", "msgsize_max", 8192);
  checkInteger("maxMessages", messages, 1, HARD_MSGMAX, "HARD_MSGMAX");
  checkInteger("maxSize", size, 1, HARD_MSGSIZEMAX, "HARD_MSGSIZEMAX");
  return mqAttr.encode({
    mq_flags: 0n,
    mq_maxmsg: BigInt(messages),
    mq_msgsize: BigInt(size),
    mq_curmsgs: 0n,
    __pad: new Uint8Array(32),
  });
}

/** The limit that made mq_open fail with this number. */
function limitOf(
  number: number,
  attributes: Uint8Array<ArrayBuffer> | null,
): SystemLimit | undefined {
  if (number === ENOSPC) return systemLimit(`${LIMITS}/queues_max`);
  if (number === EINVAL && attributes !== null) {
    const { mq_maxmsg, mq_msgsize } = mqAttr.decode(attributes);
    const messages = systemLimit(`${LIMITS}/msg_max`);
    if (messages !== undefined && mq_maxmsg > messages.value) return messages;
    const size = systemLimit(`${LIMITS}/msgsize_max`);
    if (size !== undefined && mq_msgsize > size.value) return size;
  }
  if (number !== EMFILE) return undefined;
  // Two limits have this number. Where there is room for another descriptor, it is
  // the one for the bytes of all the queues of this user, and not the usual one.
  const another = sysEventfd().eventfd(0, EFD_CLOEXEC);
  if (another === -1) return undefined;
  unistd().close(another);
  return resourceLimit("RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE);
}

/** Where the file system of the queues is mounted. */
function mountPoint(): string {
  const text = readProc(MOUNTS);
  if (text === undefined) {
    throw new Deno.errors.NotSupported(
      `Cannot list message queues: cannot read ${MOUNTS}`,
    );
  }
  const rows = text.split("\n").map((row) => row.split(" "));
  const path = rows.find(([, , type]) => type === "mqueue")?.[1];
  if (path !== undefined) {
    return path.replace(
      /\\(\d{3})/g,
      (_, code) => String.fromCharCode(parseInt(code, 8)),
    );
  }
  throw new Deno.errors.NotSupported(
    "Cannot list message queues: their file system is not mounted; root can do that: " +
      "mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue",
  );
}

/** What a file of that file system tells; undefined when the queue is gone. */
function entryOf(
  directory: string,
  file: string,
): PosixMessageQueueEntry | undefined {
  const path = `${directory}/${file}`;
  let status;
  try {
    status = statusOfPath(new TextEncoder().encode(`${path}\0`), path);
  } catch (error) {
    if ((error as Partial<IpcError>).errno === ENOENT) return undefined;
    throw error;
  }
  const size = readProc(path)?.match(/^QSIZE:(\d+)/)?.[1];
  return {
    name: `/${file}`,
    mode: status.stx_mode & 0o777,
    uid: status.stx_uid,
    gid: status.stx_gid,
    bytes: size === undefined ? null : Number(size),
  };
}

function attributesOf(
  { fd, subject }: Descriptor,
): PosixMessageQueueAttributes {
  const bytes = new Uint8Array(mqAttr.size);
  check(mqueue().mq_getattr(fd, bytes), "mq_getattr", subject);
  const { mq_maxmsg, mq_msgsize, mq_curmsgs } = mqAttr.decode(bytes);
  return {
    maxMessages: Number(mq_maxmsg),
    maxSize: Number(mq_msgsize),
    messages: Number(mq_curmsgs),
  };
}

/** The name that an open queue has, or had until somebody unlinked it. */
function nameOf(fd: number, subject: string): string {
  const path = linkedTo(`/proc/self/fd/${fd}`); // the file system's own, or below /dev
  const name = path.slice(path.lastIndexOf("/"));
  const { stx_nlink } = statusOfFd(fd, subject);
  return stx_nlink > 0 ? name : name.replace(/ \(deleted\)$/, "");
}

/**
 * A POSIX message queue.
 *
 * Any process with the name and the permission can use it, and it stays until its name
 * is removed and everybody has closed it. The message with the highest priority is
 * received first; of those, the oldest.
 *
 * @example What is urgent comes first
 * ```ts
 * import { PosixMessageQueue } from "@linux/ipc/message-queue";
 * import { assertEquals } from "@std/assert";
 *
 * using queue = PosixMessageQueue.create(null, { maxMessages: 4, maxSize: 16 });
 * PosixMessageQueue.unlink(queue.name); // gone when everybody has closed it
 * queue.sendSync(Uint8Array.of(1));
 * queue.sendSync(Uint8Array.of(2), { priority: 9 });
 * assertEquals(queue.receiveSync(), { priority: 9, data: Uint8Array.of(2) });
 * assertEquals(queue.tryReceive()?.data, Uint8Array.of(1));
 * assertEquals(queue.tryReceive(), null);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/mq_overview.7.html | mq_overview(7)}
 */
export class PosixMessageQueue implements Disposable {
  readonly #name: string;
  readonly #maxSize: number;
  readonly #descriptor: Descriptor;
  // Messages go in the order of their send(), and come in that of receive().
  readonly #sends = new WaiterQueue();
  readonly #receives = new WaiterQueue();
  readonly #priority = new Uint32Array(1);
  #buffer: Bytes | undefined;

  /** Made by the static methods. */
  private constructor(
    token: typeof internal,
    name: string,
    descriptor: Descriptor,
  ) {
    checkInternal(token, "a PosixMessageQueue");
    this.#name = name;
    this.#descriptor = descriptor;
    try {
      this.#maxSize = attributesOf(descriptor).maxSize;
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /**
   * `mq_open(name, O_CREAT | O_EXCL, mode, attr)`: makes a queue under a new name.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash. null picks
   * a free one: see {@linkcode PosixMessageQueue.name}.
   * @param options `maxMessages`, `maxSize`, `mode`, `access`.
   * @returns The queue. Its name stays until somebody unlinks it.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long, or an option is out of range.
   * @throws {IpcError} EEXIST if the name is taken; EINVAL if `maxMessages` or
   * `maxSize` is above /proc/sys/fs/mqueue/msg_max or msgsize_max; ENOSPC if there are
   * too many queues (queues_max); EMFILE if this process has too many descriptors
   * (RLIMIT_NOFILE), or if all the queues of this user together could take more bytes
   * than RLIMIT_MSGQUEUE; EACCES, ENFILE, ENOMEM.
   *
   * @example A name that is taken
   * ```ts
   * import { IpcError, PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertThrows } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * const { name } = queue;
   * assertThrows(() => PosixMessageQueue.create(name), IpcError, "EEXIST");
   * PosixMessageQueue.unlink(name);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_open.3.html | mq_open(3)}
   */
  static create(
    name: string | null,
    options?: PosixMessageQueueCreateOptions,
  ): PosixMessageQueue {
    const text = name === null ? randomName() : name;
    return PosixMessageQueue.#get(text, O_CREAT | O_EXCL, options);
  }

  /**
   * `mq_open(name, 0)`: opens a queue that exists.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options `access`.
   * @returns The queue.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long.
   * @throws {IpcError} ENOENT if there is no such queue; EACCES if it may not be
   * opened for that; EMFILE, ENFILE, ENOMEM.
   *
   * @example A name that nobody uses
   * ```ts
   * import { IpcError, PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => PosixMessageQueue.open("/no-such-queue"), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_open.3.html | mq_open(3)}
   */
  static open(
    name: string,
    options?: PosixMessageQueueOpenOptions,
  ): PosixMessageQueue {
    return PosixMessageQueue.#get(name, 0, { access: options?.access });
  }

  /**
   * `mq_open(name, O_CREAT, mode, attr)`: opens a queue, or makes it.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options `access`; `maxMessages`, `maxSize` and `mode`, of a new one.
   * @returns The queue.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long, or an option is out of range.
   * @throws {IpcError} EACCES if it may not be opened for that; EINVAL if
   * `maxMessages` or `maxSize` is above /proc/sys/fs/mqueue/msg_max or msgsize_max;
   * ENOSPC if there are too many queues (queues_max); EMFILE if this process has too
   * many descriptors (RLIMIT_NOFILE), or if all the queues of this user together could
   * take more bytes than RLIMIT_MSGQUEUE; ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_open.3.html | mq_open(3)}
   */
  static openOrCreate(
    name: string,
    options?: PosixMessageQueueCreateOptions,
  ): PosixMessageQueue {
    return PosixMessageQueue.#get(name, O_CREAT, options);
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes over the descriptor of a queue that this
   * process was started with, or that another has passed. It needs neither the name,
   * which may be gone, nor the permission. The number must not belong to anything else
   * in this process: `close()` closes it.
   *
   * What the descriptor was opened for, to receive or to send, it is still good for. If
   * other processes have the same one, use the blocking form only: what waits in other
   * ways makes it non-blocking (`O_NONBLOCK`) for all of them.
   *
   * @param fd The number of the descriptor, as the parent process tells it.
   * @returns The queue, closed by its `close()`.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a POSIX message queue, or belongs to an object of
   * this module. It stays open.
   * @throws {IpcError} EBADF if no such descriptor is open; ENOENT if /proc, which
   * tells the name, is not mounted.
   *
   * @example Through a socket, to a process that does not know the name
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { UnixStream } from "@linux/ipc/socket";
   * import { assertEquals } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * using sockets = UnixStream.pair();
   * sockets[0].sendSync(Uint8Array.of(1), { descriptors: [queue] });
   *
   * const [passed] = sockets[1].receiveSync({ maxDescriptors: 1 })!.descriptors;
   * using same = PosixMessageQueue.fromFd(passed!.detach());
   * queue.sendSync(Uint8Array.of(42));
   * assertEquals(same.receiveSync().data, Uint8Array.of(42));
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number): PosixMessageQueue {
    checkFd(fd);
    const subject = `descriptor ${fd}`;
    if (mqueue().mq_getattr(fd, new Uint8Array(mqAttr.size)) === -1) {
      // EBADF, whether there is no such descriptor or another kind of it.
      check(fcntl().fcntl(fd, F_GETFD, 0), "fcntl", subject);
      throw new TypeError(
        `Argument "fd" must be a POSIX message queue: ${fd} is not`,
      );
    }
    const name = nameOf(fd, subject);
    takeOver(fd, subject);
    return new PosixMessageQueue(
      internal,
      name,
      new Descriptor(fd, `queue ${name}`),
    );
  }

  /**
   * `mq_unlink(name)`: removes the name. Who has the queue open goes on using it.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long.
   * @throws {IpcError} ENOENT if there is no such queue; EACCES if it is another
   * user's.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_unlink.3.html | mq_unlink(3)}
   */
  static unlink(name: string): void {
    check(mqueue().mq_unlink(cName(name, NAME_BYTES)), "mq_unlink", name);
  }

  /**
   * `readdir` of the file system of type mqueue: all the queues of this system, or of
   * this IPC namespace, whether or not this process may use them.
   *
   * @returns What it tells of each.
   * @throws {Deno.errors.NotSupported} If that file system is not mounted. The queues
   * work without it, and root can mount it:
   * `mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue`.
   * @throws {IpcError} EACCES if its directory may not be read; EMFILE or ENFILE if
   * there are too many descriptors.
   *
   * @example All that are not empty
   * ```ts ignore
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   *
   * for (const { name, bytes } of PosixMessageQueue.list()) {
   *   if (bytes !== 0) console.log(name, bytes);
   * }
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/mq_overview.7.html | mq_overview(7)}
   */
  static list(): PosixMessageQueueEntry[] {
    const directory = mountPoint();
    return namesIn(directory).map((file) => entryOf(directory, file))
      .filter((entry) => entry !== undefined);
  }

  static #get(
    name: string,
    flags: number,
    options: PosixMessageQueueCreateOptions | undefined,
  ): PosixMessageQueue {
    const cname = cName(name, NAME_BYTES);
    const access = accessOf(options);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    const attributes = attributesFor(options);
    const all = flags | access | O_CLOEXEC;
    const fd = mqueue().mq_open(cname, all, mode, attributes);
    if (fd === -1) {
      const number = errno();
      const limit = limitOf(number, attributes);
      throw ipcError(number, "mq_open", name, limit);
    }
    return new PosixMessageQueue(
      internal,
      name,
      new Descriptor(fd, `queue ${name}`),
    );
  }

  /** The name, beginning with a slash. */
  get name(): string {
    return this.#name;
  }

  /** How many bytes a message has at most. */
  get maxSize(): number {
    return this.#maxSize;
  }

  /**
   * The number of the descriptor, which stays this object's. On Linux it can be waited
   * for: it is readable when there is a message, and writable when there is room.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `mq_getattr(fd, ...)`: what the kernel tells of the queue.
   *
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_getattr.3.html | mq_getattr(3)}
   */
  get attributes(): PosixMessageQueueAttributes {
    return attributesOf(this.#descriptor);
  }

  /**
   * `mq_send(fd, data, size, priority)`, blocking this thread while the queue is full.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The bytes of the message: at most {@linkcode PosixMessageQueue.maxSize};
   * 0 bytes are a message too.
   * @param options `priority`, and `timeout` in milliseconds.
   * @throws {RangeError} If there are too many bytes, or the priority is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened to receive only; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_send.3.html | mq_send(3)}
   */
  sendSync(
    data: Uint8Array,
    options?: PosixSendOptions & SyncWaitOptions,
  ): void {
    const message = this.#outgoing(data, options);
    const deadline = deadlineOf(options);
    this.#descriptor.checkOpen();
    if (this.#sends.busy) {
      throw new Error(
        `Cannot send to ${this.#name}: an asynchronous send is pending`,
      );
    }
    const tryOnce = () => this.#send(message, deadline === Infinity);
    this.#attemptSync(POLLOUT, tryOnce, deadline);
  }

  /**
   * `mq_send(fd, data, size, priority)`, waiting without blocking the thread while the
   * queue is full. Messages leave in the order of the calls, whatever their priority.
   *
   * @param data The bytes of the message: at most {@linkcode PosixMessageQueue.maxSize};
   * 0 bytes are a message too. Do not change them before the promise is settled.
   * @param options `priority`, `timeout` in milliseconds, and `signal`.
   * @throws {RangeError} If there are too many bytes, or the priority is out of range.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened to receive only; ENOMEM.
   * @throws The reason of the signal, if it is aborted. The message was not sent then.
   *
   * @example A queue that is full
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * await queue.send(Uint8Array.of(1));
   * const one = Uint8Array.of(2);
   * await assertRejects(() => queue.send(one, { timeout: 10 }), DOMException);
   * assertEquals(queue.attributes.messages, 1);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_send.3.html | mq_send(3)}
   */
  async send(
    data: Uint8Array,
    options?: PosixSendOptions & WaitOptions,
  ): Promise<void> {
    const message = this.#outgoing(data, options);
    const limits = limitsOf(options);
    await attempt(
      new DescriptorSource(this.#descriptor, POLLOUT),
      () => this.#send(message),
      limits,
      this.#sends,
    );
  }

  /**
   * `mq_send(fd, data, size, priority)` with `O_NONBLOCK`: sends if there is room.
   *
   * @param data The bytes of the message: at most {@linkcode PosixMessageQueue.maxSize};
   * 0 bytes are a message too.
   * @param options `priority`.
   * @returns Whether the message was sent; false when the queue is full.
   * @throws {RangeError} If there are too many bytes, or the priority is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EBADF if the queue was opened to receive only; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_send.3.html | mq_send(3)}
   */
  trySend(data: Uint8Array, options?: PosixSendOptions): boolean {
    const message = this.#outgoing(data, options);
    this.#descriptor.checkOpen();
    return !this.#sends.busy && this.#send(message) === true;
  }

  /**
   * `mq_receive(fd, ...)`, blocking this thread until there is a message.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `buffer`; `timeout` in milliseconds.
   * @returns The oldest message of the highest priority, which is then no longer in
   * the queue.
   * @throws {RangeError} If the buffer is too small, or the timeout negative or NaN.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened to send only.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_receive.3.html | mq_receive(3)}
   */
  receiveSync(options?: PosixReceiveOptions & SyncWaitOptions): PosixMessage {
    const buffer = this.#bufferOf(options);
    const deadline = deadlineOf(options);
    const tryOnce = () => this.#receive(buffer, deadline === Infinity);
    return this.#attemptSync(POLLIN, tryOnce, deadline);
  }

  /**
   * `mq_receive(fd, ...)`, waiting without blocking the thread until there is a
   * message. Several calls get their messages in the order of the calls.
   *
   * @param options `buffer`; `timeout` in milliseconds, and `signal`.
   * @returns The oldest message of the highest priority, which is then no longer in
   * the queue.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened to send only.
   * @throws The reason of the signal, if it is aborted. No message was taken then.
   *
   * @example Not for ever
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * await assertRejects(() => queue.receive({ timeout: 10 }), DOMException);
   * setTimeout(() => queue.trySend(Uint8Array.of(42)), 10);
   * assertEquals((await queue.receive()).data, Uint8Array.of(42));
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_receive.3.html | mq_receive(3)}
   */
  async receive(
    options?: PosixReceiveOptions & WaitOptions,
  ): Promise<PosixMessage> {
    const buffer = this.#bufferOf(options);
    return await this.#receiveAsync(buffer, limitsOf(options));
  }

  /**
   * `mq_receive(fd, ...)` with `O_NONBLOCK`: takes a message that is there.
   *
   * @param options `buffer`.
   * @returns The oldest message of the highest priority, or null when there is none.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EBADF if the queue was opened to send only.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_receive.3.html | mq_receive(3)}
   */
  tryReceive(options?: PosixReceiveOptions): PosixMessage | null {
    return this.#receive(this.#bufferOf(options)) ?? null;
  }

  /**
   * What `mq_notify(fd, ...)` is for: waits until there is a message, and leaves it in
   * the queue.
   *
   * It waits for the descriptor, and so has none of the limits of `mq_notify`: any
   * number of processes may wait, nobody's registration is used up, and a message that
   * is there already counts. Somebody else may take the message first, so try, and wait
   * again if there is none.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Told, then taken
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * setTimeout(() => queue.trySend(Uint8Array.of(42)), 10);
   * await queue.notified({ timeout: 1000 });
   * assertEquals(queue.attributes.messages, 1);
   * assertEquals(queue.tryReceive()?.data, Uint8Array.of(42));
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_notify.3.html | mq_notify(3)}
   */
  async notified(options?: WaitOptions): Promise<void> {
    const hasMessage = () =>
      attributesOf(this.#descriptor).messages > 0 || undefined;
    const source = new DescriptorSource(this.#descriptor, POLLIN);
    await attempt(source, hasMessage, limitsOf(options));
  }

  /**
   * `mq_receive(fd, ...)`, again and again: the messages as they come, until this
   * object is closed.
   *
   * @param options As those of {@linkcode PosixMessageQueue.receive}, for each one.
   * @throws What {@linkcode PosixMessageQueue.receive} throws, but for the ClosedError.
   *
   * @example Until it is closed
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * const queue = PosixMessageQueue.create(null, { maxMessages: 2, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * queue.sendSync(Uint8Array.of(1));
   * queue.sendSync(Uint8Array.of(0));
   * const received: number[] = [];
   * for await (const { data } of queue) {
   *   received.push(data[0]!);
   *   if (data[0] === 0) queue.close();
   * }
   * assertEquals(received, [1, 0]);
   * ```
   */
  messages(
    options?: WaitOptions,
  ): AsyncGenerator<PosixMessage, void, unknown> {
    const { timeout, signal } = options ?? {};
    return untilClosed(() =>
      this.#receiveAsync(undefined, limitsOf({ timeout, signal }))
    );
  }

  /** The messages as they come, until this object is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<PosixMessage, void, unknown> {
    return untilClosed(() => this.#receiveAsync(undefined, NO_LIMITS));
  }

  /**
   * `struct ...`: the same queue with messages that are C structs, as a header file
   * declares them for both sides.
   *
   * @param layout The struct.
   * @returns A view of this queue, of use until this object is closed.
   * @throws {RangeError} If the struct has more than
   * {@linkcode PosixMessageQueue.maxSize} bytes.
   *
   * @example What data.h is in C
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { cstring, i16, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const human = struct({ age: i16, name: cstring(20) });
   * using queue = PosixMessageQueue.create(null, { maxMessages: 2, maxSize: 64 });
   * PosixMessageQueue.unlink(queue.name);
   * const people = queue.typed(human);
   * people.sendSync({ age: 80, name: "ghkim" });
   * assertEquals(people.receiveSync().value, { age: 80, name: "ghkim" });
   * ```
   */
  typed<F extends Fields>(layout: Struct<F>): TypedPosixMessageQueue<F> {
    const { size } = layout;
    if (size > this.#maxSize) {
      throw new RangeError(
        `Argument "layout" must have at most ${this.#maxSize} bytes ` +
          `(mq_msgsize of ${this.#name}): ${size}`,
      );
    }
    return new TypedPosixMessageQueue(this, layout);
  }

  /**
   * `fcntl(fd, F_SETFD, 0)`, for as long as `spawn` runs: processes started by it have
   * the queue open under the same descriptor number, as C's `mqd_t` or for
   * {@linkcode PosixMessageQueue.fromFd}. Others do not, unless another thread starts
   * one in that moment.
   *
   * The child's is blocking, and both share that: if this process goes on to use the
   * queue, let it use the blocking form, or let the child open its own by the name.
   *
   * @param spawn Starts the child before it returns, or first awaits; gets the
   * descriptor's number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this object is closed.
   *
   * @example A worker that needs neither name nor permission
   * ```ts ignore
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   *
   * if (Deno.args[0] === "child") {
   *   using jobs = PosixMessageQueue.fromFd(Number(Deno.args[1]));
   *   console.log(jobs.receiveSync().data); // Uint8Array(1) [ 42 ]
   * } else {
   *   using jobs = PosixMessageQueue.create(null);
   *   PosixMessageQueue.unlink(jobs.name); // gone with the last who has it open
   *   const child = jobs.inherit((fd) =>
   *     new Deno.Command(Deno.execPath(), {
   *       args: ["run", "--allow-ffi", import.meta.filename!, "child", `${fd}`],
   *     }).spawn()
   *   );
   *   jobs.sendSync(Uint8Array.of(42));
   *   await child.status;
   * }
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /**
   * `mq_close(fd)`. The queue and its messages stay, under its name. Pending waits end
   * with a ClosedError. Closing twice does nothing.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_close.3.html | mq_close(3)}
   */
  close(): void {
    this.#descriptor.close();
    this.#buffer = undefined;
  }

  /** Closes this object; the queue stays. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Checks what is to be sent. */
  #outgoing(
    data: Uint8Array,
    options: PosixSendOptions | undefined,
  ): Outgoing {
    checkBytes("data", data);
    const size = byteLengthOf(data);
    if (size > this.#maxSize) {
      throw new RangeError(
        `Argument "data" must have at most ${this.#maxSize} bytes ` +
          `(mq_msgsize of ${this.#name}): ${size}`,
      );
    }
    const priority = options?.priority ?? 0;
    checkPriority(priority);
    return { data, size, priority };
  }

  /** One mq_send, which may block; or undefined when the queue is full. */
  #send(
    { data, size, priority }: Outgoing,
    blocks = false,
  ): true | undefined {
    const { fd, subject } = this.#descriptor;
    const { mq_send, mq_timedsend } = mqueue();
    const bytes = data as Bytes;
    checkKept("data", data, size);
    for (;;) {
      const result = blocks
        ? mq_send(fd, bytes, size, priority)
        : mq_timedsend(fd, bytes, size, priority, PAST);
      if (result === 0) return true;
      const error = errno();
      if (error === EAGAIN || error === ETIMEDOUT) return undefined;
      if (error !== EINTR) throw ipcError(error, "mq_send", subject);
    }
  }

  /** The caller's buffer, if it takes every message of this queue. */
  #bufferOf(options: PosixReceiveOptions | undefined): Bytes | undefined {
    const buffer = options?.buffer;
    if (buffer === undefined) return undefined;
    checkBytes("buffer", buffer);
    const max = Number.MAX_SAFE_INTEGER;
    const origin = `mq_msgsize of ${this.#name}, as mq_receive wants it`;
    const size = byteLengthOf(buffer);
    checkInteger("buffer.byteLength", size, this.#maxSize, max, origin);
    return buffer;
  }

  async #receiveAsync(
    buffer: Bytes | undefined,
    limits: Limits,
  ): Promise<PosixMessage> {
    const source = new DescriptorSource(this.#descriptor, POLLIN);
    const tryOnce = () => this.#receive(buffer);
    return await attempt(source, tryOnce, limits, this.#receives);
  }

  #attemptSync<T>(events: number, tryOnce: TryOnce<T>, deadline: number): T {
    const descriptor = this.#descriptor;
    const block = (until: number) => readySync(descriptor, events, until);
    return attemptSync(descriptor.subject, tryOnce, block, deadline);
  }

  /** One mq_receive, which may block; or undefined when the queue is empty. */
  #receive(
    wanted: Bytes | undefined,
    blocks = false,
  ): PosixMessage | undefined {
    const { fd, subject } = this.#descriptor;
    const { mq_receive, mq_timedreceive } = mqueue();
    const priority = this.#priority;
    const max = this.#maxSize;
    // The caller's may be gone since it was checked: memory that was closed during
    // the wait. The kernel would take the message from the queue all the same.
    const into = wanted && byteLengthOf(wanted) >= max ? wanted : undefined;
    const buffer = into ?? (this.#buffer ??= new Uint8Array(max));
    for (;;) {
      const size = blocks
        ? mq_receive(fd, buffer, max, priority)
        : mq_timedreceive(fd, buffer, max, priority, PAST);
      if (size !== -1) {
        const data = into === undefined
          ? buffer.slice(0, size)
          : size === byteLengthOf(into)
          ? into
          : viewOf(into, 0, size);
        return { priority: priority[0]!, data };
      }
      const error = errno();
      if (error === EAGAIN || error === ETIMEDOUT) return undefined;
      if (error !== EINTR) throw ipcError(error, "mq_receive", subject);
    }
  }
}
