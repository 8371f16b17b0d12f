// Reads items from a source: takes one from the buffer, and reads more until it is
// complete. What a wait has read before it ends stays in the buffer.

import { ClosedError } from "../errors.ts";
import {
  deadlineOf,
  isOver,
  lastMoment,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  timeoutError,
  type WaitOptions,
} from "../wait/options.ts";
import { attempt, promised } from "../wait/attempt.ts";
import { throwIfAborted } from "../wait/signal.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { isOverdue, yieldToEventLoop } from "../wait/yield.ts";
import { ByteBuffer } from "./byte_buffer.ts";
import { DescriptorQueue } from "./descriptor_queue.ts";
import { endedWithin } from "./failures.ts";
import type { Item } from "./items.ts";
import { SocketChannel, socketOf } from "./socket_channel.ts";
import {
  type ByteSource,
  type Channel,
  channelOf,
  checkCount,
  type WaitingChannel,
} from "./source.ts";

type Bytes = Uint8Array<ArrayBuffer>;

function tryItem<T>(reader: ItemReader, item: Item<T>): T | null | undefined {
  return reader.tryItem(item);
}

/** A buffer over a source, from which items are read in the order of the calls. */
export class ItemReader {
  readonly buffer: ByteBuffer = new ByteBuffer();
  readonly descriptors: DescriptorQueue;
  readonly source: ByteSource;
  readonly #subject: string;
  readonly #channel: Channel;
  #item: Item<unknown> | undefined; // the one that is being read
  #size = 0; // of it, as far as it is known
  readonly #waiters = new WaiterQueue();
  #closed = false;

