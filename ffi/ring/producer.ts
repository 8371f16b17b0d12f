// Writing messages into a ring.

import {
  byteLengthOf,
  checkBytes,
  checkInteger,
  checkKept,
  setBytes,
  viewOf,
} from "../arguments.ts";
import { internal } from "../internal.ts";
import { EBUSY, EPIPE, ipcError } from "../libc/errno.ts";
import { attempt } from "../wait/attempt.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { abandon, type ClaimOwner, RingClaim } from "./claim.ts";
import { type Claims, ManyToOneClaims, OneToOneClaims } from "./claims.ts";
import { closingOf, RingParticipant } from "./participant.ts";
import { isSettled, settleOneToOne } from "./recovery.ts";
import {
  aligned,
  MANY_TO_ONE,
  ONE_TO_ONE,
  RECORD,
  type Region,
} from "./region.ts";
import { Sleepers, Waiting } from "./sleep.ts";
import { Slot } from "./slots.ts";

/** Options of the waits of a {@linkcode RingProducer}. */
export interface RingWriteOptions {
  /**
   * The type of the message, which its reader gets: from 1 to 2147483647.
   *
   * @default {1}
   */
  type?: number | undefined;
}

const TYPE_ORIGIN = "int32_t, and above 0";
const BATCH = 256; // messages that are published together, at most

/** Checks the type of a message. */
export function checkType(type: unknown): asserts type is number {
  checkInteger("type", type, 1, 0x7fff_ffff, TYPE_ORIGIN);
}

function typeOf(options: RingWriteOptions | undefined): number {
  const type = options?.type ?? 1;
  checkType(type);
  return type;
}

/** Finds a slot for a producer. Throws EBUSY if there is none. */
export function producerSlot(region: Region): Slot {
  const all = Slot.ofProducers(region);
  const slots = region.kind === MANY_TO_ONE ? all : all.slice(0, 1);
  const found = slots.find((slot) => slot.id === 0 && slot.take(() => false)) ??
    slots.find((slot) => slot.take((ended) => isSettled(region, ended)));
  if (found !== undefined) return found;
  throw ipcError(EBUSY, "producer", region.subject);
}

/** What a producer owns. */
export class ProducerState implements ClaimOwner {
  readonly region: Region;
  readonly slot: Slot;
  readonly consumer: Slot;
  readonly claims: Claims;
  readonly messages: Sleepers;
  readonly open: Set<RingClaim> = new Set<RingClaim>();
  /** The type of records that this producer has not committed. */
  readonly owner: number;

  constructor(region: Region) {
    this.region = region;
    this.slot = producerSlot(region);
    try {
      this.consumer = Slot.ofConsumer(region);
      this.owner = this.slot.owner;
      this.messages = Sleepers.forMessages(region);
      if (region.kind === ONE_TO_ONE) settleOneToOne(region);
      this.claims = region.kind === ONE_TO_ONE
        ? new OneToOneClaims(region)
        : new ManyToOneClaims(region, this.slot);
    } catch (error) {
      this.slot.release();
      throw error;
    }
  }

  ended(claim: RingClaim): void {
    this.open.delete(claim);
    this.messages.wake();
  }

  leave(): void {
    for (const claim of this.open) abandon(claim);
    this.slot.release();
    this.messages.wake(); // so that the consumer finds the end
  }

  /** EPIPE if the consumer has closed the ring, or has died. */
  checkConsumer(): void {
    const { consumer, region } = this;
    if (consumer.generation === 0) return; // there was none yet
    if (consumer.id !== 0 && !consumer.hasEnded()) return;
    throw ipcError(EPIPE, "write", region.subject);
  }
}

/**
 * Writes messages into a {@linkcode SharedRing}. `SharedRing.producer()` makes one.
 *
 * Messages arrive in the order of the calls. Those of several producers arrive in the
 * order in which they have reserved their space. When the ring is full, `write` waits,
 * and `tryWrite` returns false: nothing is overwritten.
 *
 * @example One by one, in a batch, and in place
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedRing } from "@linux/ipc/ring";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = MemoryMap.anonymous(SharedRing.size(4096));
 * const ring = SharedRing.create(memory);
 * using producer = ring.producer();
 * using consumer = ring.consumer(); // usually in another process
 *
 * await producer.write(Uint8Array.of(1), { type: 7 });
 * producer.tryWriteAll([Uint8Array.of(2), Uint8Array.of(3)]);
 * {
 *   using claim = await producer.claim(1);
 *   claim.bytes[0] = 4;
 *   claim.commit();
 * }
 * const seen: number[] = [];
 * consumer.tryRead((message) => seen.push(message.type, message.bytes[0]!));
 * assertEquals(seen, [7, 1, 1, 2, 1, 3, 1, 4]);
 * ```
 */
