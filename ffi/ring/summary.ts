// A summary of the ring in a memory, for a process that does not take part in it.

import {
  BROADCAST,
  CAPACITY_AT,
  HEAD,
  HEADER,
  isPowerOfTwo,
  KIND_AT,
  MAGIC,
  MIN_CAPACITY,
  ONE_TO_ONE,
  type RingKind,
  sizeOf,
  TAIL,
  VERSION,
  VERSION_AT,
} from "./region.ts";
import { type Participant, participantsIn } from "./slots.ts";

/** The kind of a ring, how full it is, and who takes part in it. */
export interface RingSummary {
  readonly kind: RingKind;
  readonly capacity: number;
  /** The bytes that are to be consumed; null for a broadcast, which is not emptied. */
  readonly used: number | null;
  /** The thread that consumes; undefined if none does. */
  readonly consumer: Participant | undefined;
  readonly producers: readonly Participant[];
}

/**
 * The ring at the beginning of memory of that size, which `read` reads in parts; undefined
 * if there is none. What it has may be damaged, so nothing of it is trusted.
 */
export function ringIn(
  size: number,
  read: (offset: number, length: number) => DataView | undefined,
): RingSummary | undefined {
  if (size < HEADER + MIN_CAPACITY) return undefined;
  if (read(0, 8)?.getBigInt64(0, true) !== MAGIC) return undefined;
  const header = read(0, HEADER);
  if (header === undefined) return undefined;
  const kind = header.getInt32(KIND_AT, true) as RingKind;
  const capacity = Number(header.getBigInt64(CAPACITY_AT, true));
  if (
    header.getInt32(VERSION_AT, true) !== VERSION || kind < ONE_TO_ONE ||
    kind > BROADCAST || !isPowerOfTwo(capacity) || sizeOf(kind, capacity) > size
  ) return undefined;
  const participants = participantsIn(header);
  if (kind === BROADCAST) {
    return { kind, capacity, used: null, ...participants };
  }
  const trailer = read(HEADER + capacity, HEAD + 8);
  if (trailer === undefined) return undefined;
  const [head, tail] = [HEAD, TAIL].map((at) => trailer.getBigInt64(at, true));
  const used = Number(tail! - head!);
  return {
    kind,
    capacity,
    used: Math.min(Math.max(used, 0), capacity),
    ...participants,
  };
}