  /**
   * `subject` is the name used in error messages. `breaks` says whether nothing can be
   * read after descriptors were lost.
   */
  constructor(
    source: ByteSource,
    maxDescriptors: number,
    subject: string,
    breaks = false,
  ) {
    this.source = source;
    this.#subject = subject;
    this.descriptors = new DescriptorQueue(maxDescriptors, breaks);
    const socket = socketOf(source);
    if (socket !== undefined) {
      this.#channel = new SocketChannel(socket, this.descriptors, this);
    } else if (maxDescriptors === 0) {
      this.#channel = channelOf(source);
    } else {
      throw new TypeError(
        'Argument "maxDescriptors" must be 0: the stream cannot carry descriptors',
      );
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Throws when this object is closed. */
  checkOpen(): void {
    if (this.#closed) throw new ClosedError(this.#subject);
  }

  /** Reads an item, waiting without blocking the thread; null at the end. */
  read<T>(item: Item<T>, options: WaitOptions | undefined): Promise<T | null> {
    return promised(() => {
      const limits = limitsOf(options);
      const overdue = isOverdue();
      if (!this.#waiters.busy && !overdue) {
        const taken = this.#take(item, false); // the short way to what is there
        if (taken !== undefined) return Promise.resolve(taken);
      }
      const channel = this.#channel;
      if (channel.readiness === undefined) {
        return this.#wait(channel, item, limits, overdue);
      }
      const { readiness } = channel;
      return attempt(readiness, tryItem<T>, limits, this.#waiters, this, item);
    });
  }

  /** Reads an item from a channel that tells when a try may succeed. */
  tryItem<T>(item: Item<T>): T | null | undefined {
    let hasRead = false;
    for (let ended = false;;) {
      const taken = this.#take(item, ended);
      if (taken !== undefined) return taken;
      if (hasRead && isOverdue()) return undefined; // continues when others were served
      const room = this.buffer.room(this.#size);
      const count = this.#channel.tryOnce(room);
      if (count === undefined) return undefined;
      ended = this.#add(room, count);
      hasRead = true;
    }
  }

  /** Reads an item from a channel that waits by itself. */
  async #wait<T>(
    channel: WaitingChannel,
    item: Item<T>,
    limits: Limits,
    overdue: boolean,
  ): Promise<T | null> {
    const entered = this.#waiters.enter(limits);
    if (entered !== undefined && !await entered) {
      throw timeoutError(this.#subject);
    }
    try {
      throwIfAborted(limits.signal);
      const last = lastMoment(limits.deadline);
      let over = false;
      for (let ended = false;;) {
        const taken = this.#take(item, ended);
        if (taken !== undefined) return taken;
        // A source of the caller's may never wait, and never look at its options.
        if (over) throw timeoutError(this.#subject);
        throwIfAborted(limits.signal);
        const room = this.buffer.room(this.#size);
        ended = this.#add(room, await channel.wait(room, limits));
        over = isOver(last);
        if (isOverdue()) await yieldToEventLoop();
      }
    } finally {
      if (overdue) await yieldToEventLoop();
      this.#waiters.leave();
    }
  }

  /** Reads an item, blocking this thread; null at the end. */
  readSync<T>(item: Item<T>, options: SyncWaitOptions | undefined): T | null {
    const deadline = deadlineOf(options);
    if (this.#waiters.busy) {
      this.checkOpen(); // reads that were pending at close() may not have ended yet
      throw new Error(
        `Cannot read from ${this.#subject} now: an asynchronous read is pending`,
      );
    }
    const taken = this.#now(
      item,
      false,
      (room) => this.#channel.block(room, deadline),
      deadline,
    );
    return taken!; // it is not undefined: only a try is given up
  }

  /** Reads an item, if it is there; null at the end. */
  tryRead<T>(item: Item<T>): T | null | undefined {
    if (!this.#waiters.busy) {
      return this.#now(item, true, (room) => this.#channel.tryOnce(room));
    }
    this.checkOpen();
    return undefined;
  }

  #now<T>(
    item: Item<T>,
    tries: boolean,
    read: (room: Bytes) => number | null | undefined,
    deadline = Infinity,
  ): T | null | undefined {
    this.#waiters.enter(NO_LIMITS); // a source of the caller's may call this object
    const last = lastMoment(deadline);
    try {
      let over = false;
      for (let ended = false;;) {
        const taken = this.#take(item, ended);
        if (taken !== undefined) return taken;
        if (over) throw timeoutError(this.#subject);
        const room = this.buffer.room(this.#size);
        const count = read(room);
        if (tries && count === undefined) return undefined;
        ended = this.#add(room, count);
        over = isOver(last);
      }
    } finally {
      this.#waiters.leave();
    }
  }

  /** Takes the item; undefined if it is not complete, null if it never begins. */
  #take<T>(item: Item<T>, ended: boolean): T | null | undefined {
    this.checkOpen();
    const { buffer, descriptors } = this;
    const size = item.sizeIn(buffer, ended);
    this.#item = item;
    this.#size = size;
    const { length } = buffer;
    const isComplete = size <= length;
    descriptors.checkLoss(isComplete ? buffer.position + size : Infinity);
    if (isComplete) return item.take(buffer, size);
    if (!ended) return undefined;
    if (length === 0) return null;
    throw endedWithin(length, size);
  }

  /** Adds what was read; true at the end. */
  #add(room: Bytes, count: number | null | undefined): boolean {
    if (this.#closed) this.descriptors.close(); // they came in the meantime
    this.checkOpen();
    if (count === null) return true;
    checkCount("read", count, 1, room.length); // 0 if it was detached
    this.buffer.add(count);
    return false;
  }

  /** The position of the next byte that is read from the source. */
  get end(): number {
    return this.buffer.position + this.buffer.length;
  }

  /** How many of the next bytes, which are in the room, belong to the item. */
  partOf(count: number): number {
    const { buffer } = this;
    buffer.add(count);
    try {
      const size = this.#item!.sizeIn(buffer, false);
      return Math.max(Math.min(size - buffer.length + count, count), 1);
    } finally {
      buffer.add(-count);
    }
  }

  /** Ends the use of the source, without closing it. */
  release(): void {
    this.checkOpen();
    if (this.#waiters.busy) {
      throw new Error(
        `Cannot detach ${this.#subject} now: a read is pending`,
      );
    }
    this.#closed = true;
  }

  /** Closes the source, and the descriptors that are not taken. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.descriptors.close();
    this.source.close();
  }
}
