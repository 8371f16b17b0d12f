// One message: sendmsg and recvmsg, and send where that is enough.

import {
  byteLengthOf,
  checkBytes,
  checkInteger,
  checkKept,
  setBytes,
  viewOf,
} from "../arguments.ts";
import { EAGAIN, EINTR, EMSGSIZE, errno, ipcError } from "../libc/errno.ts";
import { systemLimit } from "../kernel/limits.ts";
import { pointerTo } from "../libc/string.ts";
import {
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_NOSIGNAL,
  msghdr,
  SO_SNDBUF,
  sysSocket,
} from "../libc/sys_socket.ts";
import { iovec } from "../libc/sys_uio.ts";
import { sockaddrUn } from "../libc/sys_un.ts";
import { MAX_COUNT } from "../libc/unistd.ts";
import type { DescriptorLike } from "../wait/descriptors.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import { decodeAddress, describeName, type UnixAddress } from "./address.ts";
import type { Credentials } from "./credentials.ts";
import { option } from "./options.ts";
import {
  checkMaxDescriptors,
  type Control,
  controlRoom,
  descriptorsOf,
  MAX_CONTROL,
  numbersOf,
  type PassedDescriptor,
  readControl,
  writeRights,
} from "./rights.ts";
import type { SocketDescriptor } from "./socket.ts";

/** What goes with the bytes of a message, without waiting. */
export interface UnixTrySendOptions {
  /**
   * Descriptors to pass, at most 253. The receiver gets its own, of the same open
   * files; these stay open here. Those of this module's objects arrive blocking
   * (without `O_NONBLOCK`), others as they are.
   *
   * @default {[]}
   */
  descriptors?: readonly DescriptorLike[] | undefined;
}

/** What goes with the bytes of a message, and how long this thread may block. */
export interface UnixSendSyncOptions
  extends UnixTrySendOptions, SyncWaitOptions {}

/** What goes with the bytes of a message, and what ends the wait. */
export interface UnixSendOptions extends UnixTrySendOptions, WaitOptions {}

/** How a message is received, without waiting. */
export interface UnixTryReceiveOptions {
  /**
   * Receives into these bytes: `data` is then a part of them, and nothing is
   * copied. Their length takes the place of `maxSize`.
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
  /**
   * The most bytes to receive. Of a longer message the rest is lost, and it says
   * `truncated`; of a stream the rest is there for the next time.
   *
   * @default {the longest message that a process without privileges can send:
   * twice /proc/sys/net/core/wmem_max, but at most 8 MiB; for a stream 64 KiB}
   */
  maxSize?: number | undefined;
  /**
   * The most descriptors to receive, up to 253. Any more are closed, and the
   * message says `descriptorsTruncated`.
   *
   * @default {0}
   */
  maxDescriptors?: number | undefined;
}

/** How a message is received, and how long this thread may block. */
export interface UnixReceiveSyncOptions
  extends UnixTryReceiveOptions, SyncWaitOptions {}

/** How a message is received, and what ends the wait. */
export interface UnixReceiveOptions
  extends UnixTryReceiveOptions, WaitOptions {}

/** A received message. Disposing of it closes the descriptors that came along. */
export interface UnixMessage extends Disposable {
  /** The bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** How many bytes were sent in this message; for a stream, `data.length`. */
  readonly size: number;
  /** Whether `data` is only the beginning: `size` is more than `data.length`. */
  readonly truncated: boolean;
  /** The descriptors that were passed along; close them, or release them. */
  readonly descriptors: readonly PassedDescriptor[];
  /**
   * Whether descriptors were passed that are not in `descriptors`: more than
   * `maxDescriptors`, or more than this process may have (EMFILE). They are closed.
   */
  readonly descriptorsTruncated: boolean;
  /**
   * Who has sent it, if the socket's `passCredentials` is true; else null. A sender
   * with the privileges of root can say what it likes.
   */
  readonly credentials: Credentials | null;
  /** The sender's address; null if it has none, or the socket is connected. */
  readonly from: UnixAddress | null;
}

class Message implements UnixMessage {
  readonly #passed: readonly PassedDescriptor[];

  constructor(
    readonly data: Uint8Array<ArrayBuffer>,
    readonly size: number,
    readonly descriptors: readonly PassedDescriptor[],
    readonly descriptorsTruncated: boolean,
    readonly credentials: Credentials | null,
    readonly from: UnixAddress | null,
  ) {
    this.#passed = descriptors;
  }

  get truncated(): boolean {
    return this.size > this.data.length;
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#passed) descriptor.close();
  }
}