export class RingProducer extends RingParticipant {
  readonly #state: ProducerState;
  readonly #region: Region;
  readonly #claims: Claims;
  readonly #messages: Sleepers;
  readonly #waiting: Waiting;
  readonly #queue = new WaiterQueue();
  readonly #owner: number; // 0 if there is only one producer
  #lengths = new Int32Array(BATCH);

  /**
   * Internal: use `SharedRing.producer()`.
   *
   * @ignore
   */
  constructor(
    token: symbol,
    state: ProducerState,
    spins: boolean,
  ) {
    super(token, state.region, () => state.leave());
    this.#state = state;
    this.#region = state.region;
    this.#claims = state.claims;
    this.#messages = state.messages;
    this.#owner = state.region.kind === ONE_TO_ONE ? 0 : state.owner;
    this.#waiting = new Waiting(
      state.region.subject,
      spins,
      closingOf(this),
      Sleepers.forSpace(state.region),
      () => state.checkConsumer(),
    );
  }

  /**
   * Writes a message if there is space.
   *
   * @param data The bytes of the message; 0 bytes are a message, too.
   * @param type The type of the message, which its reader gets.
   * @returns Whether it was written; false if the ring is full, or an asynchronous write
   * is pending.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the data is longer than
   * {@linkcode RingParticipant.prototype.maxMessageLength | RingParticipant.maxMessageLength},
   * or the type is not an integer from 1 to 2147483647.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
   */
  tryWrite(data: Uint8Array, type: number = 1): boolean {
    const length = this.#checkData(data);
    checkType(type);
    if (this.#queue.busy) {
      closingOf(this).checkOpen();
      return false;
    }
    return this.#tryWrite(data, length, type);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: writes a message, blocking this thread while the
   * ring is full. A Worker that blocks here cannot be terminated: see
   * {@linkcode SyncWaitOptions}.
   *
   * @param data The bytes of the message; 0 bytes are a message, too.
   * @param options `type`, and `timeout` in milliseconds.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the data is too long, or an option is out of range.
   * @throws {Error} If an asynchronous write is pending: it would be overtaken.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EPIPE if the ring is full and its consumer has closed it, or has
   * ended; EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  writeSync(
    data: Uint8Array,
    options?: RingWriteOptions & SyncWaitOptions,
  ): void {
    const type = typeOf(options); // first: a getter may resize the data
    const deadline = deadlineOf(options);
    const length = this.#checkData(data);
    this.#checkIdle();
    this.#waiting.sync(
      () => this.#tryWrite(data, length, type) || undefined,
      deadline,
    );
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: writes a message, waiting without blocking the
   * thread while the ring is full. Messages are written in the order of the calls.
   *
   * @param data The bytes of the message; 0 bytes are a message, too. Do not change them
   * until they are written.
   * @param options `type`; `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the data is too long, or an option is out of range.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EPIPE if the ring is full and its consumer has closed it, or has
   * ended; EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. Nothing was written.
   * @throws The reason of the signal, if it is aborted. Nothing was written.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  async write(
    data: Uint8Array,
    options?: RingWriteOptions & WaitOptions,
  ): Promise<void> {
    const type = typeOf(options);
    const limits = limitsOf(options);
    const length = this.#checkData(data);
    const kept = viewOf(data); // the caller's array may grow with its buffer
    await attempt(
      this.#waiting,
      () => {
        checkKept("data", kept, length);
        return this.#tryWrite(kept, length, type) || undefined;
      },
      limits,
      this.#queue,
    );
  }

  /**
   * Writes as many messages as there is space for, from the first on.
   *
   * They are published together, up to 256 of them, and up to an eighth of the capacity:
   * one by one takes several times as long.
   *
   * @param messages The bytes of each message.
   * @param type The type of all of them.
   * @returns How many were written; 0 if an asynchronous write is pending.
   * @throws {TypeError} If the messages are not an array of Uint8Array. None is written.
   * @throws {RangeError} If one of them is too long, or the type is out of range. None is
   * written.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
   */
  tryWriteAll(messages: readonly Uint8Array[], type: number = 1): number {
    const list = this.#checkAll(messages);
    checkType(type);
    closingOf(this).checkOpen();
    if (this.#queue.busy) return 0;
    return this.#tryWriteAll(list, 0, type);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: writes all messages, as `tryWriteAll` does,
   * blocking this thread while the ring is full.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param messages The bytes of each message.
   * @param options `type` of all of them, and `timeout` in milliseconds.
   * @throws {TypeError} If the messages are not an array of Uint8Array. None is written.
   * @throws {RangeError} If one of them is too long, or an option is out of range. None
   * is written.
   * @throws {Error} If an asynchronous write is pending: it would be overtaken.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EPIPE if the ring is full and its consumer has closed it, or has
   * ended; EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. The first of them
   * may be written.
   */
  writeAllSync(
    messages: readonly Uint8Array[],
    options?: RingWriteOptions & SyncWaitOptions,
  ): void {
    const type = typeOf(options);
    const deadline = deadlineOf(options);
    const list = this.#checkAll(messages);
    this.#checkIdle();
    this.#waiting.sync(this.#rest(list, type), deadline);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: writes all messages, as `tryWriteAll` does,
   * waiting without blocking the thread while the ring is full.
   *
   * @param messages The bytes of each message. Do not change them until all are written.
   * @param options `type` of all of them; `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the messages are not an array of Uint8Array. None is written.
   * @throws {RangeError} If one of them is too long, or an option is out of range. None
   * is written.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EPIPE if the ring is full and its consumer has closed it, or has
   * ended; EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. The first of them
   * may be written.
   * @throws The reason of the signal, if it is aborted. The first of them may be written.
   */
  async writeAll(
    messages: readonly Uint8Array[],
    options?: RingWriteOptions & WaitOptions,
  ): Promise<void> {
    const type = typeOf(options);
    const limits = limitsOf(options);
    const list = this.#checkAll(messages).map((message) => viewOf(message));
    await attempt(this.#waiting, this.#rest(list, type), limits, this.#queue);
  }

  /**
   * Reserves space for a message that is written in place, without a copy.
   *
   * @param length The length of the message, in bytes.
   * @param type The type of the message, which its reader gets.
   * @returns The claim, to be committed; undefined if the ring is full, or an
   * asynchronous write is pending.
   * @throws {RangeError} If the length or the type is out of range.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
   */
  tryClaim(length: number, type: number = 1): RingClaim | undefined {
    this.#checkLength("length", length);
    checkType(type);
    closingOf(this).checkOpen();
    return this.#queue.busy ? undefined : this.#tryClaim(length, type);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: reserves space for a message that is written in
   * place, blocking this thread while the ring is full.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param length The length of the message, in bytes.
   * @param options `type`, and `timeout` in milliseconds.
   * @returns The claim, to be committed.
   * @throws {RangeError} If the length or an option is out of range.
   * @throws {Error} If an asynchronous write is pending: it would be overtaken.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EPIPE if the ring is full and its consumer has closed it, or has
   * ended; EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   */
  claimSync(
    length: number,
    options?: RingWriteOptions & SyncWaitOptions,
  ): RingClaim {
    this.#checkLength("length", length);
    const type = typeOf(options);
    const deadline = deadlineOf(options);
    this.#checkIdle();
    return this.#waiting.sync(() => this.#tryClaim(length, type), deadline);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: reserves space for a message that is written in
   * place, waiting without blocking the thread while the ring is full.
   *
   * @param length The length of the message, in bytes.
   * @param options `type`; `timeout` in milliseconds, and `signal`.
   * @returns The claim, to be committed.
   * @throws {RangeError} If the length or an option is out of range.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EPIPE if the ring is full and its consumer has closed it, or has
   * ended; EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   */
  async claim(
    length: number,
    options?: RingWriteOptions & WaitOptions,
  ): Promise<RingClaim> {
    this.#checkLength("length", length);
    const type = typeOf(options);
    const limits = limitsOf(options);
    const tryOnce = () => this.#tryClaim(length, type);
    return await attempt(this.#waiting, tryOnce, limits, this.#queue);
  }

  /**
   * `kill(pid, 0)`: whether there is a consumer: "alive"; "gone" if it has closed the
   * ring, or has ended; "none" if there was none yet, or only one of another library.
   *
   * @throws {ClosedError} If this object or its memory is closed.
   */
  get consumer(): "alive" | "gone" | "none" {
    closingOf(this).checkOpen();
    const { consumer } = this.#state;
    if (consumer.generation === 0) return "none";
    return consumer.id === 0 || consumer.hasEnded() ? "gone" : "alive";
  }

  #checkData(data: unknown): number {
    checkBytes("data", data);
    const length = byteLengthOf(data);
    this.#checkLength("data.length", length);
    return length;
  }

  #checkLength(name: string, length: number): void {
    const { maxLength } = this.#region;
    checkInteger(name, length, 0, maxLength, "an eighth of the capacity");
  }

  #checkIdle(): void {
    if (!this.#queue.busy) return;
    throw new Error(
      `Cannot write to ${this.#region.subject}: an asynchronous write is pending`,
    );
  }

  /** Copies the list, which a caller may change during a wait. */
  #checkAll(messages: unknown): Uint8Array[] {
    if (!Array.isArray(messages)) {
      throw new TypeError(
        'Argument "messages" must be an array of Uint8Array',
      );
    }
    const list: Uint8Array[] = [];
    const { length } = messages;
    for (let i = 0; i < length; i++) list.push(messages[i]);
    for (const message of list) this.#checkData(message); // after all getters
    return list;
  }

  #tryWrite(data: Uint8Array, length: number, type: number): boolean {
    closingOf(this).checkOpen();
    const { int32, bytes } = this.#region;
    const size = length + RECORD;
    const at = this.#claims.claim(size);
    if (at < 0) return false;
    if (this.#owner !== 0) {
      int32[at >> 2] = -size;
      int32[(at + 4) >> 2] = this.#owner;
    }
    setBytes(bytes, data, at + RECORD);
    this.#publish(at, size, type);
    return true;
  }

  #publish(at: number, size: number, type: number): void {
    const { int32 } = this.#region;
    int32[(at + 4) >> 2] = type;
    Atomics.store(int32, at >> 2, size);
    this.#messages.wake();
  }

  #tryClaim(length: number, type: number): RingClaim | undefined {
    closingOf(this).checkOpen();
    const { open, owner } = this.#state;
    const { int32 } = this.#region;
    const size = length + RECORD;
    const at = this.#claims.claim(size);
    if (at < 0) return undefined;
    int32[at >> 2] = -size;
    int32[(at + 4) >> 2] = owner;
    const state = this.#state;
    const claim = new RingClaim(internal, state.region, at, size, type, state);
    open.add(claim);
    return claim;
  }

  /** A try to write what is left of a list. */
  #rest(list: readonly Uint8Array[], type: number): () => true | undefined {
    const lengths = list.map(byteLengthOf);
    let done = 0;
    return () => {
      for (let i = done; i < list.length; i++) {
        checkKept(`messages[${i}]`, list[i]!, lengths[i]!);
      }
      done += this.#tryWriteAll(list, done, type);
      return done === list.length || undefined;
    };
  }

  #tryWriteAll(
    list: readonly Uint8Array[],
    from: number,
    type: number,
  ): number {
    closingOf(this).checkOpen();
    let done = from;
    while (done < list.length) {
      const count = this.#tryBatch(list, done, type);
      if (count === 0) break;
      done += count;
    }
    return done - from;
  }

  /** Writes the next batch, or the next message alone where a batch does not fit. */
  #tryBatch(list: readonly Uint8Array[], from: number, type: number): number {
    const lengths = this.#lengths;
    const most = this.#region.maxLength + RECORD;
    let count = 0;
    let total = 0;
    while (from + count < list.length && count < BATCH) {
      const length = byteLengthOf(list[from + count]!);
      const size = aligned(length + RECORD);
      if (count > 0 && total + size > most) break;
      if (length + RECORD > most) this.#checkLength("data.length", length);
      lengths[count++] = length;
      total += size;
    }
    const at = this.#claims.claim(total);
    if (at >= 0) {
      this.#fill(list, from, count, at, total, type);
      return count;
    }
    if (count === 1) return 0;
    const [first] = lengths;
    return this.#tryWrite(list[from]!, first!, type) ? 1 : 0;
  }

  /** Fills records that are published with the first one. */
  #fill(
    list: readonly Uint8Array[],
    from: number,
    count: number,
    at: number,
    total: number,
    type: number,
  ): void {
    const { int32, bytes } = this.#region;
    const lengths = this.#lengths;
    if (this.#owner !== 0) {
      int32[at >> 2] = -total;
      int32[(at + 4) >> 2] = this.#owner;
    }
    let record = at;
    for (let i = 0; i < count; i++) {
      const size = lengths[i]! + RECORD;
      if (i > 0) {
        int32[(record + 4) >> 2] = type;
        int32[record >> 2] = size;
      }
      setBytes(bytes, list[from + i]!, record + RECORD);
      record += aligned(size);
    }
    this.#publish(at, lengths[0]! + RECORD, type);
  }
}
