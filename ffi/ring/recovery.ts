// What a dead participant has left: a claim that is never committed, or records that are
// half removed. docs/ring-format.md says why each step is safe.

import {
  aligned,
  MANY_TO_ONE,
  ONE_TO_ONE,
  PADDING,
  type Region,
} from "./region.ts";
import { Slot } from "./slots.ts";

/** A claim of a dead producer. */
interface Abandoned {
  /** Its length from the position on, as far as it is contiguous. */
  readonly length: number;
  /** Whether it ends there, so that it is counted once. */
  readonly isWhole: boolean;
}

/**
 * Turns the claim at a position into padding, if its producer has certainly ended.
 * Returns whether it has.
 */
export function unblock(
  region: Region,
  producers: readonly Slot[],
  position: number,
): boolean {
  const { data, capacity, int32 } = region;
  const tail = region.position(region.tail);
  if (tail <= position) return false;
  const index = position & (capacity - 1);
  const at = (data + index) >> 2;
  const length = Atomics.load(int32, at);
  if (length > 0) return false;
  const most = Math.min(capacity - index, tail - position);
  const found = region.kind === ONE_TO_ONE
    ? ofTheOne(producers[0]!, length, most, tail - position)
    : ofMany(region, producers, position, length, most);
  if (found === undefined) return false;
  if (!(found.length >= 8 && found.length <= most)) throw region.damaged();
  return fill(region, index, length, found);
}

/** Makes padding of a claim, unless its length is another one by now. */
function fill(
  region: Region,
  index: number,
  before: number,
  { length, isWhole }: Abandoned,
): boolean {
  const { int32, data } = region;
  const at = (data + index) >> 2;
  if (Atomics.load(int32, at) !== before) return false;
  int32[at + 1] = PADDING;
  if (Atomics.compareExchange(int32, at, before, length) !== before) {
    return false;
  }
  if (isWhole) region.countLost();
  return true;
}

/** Of the only producer nothing is left that is complete. */
function ofTheOne(
  producer: Slot,
  length: number,
  most: number,
  left: number,
): Abandoned | undefined {
  if (!producer.hasEnded()) return undefined;
  if (length < 0) return { length: aligned(-length), isWhole: true };
  return { length: most, isWhole: most === left };
}

function ofMany(
  region: Region,
  producers: readonly Slot[],
  position: number,
  length: number,
  most: number,
): Abandoned | undefined {
  const { data, capacity, int32 } = region;
  const type = int32[((data + (position & (capacity - 1))) >> 2) + 1]!;
  if (length < 0 && type !== 0) {
    if (!isOfDead(producers, type)) return undefined;
    return { length: aligned(-length), isWhole: true };
  }
  const dead = deadAt(producers, position);
  if (dead === undefined) return undefined;
  if (length < 0) return { length: aligned(-length), isWhole: true };
  const end = endOfClaim(region, producers, position, most);
  const isWhole = dead.position + dead.length <= position + end;
  return { length: end, isWhole };
}

/** Whether the owner in the type of a record has ended. Agrona's have no owner there. */
function isOfDead(producers: readonly Slot[], type: number): boolean {
  if (type >= PADDING) return false;
  const { index, generation } = Slot.ownerOf(type);
  const slot = producers[index];
  if (slot === undefined) return false;
  return slot.generation !== generation || slot.id === 0 || slot.hasEnded();
}

/** The dead producer that has claimed a position; undefined if a living one may have. */
function deadAt(
  producers: readonly Slot[],
  position: number,
): Slot | undefined {
  let dead: Slot | undefined;
  for (const slot of producers) {
    if (slot.id === 0 || !slot.contains(position)) continue;
    if (!slot.hasEnded()) return undefined;
    dead = slot;
  }
  return dead;
}

/** Where a claim ends in which nothing is written yet: where another one begins. */
function endOfClaim(
  region: Region,
  producers: readonly Slot[],
  position: number,
  most: number,
): number {
  const { data, capacity, int32 } = region;
  let end = most;
  for (const slot of producers) {
    const begin = slot.position - position;
    if (slot.length > 0 && begin > 0 && begin < end) end = begin;
  }
  const index = data + (position & (capacity - 1));
  for (let length = 8; length < end; length += 8) {
    if (Atomics.load(int32, (index + length) >> 2) !== 0) return length;
  }
  return end;
}

/** Whether the slot of a dead producer may be given to another one. */
export function isSettled(region: Region, slot: Slot): boolean {
  if (region.kind !== MANY_TO_ONE || slot.length === 0) return true;
  return slot.position + slot.length <= region.position(region.head);
}

/** Gives up what the predecessor of the only producer has left, as `unblock` does. */
export function settleOneToOne(region: Region): void {
  const { data, capacity, int32 } = region;
  const tail = region.position(region.tail);
  let position = region.position(region.head);
  if (tail < position || tail - position > capacity) throw region.damaged();
  while (position < tail) {
    const index = position & (capacity - 1);
    const most = Math.min(capacity - index, tail - position);
    const length = Atomics.load(int32, (data + index) >> 2);
    const size = length === 0 ? most : aligned(Math.abs(length));
    if (!(size >= 8 && size <= most)) throw region.damaged();
    if (length <= 0) {
      const isWhole = length < 0 || most === tail - position;
      fill(region, index, length, { length: size, isWhole });
    }
    position = Math.max(position + size, region.position(region.head));
  }
}

/** Removes what a dead consumer has consumed, but not removed. */
export function settleConsumer(region: Region, consumer: Slot): void {
  if (region.kind !== MANY_TO_ONE) return;
  const head = region.position(region.head);
  const tail = region.position(region.tail);
  const { position: consumed } = consumer;
  if (!(consumed > head && consumed <= tail && consumed % 8 === 0)) return;
  const index = head & (region.capacity - 1);
  if (consumed - head > region.capacity - index) return;
  const at = region.data + index;
  region.bytes.fill(0, at, at + consumed - head);
  region.publishPosition(region.head, head, consumed);
}
