// Reserving space in a ring, which is what one producer and many do differently.

import { aligned, PADDING, RECORD, type Region } from "./region.ts";
import type { Slot } from "./slots.ts";

/** Reserves space for records. */
export interface Claims {
  /**
   * Reserves space for records of this length together. Returns the offset of the first
   * one in the memory; -1 if there is no space now. Others see no record there yet.
   */
  claim(length: number): number;
}

const FULL = -1;
const RETRIES = 1 << 12; // looks at counters that do not fit together

/** The space of a ring that only this thread writes to: Agrona's one-to-one ring. */
export class OneToOneClaims implements Claims {
  readonly #region: Region;
  #tail: number;
  #head: number; // as of the last look

  constructor(region: Region) {
    this.#region = region;
    this.#tail = region.position(region.tail);
    this.#head = this.#tail;
    this.#head = this.#headNow();
  }

  claim(length: number): number {
    const { data, capacity, int32 } = this.#region;
    const tail = this.#tail;
    const size = aligned(length);
    const required = size + RECORD; // the next header is zeroed, too
    if (
      required > capacity - (tail - this.#head) &&
      required > capacity - (tail - (this.#head = this.#headNow()))
    ) return FULL;
    const index = tail & (capacity - 1);
    const left = capacity - index;
    if (size < left && required <= left) {
      this.#zero(index + size);
      this.#setTail(tail + size);
      return data + index;
    }
    this.#zero(0);
    if (size === left) {
      this.#setTail(tail + size);
      return data + index;
    }
    const front = capacity - 1 & this.#head;
    const fits = required <= front ||
      required <= ((this.#head = this.#headNow()) & (capacity - 1));
    if (fits) this.#zero(size);
    this.#setTail(tail + left + (fits ? size : 0));
    int32[(data + index + 4) >> 2] = PADDING;
    Atomics.store(int32, (data + index) >> 2, left);
    return fits ? data : FULL;
  }

  #zero(index: number): void {
    const { data, int32 } = this.#region;
    int32[(data + index) >> 2] = 0;
    int32[(data + index + 4) >> 2] = 0;
  }

  /** It is published with the record, which the consumer does not read before that. */
  #setTail(tail: number): void {
    const { tail: at } = this.#region;
    this.#region.setPosition(at, this.#tail, tail);
    this.#tail = tail;
  }

  #headNow(): number {
    const { head: at, capacity } = this.#region;
    const head = this.#region.position(at);
    if (head <= this.#tail && head >= this.#tail - capacity) return head;
    throw this.#region.damaged();
  }
}

/** The space of a ring that many threads write to: Agrona's many-to-one ring. */
export class ManyToOneClaims implements Claims {
  readonly #region: Region;
  readonly #slot: Slot;
  #head = 0; // as of the last look

  constructor(region: Region, slot: Slot) {
    this.#region = region;
    this.#slot = slot;
  }

  claim(length: number): number {
    const { data, capacity, int32, int64, tail: at } = this.#region;
    const size = aligned(length);
    for (let stale = 0; stale < RETRIES;) {
      const word = Atomics.load(int64, at >> 3);
      const tail = Number(word);
      this.#checkTail(tail);
      if (size > capacity - (tail - this.#head) || tail < this.#head) {
        this.#head = this.#region.position(this.#region.head);
        if (this.#head > tail) {
          stale++; // others have written meanwhile
          continue;
        }
        const free = capacity - (tail - this.#head);
        if (free < 0) throw this.#region.damaged();
        if (size > free) return this.#full();
      }
      const index = tail & (capacity - 1);
      const left = capacity - index;
      let total = size;
      let fits = true;
      if (size > left) {
        fits = size <= (this.#head & (capacity - 1)) || this.#fitsInFront(size);
        if (this.#head > tail) {
          stale++;
          continue;
        }
        total = fits ? left + size : left;
      }
      // From here on others see who owns the space, even if this thread dies.
      this.#slot.begin(tail, total);
      const next = BigInt.asIntN(64, word + BigInt(total));
      if (Atomics.compareExchange(int64, at >> 3, word, next) !== word) {
        continue;
      }
      if (size <= left) return data + index;
      int32[(data + index + 4) >> 2] = PADDING;
      Atomics.store(int32, (data + index) >> 2, left);
      return fits ? data : this.#full();
    }
    throw this.#region.damaged();
  }

  #fitsInFront(size: number): boolean {
    const { head, capacity } = this.#region;
    this.#head = this.#region.position(head);
    return size <= (this.#head & (capacity - 1));
  }

  #full(): number {
    this.#slot.end();
    return FULL;
  }

  #checkTail(tail: number): void {
    if (Number.isSafeInteger(tail) && tail >= 0 && tail % 8 === 0) return;
    throw this.#region.damaged();
  }
}
