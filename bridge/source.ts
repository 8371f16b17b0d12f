// Where outgoing messages come from: one way to move them into the journal for each kind of
// queue, so that none is lost between the two.

import { readlinkSync } from "node:fs";
import {
  ClosedError,
  IpcError,
  PosixMessageQueue,
  SysvMessageQueue,
} from "@linux/ipc/message-queue";
import { RingConsumer, type RingMessage } from "@linux/ipc/ring";
import { UnixListener, type UnixSeqpacket } from "@linux/ipc/socket";
import { waitAny } from "@linux/ipc/wait";
import { BridgeError } from "./error.ts";
import type { Entry, Journal } from "./journal.ts";
import { SysvQueue } from "./sysv_queue.ts";
import { bootId } from "./state.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What messages can be taken from. */
export type OutgoingQueue =
  | SysvMessageQueue
  | PosixMessageQueue
  | UnixListener<UnixSeqpacket>
  | RingConsumer;

/** What becomes of a message that is too long: it is set aside. */
export type Refuse = (type: bigint, data: Bytes, reason: string) => void;

/** A queue, as the outgoing side uses it. */
export interface Source {
  /** Its name, in messages. */
  readonly name: string;
  /** What it is in this system, and no other queue ever. */
  readonly identity: string;
  /** Whether one bridge at a time may use it. */
  readonly exclusive: boolean;
  /** The most bytes of a message. */
  readonly maxSize: number;
  /** The room that a message takes in the journal if longer ones than this are refused. */
  slotSize(limit: number): number;
  /** The header for the type of a message; undefined if it has none. */
  readonly header: string | undefined;
  /** Moves or copies messages into the journal, while there are some and it has room. */
  fill(journal: Journal, refuse: Refuse): void;
  /** Removes messages that were copied and are published. */
  remove(journal: Journal, entries: readonly Entry[]): void;
  /** Waits until there may be messages. */
  wait(journal: Journal, signal: AbortSignal): Promise<void>;
  /** Opens the queue again that was removed. False if it cannot be. */
  reopen(): boolean;
  close(): void;
}

/** The headers of a message: what a queue knows of it beside the bytes. */
export const TYPE = "Ipc-Type";
export const PRIORITY = "Ipc-Priority";

/** The IPC namespace of this process, since the system was started. */
export function ipcNamespace(): string {
  return `${bootId()} ${readlinkSync("/proc/self/ns/ipc")}`;
}

/** Whether an error says that the queue was removed. */
export function isRemoved(error: unknown): boolean {
  return error instanceof IpcError &&
    (error.code === "EIDRM" || error.code === "ENOENT");
}

/** Whether two messages are the same. */
function isSame(entry: Entry, type: bigint, data: Bytes): boolean {
  return entry.type === type && entry.data.length === data.length &&
    entry.data.every((byte, at) => byte === data[at]);
}

const EMPTY = new Uint8Array();

/** A System V queue: a message is copied, published, and then taken. */
class SysvSource implements Source {
  readonly header = TYPE;
  readonly exclusive = true;
  readonly name: string;
  readonly #queue: SysvQueue;

  constructor(queue: SysvQueue) {
    this.#queue = queue;
    this.name = queue.name;
  }

  get identity(): string {
    return `${ipcNamespace()} sysv ${this.#queue.now.id}`;
  }

  get maxSize(): number {
    return this.#queue.maxSize;
  }

  slotSize(limit: number): number {
    return limit;
  }

  fill(journal: Journal, refuse: Refuse): void {
    // One slot stays free for a message that another receiver of the queue has uncovered.
    for (let index = 0; journal.room > 1;) {
      const message = this.#queue.now.tryPeek(index);
      if (message === undefined) return;
      const { data } = message;
      const type = BigInt(message.type);
      if (data.length <= journal.maxSize) {
        journal.copy(type, data);
        index++;
      } else if (index > 0) {
        return; // those before it are removed first
      } else {
        refuse(type, data, `it has more than ${journal.maxSize} bytes`);
        this.#queue.now.tryReceive({ type });
      }
    }
  }

