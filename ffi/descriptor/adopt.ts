// From a descriptor to an object of the class that fits it.

import type { Descriptor } from "../kernel/descriptor.ts";
import { type DescriptorKind, kindOf } from "../kernel/descriptor_kind.ts";
import { descriptorOf } from "../kernel/descriptor_owner.ts";
import { checkFd } from "../arguments.ts";
import {
  F_GET_SEALS,
  F_GETFL,
  F_SEAL_SHRINK,
  fcntl,
  O_ACCMODE,
  O_RDONLY,
  O_WRONLY,
} from "../libc/fcntl.ts";
import { SO_TYPE, SOCK_SEQPACKET } from "../libc/sys_socket.ts";
import { unistd } from "../libc/unistd.ts";
import { PosixMessageQueue } from "../message_queue/posix.ts";
import { PipeReader, PipeWriter } from "../pipe.ts";
import { MemoryFile } from "../shared_memory/memory_file.ts";
import { UnixDatagram } from "../socket/datagram.ts";
import { UnixListener } from "../socket/listener.ts";
import { PassedDescriptor } from "../socket/passed_descriptor.ts";
import { UnixSeqpacket } from "../socket/seqpacket.ts";
import { option } from "../socket/socket_option.ts";
import { UnixStream } from "../socket/stream.ts";
import { EventFd } from "./event_fd.ts";
import { File } from "./file.ts";
import { PidFd } from "./pid_fd.ts";
import { TimerFd } from "./timer_fd.ts";

/** What {@linkcode adoptDescriptor} returns: tell them apart with `instanceof`. */
export type AdoptedDescriptor =
  | File
  | PipeReader
  | PipeWriter
  | UnixStream
  | UnixSeqpacket
  | UnixDatagram
  | UnixListener<UnixStream>
  | UnixListener<UnixSeqpacket>
  | MemoryFile
  | PosixMessageQueue
  | EventFd
  | TimerFd
  | PidFd;

type Make = (fd: number) => AdoptedDescriptor;

const file: Make = (fd) => File.fromFd(fd);

/** An end of a pipe; a FIFO that is open for both is a file. */
function pipeEnd(fd: number): AdoptedDescriptor {
  const access = fcntl().fcntl(fd, F_GETFL, 0) & O_ACCMODE;
  if (access === O_RDONLY) return PipeReader.fromFd(fd);
  return access === O_WRONLY ? PipeWriter.fromFd(fd) : file(fd);
}

/** Memory that others can truncate is not mapped by mistake: it is a file. */
function memoryFile(fd: number): AdoptedDescriptor {
  const seals = fcntl().fcntl(fd, F_GET_SEALS, 0);
  return (seals & F_SEAL_SHRINK) !== 0 ? MemoryFile.fromFd(fd) : file(fd);
}

function listener(fd: number): AdoptedDescriptor {
  return option(fd, SO_TYPE, fd) === SOCK_SEQPACKET
    ? UnixListener.fromFd(fd, { type: "seqpacket" })
    : UnixListener.fromFd(fd);
}

const MAKE: Partial<Record<DescriptorKind, Make>> = {
  pipe: pipeEnd,
  "unix-stream": (fd) => UnixStream.fromFd(fd),
  "unix-seqpacket": (fd) => UnixSeqpacket.fromFd(fd),
  "unix-datagram": (fd) => UnixDatagram.fromFd(fd),
  "unix-listener": listener,
  "memory-file": memoryFile,
  "message-queue": (fd) => PosixMessageQueue.fromFd(fd),
  eventfd: (fd) => EventFd.fromFd(fd),
  timerfd: (fd) => TimerFd.fromFd(fd),
  pidfd: (fd) => PidFd.fromFd(fd),
};

/**
 * `fstat(2)`, `getsockopt(2)` and others: asks the kernel what a descriptor is, and makes
 * it an object of the class that fits, with its `fromFd()`.
 *
 * That is a `PipeReader` or a `PipeWriter` of {@link [pipe] @linux/ipc/pipe}; a
 * `UnixStream`, a `UnixSeqpacket`, a `UnixDatagram` or a `UnixListener` of
 * {@link [socket] @linux/ipc/socket}; a `PosixMessageQueue` of
 * {@link [message-queue] @linux/ipc/message-queue}; an {@linkcode EventFd}, a
 * {@linkcode TimerFd} or a {@linkcode PidFd}; for memory that no process can make smaller a
 * `MemoryFile` of {@link [shared-memory] @linux/ipc/shared-memory}; and for all others a
 * {@linkcode File}.
 *
 * The sender decides what the descriptor is: check the class before you use the object.
 *
 * @param passed A received descriptor; the result takes over its number, and it is closed
 * if this fails. Or the number of a descriptor, which stays open if this fails.
 * @returns The object, which the caller closes.
 * @throws {TypeError} If it is neither, or if another object owns the number.
 * @throws {RangeError} If the number is not an integer from 0 to 2147483647.
 * @throws {ClosedError} If the passed descriptor is closed.
 * @throws {IpcError} EBADF if no such descriptor is open, or one of `O_PATH`.
 * @throws {Deno.errors.NotSupported} If it is a message queue, and /proc is not mounted.
 *
 * @example Whatever the other side sends
 * ```ts
 * import { adoptDescriptor, EventFd } from "@linux/ipc/descriptor";
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using sockets = UnixStream.pair();
 * using event = EventFd.create(5);
 * sockets[0].sendSync(Uint8Array.of(1), { descriptors: [event] });
 *
 * using message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
 * using same = adoptDescriptor(message.descriptors[0]!);
 * assert(same instanceof EventFd);
 * assertEquals(same.tryRead(), 5n);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/stat.2.html | fstat(2)}
 */
export function adoptDescriptor(
  passed: PassedDescriptor | number,
): AdoptedDescriptor {
  if (passed instanceof PassedDescriptor) return adopt(descriptorOf(passed));
  checkFd(passed);
  return makeOf(passed)(passed);
}

function makeOf(fd: number): Make {
  const kind = kindOf(fd, `descriptor ${fd}`);
  return MAKE[kind] ?? file;
}

/** Gives a descriptor from one owner to the next; closes it if that fails. */
function adopt(descriptor: Descriptor): AdoptedDescriptor {
  const make = makeOf(descriptor.fd);
  const fd = descriptor.detach();
  try {
    return make(fd);
  } catch (error) {
    unistd().close(fd);
    throw error;
  }
}
