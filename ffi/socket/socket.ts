// The base classes of all Unix domain sockets, and how their descriptors are opened and
// taken over.

import { checkInteger, checkMode } from "../arguments.ts";
import type { internal } from "../internal.ts";
import { Descriptor, isHandedOn, takeOver } from "../kernel/descriptor.ts";
import {
  descriptorOf as ownedDescriptorOf,
  DescriptorOwner,
  type FromFdOptions,
  owning,
  type Pair,
  subjectOf,
} from "../kernel/descriptor_owner.ts";
import { socketOf } from "../kernel/descriptor_kind.ts";
import { check, ECONNRESET, ipcError } from "../libc/errno.ts";
import { FIONREAD, SIOCOUTQ, sysIoctl } from "../libc/sys_ioctl.ts";
import { POLLIN, POLLOUT } from "../libc/poll.ts";
import {
  AF_UNIX,
  SHUT_WR,
  SO_PASSCRED,
  SO_PASSRIGHTS,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  sysSocket,
} from "../libc/sys_socket.ts";
import { type PidFd, pidFdOver } from "../descriptor/pid_fd.ts";
import { attempt } from "../wait/attempt.ts";
import { Backoff } from "../wait/backoff.ts";
import { limitsOf, type WaitOptions } from "../wait/options.ts";
import { DescriptorSource } from "../wait/reactor.ts";
import { addressOf, decodeAddress, type UnixAddress } from "./address.ts";
import { type Credentials, peerCredentials, peerPidfd } from "./credentials.ts";
import type { SocketFile } from "./socket_file.ts";
import { option, setOption } from "./socket_option.ts";

/** The descriptor of a socket, and the state that goes with it. */
export class SocketDescriptor extends Descriptor {
  /** Whether ECONNRESET is to be reported, after what has arrived. */
  isReset = false;
  /** SO_PASSCRED, as last set or read. */
  passCredentials = false;
  /** The file of a bound socket; close() removes it. */
  file: SocketFile | undefined;
  /** Its address, and that of its peer, if the kernel knows a short one in its place. */
  longName: Uint8Array<ArrayBuffer> | undefined;
  longPeerName: Uint8Array<ArrayBuffer> | undefined;
  /** Descriptors that it needs; they are closed with it. */
  readonly attached: Set<Descriptor> = new Set();
  /** Receives and sends are done in the order of their calls. */
  readonly receives: DescriptorSource = new DescriptorSource(this, POLLIN);
  readonly sends: DescriptorSource = new DescriptorSource(this, POLLOUT);

  /**
   * Throws the ECONNRESET that the kernel has reported, once. To be called when there is
   * nothing more to receive: the kernel may report it before what has arrived.
   */
  throwReset(syscall: string): void {
    if (!this.isReset) return;
    this.isReset = false;
    throw ipcError(ECONNRESET, syscall, this.subject);
  }

  override detach(): number {
    const fd = super.detach();
    for (const descriptor of this.attached) descriptor.close();
    return fd;
  }

  override close(): void {
    if (!this.closed && !isHandedOn(this.fd)) this.file?.remove();
    super.close();
  }
}

/** Changes the mode of the file of a bound socket. */
export function chmod(
  { file, fd, subject }: SocketDescriptor,
  mode: number,
): void {
  checkMode(mode);
  if (file !== undefined) return file.chmod(mode | 0);
  throw new TypeError(
    `Cannot change the mode of ${subject} (descriptor ${fd}): this object has no file`,
  );
}

/** setsockopt(fd, SOL_SOCKET, SO_PASSCRED, ...) */
function setPassCredentials(socket: SocketDescriptor, value: boolean): void {
  setOption(socket.fd, SO_PASSCRED, value ? 1 : 0, socket.subject);
  socket.passCredentials = value;
}

/** setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, ...) */
function setPassDescriptors(socket: SocketDescriptor, value: boolean): void {
  const { fd } = socket;
  setOption(fd, SO_PASSRIGHTS, value ? 1 : 0, passRights(socket));
}

/** Name used in error messages: the reason of ENOPROTOOPT. */
function passRights({ subject }: SocketDescriptor): string {
  return `SO_PASSRIGHTS (since Linux 6.16) of ${subject}`;
}

