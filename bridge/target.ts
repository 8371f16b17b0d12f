// Where incoming messages go: one way to hand them over for each kind of queue.

import {
  IpcError,
  PosixMessageQueue,
  SysvMessageQueue,
} from "@linux/ipc/message-queue";
import { RingProducer } from "@linux/ipc/ring";
import { UnixSeqpacket } from "@linux/ipc/socket";
import { BridgeError } from "./error.ts";
import { isRemoved } from "./source.ts";
import { SysvQueue } from "./sysv_queue.ts";

/** What messages can be given to. */
export type IncomingQueue =
  | SysvMessageQueue
  | PosixMessageQueue
  | UnixSeqpacket
  | RingProducer;

/** A message that has arrived. */
export interface Arrived {
  readonly data: Uint8Array;
  /** The header `Ipc-Type`; "" if there is none. */
  readonly type: string;
  /** The header `Ipc-Priority`; "" if there is none. */
  readonly priority: string;
}

/** A message that the queue can never take. */
export class Poison extends Error {}

/** A queue, as the incoming side uses it. */
export interface Target {
  /** Its name, in messages. */
  readonly name: string;
  /** The most bytes of a message. */
  readonly maxSize: number;
  /** Gives a message to the queue if there is room. */
  trySend(message: Arrived): boolean;
  /** Gives a message to the queue, as soon as there is room. */
  send(message: Arrived, signal: AbortSignal): Promise<void>;
  /** Opens the queue again that was removed, or whose reader has gone. */
  reopen(): boolean;
  close(): void;
}

/** A number of a header; the default where there is none. */
function numberIn(
  text: string,
  header: string,
  missing: bigint,
  min: bigint,
  max: bigint,
): bigint {
  if (text === "") return missing;
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  if (value >= min && value <= max) return value;
  throw new Poison(`${header} is not a number from ${min} to ${max}: ${text}`);
}

const LONG_MAX = 2n ** 63n - 1n;
const INT_MAX = 2n ** 31n - 1n;

const typeOf = ({ type }: Arrived, max: bigint) =>
  numberIn(type, "Ipc-Type", 1n, 1n, max);
const priorityOf = ({ priority }: Arrived) =>
  Number(numberIn(priority, "Ipc-Priority", 0n, 0n, 32767n));

class SysvTarget implements Target {
  readonly name: string;
  readonly #queue: SysvQueue;
  #maxSize: number;

  constructor(queue: SysvQueue) {
    this.#queue = queue;
    this.name = queue.name;
    this.#maxSize = queue.maxSize;
  }

  get maxSize(): number {
    return this.#maxSize;
  }

  trySend(message: Arrived): boolean {
    return this.#queue.now.trySend(message.data, this.#checked(message));
  }

  async send(message: Arrived, signal: AbortSignal): Promise<void> {
    await this.#queue.now.send(message.data, {
      ...this.#checked(message),
      signal,
    });
  }

  reopen(): boolean {
    if (!this.#queue.reopen()) return false;
    this.#maxSize = this.#queue.maxSize;
    return true;
  }

  close(): void {
    this.#queue.close();
  }

  #checked(message: Arrived): { type: bigint } {
    return { type: typeOf(message, LONG_MAX) };
  }
}

class PosixTarget implements Target {
  readonly #queue: PosixMessageQueue;
  readonly #owned: boolean;

  constructor(queue: PosixMessageQueue, owned: boolean) {
    this.#queue = queue;
    this.#owned = owned;
  }

  get name(): string {
    return `queue ${this.#queue.name}`;
  }

  get maxSize(): number {
    return this.#queue.maxSize;
  }

  trySend(message: Arrived): boolean {
    return this.#queue.trySend(message.data, this.#checked(message));
  }

  async send(message: Arrived, signal: AbortSignal): Promise<void> {
    await this.#queue.send(message.data, { ...this.#checked(message), signal });
  }

  reopen(): boolean {
    return false;
  }

  close(): void {
    if (this.#owned) this.#queue.close();
  }

  #checked(message: Arrived): { priority: number } {
    return { priority: priorityOf(message) };
  }
}

class RingTarget implements Target {
  readonly name = "ring";
  readonly maxSize: number;
  readonly #producer: RingProducer;

  constructor(producer: RingProducer) {
    this.#producer = producer;
    this.maxSize = producer.maxMessageLength;
  }

  trySend(message: Arrived): boolean {
    return this.#producer.tryWrite(message.data, this.#checked(message));
  }

  async send(message: Arrived, signal: AbortSignal): Promise<void> {
    const type = this.#checked(message);
    await this.#producer.write(message.data, { type, signal });
  }

  reopen(): boolean {
    return false;
  }

  close(): void {}

  #checked(message: Arrived): number {
    return Number(typeOf(message, INT_MAX));
  }
}

/** A connection to a local server. */
class SeqpacketTarget implements Target {
  readonly name = "socket";
  readonly maxSize: number;
  readonly #open: (() => UnixSeqpacket) | undefined;
  #socket: UnixSeqpacket;

  constructor(
    socket: UnixSeqpacket,
    maxSize: number,
    open?: () => UnixSeqpacket,
  ) {
    this.#socket = socket;
    this.#open = open;
    this.maxSize = maxSize;
  }

  trySend(message: Arrived): boolean {
    return this.#socket.trySend(message.data);
  }

  async send(message: Arrived, signal: AbortSignal): Promise<void> {
    await this.#socket.send(message.data, { signal });
  }

  reopen(): boolean {
    if (this.#open === undefined) return false;
    this.#socket.close();
    this.#socket = this.#open();
    return true;
  }

  close(): void {
    if (this.#open !== undefined) this.#socket.close();
  }
}

/** Whether an error says that the queue is no more, or nobody reads from it. */
export function isGone(error: unknown): boolean {
  return isRemoved(error) ||
    (error instanceof IpcError &&
      /^(?:EPIPE|ECONNRESET|ECONNREFUSED|ENOTCONN)$/.test(error.code));
}

/** Opens a queue again whose user may come back; undefined if there is no way. */
export function reopened(target: Target): boolean {
  try {
    return target.reopen();
  } catch (error) {
    if (isGone(error)) return true; // not yet
    throw error instanceof IpcError ? new BridgeError(error.message) : error;
  }
}

/** A queue, as a target. One that a function opens is closed with the bridge. */
export function targetOf(
  queue: IncomingQueue | (() => IncomingQueue),
  maxSize = 65536,
): Target {
  const open = typeof queue === "function" ? queue : undefined;
  const opened = typeof queue === "function" ? queue() : queue;
  if (opened instanceof SysvMessageQueue) {
    const again = open as (() => SysvMessageQueue) | undefined;
    return new SysvTarget(new SysvQueue(opened, again));
  }
  if (opened instanceof PosixMessageQueue) {
    return new PosixTarget(opened, open !== undefined);
  }
  if (opened instanceof RingProducer) return new RingTarget(opened);
  if (opened instanceof UnixSeqpacket) {
    const again = open as (() => UnixSeqpacket) | undefined;
    return new SeqpacketTarget(opened, maxSize, again);
  }
  throw new TypeError(
    'Argument "queue" must be a SysvMessageQueue, a PosixMessageQueue, a RingProducer, a ' +
      "UnixSeqpacket, or a function that opens one of them",
  );
}
