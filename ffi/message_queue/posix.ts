// POSIX message queues: mq_open(3), mq_send(3), mq_receive(3), mq_getattr(3).

import {
  byteLengthOf,
  checkBytes,
  checkFd,
  checkInteger,
  checkKept,
  checkMode,
  choose,
  cName,
  firstOf,
  NAME_MAX,
} from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import { inspectAs } from "../inspect_object.ts";
import { internal } from "../internal.ts";
import { Descriptor, takeOver } from "../kernel/descriptor.ts";
import { descriptorOf, DescriptorOwner } from "../kernel/descriptor_owner.ts";
import { systemLimit } from "../kernel/limits.ts";
import { linkInProc } from "../kernel/proc.ts";
import {
  check,
  EAGAIN,
  EEXIST,
  EINVAL,
  EMFILE,
  ENOENT,
  ENOSPC,
  errno,
  ETIMEDOUT,
  ipcError,
  isInterruption,
  unless,
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
import { MQ_PRIO_MAX, mqAttr, mqueue } from "../libc/mqueue.ts";
import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { EFD_CLOEXEC, sysEventfd } from "../libc/sys_eventfd.ts";
import { resourceLimit, RLIMIT_MSGQUEUE } from "../libc/sys_resource.ts";
import { permissionsOf, setMode, statusOfFd } from "../libc/sys_stat.ts";
import { timespec } from "../libc/time.ts";
import { unistd } from "../libc/unistd.ts";
import {
  attempt,
  attemptSync,
  promised,
  type TryOnce,
} from "../wait/attempt.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { readySync } from "../wait/poll.ts";
import { DescriptorSource } from "../wait/reactor.ts";
import { listQueues, type PosixMessageQueueEntry } from "./posix_list.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A message to send, checked. */
interface Outgoing {
  readonly data: Bytes;
  readonly size: number;
  readonly priority: number;
}

/** Options of `open()` of a {@linkcode PosixMessageQueue}. */
export interface PosixMessageQueueOpenOptions {
  /**
   * The access mode: `"receive"` is `O_RDONLY`, `"send"` is `O_WRONLY`, `"both"` is
   * `O_RDWR`.
   *
   * @default {"both"}
   */
  access?: "both" | "receive" | "send" | undefined;
}

/** Options of `create()` and `openOrCreate()` of a {@linkcode PosixMessageQueue}. */
export interface PosixMessageQueueCreateOptions
  extends PosixMessageQueueOpenOptions {
  /**
   * The permission bits: read permission is to receive, write permission is to send.
   *
   * The umask of the process does not apply to a mode that is given: it is as if `fchmod`
   * followed, and at no time are there more permissions than that.
   *
   * @default {0o600, less the umask}
   */
  mode?: number | undefined;
  /**
   * `mq_maxmsg`: the maximum number of messages in the queue. Without privileges it is
   * at most 10, or what /proc/sys/fs/mqueue/msg_max says.
   *
   * @default {10, or what /proc/sys/fs/mqueue/msg_default says}
   */
  maxMessages?: number | undefined;
  /**
   * `mq_msgsize`: the maximum number of bytes in a message. Without privileges it is at
   * most 8192, or what /proc/sys/fs/mqueue/msgsize_max says.
   *
   * @default {8192, or what /proc/sys/fs/mqueue/msgsize_default says}
   */
  maxSize?: number | undefined;
}

/** Options of `send()` of a {@linkcode PosixMessageQueue}, and its siblings. */
export interface PosixSendOptions {
  /**
   * 0 to 32767. Messages of a higher priority are received first.
   *
   * @default {0}
   */
  priority?: number | undefined;
}

/** A message received from a POSIX queue. */
export interface PosixMessage {
  /** The priority, 0 to 32767. */
  readonly priority: number;
  /** The bytes. The receiver owns them. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Options of `receive()` of a {@linkcode PosixMessageQueue}, and its siblings. */
export interface PosixReceiveOptions {
  /**
   * Receives the data, in place of a new array: `data` is then the part of the buffer
   * that was filled. It must have at least `maxSize` bytes of
   * the queue.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
}

/** The status of a POSIX message queue: `struct mq_attr`, and its permissions. */
export interface PosixMessageQueueStat {
  /** The number of messages in the queue. */
  readonly messages: number;
  /** The maximum number of messages in the queue. */
  readonly maxMessages: number;
  /** The maximum number of bytes in a message. */
  readonly maxSize: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

const HARD_MSGMAX = 65536; // of the kernel's ipc_namespace.h, as HARD_MSGSIZEMAX is
const HARD_MSGSIZEMAX = 16 * 1024 * 1024;
const LIMITS = "/proc/sys/fs/mqueue";
// A deadline in the past makes a call fail instead of waiting. O_NONBLOCK would do the
// same, but it is shared by all processes that have the same open queue.
const PAST = timespec.encode({ tv_sec: 0n, tv_nsec: 0n });
const CREATE = O_CREAT | O_EXCL;
const DEFAULT_MODE = 0o600;
const ACCESS = { both: O_RDWR, receive: O_RDONLY, send: O_WRONLY };

/** A name that is not in use, and that tells which process created it. */
function randomName(): string {
  return `/ipc-${runtime.pid}-${crypto.randomUUID()}`;
}

function accessOf(options: PosixMessageQueueOpenOptions | undefined): number {
  return choose("access", options?.access ?? "both", ACCESS);
}

/** A default of /proc/sys/fs/mqueue, at most its maximum. */
function defaultOf(name: string, maximum: string, usual: number): number {
  const values = [name, maximum].map((file) =>
    Number(systemLimit(`${LIMITS}/${file}`)?.value ?? usual)
  );
  return Math.min(...values);
}

/** The `struct mq_attr` of a queue to create; null for the defaults of the system. */
function attributesFor(
  options: PosixMessageQueueCreateOptions | undefined,
): Bytes | null {
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

/** The arguments of mq_open, read and checked once. */
interface Request {
  readonly access: number;
  /** The exact permission bits; undefined for the default, less the umask. */
  readonly mode: number | undefined;
  readonly attributes: Bytes | null;
}

function requestOf(
  options: PosixMessageQueueCreateOptions | undefined,
): Request {
  const access = accessOf(options);
  const mode = options?.mode;
  if (mode !== undefined) checkMode(mode);
  return { access, mode, attributes: attributesFor(options) };
}

/** The limit behind an error of mq_open. */
function limitOf(
  error: number,
  attributes: Bytes | null,
): SystemLimit | undefined {
  if (error === ENOSPC) return systemLimit(`${LIMITS}/queues_max`);
  if (error === EINVAL && attributes !== null) {
    const { mq_maxmsg, mq_msgsize } = mqAttr.decode(attributes);
    const messages = systemLimit(`${LIMITS}/msg_max`);
    if (messages !== undefined && mq_maxmsg > messages.value) return messages;
    const size = systemLimit(`${LIMITS}/msgsize_max`);
    if (size !== undefined && mq_msgsize > size.value) return size;
  }
  if (error !== EMFILE) return undefined;
  // Two limits have this error. If there is room for another descriptor, it is the one
  // for the bytes of all queues of the user.
  const probe = sysEventfd().eventfd(0, EFD_CLOEXEC);
  if (probe === -1) return undefined; // RLIMIT_NOFILE, the default of ipcError
  unistd().close(probe);
  return resourceLimit("RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE);
}

/** The attributes of an open queue. */
function getAttributes({ fd, subject }: Descriptor) {
  const bytes = new Uint8Array(mqAttr.size);
  check(mqueue().mq_getattr(fd, bytes), "mq_getattr", subject);
  const { mq_maxmsg, mq_msgsize, mq_curmsgs } = mqAttr.decode(bytes);
  return {
    messages: Number(mq_curmsgs),
    maxMessages: Number(mq_maxmsg),
    maxSize: Number(mq_msgsize),
  };
}

/** The name of an open queue, also after it was unlinked. */
function nameOf(fd: number, subject: string): string {
  const link = `/proc/self/fd/${fd}`; // with the mount point, or without
  const path = linkInProc(link, `tell the name of ${subject}`);
  const name = path.slice(path.lastIndexOf("/"));
  const { stx_nlink } = statusOfFd(fd, subject);
  return stx_nlink > 0 ? name : name.replace(/ \(deleted\)$/, "");
}

// Set by the class: they are for this module alone.
let trySend: TryOnce<true, PosixMessageQueue, Outgoing>;
let tryReceive: TryOnce<PosixMessage, PosixMessageQueue, Bytes | undefined>;

/**
 * A POSIX message queue.
 *
 * Every process with the name and the permission can use it. It exists until its name is
 * unlinked and every process has closed it. The message with the highest priority is
 * received first; among equals, the oldest.
 *
 * The data of a message is bytes: `struct()` of {@link [struct] @linux/ipc/struct}
 * converts C structs.
 *
 * On Linux its descriptor, `fd`, can be polled: it is readable if there is a message, and
 * writable if there is room.
 *
 * @example The highest priority first
 * ```ts
 * import { PosixMessageQueue } from "@linux/ipc/message-queue";
 * import { assertEquals } from "@std/assert";
 *
 * using queue = PosixMessageQueue.create(null, { maxMessages: 4, maxSize: 16 });
 * PosixMessageQueue.unlink(queue.name); // destroyed when it is closed
 * queue.sendSync(Uint8Array.of(1));
 * queue.sendSync(Uint8Array.of(2), { priority: 9 });
 * assertEquals(queue.receiveSync(), { priority: 9, data: Uint8Array.of(2) });
 * assertEquals(queue.tryReceive()?.data, Uint8Array.of(1));
 * assertEquals(queue.tryReceive(), undefined);
 * ```
 *
 * @example A child process that needs neither the name nor the permission
 * ```ts ignore
 * import { PosixMessageQueue } from "@linux/ipc/message-queue";
 *
 * if (Deno.args[0] === "child") {
 *   using jobs = PosixMessageQueue.fromFd(Number(Deno.args[1]));
 *   console.log(jobs.receiveSync().data); // Uint8Array(1) [ 42 ]
 * } else {
 *   using jobs = PosixMessageQueue.create(null);
 *   PosixMessageQueue.unlink(jobs.name); // destroyed when both have closed it
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
 * @see {@link https://man7.org/linux/man-pages/man7/mq_overview.7.html | mq_overview(7)}
 */
export class PosixMessageQueue extends DescriptorOwner {
  readonly #name: string;
  readonly #maxSize: number;
  // Sends and receives are done in the order of the calls.
  readonly #sends: DescriptorSource;
  readonly #receives: DescriptorSource;
  readonly #priority = new Uint32Array(1);
  #buffer: Bytes | undefined;

  /**
   * Made by the static methods.
   *
   * @ignore
   */
  private constructor(
    token: typeof internal,
    name: string,
    descriptor: Descriptor,
  ) {
    super(token, "a PosixMessageQueue", descriptor);
    this.#name = name;
    this.#sends = new DescriptorSource(descriptor, POLLOUT);
    this.#receives = new DescriptorSource(descriptor, POLLIN);
    try {
      this.#maxSize = getAttributes(descriptor).maxSize;
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /**
   * `mq_open(name, O_CREAT | O_EXCL, mode, attr)`: creates a queue.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash. null picks a
   * name that is not in use: see
   * {@linkcode PosixMessageQueue.prototype.name | PosixMessageQueue.name}.
   * @param options `maxMessages`, `maxSize`, `mode`, `access`.
   * @returns The queue. Its name exists until it is unlinked.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long, or an option is out of
   * range.
   * @throws {IpcError} EEXIST if the name is in use; EINVAL if `maxMessages` or `maxSize`
   * is above /proc/sys/fs/mqueue/msg_max or msgsize_max; ENOSPC if there are too many
   * queues (queues_max); EMFILE if this process has too many descriptors
   * (RLIMIT_NOFILE), or if the queues of this user would have more bytes than
   * RLIMIT_MSGQUEUE; EACCES, ENFILE, ENOMEM.
   *
   * @example A name that is in use
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
    const request = requestOf(options);
    const chosen = name === null ? randomName() : name;
    return PosixMessageQueue.#get(chosen, CREATE, request);
  }

  /**
   * `mq_open(name, 0)`: opens a queue that exists.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options `access`.
   * @returns The queue.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long.
   * @throws {IpcError} ENOENT if there is no such queue; EACCES without permission for
   * the access mode; EMFILE, ENFILE, ENOMEM.
   *
   * @example A name that is not in use
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
    const request = requestOf({ access: options?.access });
    return PosixMessageQueue.#get(name, 0, request);
  }

  /**
   * `mq_open(name, O_CREAT, mode, attr)`: opens a queue, or creates it.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options `access`; `maxMessages`, `maxSize` and `mode` of a queue that is
   * created.
   * @returns The queue.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long, or an option is out of
   * range.
   * @throws {IpcError} EACCES without permission for the access mode; EINVAL if
   * `maxMessages` or `maxSize` is above /proc/sys/fs/mqueue/msg_max or msgsize_max;
   * ENOSPC if there are too many queues (queues_max); EMFILE if this process has too
   * many descriptors (RLIMIT_NOFILE), or if the queues of this user would have more
   * bytes than RLIMIT_MSGQUEUE; ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_open.3.html | mq_open(3)}
   */
  static openOrCreate(
    name: string,
    options?: PosixMessageQueueCreateOptions,
  ): PosixMessageQueue {
    const request = requestOf(options);
    // In two steps, because O_CREAT without O_EXCL does not tell whether the queue is
    // new, and the mode of an existing one stays as it is.
    for (;;) {
      const get = (flags: number) => () =>
        PosixMessageQueue.#get(name, flags, request);
      const queue = unless(EEXIST, get(CREATE)) ?? unless(ENOENT, get(0));
      if (queue !== undefined) return queue; // else unlinked in between
    }
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of the descriptor of a queue that
   * this process inherited, or received over a socket.
   *
   * It needs neither the name, which may be unlinked, nor the permission. No other object
   * of this process may own the descriptor: `close()` closes it. An object of another
   * Worker is not noticed.
   *
   * The access mode is that of the descriptor.
   *
   * @param fd The number of the descriptor.
   * @returns The queue.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If `fd` is not a number, if the descriptor is not a POSIX message
   * queue, or if an object of this module on this thread owns it. It stays open.
   * @throws {IpcError} EBADF if the descriptor is not open.
   * @throws {Deno.errors.NotSupported} If /proc, which has the name, is not mounted.
   *
   * @example Pass a queue over a socket
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
      // EBADF, both for a closed descriptor and for one of another kind.
      check(fcntl().fcntl(fd, F_GETFD, 0), "fcntl", subject);
      throw new TypeError(
        `Argument "fd" must be a POSIX message queue: ${fd} is not`,
      );
    }
    const name = nameOf(fd, subject);
    takeOver(fd, subject);
    const descriptor = new Descriptor(fd, `queue ${name}`);
    return new PosixMessageQueue(internal, name, descriptor);
  }

  /**
   * `mq_unlink(name)`: removes the name. Processes that have the queue open can go on
   * using it.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long.
   * @throws {IpcError} ENOENT if there is no such queue; EACCES if another user owns it.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_unlink.3.html | mq_unlink(3)}
   */
  static unlink(name: string): void {
    check(mqueue().mq_unlink(cName(name, NAME_MAX)), "mq_unlink", name);
  }

  /**
   * `readdir(3)` of the mqueue file system: lists the queues of this IPC namespace, also
   * those that this process has no permission for.
   *
   * @returns The queues, in no particular order.
   * @throws {Deno.errors.NotSupported} If the file system is not mounted. The queues work
   * without it; root mounts it with
   * `mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue`.
   * @throws {IpcError} EACCES if its directory may not be read; EMFILE or ENFILE if there
   * are too many descriptors; ENOMEM.
   *
   * @example The queues that are not empty
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
    return listQueues();
  }

  static #get(
    name: string,
    flags: number,
    { access, mode, attributes }: Request,
  ): PosixMessageQueue {
    const cname = cName(name, NAME_MAX);
    const { mq_open, mq_unlink } = mqueue();
    const all = flags | access | O_CLOEXEC;
    const fd = mq_open(cname, all, mode ?? DEFAULT_MODE, attributes);
    if (fd === -1) {
      const error = errno();
      throw ipcError(error, "mq_open", name, limitOf(error, attributes));
    }
    const descriptor = new Descriptor(fd, `queue ${name}`);
    try {
      if (flags === CREATE && mode !== undefined) setMode(fd, mode, name);
      return new PosixMessageQueue(internal, name, descriptor);
    } catch (error) {
      descriptor.close();
      if (flags === CREATE) mq_unlink(cname);
      throw error;
    }
  }

  /** The name, with its slash. */
  get name(): string {
    return this.#name;
  }

  /** The maximum number of bytes in a message. */
  get maxSize(): number {
    return this.#maxSize;
  }

  /**
   * `fchmod(fd, mode)`: changes the permission bits of the queue. The umask does not
   * apply. Processes that have opened it can continue to use it.
   *
   * @param mode The permission bits, 0 to 0o777.
   * @throws {RangeError} If the mode is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process does not own the queue.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/chmod.2.html | fchmod(2)}
   */
  chmod(mode: number): void {
    checkMode(mode);
    const { fd, subject } = descriptorOf(this);
    setMode(fd, mode, subject);
  }

  /**
   * `mq_getattr(fd, ...)`, `fstat(fd, ...)`: returns the status of the queue.
   *
   * @returns The number of messages, the limits and the permissions of the queue.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_getattr.3.html | mq_getattr(3)}
   */
  stat(): PosixMessageQueueStat {
    const descriptor = descriptorOf(this);
    const status = statusOfFd(descriptor.fd, descriptor.subject);
    return { ...getAttributes(descriptor), ...permissionsOf(status) };
  }

  /**
   * `mq_send(fd, data, size, priority)`: sends a message, blocking this thread while the
   * queue is full. A Worker that blocks here cannot be terminated: see
   * {@linkcode SyncWaitOptions}.
   *
   * @param data The bytes of the message: at most
   * {@linkcode PosixMessageQueue.prototype.maxSize | PosixMessageQueue.maxSize}; 0 bytes
   * are a message too.
   * @param options `priority`, and `timeout` in milliseconds.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the data is too large, the priority out of range, or the
   * timeout negative or NaN.
   * @throws {Error} If an asynchronous send is pending: it would be overtaken.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened with the access `"receive"`; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_send.3.html | mq_send(3)}
   */
  sendSync(
    data: Uint8Array,
    options?: PosixSendOptions & SyncWaitOptions,
  ): void {
    const message = this.#outgoing(data, options);
    const deadline = deadlineOf(options);
    descriptorOf(this).checkOpen();
    if (this.#sends.queue.busy) {
      throw new Error(
        `Cannot send to ${this.#name}: an asynchronous send is pending`,
      );
    }
    // Without a closure, which takes longer to make than all the rest.
    if (deadline === Infinity && this.#send(message, true)) return;
    this.#sendWaiting(message, deadline);
  }

  /**
   * `mq_send(fd, data, size, priority)`: sends a message, waiting without blocking the
   * thread while the queue is full.
   *
   * Messages are sent in the order of the calls, whatever their priority.
   *
   * @param data The bytes of the message: at most
   * {@linkcode PosixMessageQueue.prototype.maxSize | PosixMessageQueue.maxSize}; 0 bytes
   * are a message too. Do not change them before the promise settles.
   * @param options `priority`, `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the data is not a Uint8Array, or its memory was closed before
   * it was sent.
   * @throws {RangeError} If the data is too large, the priority out of range, or the
   * timeout negative or NaN.
   * @throws {ClosedError} If this object is closed, before or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. The message was not
   * sent.
   * @throws {IpcError} EBADF if the queue was opened with the access `"receive"`; ENOMEM.
   * @throws The reason of the signal if it is aborted. The message was not sent.
   *
   * @example A full queue
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * await queue.send(Uint8Array.of(1));
   * const second = Uint8Array.of(2);
   * await assertRejects(() => queue.send(second, { timeout: 10 }), DOMException);
   * assertEquals(queue.stat().messages, 1);
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
    const sends = this.#sends;
    await attempt(sends, trySend, limits, sends.queue, this, message);
  }

  /**
   * `mq_timedsend(fd, data, size, priority, 0)`: sends a message if there is room.
   *
   * @param data The bytes of the message: at most
   * {@linkcode PosixMessageQueue.prototype.maxSize | PosixMessageQueue.maxSize}; 0 bytes
   * are a message too.
   * @param options `priority`.
   * @returns Whether the message was sent; false if the queue is full, or if an
   * asynchronous send is pending.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the data is too large, or the priority out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EBADF if the queue was opened with the access `"receive"`; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_send.3.html | mq_send(3)}
   */
  trySend(data: Uint8Array, options?: PosixSendOptions): boolean {
    const message = this.#outgoing(data, options);
    descriptorOf(this).checkOpen();
    return !this.#sends.queue.busy && this.#send(message) === true;
  }

  /**
   * `mq_receive(fd, ...)`: receives a message, blocking this thread until there is one.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `buffer`; `timeout` in milliseconds.
   * @returns The oldest message of the highest priority, which is removed from the queue.
   * @throws {TypeError} If the buffer is not a Uint8Array.
   * @throws {RangeError} If the buffer is too small, or the timeout negative or NaN.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened with the access `"send"`.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_receive.3.html | mq_receive(3)}
   */
  receiveSync(options?: PosixReceiveOptions & SyncWaitOptions): PosixMessage {
    const buffer = this.#bufferOf(options);
    const deadline = deadlineOf(options);
    const message = deadline === Infinity
      ? this.#receive(buffer, true)
      : undefined;
    return message ?? this.#receiveWaiting(buffer, deadline);
  }

  /**
   * `mq_receive(fd, ...)`: receives a message, waiting without blocking the thread until
   * there is one. Several calls are served in their order.
   *
   * @param options `buffer`; `timeout` in milliseconds, and `signal`.
   * @returns The oldest message of the highest priority, which is removed from the queue.
   * @throws {TypeError} If the buffer is not a Uint8Array.
   * @throws {RangeError} If the buffer is too small, or the timeout negative or NaN.
   * @throws {ClosedError} If this object is closed, before or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the queue was opened with the access `"send"`.
   * @throws The reason of the signal if it is aborted. No message was received.
   *
   * @example With a timeout
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
  receive(
    options?: PosixReceiveOptions & WaitOptions,
  ): Promise<PosixMessage> {
    return promised(() => {
      const buffer = this.#bufferOf(options);
      return this.#receiveAsync(buffer, limitsOf(options));
    });
  }

  /**
   * `mq_timedreceive(fd, ..., 0)`: receives a message if there is one.
   *
   * @param options `buffer`.
   * @returns The oldest message of the highest priority, which is removed from the queue;
   * undefined if the queue is empty.
   * @throws {TypeError} If the buffer is not a Uint8Array.
   * @throws {RangeError} If the buffer is too small.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EBADF if the queue was opened with the access `"send"`.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_receive.3.html | mq_receive(3)}
   */
  tryReceive(options?: PosixReceiveOptions): PosixMessage | undefined {
    return this.#receive(this.#bufferOf(options));
  }

  /**
   * `poll(2)`, in place of `mq_notify(3)`: waits until there is a message, and leaves it
   * in the queue.
   *
   * Unlike the registration of `mq_notify`, any number of processes can wait, and a
   * message that is already there counts. Another process can receive the message first:
   * call `tryReceive()`, and wait again if it returns undefined.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If this object is closed, before or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal if it is aborted.
   *
   * @example Wait, then receive
   * ```ts
   * import { PosixMessageQueue } from "@linux/ipc/message-queue";
   * import { assertEquals } from "@std/assert";
   *
   * using queue = PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 });
   * PosixMessageQueue.unlink(queue.name);
   * setTimeout(() => queue.trySend(Uint8Array.of(42)), 10);
   * await queue.notified({ timeout: 1000 });
   * assertEquals(queue.stat().messages, 1);
   * assertEquals(queue.tryReceive()?.data, Uint8Array.of(42));
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_notify.3.html | mq_notify(3)}
   */
  async notified(options?: WaitOptions): Promise<void> {
    const descriptor = descriptorOf(this);
    const hasMessage = () =>
      getAttributes(descriptor).messages > 0 || undefined;
    const source = new DescriptorSource(descriptor, POLLIN);
    await attempt(source, hasMessage, limitsOf(options));
  }

  /**
   * `mq_receive(fd, ...)`, repeated: yields the messages as they arrive, until this
   * object is closed.
   *
   * @param options `timeout` and `signal` for each message.
   * @throws The errors of
   * {@linkcode PosixMessageQueue.prototype.receive | PosixMessageQueue.receive}, except
   * ClosedError.
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

  /** Yields the messages as they arrive, until this object is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<PosixMessage, void, unknown> {
    return untilClosed(() => this.#receiveAsync(undefined, NO_LIMITS));
  }

  /**
   * `mq_close(fd)`: closes the descriptor. Pending waits end with a ClosedError. Closing
   * twice does nothing. The queue and its messages stay until the name is unlinked.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mq_close.3.html | mq_close(3)}
   */
  override close(): void {
    super.close();
  }

  static {
    trySend = (queue, message) => queue.#send(message);
    tryReceive = (queue, buffer) => queue.#receive(buffer);
    inspectAs(this, (queue) => {
      const { closed } = descriptorOf(queue);
      const fd = closed ? undefined : queue.fd;
      return { name: queue.#name, fd, maxSize: queue.#maxSize, closed };
    });
  }

  /** Checks a message to send. */
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
    const maximum = MQ_PRIO_MAX - 1;
    checkInteger("priority", priority, 0, maximum, "MQ_PRIO_MAX - 1");
    return { data, size, priority };
  }

  /** One mq_send, which waits if `blocks`; undefined if the queue is full. */
  #send(
    { data, size, priority }: Outgoing,
    blocks = false,
  ): true | undefined {
    const { fd, subject } = descriptorOf(this);
    checkKept("data", data, size);
    for (;;) {
      const result = blocks
        ? mqueue().mq_send(fd, data, size, priority)
        : mqueue().mq_timedsend(fd, data, size, priority, PAST);
      if (result === 0) return true;
      const error = errno();
      if (error === EAGAIN || error === ETIMEDOUT) return undefined;
      if (!isInterruption(error)) throw ipcError(error, "mq_send", subject);
    }
  }

  /** The caller's buffer, if every message of the queue fits into it. */
  #bufferOf(options: PosixReceiveOptions | undefined): Bytes | undefined {
    const buffer = options?.buffer;
    if (buffer === undefined) return undefined;
    checkBytes("buffer", buffer);
    const size = byteLengthOf(buffer);
    const maximum = Number.MAX_SAFE_INTEGER;
    const origin = `mq_msgsize of ${this.#name}, which mq_receive requires`;
    checkInteger("buffer.byteLength", size, this.#maxSize, maximum, origin);
    return buffer;
  }

  #receiveAsync(
    buffer: Bytes | undefined,
    limits: Limits,
  ): Promise<PosixMessage> {
    const receives = this.#receives;
    return attempt(receives, tryReceive, limits, receives.queue, this, buffer);
  }

  /** The rest of a send that blocks: it has a deadline, or the queue O_NONBLOCK. */
  #sendWaiting(message: Outgoing, deadline: number): void {
    const tryOnce = () => this.#send(message, deadline === Infinity);
    this.#attemptSync(POLLOUT, tryOnce, deadline);
  }

  #receiveWaiting(buffer: Bytes | undefined, deadline: number): PosixMessage {
    const tryOnce = () => this.#receive(buffer, deadline === Infinity);
    return this.#attemptSync(POLLIN, tryOnce, deadline);
  }

  #attemptSync<T>(
    events: number,
    tryOnce: () => T | undefined,
    deadline: number,
  ): T {
    const descriptor = descriptorOf(this);
    const block = (until: number) => readySync(descriptor, events, until);
    return attemptSync(descriptor.subject, tryOnce, block, deadline);
  }

  /** One mq_receive, which waits if `blocks`; undefined if the queue is empty. */
  #receive(
    callers: Bytes | undefined,
    blocks = false,
  ): PosixMessage | undefined {
    const { fd, subject } = descriptorOf(this);
    const priority = this.#priority;
    const max = this.#maxSize;
    // The caller's memory may have been closed since it was checked. mq_receive into it
    // would lose the message.
    const into = callers && byteLengthOf(callers) >= max ? callers : undefined;
    const buffer = into ?? (this.#buffer ??= new Uint8Array(max));
    for (;;) {
      const size = blocks
        ? mqueue().mq_receive(fd, buffer, max, priority)
        : mqueue().mq_timedreceive(fd, buffer, max, priority, PAST);
      if (size !== -1) {
        const data = into === undefined
          ? buffer.slice(0, size)
          : firstOf(into, size);
        return { priority: priority[0]!, data };
      }
      const error = errno();
      if (error === EAGAIN || error === ETIMEDOUT) return undefined;
      if (!isInterruption(error)) {
        throw ipcError(error, "mq_receive", subject);
      }
    }
  }
}