/** Options of a socket that receives messages: what may accompany them. */
export interface UnixPassOptions {
  /**
   * Whether received messages have credentials, from the first one on; connections of a
   * listener inherit it. See
   * {@linkcode UnixSocket.prototype.passCredentials | UnixSocket.passCredentials}.
   *
   * @default {false}
   */
  passCredentials?: boolean | undefined;
  /**
   * Whether peers may pass descriptors, from the first message on; connections of a
   * listener inherit it. See
   * {@linkcode UnixSocket.prototype.passDescriptors | UnixSocket.passDescriptors}.
   *
   * @default {true}
   */
  passDescriptors?: boolean | undefined;
}

/** Reads the options of a socket that is made; returns what applies them. */
export function passingOf(
  options: UnixPassOptions | undefined,
): (socket: SocketDescriptor) => void {
  const { passCredentials = false, passDescriptors = true } = options ?? {};
  return (socket) => {
    if (passCredentials) setPassCredentials(socket, true);
    if (!passDescriptors) setPassDescriptors(socket, false);
  };
}

/** shutdown(fd, SHUT_WR) */
export function closeWrite({ fd, subject }: SocketDescriptor): void {
  check(sysSocket().shutdown(fd, SHUT_WR), "shutdown", subject);
}

/** The sizes of the buffers of a socket, in bytes. */
export interface UnixBufferSizes {
  /** `SO_SNDBUF`: the limit of unread data in flight, including overhead. */
  readonly send: number;
  /** `SO_RCVBUF`, which has no effect on Unix domain sockets. */
  readonly receive: number;
}

const TYPES: Record<number, string> = {
  [SOCK_STREAM]: "stream",
  [SOCK_DGRAM]: "datagram",
  [SOCK_SEQPACKET]: "seqpacket",
};

/** socket(AF_UNIX, type, 0) */
export function openSocket(type: number, subject: string): SocketDescriptor {
  const { socket } = sysSocket();
  const fd = check(socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket", subject);
  return new SocketDescriptor(fd, subject);
}

/** socketpair(AF_UNIX, type, 0, sv) */
export function socketPair<Socket extends Disposable>(
  type: number,
  make: (descriptor: SocketDescriptor) => Socket,
): Pair<Socket> {
  const fds = new Int32Array(2);
  const { socketpair } = sysSocket();
  check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), "socketpair");
  const end = (fd: number) => make(new SocketDescriptor(fd, "socket pair"));
  const ends = [end(fds[0]!), end(fds[1]!)] as const;
  return owning(ends, ...ends);
}

/** Takes ownership of a descriptor, if it is a Unix domain socket of that type. */
export function adoptSocket(
  fd: number,
  type: number,
  listening: boolean,
  options: FromFdOptions | undefined,
): SocketDescriptor {
  const subject = subjectOf(fd, options);
  const wanted = `${listening ? "listening " : ""}Unix ${TYPES[type]} socket`;
  const found = kindOf(fd, subject);
  if (found !== wanted) {
    throw new TypeError(
      `Argument "fd" must be a ${wanted}: ${fd} is a ${found}`,
    );
  }
  const passCredentials = option(fd, SO_PASSCRED, subject) !== 0;
  takeOver(fd, subject);
  const descriptor = new SocketDescriptor(fd, subject);
  descriptor.passCredentials = passCredentials;
  return descriptor;
}

/** Describes the kind of a descriptor, such as "Unix stream socket". */
function kindOf(fd: number, subject: string): string {
  const socket = socketOf(fd, subject);
  if (socket === undefined) return "file of another kind";
  if (socket.family !== AF_UNIX) return "socket of another family";
  const listens = socket.listens ? "listening " : "";
  return `${listens}Unix ${TYPES[socket.type]} socket`;
}

/** The descriptor of a socket. */
export function descriptorOf(socket: UnixSocket): SocketDescriptor {
  return ownedDescriptorOf(socket) as SocketDescriptor; // no other is constructed with
}

