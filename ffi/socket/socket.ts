// What all Unix domain sockets have in common.

import { checkFd, checkInteger } from "../arguments.ts";
import { Descriptor, owning, takeOver } from "../kernel/descriptor.ts";
import { check, ENOTSOCK, errno, ipcError } from "../libc/errno.ts";
import { checkInternal, type internal } from "../internal.ts";
import { FIONREAD, SIOCOUTQ, sysIoctl } from "../libc/sys_ioctl.ts";
import {
  AF_UNIX,
  SHUT_WR,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_PASSCRED,
  SO_RCVBUF,
  SO_SNDBUF,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  sysSocket,
} from "../libc/sys_socket.ts";
import { attempt } from "../wait/attempt.ts";
import { Backoff } from "../wait/backoff.ts";
import { limitsOf, type WaitOptions } from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { addressOf, type UnixAddress } from "./address.ts";
import type { SocketFile } from "./socket_file.ts";
import { type Credentials, peerCredentials, peerPidfd } from "./credentials.ts";
import { option, setOption } from "./options.ts";
import { passed, type PassedDescriptor } from "./rights.ts";

/** The descriptor of a socket, and what is set on it. */
export class SocketDescriptor extends Descriptor {
  /** SO_PASSCRED, as this object has set or found it. */
  passCredentials = false;
  /** The file of a bound socket, which close() removes. */
  file: SocketFile | undefined;
  /** What its waits wait for instead of it, and what ends with it. */
  readonly probes: Set<Descriptor> = new Set();
  /** Who receives and who sends, one after the other. */
  readonly receives: WaiterQueue = new WaiterQueue();
  readonly sends: WaiterQueue = new WaiterQueue();

  override release(): number {
    const fd = super.release();
    for (const probe of this.probes) probe.close();
    return fd;
  }

  override close(): void {
    if (!this.closed) this.file?.remove();
    super.close();
  }
}

/** setsockopt(fd, SOL_SOCKET, SO_PASSCRED, ...) */
export function setPassCredentials(
  socket: SocketDescriptor,
  value: boolean,
): void {
  setOption(socket.fd, SO_PASSCRED, value ? 1 : 0, socket.subject);
  socket.passCredentials = value;
}

/** shutdown(fd, SHUT_WR) */
export function closeWrite({ fd, subject }: SocketDescriptor): void {
  check(sysSocket().shutdown(fd, SHUT_WR), "shutdown", subject);
}

/** Sizes of a socket's buffers, in bytes. */
export interface UnixBufferSizes {
  /** `SO_SNDBUF`: how much may be unread by the peer, overhead included. */
  readonly send: number;
  /** `SO_RCVBUF`, which has no effect on Unix domain sockets. */
  readonly receive: number;
}

/** How a descriptor is taken over. */
export interface UnixFromFdOptions {
  /**
   * What errors call it.
   *
   * @default {`descriptor ${fd}`}
   */
  name?: string | undefined;
}

/** Two sockets that are connected to each other; disposing of it closes both. */
export type UnixPair<Socket> = readonly [Socket, Socket] & Disposable;

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
): UnixPair<Socket> {
  const fds = new Int32Array(2);
  const { socketpair } = sysSocket();
  check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), "socketpair");
  const end = (fd: number) => make(new SocketDescriptor(fd, "socket pair"));
  const ends = [end(fds[0]!), end(fds[1]!)] as const;
  return owning(ends, ...ends);
}

/** Takes over a descriptor number, if it is a Unix domain socket of that type. */
export function adoptSocket(
  fd: number,
  type: number,
  listening: boolean,
  options: UnixFromFdOptions | undefined,
): SocketDescriptor {
  checkFd(fd);
  const subject = options?.name ?? `descriptor ${fd}`;
  if (typeof subject !== "string") {
    throw new TypeError('Argument "name" must be a string');
  }
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

/** What kind of socket a descriptor is. */
function kindOf(fd: number, subject: string): string {
  const domain = new Int32Array(1);
  const length = Uint32Array.of(4);
  const { getsockopt } = sysSocket();
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, domain, length) === -1) {
    const number = errno();
    if (number === ENOTSOCK) return "file of another kind";
    throw ipcError(number, "getsockopt", subject);
  }
  if (domain[0] !== AF_UNIX) return "socket of another family";
  const type = TYPES[option(fd, SO_TYPE, subject)];
  const listens = option(fd, SO_ACCEPTCONN, subject) !== 0;
  return `${listens ? "listening " : ""}Unix ${type} socket`;
}

// Set by the class: the descriptor is for this folder alone.
let descriptorIn: (socket: UnixSocket) => SocketDescriptor;

/** The descriptor of a socket. */
export function descriptorOf(socket: UnixSocket): SocketDescriptor {
  return descriptorIn(socket);
}

