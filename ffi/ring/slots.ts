// Who takes part in a ring: a slot in its header for the consumer, and one for each
// producer. From the slot of a thread that has ended the others see what it had begun.

import {
  hasEnded,
  ownIdentity,
  type ProcessIdentity,
} from "../kernel/process_identity.ts";
import {
  CONSUMER_SLOT,
  MAX_PRODUCERS,
  PRODUCER_SLOTS,
  type Region,
  SLOT,
} from "./region.ts";

// In a slot.
const START = 8;
const NAMESPACE = 16;
const POSITION = 24;
const LENGTH = 32;
const STAMP = 36;

const GENERATIONS = 0xff_ffff;
const INDEX_BITS = 6;
const FIRST_OWNER = -2; // the type of padding is -1, and those of messages are above 0

/** A thread that takes part in a ring. */
export interface Participant {
  /** Its number. */
  readonly id: number;
  /** Whether it has certainly ended. */
  readonly hasEnded: boolean;
}

/** The participant in a slot of a header that was copied; undefined if the slot is free. */
function participantIn(header: DataView, at: number): Participant | undefined {
  const { id, generation } = partsOf(header.getBigInt64(at, true));
  if (id <= 0) return undefined;
  const isStamped = header.getInt32(at + STAMP, true) === generation;
  const identity = isStamped
    ? {
      id,
      start: header.getBigInt64(at + START, true),
      namespace: header.getBigInt64(at + NAMESPACE, true),
    }
    : { id, start: 0n, namespace: ownIdentity().namespace };
  return { id, hasEnded: hasEnded(identity) };
}

/** Who takes part in a ring with this header, which is not trusted. */
export function participantsIn(
  header: DataView,
): { consumer: Participant | undefined; producers: Participant[] } {
  const producers: Participant[] = [];
  for (let index = 0; index < MAX_PRODUCERS; index++) {
    const at = PRODUCER_SLOTS + index * SLOT;
    if (partsOf(header.getBigInt64(at, true)).generation === 0) break;
    const producer = participantIn(header, at);
    if (producer !== undefined) producers.push(producer);
  }
  return { consumer: participantIn(header, CONSUMER_SLOT), producers };
}

/** The slot of one participant. */
export class Slot {
  readonly #region: Region;
  readonly #at: number;
  readonly #index: number;

  private constructor(region: Region, offset: number, index: number) {
    this.#region = region;
    this.#at = region.start + offset;
    this.#index = index;
  }

  /** The slot of the consumer. */
  static ofConsumer(region: Region): Slot {
    return new Slot(region, CONSUMER_SLOT, 0);
  }

  /** The slots of all producers. */
  static ofProducers(region: Region): Slot[] {
    return Array.from(
      { length: MAX_PRODUCERS },
      (_, index) => new Slot(region, PRODUCER_SLOTS + index * SLOT, index),
    );
  }

  /** The slot and the generation in the type of a record that is not committed yet. */
  static ownerOf(type: number): { index: number; generation: number } {
    const number = FIRST_OWNER - type;
    return {
      index: number & ((1 << INDEX_BITS) - 1),
      generation: number >>> INDEX_BITS,
    };
  }