/**
 * The base class of all Unix domain sockets.
 *
 * `close()` removes the socket file that `bind` has created, if the path still names it.
 * The file stays after `detach()`, and if another program was given the descriptor, by
 * `inherit()` or in a message: that program can serve on. It also stays if the object is
 * forgotten: the garbage collector then closes the descriptor, and a number that was
 * kept from `fd` can become another file's.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export abstract class UnixSocket extends DescriptorOwner {
  /**
   * Made by this module alone.
   *
   * @ignore
   */
  protected constructor(token: typeof internal, descriptor: SocketDescriptor) {
    super(token, new.target.name, descriptor);
  }

  /**
   * `getsockname(2)`: the address of this socket; null if it is unnamed.
   *
   * A path is returned as it was passed to `bind`; one that another process has bound and
   * that has more than 107 bytes is absolute.
   *
   * @throws {ClosedError} If this socket is closed.
   */
  get localAddress(): UnixAddress | null {
    const { fd, subject, longName } = descriptorOf(this);
    return longName === undefined
      ? addressOf("getsockname", fd, subject)
      : decodeAddress(longName, longName.length);
  }

  /**
   * `SO_PASSCRED`: whether received messages have the credentials of their sender.
   *
   * The kernel checks them, except for a sender with CAP_SYS_ADMIN, CAP_SETUID or
   * CAP_SETGID, such as root. Set it before the peer sends: messages that are queued
   * already may have none. Connections inherit it from their listener.
   *
   * An unnamed socket with this option gets an abstract name when it connects or sends.
   *
   * @throws {ClosedError} If this socket is closed.
   *
   * @example Which process has the other end
   * ```ts ignore
   * import { UnixStream } from "@linux/ipc/socket";
   *
   * const [mine, its] = UnixStream.pair();
   * mine.passCredentials = true;
   * const child = its.inherit((fd) =>
   *   new Deno.Command("bash", { args: ["-c", `echo ready >&${fd}`] }).spawn()
   * );
   * its.close();
   * const message = await mine.receive();
   * console.log(message?.credentials?.pid === child.pid); // true
   * console.log(mine.peerCredentials.pid === Deno.pid); // true: it made the pair
   * mine.close();
   * ```
   */
  get passCredentials(): boolean {
    const { fd, subject } = descriptorOf(this);
    return option(fd, SO_PASSCRED, subject) !== 0;
  }

  set passCredentials(value: boolean) {
    setPassCredentials(descriptorOf(this), Boolean(value));
  }

  /**
   * `SO_PASSRIGHTS`: whether peers may pass descriptors.
   *
   * If it is false, a message with descriptors is refused: its sender gets EPERM.
   * Descriptors that were sent before can still be received. Connections inherit it from
   * their listener.
   *
   * (Without it a receiver is safe, too: it gets no more descriptors than its
   * `maxDescriptors`, which is 0 by default.)
   *
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ENOPROTOOPT before Linux 6.16.
   */
  get passDescriptors(): boolean {
    const socket = descriptorOf(this);
    return option(socket.fd, SO_PASSRIGHTS, passRights(socket)) !== 0;
  }

  set passDescriptors(value: boolean) {
    setPassDescriptors(descriptorOf(this), Boolean(value));
  }

  /**
   * `SO_SNDBUF` and `SO_RCVBUF`, in bytes.
   *
   * The kernel doubles the value that is set, for its own overhead, and returns the
   * doubled one. It silently limits the value to /proc/sys/net/core/wmem_max and
   * rmem_max: read it back.
   *
   * @throws {TypeError} If a size to set is not a number.
   * @throws {RangeError} If it is not an integer from 0 to 1073741823.
   * @throws {ClosedError} If this socket is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  get bufferSizes(): UnixBufferSizes {
    const { fd, subject } = descriptorOf(this);
    return {
      send: option(fd, SO_SNDBUF, subject),
      receive: option(fd, SO_RCVBUF, subject),
    };
  }

  set bufferSizes(sizes: Partial<UnixBufferSizes>) {
    const { send, receive } = sizes;
    const max = 0x3fff_ffff; // half of INT_MAX: the kernel doubles it
    for (const [name, value] of Object.entries({ send, receive })) {
      if (value === undefined) continue;
      checkInteger(`bufferSizes.${name}`, value, 0, max, "half an int");
    }
    const { fd, subject } = descriptorOf(this);
    if (send !== undefined) setOption(fd, SO_SNDBUF, send, subject);
    if (receive !== undefined) setOption(fd, SO_RCVBUF, receive, subject);
  }
}

/**
 * The base class of all Unix domain sockets that carry data: all but listeners.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export abstract class UnixChannel extends UnixSocket {
  /**
   * `getpeername(2)`: the address of the peer; null if the peer is unnamed, as most
   * clients are.
   *
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ENOTCONN if this socket is not connected.
   */
  get remoteAddress(): UnixAddress | null {
    const { fd, subject, longPeerName } = descriptorOf(this);
    return longPeerName === undefined
      ? addressOf("getpeername", fd, subject)
      : decodeAddress(longPeerName, longPeerName.length);
  }

  /**
   * `ioctl(fd, FIONREAD, ...)`: the number of bytes that can be received now. For
   * datagrams it is the size of the next one, for seqpackets the sum of all.
   *
   * @throws {ClosedError} If this socket is closed.
   */
  get available(): number {
    return inquire(descriptorOf(this), FIONREAD);
  }

  /**
   * `ioctl(fd, SIOCOUTQ, ...)`: whether the peer has received everything that was
   * sent.
   *
   * @returns False while the peer has data to receive.
   * @throws {ClosedError} If this socket is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
   */
  isDrained(): boolean {
    return isDrained(descriptorOf(this));
  }

  /**
   * `ioctl(fd, SIOCOUTQ, ...)`, until the peer has received everything that was sent.
   * Bytes that are written to a stream after that cannot be returned by the same read.
   *
   * No event tells of it, so the socket is polled every 1 to 20 milliseconds.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {ClosedError} If this socket is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
   */
  async drained(options?: WaitOptions): Promise<void> {
    const limits = limitsOf(options);
    const socket = descriptorOf(this);
    const tryOnce = () => isDrained(socket) || undefined;
    const source = new Backoff(socket.subject, socket.liveness);
    await attempt(source, tryOnce, limits);
  }
}