/**
 * What all Unix domain sockets have in common. It is not made by itself.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export abstract class UnixSocket implements Disposable {
  readonly #descriptor: SocketDescriptor;

  /** Made by this module alone. */
  protected constructor(token: typeof internal, descriptor: SocketDescriptor) {
    checkInternal(token, new.target.name);
    this.#descriptor = descriptor;
  }

  static {
    descriptorIn = (socket) => socket.#descriptor;
  }

  /** The number of the descriptor, which stays this object's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `getsockname(2)`: the address of this socket; null if it has no name. A path
   * is as it was given to bind.
   */
  get localAddress(): UnixAddress | null {
    const { fd, subject } = this.#descriptor;
    return addressOf("getsockname", fd, subject);
  }

  /**
   * `SO_PASSCRED`: whether each message that is received says who has sent it. The
   * kernel checks what the sender says, unless that has the privileges of root
   * (CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID), which can say anything. Set it before the peer may send: what is on its way
   * already may be without. Connections of a listener have it from the listener.
   *
   * A socket without a name that turns it on gets one in the abstract namespace
   * when it connects or sends.
   */
  get passCredentials(): boolean {
    const { fd, subject } = this.#descriptor;
    return option(fd, SO_PASSCRED, subject) !== 0;
  }

  set passCredentials(value: boolean) {
    setPassCredentials(this.#descriptor, Boolean(value));
  }

  /**
   * `SO_SNDBUF` and `SO_RCVBUF`, in bytes. The kernel doubles what is set, for its
   * own overhead, and reads back the double. Without a word it takes no more than
   * /proc/sys/net/core/wmem_max and rmem_max: read back what has become of it.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  get bufferSizes(): UnixBufferSizes {
    const { fd, subject } = this.#descriptor;
    return {
      send: option(fd, SO_SNDBUF, subject),
      receive: option(fd, SO_RCVBUF, subject),
    };
  }

  set bufferSizes(sizes: Partial<UnixBufferSizes>) {
    const { send, receive } = sizes;
    const max = 0x3fff_ffff; // half an int: the kernel doubles it
    for (const [name, value] of Object.entries({ send, receive })) {
      if (value === undefined) continue;
      checkInteger(`bufferSizes.${name}`, value, 0, max, "half an int");
    }
    const { fd, subject } = this.#descriptor;
    if (send !== undefined) setOption(fd, SO_SNDBUF, send, subject);
    if (receive !== undefined) setOption(fd, SO_RCVBUF, receive, subject);
  }

  /**
   * `fcntl(fd, F_SETFD, 0)`, for as long as `spawn` runs: processes started by it
   * have this socket under the same number. Others do not, unless another thread
   * starts one in that moment. Both share one socket then; close this end, if it
   * is the child's now, or the peer never sees the end.
   *
   * @param spawn Starts the child before it returns, or first awaits; gets the
   * descriptor's number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this socket is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /**
   * Gives the descriptor away, such as to `node:net`. This object is closed from
   * now on; whoever has the number closes the descriptor. Pending waits end with
   * a ClosedError. A socket file stays.
   *
   * @returns The number of the descriptor.
   * @throws {ClosedError} If this socket is closed.
   */
  release(): number {
    return this.#descriptor.release();
  }

  /**
   * `close(2)`, after removing the socket file that this object has made, if it has
   * made one and the path still names it. Closing twice does nothing. Pending waits
   * end with a ClosedError; connections that a listener has accepted stay.
   */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes this socket. */
  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}

/**
 * What sockets have that carry bytes: all but a listener. It is not made by
 * itself.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export abstract class UnixChannel extends UnixSocket {
  /**
   * `getpeername(2)`: the address of the peer; null if it has no name, as most
   * clients have none.
   *
   * @throws {IpcError} ENOTCONN if this socket is not connected.
   */
  get remoteAddress(): UnixAddress | null {
    const { fd, subject } = descriptorOf(this);
    return addressOf("getpeername", fd, subject);
  }

  /**
   * `ioctl(fd, FIONREAD, ...)`: how many bytes can be received now. Of datagrams it
   * is the size of the next one; of seqpackets the sum of all.
   */
  get available(): number {
    return inquire(descriptorOf(this), FIONREAD);
  }

  /**
   * `ioctl(fd, SIOCOUTQ, ...)`: whether all that was sent has been received by the
   * other side.
   *
   * @returns False while something sent here is still unread there.
   * @throws {ClosedError} If this socket is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
   */
  isDrained(): boolean {
    return isDrained(descriptorOf(this));
  }

  /**
   * `ioctl(fd, SIOCOUTQ, ...)`, until the other side has received all that was
   * sent. What is written to a stream after that cannot be joined to it in one
   * read.
   *
   * No event tells of it, so it is looked at again and again, with pauses of 1 to
   * 20 milliseconds.
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
    const drained = () => isDrained(socket) || undefined;
    await attempt(new Backoff(socket.subject), drained, limits);
  }
}

/** Whether the other side has received all that was sent. */
function isDrained(socket: SocketDescriptor): boolean {
  // What is counted is memory, not bytes of data; 0 is the same in both.
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
 * What sockets have that are one side of a connection. It is not made by itself.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export abstract class UnixConnection extends UnixChannel {
  /**
   * `getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ...)`: who the peer is. The kernel has
   * noted it when the peer connected, or, if the peer accepted this connection,
   * when it began to listen; the process may be gone since, and its id another's.
   * {@linkcode UnixConnection.peerPidfd} is safe from that.
   */
  get peerCredentials(): Credentials {
    return peerCredentials(descriptorOf(this));
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, ...)`: a descriptor of the process
   * that is the peer, as of {@linkcode UnixConnection.peerCredentials}. It stays
   * that process's, whatever becomes of its id; it is ready for reading when the
   * process has ended.
   *
   * @returns The descriptor; close it, or give it away.
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ENOPROTOOPT before Linux 6.5; ESRCH or EINVAL if the process
   * is gone and reaped (before Linux 6.16); EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pidfd_open.2.html | pidfd_open(2)}
   */
  peerPidfd(): PassedDescriptor {
    return passed(peerPidfd(descriptorOf(this)), "pidfd");
  }

  /**
   * `shutdown(fd, SHUT_WR)`: nothing more is sent. The peer receives the end, and
   * may go on sending itself.
   *
   * @throws {ClosedError} If this socket is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shutdown.2.html | shutdown(2)}
   */
  closeWrite(): void {
    closeWrite(descriptorOf(this));
  }
}
