// Reading from a stream socket: it can carry descriptors.
//
// The kernel returns bytes that came before a descriptor together with it, and does not
// tell which they are. So where descriptors are wanted, each read peeks first. If there
// are any, no more is read than belongs to the item that is waited for.

import { descriptorIn } from "../kernel/descriptor_owner.ts";
import { POLLIN } from "../libc/poll.ts";
import { MSG_DONTWAIT, MSG_PEEK } from "../libc/sys_socket.ts";
import { readOnce, receiveOnce } from "../socket/message.ts";
import type { SocketDescriptor } from "../socket/socket.ts";
import { receiveSync } from "../socket/transfer.ts";
import type { Source } from "../wait/attempt.ts";
import { DescriptorSource } from "../wait/reactor.ts";
import type { DescriptorQueue } from "./descriptor_queue.ts";
import type { ByteBuffer } from "./byte_buffer.ts";
import type { ByteSource, ReadyChannel } from "./source.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What is known of the bytes that are wanted. */
export interface Wanted {
  /** The position in the stream of the next byte to read. */
  readonly end: number;
  /** The bytes that were read, and not taken. */
  readonly buffer: ByteBuffer;
  /** How many of the next bytes, which are in the room, belong to the current item. */
  partOf(count: number): number;
}

/** The descriptor of a stream socket; undefined if the source is something else. */
export function socketOf(source: ByteSource): SocketDescriptor | undefined {
  const descriptor = descriptorIn(source);
  const isSocket = descriptor !== undefined && "receives" in descriptor;
  return isSocket ? descriptor as SocketDescriptor : undefined;
}

/** When bytes are there: while others wait once in a pass, but at once in the buffer. */
class Readiness extends DescriptorSource {
  readonly #buffer: ByteBuffer;

  constructor(socket: SocketDescriptor, buffer: ByteBuffer) {
    super(socket, POLLIN);
    this.#buffer = buffer;
  }

  override isDeferred(): boolean {
    return this.#buffer.length === 0 && super.isDeferred();
  }
}

/** The channel of a stream socket: descriptors are put into the queue. */
export class SocketChannel implements ReadyChannel {
  readonly readiness: Source;
  readonly #socket: SocketDescriptor;
  readonly #queue: DescriptorQueue;
  readonly #wanted: Wanted;

  constructor(
    socket: SocketDescriptor,
    queue: DescriptorQueue,
    wanted: Wanted,
  ) {
    this.readiness = new Readiness(socket, wanted.buffer);
    this.#socket = socket;
    this.#queue = queue;
    this.#wanted = wanted;
  }

  block(buffer: Bytes, deadline: number): number | null {
    return receiveSync(
      this.#socket,
      deadline,
      (_, buffer, flags) => this.#readOnce(buffer, flags),
      buffer,
    );
  }

  tryOnce(buffer: Bytes): number | null | undefined {
    return this.#readOnce(buffer);
  }

  #readOnce(buffer: Bytes, flags = MSG_DONTWAIT): number | null | undefined {
    if (this.#queue.max > 0) return this.#peekOnce(buffer, flags);
    const found = readOnce(this.#socket, buffer, flags);
    if (typeof found !== "object" || found === null) return found;
    // The descriptors came with one of these bytes.
    this.#queue.addLoss(this.#wanted.end + found.count - 1);
    return found.count;
  }

  /** Peeks, then reads; undefined if another process was faster. */
  #peekOnce(buffer: Bytes, flags: number): number | null | undefined {
    const found = readOnce(this.#socket, buffer, flags | MSG_PEEK);
    if (found === null || found === undefined) return found;
    if (typeof found === "object") {
      return this.#receive(buffer, this.#wanted.partOf(found.count));
    }
    const room = buffer.subarray(0, found);
    const rest = readOnce(this.#socket, room);
    return typeof rest === "object" && rest !== null ? rest.count : rest;
  }

  #receive(buffer: Bytes, size: number): number | null | undefined {
    const { end } = this.#wanted;
    const room = buffer.subarray(0, size);
    const descriptors = this.#queue.room;
    const incoming = { buffer: room, size, descriptors, flags: 0 };
    const message = receiveOnce(this.#socket, incoming, MSG_DONTWAIT, false);
    if (message === undefined) return undefined;
    this.#queue.add(end, message.descriptors);
    if (message.descriptorsTruncated) this.#queue.addLoss(end);
    return message.size === 0 ? null : message.size;
  }
}