/** Whether the peer has received everything that was sent. */
function isDrained(socket: SocketDescriptor): boolean {
  // SIOCOUTQ counts memory, not bytes of data; 0 is the same in both.
  return inquire(socket, SIOCOUTQ) === 0;
}

/** ioctl(fd, request, &value) */
export function inquire(
  { fd, subject }: SocketDescriptor,
  request: number,
): number {
  const value = new Int32Array(1);
  check(sysIoctl().ioctl(fd, request, value), "ioctl", subject);
  return value[0]!;
}

/**
 * The base class of Unix domain sockets that are one side of a connection.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export abstract class UnixConnection extends UnixChannel {
  /**
   * `getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ...)`: the process, user and group of the
   * peer.
   *
   * The kernel recorded them when the peer connected, or, if the peer accepted this
   * connection, when it called `listen`. The process may have ended since, and its id may
   * be reused; {@linkcode UnixConnection.prototype.peerPidfd | UnixConnection.peerPidfd}
   * does not have that race.
   *
   * Both ends of a `pair()` have the process that made the pair, also after a child has
   * inherited one. To learn which process sends, set
   * {@linkcode UnixSocket.prototype.passCredentials | UnixSocket.passCredentials}: each
   * message has the credentials of its sender. Or let the child connect to a listener.
   *
   * @throws {ClosedError} If this socket is closed.
   */
  get peerCredentials(): Credentials {
    return peerCredentials(descriptorOf(this));
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, ...)`: opens a process descriptor (pidfd)
   * of the peer, the process of
   * {@linkcode UnixConnection.prototype.peerCredentials | UnixConnection.peerCredentials}.
   *
   * It refers to that process even if the id is reused, and is readable when the process
   * has ended. Of a `pair()` it is the process that made the pair, not a child that has
   * inherited an end.
   *
   * @returns The process, which the caller closes.
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ENOPROTOOPT before Linux 6.5; ESRCH or EINVAL if the process
   * has ended and was reaped (before Linux 6.16); EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pidfd_open.2.html | pidfd_open(2)}
   */
  peerPidfd(): PidFd {
    return pidFdOver(peerPidfd(descriptorOf(this)));
  }

  /**
   * `shutdown(fd, SHUT_WR)`: ends sending. The peer receives the end, and can still
   * send. Asynchronous sends that wait fail with EPIPE.
   *
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ENOTCONN if this socket was taken over and is not connected.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shutdown.2.html | shutdown(2)}
   */
  closeWrite(): void {
    closeWrite(descriptorOf(this));
  }
}