  remove(journal: Journal, entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.inQueue) this.#take(journal, entry);
    }
    journal.done(entries);
  }

  async wait(journal: Journal, signal: AbortSignal): Promise<void> {
    try {
      // No message fits, but for an empty one.
      const { type } = await this.#queue.now.receive({ buffer: EMPTY, signal });
      journal.hold(BigInt(type), EMPTY);
    } catch (error) {
      if (!(error instanceof IpcError && error.code === "E2BIG")) throw error;
    }
  }

  reopen(): boolean {
    return this.#queue.reopen();
  }

  close(): void {
    this.#queue.close();
  }

  /** Takes the first message of the type, which is the one that was copied. */
  #take(journal: Journal, entry: Entry): void {
    journal.taking(entry);
    const { type } = entry;
    const message = this.#queue.now.tryReceive({ type });
    if (message === undefined || isSame(entry, type, message.data)) return;
    // Another receiver has taken that one. This one may have been copied, too.
    const other = journal.entries.find((other) =>
      other.inQueue && isSame(other, type, message.data)
    );
    if (other !== undefined) {
      journal.taking(other);
    } else {
      journal.done([entry]);
      journal.hold(type, message.data);
    }
  }
}

/** A POSIX queue: the kernel writes a message into the journal as it is taken. */
class PosixSource implements Source {
  readonly header = PRIORITY;
  readonly exclusive = true; // for the order of the messages
  readonly #queue: PosixMessageQueue;
  readonly #owned: boolean;

  constructor(queue: PosixMessageQueue, owned: boolean) {
    this.#queue = queue;
    this.#owned = owned;
  }

  get name(): string {
    return `queue ${this.#queue.name}`;
  }

  get identity(): string {
    return `${ipcNamespace()} posix ${this.#queue.name}`;
  }

  get maxSize(): number {
    return this.#queue.maxSize;
  }

  slotSize(limit: number): number {
    return Math.max(limit, this.maxSize); // mq_receive takes no smaller buffer
  }

  fill(journal: Journal): void {
    const receive = (buffer: Bytes) => {
      const message = this.#queue.tryReceive({ buffer });
      if (message === undefined) return undefined;
      return { type: BigInt(message.priority), size: message.data.length };
    };
    while (journal.room > 0 && journal.receive(receive));
  }

  remove(journal: Journal, entries: readonly Entry[]): void {
    journal.done(entries);
  }

  async wait(_: Journal, signal: AbortSignal): Promise<void> {
    await this.#queue.notified({ signal });
  }

  reopen(): boolean {
    return false;
  }

  close(): void {
    if (this.#owned) this.#queue.close();
  }
}

/** A ring: its handler writes a message into the journal before the ring gives its space up. */
class RingSource implements Source {
  readonly header = TYPE;
  readonly exclusive = false; // a ring has one consumer
  readonly name = "ring";
  readonly identity: string = `${ipcNamespace()} ring`;
  readonly maxSize: number;
  readonly #consumer: RingConsumer;

  constructor(consumer: RingConsumer) {
    this.#consumer = consumer;
    this.maxSize = consumer.maxMessageLength;
  }

  slotSize(limit: number): number {
    return limit;
  }

  fill(journal: Journal, refuse: Refuse): void {
    const hold = (message: RingMessage) => {
      const type = BigInt(message.type);
      const data = message.copy();
      if (data.length <= journal.maxSize) journal.hold(type, data);
      else refuse(type, data, `it has more than ${journal.maxSize} bytes`);
    };
    if (journal.room > 0) this.#consumer.tryRead(hold, journal.room);
  }

  remove(journal: Journal, entries: readonly Entry[]): void {
    journal.done(entries);
  }