/** What recvmsg or sendmsg is given: made once, used by one call at a time. */
class Call {
  readonly header: Uint8Array<ArrayBuffer> = new Uint8Array(msghdr.size);
  readonly view = msghdr.view(this.header);
  readonly name: Uint8Array<ArrayBuffer> = new Uint8Array(sockaddrUn.size + 1);
  readonly control: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_CONTROL);
  readonly #vector = new Uint8Array(iovec.size);
  readonly #vectorView = iovec.view(this.#vector);
  readonly #namePointer = pointerTo(this.name);
  readonly #controlPointer = pointerTo(this.control);
  #pointer = 0n;
  #length = 0;
  #nameLength = 0;
  #controlLength = 0;

  constructor() {
    this.view.msg_iov = pointerTo(this.#vector);
    this.view.msg_iovlen = 1n;
  }

  /** Fills in what is not there from the call before; a length of 0 stays 0. */
  prepare(
    pointer: bigint,
    length: number,
    nameLength: number,
    controlLength: number,
  ): void {
    if (pointer !== this.#pointer || length !== this.#length) {
      this.#vectorView.iov_base = this.#pointer = pointer;
      this.#vectorView.iov_len = BigInt(this.#length = length);
    }
    if (nameLength !== 0 || this.#nameLength !== 0) {
      this.view.msg_name = nameLength === 0 ? 0n : this.#namePointer;
      this.view.msg_namelen = this.#nameLength = nameLength;
    }
    if (controlLength !== 0 || this.#controlLength !== 0) {
      this.view.msg_control = controlLength === 0 ? 0n : this.#controlPointer;
      this.view.msg_controllen = BigInt(this.#controlLength = controlLength);
    }
  }
}

let sending: Call | undefined;
let receiving: Call | undefined;

/** What is sent: the caller's arguments, read once. */
export interface Outgoing {
  readonly data: Uint8Array<ArrayBuffer>;
  /** The bytes that it had at the call. */
  readonly length: number;
  /** Their numbers are asked for at each try. */
  readonly descriptors: readonly DescriptorLike[] | null;
  readonly to: Uint8Array<ArrayBuffer> | null;
}

/** Reads and checks what is to be sent. */
export function outgoing(
  data: Uint8Array,
  options: UnixTrySendOptions | undefined,
  to: Uint8Array<ArrayBuffer> | null = null,
): Outgoing {
  checkBytes("data", data);
  const given = options?.descriptors;
  const descriptors = given === undefined ? null : descriptorsOf(given);
  return { data, length: byteLengthOf(data), descriptors, to };
}

/** How many bytes one call may send. */
function lengthToSend({ data, length }: Outgoing): number {
  checkKept("data", data, length);
  return Math.min(length, MAX_COUNT);
}

function sendmsg(socket: SocketDescriptor, what: Outgoing, flags: number) {
  const { data, descriptors, to } = what;
  // A caller's object may be asked for its number. All that follows is ours.
  const numbers = descriptors === null ? null : numbersOf(descriptors);
  const call = sending ??= new Call();
  if (to !== null) call.name.set(to);
  call.prepare(
    pointerTo(data),
    lengthToSend(what),
    to === null ? 0 : to.length,
    numbers === null ? 0 : writeRights(call.control, numbers),
  );
  return sysSocket().sendmsg(socket.fd, call.header, flags | MSG_NOSIGNAL);
}

function send(
  socket: SocketDescriptor,
  what: Outgoing,
  flags: number,
): number {
  const length = lengthToSend(what);
  return sysSocket().send(socket.fd, what.data, length, flags | MSG_NOSIGNAL);
}

/** One send(2) or sendmsg(2): the count of bytes, or undefined if it would wait. */
export function sendOnce(
  socket: SocketDescriptor,
  what: Outgoing,
  flags: number,
): number | undefined {
  const plain = what.descriptors === null && what.to === null;
  for (;;) {
    const count = plain
      ? send(socket, what, flags)
      : sendmsg(socket, what, flags);
    if (count !== -1) return count;
    const number = errno();
    if (number === EAGAIN) return undefined;
    if (number === EINTR) continue;
    const syscall = plain ? "send" : "sendmsg";
    const limit = number === EMSGSIZE ? longest(socket) : undefined;
    throw ipcError(number, syscall, subjectOf(socket, what), limit);
  }
}

/** What errors call it: the receiver, if the socket has many. */
function subjectOf(socket: SocketDescriptor, { to }: Outgoing): string {
  if (to === null) return socket.subject;
  return describeName(to);
}

/** What a message may have at most: the send buffer less its overhead. */
function longest({ fd, subject }: SocketDescriptor) {
  return {
    name: "the longest message (SO_SNDBUF less 32)",
    value: option(fd, SO_SNDBUF, subject) - 32,
  };
}

const MAX_LONGEST = 8 * 1024 * 1024; // twice of what the kernel has memory for
const WMEM_MAX = "/proc/sys/net/core/wmem_max";
let longestSize = 0;

/** The longest message that anybody without privileges can send. */
export function longestMessage(): number {
  if (longestSize !== 0) return longestSize;
  const limit = Number(systemLimit(WMEM_MAX)?.value ?? 212992); // the kernel's
  return longestSize = Math.min(Math.max(2 * limit, 1 << 19), MAX_LONGEST);
}

// Where messages arrive before they are copied out: memory that no page is spent
// on before bytes have come that far.
// To find out where a caller's buffer is costs as much as to copy some kilobytes.
const MAX_COPY = 4096;
let scratch = new Uint8Array(0);
let scratchPointer = 0n;

let arrived = scratch;

function scratchOf(size: number): bigint {
  if (scratch.length < size) {
    scratch = arrived = new Uint8Array(size);
    scratchPointer = pointerTo(scratch);
  }
  return scratchPointer;
}

/** The first bytes of the scratch; messages mostly are as long as those before. */
function arrivedIn(length: number): Uint8Array {
  if (arrived.length !== length) arrived = scratch.subarray(0, length);
  return arrived;
}

/** How a message is received: the caller's options, read once. */
export interface Incoming {
  readonly buffer: Uint8Array<ArrayBuffer> | null;
  /** The size, where there is no buffer. */
  readonly size: number;
  readonly descriptors: number;
}

/** Reads and checks how a message is to be received. */
export function incoming(
  options: UnixTryReceiveOptions | undefined,
  defaultSize: number,
): Incoming {
  if (options === undefined) {
    return { buffer: null, size: defaultSize, descriptors: 0 };
  }
  const { maxDescriptors, buffer, maxSize } = options;
  const descriptors = maxDescriptors ?? 0;
  if (descriptors !== 0) checkMaxDescriptors(descriptors);
  if (buffer !== undefined) {
    checkBytes("buffer", buffer);
    return { buffer, size: roomOf(buffer), descriptors };
  }
  const size = maxSize ?? defaultSize;
  checkInteger("maxSize", size, 1, MAX_COUNT, "bytes at a time");
  return { buffer: null, size, descriptors };
}

/** The room in a buffer: each try asks anew, as its memory may be smaller by now. */
function roomOf(buffer: Uint8Array): number {
  const room = byteLengthOf(buffer);
  checkInteger("buffer.length", room, 1, MAX_COUNT, "bytes at a time");
  return room;
}

/** One recvmsg(2): what has come, or undefined if it would wait. */
export function receiveOnce(
  socket: SocketDescriptor,
  how: Incoming,
  flags: number,
  named: boolean,
): UnixMessage | undefined {
  const call = receiving ??= new Call();
  const { buffer, descriptors } = how;
  const room = buffer === null ? how.size : roomOf(buffer);
  const direct = buffer !== null && room > MAX_COPY;
  const pointer = direct ? pointerTo(buffer) : scratchOf(room);
  const name = named ? call.name.length : 0;
  const control = controlRoom(descriptors, socket.passCredentials);
  const { recvmsg } = sysSocket();
  for (;;) {
    call.prepare(pointer, room, name, control);
    const size = recvmsg(socket.fd, call.header, flags | MSG_CMSG_CLOEXEC);
    if (size !== -1) {
      return messageOf(call, how, room, size, named, control !== 0);
    }
    const number = errno();
    if (number === EAGAIN) return undefined;
    if (number !== EINTR) throw ipcError(number, "recvmsg", socket.subject);
  }
}

const NO_CONTROL: Control = {
  descriptors: Object.freeze<PassedDescriptor[]>([]),
  credentials: null,
  tooMany: false,
};

/** The bytes that have come. */
function dataOf(
  buffer: Uint8Array<ArrayBuffer> | null,
  room: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  if (buffer === null) return scratch.slice(0, length);
  if (room <= MAX_COPY) setBytes(buffer, arrivedIn(length));
  return length === room ? buffer : viewOf(buffer, 0, length);
}

function messageOf(
  call: Call,
  how: Incoming,
  room: number,
  size: number,
  named: boolean,
  controlled: boolean,
): UnixMessage {
  // First, so that the descriptors that came along have an owner, whatever follows.
  const { descriptors, credentials, tooMany } = controlled
    ? readControl(
      call.control,
      Number(call.view.msg_controllen),
      how.descriptors,
    )
    : NO_CONTROL;
  return new Message(
    dataOf(how.buffer, room, Math.min(size, room)),
    size,
    descriptors,
    tooMany || (call.view.msg_flags & MSG_CTRUNC) !== 0,
    credentials,
    named ? decodeAddress(call.name, call.view.msg_namelen) : null,
  );
}
