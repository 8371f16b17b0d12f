// One message: sendmsg(2) and recvmsg(2), and send(2) where that is sufficient.

import {
  bufferOf,
  byteLengthOf,
  checkBytes,
  checkInteger,
  checkKept,
  viewOf,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { handOn } from "../kernel/descriptor.ts";
import { systemLimit } from "../kernel/limits.ts";
import {
  EAGAIN,
  ECONNRESET,
  EINTR,
  EMSGSIZE,
  errno,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import { pointerTo } from "../libc/string.ts";
import {
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  msghdr,
  SO_SNDBUF,
  sysSocket,
} from "../libc/sys_socket.ts";
import { iovec } from "../libc/sys_uio.ts";
import { MAX_COUNT } from "../libc/unistd.ts";
import type { DescriptorLike } from "../wait/descriptors.ts";
import {
  AddressBuffer,
  describeName,
  isTooLong,
  type UnixAddress,
} from "./address.ts";
import {
  checkMaxDescriptors,
  type Control,
  controlRoom,
  credentialsOf,
  descriptorsOf,
  MAX_CONTROL,
  numbersOf,
  readControl,
  writeControl,
} from "./control_message.ts";
import type { Credentials } from "./credentials.ts";
import { reach } from "./long_path.ts";
import type { PassedDescriptor } from "./passed_descriptor.ts";
import type { SocketDescriptor } from "./socket.ts";
import { option } from "./socket_option.ts";

/** Options of `send()` of the sockets, and of its siblings. */
export interface UnixSendOptions {
  /**
   * Descriptors to pass, at most 253.
   *
   * The receiver gets duplicates; these stay open here. Those of objects of this module
   * arrive blocking (without `O_NONBLOCK`); others, and a {@linkcode PassedDescriptor},
   * arrive unchanged.
   *
   * @default {[]}
   */
  descriptors?: readonly DescriptorLike[] | undefined;
  /**
   * `SCM_CREDENTIALS`: the process, user and group that a receiver with `passCredentials`
   * sees, such as those of the client of a proxy.
   *
   * What is left out is that of this process (its real user and group). Another process
   * requires CAP_SYS_ADMIN, another user CAP_SETUID, another group CAP_SETGID; without
   * them the send fails with EPERM.
   *
   * @default {those of this process}
   */
  credentials?: Partial<Credentials> | undefined;
}

/** Options of `receive()` and `peek()` of the sockets, and of their siblings. */
export interface UnixReceiveOptions {
  /**
   * Where the bytes are stored, of at least 1 byte: `data` is then a view of this buffer,
   * not a copy. Its length replaces `maxSize`.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
  /**
   * The maximum number of bytes to receive. The rest of a longer message is discarded,
   * and `truncated` is true; the rest of a stream is left for the next call.
   *
   * @default {the longest message that an unprivileged process can send: twice
   * /proc/sys/net/core/wmem_max, but at most 8 MiB; for a stream 64 KiB}
   */
  maxSize?: number | undefined;
  /**
   * The maximum number of descriptors to receive, up to 253. Others are closed, and
   * `descriptorsTruncated` is true.
   *
   * @default {0}
   */
  maxDescriptors?: number | undefined;
}

/** A received message. Its `close()` closes the descriptors that it contains. */
export interface UnixMessage extends Disposable {
  /** The bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** The number of bytes that were sent; for a stream, `data.length`. */
  readonly size: number;
  /** Whether `data` has only the first of these bytes. */
  readonly truncated: boolean;
  /** The descriptors that were passed. The caller closes or detaches them. */
  readonly descriptors: readonly PassedDescriptor[];
  /**
   * Whether more descriptors were passed than `maxDescriptors`, or than this process
   * may open (EMFILE). They are closed.
   */
  readonly descriptorsTruncated: boolean;
  /**
   * The process, user and group of the sender, if `passCredentials` of the socket is
   * true; else null. A sender with the privileges of root can forge them.
   */
  readonly credentials: Credentials | null;
  /**
   * The address of the sender of a datagram; null if it is unnamed, and for streams and
   * seqpackets.
   */
  readonly from: UnixAddress | null;
  /** Closes the descriptors that were neither closed nor detached. */
  close(): void;
}

class Message implements UnixMessage {
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #size: number;
  readonly #control: Control;
  readonly #descriptorsTruncated: boolean;
  readonly #from: UnixAddress | null;

  constructor(
    data: Uint8Array<ArrayBuffer>,
    size: number,
    control: Control,
    descriptorsTruncated: boolean,
    from: UnixAddress | null,
  ) {
    this.#data = data;
    this.#size = size;
    this.#control = control;
    this.#descriptorsTruncated = descriptorsTruncated;
    this.#from = from;
  }

  get data(): Uint8Array<ArrayBuffer> {
    return this.#data;
  }

  get size(): number {
    return this.#size;
  }

  get truncated(): boolean {
    return this.#size > this.#data.length;
  }

  get descriptors(): readonly PassedDescriptor[] {
    return this.#control.descriptors;
  }

  get descriptorsTruncated(): boolean {
    return this.#descriptorsTruncated;
  }

  get credentials(): Credentials | null {
    return this.#control.credentials;
  }

  get from(): UnixAddress | null {
    return this.#from;
  }

  close(): void {
    for (const descriptor of this.#control.descriptors) descriptor.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  static {
    inspectAs(this, (message) => {
      const { data, size, descriptors, credentials, from } = message;
      return { data, size, descriptors, credentials, from };
    }, () => "UnixMessage");
  }
}

const { msg_iov, msg_iovlen, msg_name, msg_namelen } = msghdr.offsets;
const { msg_control, msg_controllen, msg_flags } = msghdr.offsets;
const { iov_base, iov_len } = iovec.offsets;

/** The arguments of sendmsg or recvmsg: allocated once, used by one call at a time. */
class Call {
  readonly header: Uint8Array<ArrayBuffer> = new Uint8Array(msghdr.size);
  readonly name: AddressBuffer = new AddressBuffer();
  readonly control: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_CONTROL);
  // All lengths are below 2^32: the upper halves of 64 bits stay 0.
  readonly #words = new Uint32Array(this.header.buffer);
  readonly #longs = new BigUint64Array(this.header.buffer);
  readonly #vector = new Uint8Array(iovec.size);
  readonly #vectorWords = new Uint32Array(this.#vector.buffer);
  readonly #vectorLongs = new BigUint64Array(this.#vector.buffer);
  readonly #namePointer = pointerTo(this.name.bytes);
  readonly #controlPointer = pointerTo(this.control);
  #named = false; // whether the header has these addresses
  #controlled = false;

  constructor() {
    this.#longs[msg_iov / 8] = pointerTo(this.#vector);
    this.#words[msg_iovlen / 4] = 1;
  }

  /** Where the bytes are. */
  pointTo(address: bigint): void {
    this.#vectorLongs[iov_base / 8] = address;
  }

  /** Writes the lengths, which recvmsg changes. */
  prepare(length: number, nameLength: number, controlLength: number): void {
    const words = this.#words;
    const longs = this.#longs;
    this.#vectorWords[iov_len / 4] = length;
    const named = nameLength !== 0;
    if (named !== this.#named) {
      longs[msg_name / 8] = named ? this.#namePointer : 0n;
      this.#named = named;
    }
    words[msg_namelen / 4] = nameLength;
    const controlled = controlLength !== 0;
    if (controlled !== this.#controlled) {
      longs[msg_control / 8] = controlled ? this.#controlPointer : 0n;
      this.#controlled = controlled;
    }
    words[msg_controllen / 4] = controlLength;
  }

  get nameLength(): number {
    return this.#words[msg_namelen / 4]!;
  }

  get controlLength(): number {
    return this.#words[msg_controllen / 4]!;
  }

  get isTruncated(): boolean {
    return (this.#words[msg_flags / 4]! & MSG_CTRUNC) !== 0;
  }
}

let sending: Call | undefined;

/** A message to send: the arguments of the caller, read once. */
export interface Outgoing {
  readonly data: Uint8Array<ArrayBuffer>;
  /** The length of `data` at the time of the call. */
  readonly length: number;
  /** Their numbers are read on each try. */
  readonly descriptors: readonly DescriptorLike[] | null;
  readonly credentials: Credentials | null;
  readonly to: Uint8Array<ArrayBuffer> | null;
  /** A short name of the receiver, if `to` is too long for the kernel. */
  readonly via?: Uint8Array<ArrayBuffer>;
}

/** Reads and checks a message to send. */
export function outgoingOf(
  data: Uint8Array,
  options: UnixSendOptions | undefined,
  to: Uint8Array<ArrayBuffer> | null = null,
): Outgoing {
  checkBytes("data", data);
  const passed = options?.descriptors;
  const own = options?.credentials;
  return {
    data,
    descriptors: passed === undefined ? null : descriptorsOf(passed),
    credentials: own === undefined ? null : credentialsOf(own),
    length: byteLengthOf(data), // last: a getter of the caller may have changed it
    to,
  };
}

/** The number of bytes for one call. */
function lengthToSend({ data, length }: Outgoing): number {
  checkKept("data", data, length);
  return Math.min(length, MAX_COUNT);
}

function sendmsg(socket: SocketDescriptor, message: Outgoing, flags: number) {
  const { data, descriptors, credentials } = message;
  const to = message.via ?? message.to;
  // First: this may run a getter of the caller. Nothing below does.
  const numbers = descriptors === null ? null : numbersOf(descriptors);
  const call = sending ??= new Call();
  if (to !== null) call.name.bytes.set(to);
  call.pointTo(pointerTo(data));
  call.prepare(
    lengthToSend(message),
    to === null ? 0 : to.length,
    writeControl(call.control, numbers, credentials),
  );
  const { fd } = socket;
  const count = sysSocket().sendmsg(fd, call.header, flags | MSG_NOSIGNAL);
  if (count !== -1) numbers?.forEach(handOn);
  return count;
}

/** One send(2) of bytes alone: their number; undefined if it would block. */
export function sendBytes(
  socket: SocketDescriptor,
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
  flags: number,
): number | undefined {
  for (;;) {
    const { fd } = socket;
    const count = sysSocket().send(fd, bytes, length, flags | MSG_NOSIGNAL);
    if (count !== -1) return count;
    if (!maySendAgain(socket, "send", null)) return undefined;
  }
}

/** One send(2) or sendmsg(2): the number of bytes; undefined if it would block. */
export function sendOnce(
  socket: SocketDescriptor,
  message: Outgoing,
  flags: number = MSG_DONTWAIT,
): number | undefined {
  const { data, descriptors, credentials, to } = message;
  if (descriptors === null && credentials === null && to === null) {
    return sendBytes(socket, data, lengthToSend(message), flags);
  }
  if (to !== null && message.via === undefined && isTooLong(to)) {
    socket.checkOpen();
    const subject = subjectOf(socket, to);
    const sendVia = (via: Uint8Array<ArrayBuffer>) =>
      sendOnce(socket, { ...message, via }, flags);
    return reach(to, subject, sendVia);
  }
  for (;;) {
    const count = sendmsg(socket, message, flags);
    if (count !== -1) return count;
    if (!maySendAgain(socket, "sendmsg", to)) return undefined;
  }
}

/** Whether the send that has just failed is to be called again at once. */
function maySendAgain(
  socket: SocketDescriptor,
  syscall: string,
  to: Uint8Array<ArrayBuffer> | null,
): boolean {
  const error = errno();
  if (error === EAGAIN) return false;
  if (to === null ? isInterruption(error) : error === EINTR) return true;
  if (error === ECONNRESET) socket.isReset = true; // receives report it, too
  const limit = error === EMSGSIZE ? longest(socket) : undefined;
  throw ipcError(error, syscall, subjectOf(socket, to), limit);
}

/** Name used in error messages: the receiver, if the socket has several. */
function subjectOf(
  socket: SocketDescriptor,
  to: Uint8Array<ArrayBuffer> | null,
): string {
  return to === null ? socket.subject : describeName(to);
}

/** The limit of a message: the send buffer less its overhead. */
function longest({ fd, subject }: SocketDescriptor) {
  return {
    name: "the longest message (SO_SNDBUF less 32)",
    value: option(fd, SO_SNDBUF, subject) - 32,
  };
}

const MAX_LONGEST = 8 * 1024 * 1024; // twice the longest that the kernel can allocate
const WMEM_MAX = "/proc/sys/net/core/wmem_max";
let longestSize = 0;

/** The size of the longest message that an unprivileged process can send. */
export function longestMessage(): number {
  if (longestSize !== 0) return longestSize;
  const limit = Number(systemLimit(WMEM_MAX)?.value ?? 212992); // the default
  return longestSize = Math.min(Math.max(2 * limit, 1 << 19), MAX_LONGEST);
}

let receiving: Call | undefined; // into the buffers of callers

// To ask for an address takes 0.05 microseconds, and most loops receive into the same
// bytes. If their memory goes, they have length 0.
let last: Uint8Array<ArrayBuffer> | undefined;
const LARGE = 65536; // bytes: larger ones are not kept from the garbage collector

/** The call that receives into these bytes. */
function callTo(buffer: Uint8Array<ArrayBuffer>, length: number): Call {
  const call = receiving ??= new Call();
  if (buffer === last) return call;
  bufferOf(buffer); // from then on no engine moves its bytes
  call.pointTo(pointerTo(buffer));
  last = length <= LARGE ? buffer : undefined;
  return call;
}

/** Where messages are received whose size is not known before. */
interface Scratch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly call: Call;
}

let scratch: Scratch | undefined;

/** A scratch of at least this size. A page is allocated when it is first written. */
function scratchOf(size: number): Scratch {
  if (scratch !== undefined && scratch.bytes.length >= size) return scratch;
  const bytes = new Uint8Array(size);
  const call = new Call();
  call.pointTo(pointerTo(bytes));
  return scratch = { bytes, call };
}

/** How a message is received: the options of the caller, read once. */
export interface Incoming {
  readonly buffer: Uint8Array<ArrayBuffer> | null;
  /** The maximum size, if there is no buffer. */
  readonly size: number;
  readonly descriptors: number;
  /** MSG_PEEK and MSG_TRUNC. */
  readonly flags: number;
}

/** Reads and checks the options of a receive. */
export function incomingOf(
  options: UnixReceiveOptions | undefined,
  defaultSize: number,
  flags: number,
): Incoming {
  if (options === undefined) {
    return { buffer: null, size: defaultSize, descriptors: 0, flags };
  }
  const { maxDescriptors, buffer, maxSize } = options;
  const descriptors = maxDescriptors ?? 0;
  if (descriptors !== 0) checkMaxDescriptors(descriptors);
  if (buffer !== undefined) {
    checkBytes("buffer", buffer);
    return { buffer, size: roomOf(buffer), descriptors, flags };
  }
  const size = maxSize ?? defaultSize;
  checkInteger("maxSize", size, 1, MAX_COUNT, "bytes at a time");
  return { buffer: null, size, descriptors, flags };
}

/** The length of a buffer, read on each try: its memory may have become smaller. */
function roomOf(buffer: Uint8Array): number {
  const room = byteLengthOf(buffer);
  checkInteger("buffer.length", room, 1, MAX_COUNT, "bytes at a time");
  return room;
}

/** One recvmsg(2); the size, or undefined if it would block. */
function recvmsg(
  socket: SocketDescriptor,
  call: Call,
  room: number,
  name: number,
  control: number,
  flags: number,
): number | undefined {
  for (;;) {
    call.prepare(room, name, control);
    // A reset is reported as soon as nothing more is there.
    const wait = socket.isReset ? MSG_DONTWAIT : 0;
    const size = sysSocket().recvmsg(
      socket.fd,
      call.header,
      flags | wait | MSG_CMSG_CLOEXEC,
    );
    if (size !== -1) return size;
    if (!mayRetry(socket)) return undefined;
  }
}

/** Whether the recvmsg that has just failed is to be called again at once. */
function mayRetry(socket: SocketDescriptor): boolean {
  const error = errno();
  if (error === EAGAIN) {
    socket.throwReset("recvmsg");
    return false;
  }
  if (error === ECONNRESET) socket.isReset = true;
  else if (!isInterruption(error)) {
    throw ipcError(error, "recvmsg", socket.subject);
  }
  return true;
}

/** Receives one message; undefined if it would block. */
export function receiveOnce(
  socket: SocketDescriptor,
  incoming: Incoming,
  flags: number,
  named: boolean,
): UnixMessage | undefined {
  const { buffer, descriptors } = incoming;
  const room = buffer === null ? incoming.size : roomOf(buffer);
  const call = buffer === null ? scratchOf(room).call : callTo(buffer, room);
  const name = named ? call.name.bytes.length : 0;
  const control = controlRoom(descriptors, socket.passCredentials);
  flags |= incoming.flags;
  const size = recvmsg(socket, call, room, name, control, flags);
  return size === undefined
    ? undefined
    : messageOf(call, incoming, room, size, named, control !== 0);
}

/** Bytes of a stream that descriptors came with. */
export interface BytesWithDescriptors {
  readonly count: number;
}

/**
 * Receives bytes of a stream alone: their number, in an object if descriptors came with
 * them; null at the end, undefined if it would block.
 */
export function readOnce(
  socket: SocketDescriptor,
  buffer: Uint8Array<ArrayBuffer>,
  flags: number = MSG_DONTWAIT,
): number | BytesWithDescriptors | null | undefined {
  const room = Math.min(buffer.length, MAX_COUNT);
  const call = callTo(buffer, room);
  const control = controlRoom(0, socket.passCredentials);
  const count = recvmsg(socket, call, room, 0, control, flags);
  if (count === 0) {
    socket.throwReset("recvmsg");
    return null;
  }
  if (count === undefined) return undefined;
  return call.isTruncated ? { count } : count;
}

const NO_CONTROL: Control = {
  descriptors: Object.freeze<PassedDescriptor[]>([]),
  credentials: null,
  tooMany: false,
};

/** The bytes that were received. */
function dataOf(
  buffer: Uint8Array<ArrayBuffer> | null,
  room: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  if (buffer === null) return scratch!.bytes.slice(0, length);
  return length === room ? buffer : viewOf(buffer, 0, length);
}

function messageOf(
  call: Call,
  incoming: Incoming,
  room: number,
  size: number,
  named: boolean,
  controlled: boolean,
): UnixMessage {
  const { buffer, descriptors } = incoming;
  // First: the received descriptors have an owner before anything can throw.
  const control = controlled
    ? readControl(call.control, call.controlLength, descriptors)
    : NO_CONTROL;
  return new Message(
    dataOf(buffer, room, Math.min(size, room)),
    size,
    control,
    control.tooMany || call.isTruncated,
    named ? call.name.decode(call.nameLength) : null,
  );
}