  async wait(_: Journal, signal: AbortSignal): Promise<void> {
    if (await this.#consumer.wait({ signal })) return;
    throw new BridgeError("All producers of the ring have gone");
  }

  reopen(): boolean {
    return false;
  }

  close(): void {}
}

/** A listener: its clients send, and what has arrived is received into the journal. */
class ListenerSource implements Source {
  readonly header = undefined;
  readonly exclusive = false;
  readonly maxSize: number;
  readonly #listener: UnixListener<UnixSeqpacket>;
  readonly #owned: boolean;
  #clients: UnixSeqpacket[] = [];

  constructor(
    listener: UnixListener<UnixSeqpacket>,
    maxSize: number,
    owned: boolean,
  ) {
    this.#listener = listener;
    this.maxSize = maxSize;
    this.#owned = owned;
  }

  slotSize(limit: number): number {
    return limit;
  }

  get name(): string {
    return `listener ${addressOf(this.#listener)}`;
  }

  get identity(): string {
    return `${ipcNamespace()} ${this.name}`;
  }

  fill(journal: Journal, refuse: Refuse): void {
    for (let more = true; more;) {
      more = false;
      for (let client; (client = this.#listener.tryAccept()) !== undefined;) {
        this.#clients.push(client);
      }
      for (const client of [...this.#clients]) { // one of each: all are served
        if (journal.room === 0) return;
        more = this.#receive(client, journal, refuse) || more;
      }
    }
  }

  remove(journal: Journal, entries: readonly Entry[]): void {
    journal.done(entries);
  }

  async wait(_: Journal, signal: AbortSignal): Promise<void> {
    await waitAny([this.#listener, ...this.#clients], { signal });
  }

  reopen(): boolean {
    return false;
  }

  close(): void {
    for (const client of this.#clients) client.close();
    if (this.#owned) this.#listener.close();
  }

  /** Receives a message of a client; false if it has none, or has gone. */
  #receive(client: UnixSeqpacket, journal: Journal, refuse: Refuse): boolean {
    try {
      const size = client.tryPeek({ maxSize: 1 })?.size;
      if (size !== undefined && size > journal.maxSize) {
        const { data } = client.tryReceive({ maxSize: size })!;
        refuse(0n, data, `it has more than ${journal.maxSize} bytes`);
        return true;
      }
      if (size !== undefined) {
        return journal.receive((buffer) => {
          const message = client.tryReceive({ buffer });
          return message ? { type: 0n, size: message.data.length } : undefined;
        });
      }
      if (client.tryPeek({ maxSize: 1 }) === undefined) return false;
    } catch (error) {
      if (!(error instanceof IpcError || error instanceof ClosedError)) {
        throw error;
      }
    }
    client.close();
    this.#clients = this.#clients.filter((other) => other !== client);
    return false;
  }
}

function addressOf(listener: UnixListener<UnixSeqpacket>): string {
  const { localAddress } = listener;
  return typeof localAddress === "string"
    ? localAddress
    : `@${localAddress?.abstract ?? ""}`;
}

/** The longest message of a socket, which sets no limit itself. */
const DEFAULT_MAX_SIZE = 65536;

/** A queue, as a source. One that a function opens is closed with the bridge. */
export function sourceOf(
  queue: OutgoingQueue | (() => OutgoingQueue),
  maxSize: number = DEFAULT_MAX_SIZE,
): Source {
  const open = typeof queue === "function" ? queue : undefined;
  const opened = typeof queue === "function" ? queue() : queue;
  const owned = open !== undefined;
  if (opened instanceof SysvMessageQueue) {
    const again = open as (() => SysvMessageQueue) | undefined;
    return new SysvSource(new SysvQueue(opened, again));
  }
  if (opened instanceof PosixMessageQueue) {
    return new PosixSource(opened, owned);
  }
  if (opened instanceof RingConsumer) return new RingSource(opened);
  if (opened instanceof UnixListener) {
    return new ListenerSource(opened, maxSize, owned);
  }
  throw new TypeError(
    'Argument "queue" must be a SysvMessageQueue, a PosixMessageQueue, a RingConsumer, ' +
      "a UnixListener of seqpackets, or a function that opens one of them",
  );
}