  /** The number of the thread, and how many threads have had the slot, as one word. */
  get word(): bigint {
    return Atomics.load(this.#region.int64, this.#at >> 3);
  }

  /** The number of the thread that has the slot; 0 if none has. */
  get id(): number {
    return this.#region.int32[this.#at >> 2]!;
  }

  /** How many threads have had the slot; 0 if none has. */
  get generation(): number {
    return this.#region.int32[(this.#at >> 2) + 1]! & GENERATIONS;
  }

  /** The type of records of which the owner of this slot has not committed. */
  get owner(): number {
    return FIRST_OWNER - (this.generation << INDEX_BITS | this.#index);
  }

  /** The beginning of the part of the ring that the owner changes. */
  get position(): number {
    return Number(Atomics.load(this.#region.int64, (this.#at + POSITION) >> 3));
  }

  /** The length of that part; 0 if there is none. */
  get length(): number {
    return Atomics.load(this.#region.int32, (this.#at + LENGTH) >> 2);
  }

  /** Notes which part of the ring the owner is about to change. */
  begin(position: number, length: number): void {
    const { int32 } = this.#region;
    const at = this.#at + POSITION >> 2;
    int32[at] = position | 0;
    int32[at + 1] = Math.floor(position / 0x1_0000_0000);
    int32[at + 2] = length;
  }

  /** Notes that it changes none. */
  end(): void {
    Atomics.store(this.#region.int32, (this.#at + LENGTH) >> 2, 0);
  }

  /** Whether the part that the owner changes includes a position. */
  contains(position: number): boolean {
    const { length, position: start } = this;
    return length > 0 && start <= position && position < start + length;
  }

  /** Whether a thread has the slot, and has certainly ended. */
  hasEnded(): boolean {
    const word = this.word;
    const { id, generation } = partsOf(word);
    if (id <= 0) return false;
    const identity = this.#identity(id, generation);
    return this.word === word && hasEnded(identity);
  }

  #identity(id: number, generation: number): ProcessIdentity {
    const { int32, int64 } = this.#region;
    const at = this.#at;
    // A thread that was killed while it took the slot has left the fields of another.
    if (Atomics.load(int32, (at + STAMP) >> 2) !== generation) {
      return { id, start: 0n, namespace: ownIdentity().namespace };
    }
    return {
      id,
      start: Atomics.load(int64, (at + START) >> 3),
      namespace: Atomics.load(int64, (at + NAMESPACE) >> 3),
    };
  }

  /**
   * Takes the slot for this thread. False if another one has it, and has not ended, or
   * may not be replaced.
   */
  take(mayReplace: (ended: Slot) => boolean): boolean {
    const { int32, int64 } = this.#region;
    const at = this.#at;
    const word = this.word;
    const { id, generation } = partsOf(word);
    if (id !== 0 && !(this.hasEnded() && mayReplace(this))) return false;
    const own = ownIdentity();
    const next = (generation + 1) & GENERATIONS || 1;
    const taken = wordOf(own.id, next);
    if (Atomics.compareExchange(int64, at >> 3, word, taken) !== word) {
      return false;
    }
    this.end();
    Atomics.store(int64, (at + START) >> 3, own.start);
    Atomics.store(int64, (at + NAMESPACE) >> 3, own.namespace);
    Atomics.store(int32, (at + STAMP) >> 2, next);
    return true;
  }

  /** Gives the slot back. */
  release(): void {
    const { int64 } = this.#region;
    this.end();
    const { generation } = partsOf(this.word);
    Atomics.store(int64, this.#at >> 3, wordOf(0, generation));
  }
}

function partsOf(word: bigint): { id: number; generation: number } {
  return {
    id: Number(BigInt.asIntN(32, word)),
    generation: Number(BigInt.asUintN(24, word >> 32n)),
  };
}

function wordOf(id: number, generation: number): bigint {
  return BigInt(generation) << 32n | BigInt(id);
}

/** Those who are known to have ended. */
export class Ended {
  readonly #words = new Map<Slot, bigint>();

  /** Finds out who of these has ended. */
  look(slots: readonly Slot[]): void {
    for (const slot of slots) {
      if (slot.generation === 0) break; // free slots are taken in order
      const { word } = slot;
      if (slot.hasEnded() && slot.word === word) this.#words.set(slot, word);
    }
  }

  /**
   * Whether all that have ever had one of these slots are gone, as far as that is known
   * without a system call. False if none has had one.
   */
  includesAll(slots: readonly Slot[]): boolean {
    let any = false;
    for (const slot of slots) {
      if (slot.generation === 0) break;
      any = true;
      if (slot.id !== 0 && this.#words.get(slot) !== slot.word) return false;
    }
    return any;
  }
}
