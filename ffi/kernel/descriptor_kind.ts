// What an open descriptor is: the kernel is asked, because its number says nothing.

import {
  check,
  EBADF,
  EINVAL,
  ENOENT,
  ENOSYS,
  ENOTSOCK,
  errno,
  unless,
} from "../libc/errno.ts";
import { F_GET_SEALS, F_GETFL, fcntl, O_PATH } from "../libc/fcntl.ts";
import { linuxPidfd } from "../libc/linux_pidfd.ts";
import { mqAttr, mqueue } from "../libc/mqueue.ts";
import {
  AF_UNIX,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  sysSocket,
} from "../libc/sys_socket.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  statusOfFd,
} from "../libc/sys_stat.ts";
import { SYS_pidfd_send_signal } from "../libc/sys_syscall.ts";
import { itimerspec } from "../libc/time.ts";
import { sysTimerfd } from "../libc/sys_timerfd.ts";
import { linkedTo, unistd } from "../libc/unistd.ts";
import { Descriptor, takeOver } from "./descriptor.ts";
import { type FromFdOptions, subjectOf } from "./descriptor_owner.ts";
import { linkInProc } from "./proc.ts";

/**
 * What a descriptor is.
 *
 * - `"file"`: a regular file; `"memory-file"`: one of `memfd_create`; `"directory"`;
 *   `"path"`: a file that was opened with `O_PATH`, for its name only.
 * - `"terminal"`, `"character-device"`, `"block-device"`.
 * - `"pipe"`: an end of a pipe or FIFO.
 * - `"unix-stream"`, `"unix-seqpacket"`, `"unix-datagram"`: Unix domain sockets;
 *   `"unix-listener"`: one that listens; `"socket"`: a socket of another family.
 * - `"message-queue"`: a POSIX message queue.
 * - `"eventfd"`, `"timerfd"`, `"pidfd"`, `"inotify"`, `"signalfd"`, `"epoll"`.
 * - `"other"`: something else, or one of the last kinds where /proc is not mounted,
 *   which alone tells them apart.
 */
export type DescriptorKind =
  | "file"
  | "memory-file"
  | "directory"
  | "path"
  | "terminal"
  | "character-device"
  | "block-device"
  | "pipe"
  | "unix-stream"
  | "unix-seqpacket"
  | "unix-datagram"
  | "unix-listener"
  | "socket"
  | "message-queue"
  | "eventfd"
  | "timerfd"
  | "pidfd"
  | "inotify"
  | "signalfd"
  | "epoll"
  | "other";

/** Asks the kernel what a descriptor is. */
export function kindOf(fd: number, subject: string): DescriptorKind {
  const flags = check(fcntl().fcntl(fd, F_GETFL, 0), "fcntl", subject);
  if ((flags & O_PATH) !== 0) return "path";
  const { stx_mode, stx_nlink } = statusOfFd(fd, subject);
  switch (stx_mode & S_IFMT) {
    case S_IFDIR:
      return "directory";
    case S_IFBLK:
      return "block-device";
    case S_IFCHR:
      return unistd().isatty(fd) === 1 ? "terminal" : "character-device";
    case S_IFIFO:
      return "pipe";
    case S_IFSOCK:
      return unixKindOf(socketOf(fd, subject));
    case S_IFREG:
      return regularKindOf(fd, stx_nlink);
    default:
      return anonymousKindOf(fd);
  }
}

/** A socket: its family and type, and whether it listens. */
export interface SocketStatus {
  readonly family: number;
  readonly type: number;
  readonly listens: boolean;
}

/** The family and type of a socket; undefined if the descriptor is not one. */
export function socketOf(
  fd: number,
  subject: string,
): SocketStatus | undefined {
  const value = new Int32Array(1);
  const length = Uint32Array.of(4);
  const { getsockopt } = sysSocket();
  const option = (name: number) => {
    const result = getsockopt(fd, SOL_SOCKET, name, value, length);
    check(result, "getsockopt", subject);
    return value[0]!;
  };
  const family = unless(ENOTSOCK, () => option(SO_DOMAIN));
  if (family === undefined) return undefined;
  const type = option(SO_TYPE);
  return { family, type, listens: option(SO_ACCEPTCONN) !== 0 };
}

const UNIX: Record<number, DescriptorKind> = {
  [SOCK_STREAM]: "unix-stream",
  [SOCK_DGRAM]: "unix-datagram",
  [SOCK_SEQPACKET]: "unix-seqpacket",
};

function unixKindOf(socket: SocketStatus | undefined): DescriptorKind {
  if (socket?.family !== AF_UNIX) return "socket";
  return socket.listens ? "unix-listener" : UNIX[socket.type] ?? "socket";
}

function regularKindOf(fd: number, links: number): DescriptorKind {
  if (isPidfd(fd)) return "pidfd"; // a file of pidfs, since Linux 6.9
  const { mq_getattr } = mqueue();
  if (mq_getattr(fd, new Uint8Array(mqAttr.size)) === 0) return "message-queue";
  const isInMemory = fcntl().fcntl(fd, F_GET_SEALS, 0) !== -1;
  return isInMemory && links === 0 ? "memory-file" : "file";
}

/** Whether a descriptor, not of a directory, stands for a process. */
function isPidfd(fd: number): boolean {
  const { pidfd_send_signal } = linuxPidfd();
  const nothing = 0; // checks the descriptor, and sends no signal
  const number = BigInt(SYS_pidfd_send_signal);
  if (pidfd_send_signal(number, fd, nothing, null, 0) === 0n) return true;
  const error = errno();
  // ESRCH and EPERM are about its process. ENOSYS and EINVAL: the kernel is too old, or
  // the process is in another PID namespace.
  return error !== EBADF && error !== ENOSYS && error !== EINVAL;
}

const ANONYMOUS: Record<string, DescriptorKind> = {
  "anon_inode:[eventfd]": "eventfd",
  "anon_inode:[timerfd]": "timerfd",
  "anon_inode:[pidfd]": "pidfd",
  "anon_inode:inotify": "inotify",
  "anon_inode:[signalfd]": "signalfd",
  "anon_inode:[eventpoll]": "epoll",
};

function linkOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** The kind of what has no file. Only a link in /proc tells of all of them. */
function anonymousKindOf(fd: number): DescriptorKind {
  const current = new Uint8Array(itimerspec.size);
  if (sysTimerfd().timerfd_gettime(fd, current) === 0) return "timerfd";
  if (isPidfd(fd)) return "pidfd";
  const link = unless(ENOENT, () => linkedTo(linkOf(fd)));
  return ANONYMOUS[link ?? ""] ?? "other";
}

/** Refuses a descriptor of another kind, and one of which nothing tells its kind. */
function checkKind(
  fd: number,
  wanted: DescriptorKind,
  subject: string,
): void {
  const kind = kindOf(fd, subject);
  if (kind === wanted) return;
  if (kind === "other") {
    linkInProc(linkOf(fd), `tell whether ${subject} is of the kind ${wanted}`);
  }
  throw new TypeError(
    `Argument "fd" must be of the kind ${wanted}: ${fd} is ${kind}`,
  );
}

/** Takes over a descriptor of one kind. Refuses others. */
export function descriptorOfKind(
  fd: number,
  wanted: DescriptorKind,
  options: FromFdOptions | undefined,
): Descriptor {
  const subject = subjectOf(fd, options);
  checkKind(fd, wanted, subject);
  takeOver(fd, subject);
  return new Descriptor(fd, subject);
}
