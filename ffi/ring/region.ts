// Where the parts of a ring lie in memory, and how they are read and written. All
// offsets and sizes are in bytes; docs/ring-format.md describes each of them.

import { bufferOf, checkInteger } from "../arguments.ts";
import { EBADMSG, EEXIST, ipcError } from "../libc/errno.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { mappingOf, type Memory } from "../memory/memory.ts";

/** The bytes before the data: our own header, which Agrona's format does not have. */
export const HEADER = 4096;
/** The bytes of the header of a record: its length and its type. */
export const RECORD = 8;
/** The type of a record that is no message. */
export const PADDING = -1;
const ALIGNMENT = 64; // of the header, in memory
export const MIN_CAPACITY = 64;
const MAX_CAPACITY = 0x4000_0000;

// Our header.
export const MAGIC = 0x474e_4952_4350_494cn; // "LIPCRING", little-endian
export const VERSION = 1;
export const VERSION_AT = 8;
export const KIND_AT = 12;
export const CAPACITY_AT = 16;
const LOST_AT = 24;
/** The consumer's slot in the header. */
export const CONSUMER_SLOT = 64;
/** The first producer's slot in the header. */
export const PRODUCER_SLOTS = 128;
/** The size of a slot. */
export const SLOT = 64;
/** How many producers there can be. */
export const MAX_PRODUCERS: number = (HEADER - PRODUCER_SLOTS) / SLOT;

// The trailer of a ring, from its beginning.
export const TAIL = 128;
export const HEAD = 384;
const TRAILER = 768;
// Of a broadcast.
const INTENT = 0;
const BROADCAST_TAIL = 8;
const LATEST = 16;
const MARK = 24;
const BROADCAST_TRAILER = 128;

/** What is in the memory: the numbers are those of the header. */
export type RingKind = 1 | 2 | 3;
export const ONE_TO_ONE = 1;
export const MANY_TO_ONE = 2;
export const BROADCAST = 3;

/** The length of a record with its padding. */
export function aligned(length: number): number {
  return (length + 7) & ~7;
}

function trailerOf(kind: RingKind): number {
  return kind === BROADCAST ? BROADCAST_TRAILER : TRAILER;
}

/** The size in memory of a ring with this capacity. */
export function sizeOf(kind: RingKind, capacity: unknown): number {
  checkCapacity(capacity);
  return HEADER + capacity + trailerOf(kind);
}

function checkCapacity(value: unknown): asserts value is number {
  const origin = "a power of two";
  checkInteger("capacity", value, MIN_CAPACITY, MAX_CAPACITY, origin);
  if (isPowerOfTwo(value)) return;
  throw new RangeError(
    `Argument "capacity" must be a power of two: ${value}`,
  );
}

export function isPowerOfTwo(value: number): boolean {
  return value >= MIN_CAPACITY && value <= MAX_CAPACITY &&
    (value & (value - 1)) === 0;
}

/** The largest capacity of a ring in so many bytes; 0 if none fits. */
function capacityIn(kind: RingKind, size: number): number {
  const space = Math.min(size - HEADER - trailerOf(kind), MAX_CAPACITY);
  return space < MIN_CAPACITY ? 0 : 2 ** Math.floor(Math.log2(space));
}

/** The writable mapping of a memory, and that a ring may begin at the offset. */
function mappingAt(memory: Memory, offset: unknown): Mapping {
  const mapping = mappingOf(memory);
  mapping.checkWritable();
  const { length, subject } = mapping;
  checkInteger("offset", offset, 0, length, `the size of ${subject}`);
  if ((mapping.address + BigInt(offset)) % BigInt(ALIGNMENT) === 0n) {
    return mapping;
  }
  throw new RangeError(
    `Argument "offset" must be a multiple of ${ALIGNMENT} bytes: ${offset}`,
  );
}

/** Formats memory. Throws EEXIST if there is a ring already. */
export function create(
  memory: Memory,
  kind: RingKind,
  offset: number,
  capacity: number | undefined,
): Region {
  const mapping = mappingAt(memory, offset);
  const space = mapping.length - offset;
  const size = capacity ?? capacityIn(kind, space);
  if (capacity !== undefined) checkCapacity(capacity);
  if (size === 0 || sizeOf(kind, size) > space) {
    const least = sizeOf(kind, size || MIN_CAPACITY);
    throw new RangeError(
      `Cannot create a ring in ${mapping.subject}: it needs ${least} bytes, and ` +
        `there are ${space} from offset ${offset}`,
    );
  }
  const region = new Region(mapping, offset, kind, size);
  if (region.isFormatted()) {
    throw ipcError(EEXIST, "create", region.subject);
  }
  region.format();
  return region;
}

/** The ring at an offset. Throws a TypeError if there is none. */
export function open(
  memory: Memory,
  kinds: readonly RingKind[],
  offset: number,
): Region {
  const mapping = mappingAt(memory, offset);
  const fail = (why: string): never => {
    throw new TypeError(
      `Cannot open a ring at offset ${offset} of ${mapping.subject}: ${why}`,
    );
  };
  if (mapping.length - offset < HEADER) fail("it is too small");
  const view = new DataView(bufferOf(mapping.bytes), offset, HEADER);
  if (view.getBigInt64(0, true) !== MAGIC) fail("there is none");
  const version = view.getInt32(VERSION_AT, true);
  if (version !== VERSION) fail(`its version is ${version}, not ${VERSION}`);
  const kind = view.getInt32(KIND_AT, true) as RingKind;
  if (!kinds.includes(kind)) fail("it is of another kind");
  const capacity = Number(view.getBigInt64(CAPACITY_AT, true));
  if (
    !isPowerOfTwo(capacity) || sizeOf(kind, capacity) > mapping.length - offset
  ) fail(`its capacity of ${capacity} bytes is wrong`);
  return new Region(mapping, offset, kind, capacity);
}

/** The memory of one ring, as words and bytes. */
export class Region {
  readonly mapping: Mapping;
  readonly subject: string;
  readonly kind: RingKind;
  readonly capacity: number;
  /** The longest message. */
  readonly maxLength: number;
  readonly int32: Int32Array<ArrayBuffer>;
  readonly int64: BigInt64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The offset of the header in the memory, and of the data and the trailer. */
  readonly start: number;
  readonly data: number;
  readonly trailer: number;
  /** The offsets of the counters. */
  readonly tail: number;
  readonly head: number;
  readonly intent: number;
  readonly latest: number;
  readonly mark: number;

  constructor(
    mapping: Mapping,
    start: number,
    kind: RingKind,
    capacity: number,
  ) {
    const isBroadcast = kind === BROADCAST;
    this.mapping = mapping;
    this.subject = `${
      isBroadcast ? "broadcast" : "ring"
    } in ${mapping.subject}`;
    this.kind = kind;
    this.capacity = capacity;
    this.maxLength = Math.max(RECORD, capacity / 8);
    this.start = start;
    this.data = start + HEADER;
    this.trailer = this.data + capacity;
    this.tail = this.trailer + (isBroadcast ? BROADCAST_TAIL : TAIL);
    this.head = this.trailer + HEAD;
    this.intent = this.trailer + INTENT;
    this.latest = this.trailer + LATEST;
    this.mark = this.trailer + MARK;
    const { bytes } = mapping;
    const buffer = bufferOf(bytes);
    this.bytes = bytes;
    this.int32 = new Int32Array(buffer, 0, Math.floor(mapping.length / 4));
    this.int64 = new BigInt64Array(buffer, 0, Math.floor(mapping.length / 8));
  }

  isFormatted(): boolean {
    return Atomics.load(this.int64, this.start >> 3) === MAGIC;
  }

  /** Makes an empty ring of memory with any contents. */
  format(): void {
    const { start, kind, capacity, int32, int64 } = this;
    this.bytes.fill(0, start, start + sizeOf(kind, capacity));
    int32[(start + VERSION_AT) >> 2] = VERSION;
    int32[(start + KIND_AT) >> 2] = kind;
    int64[(start + CAPACITY_AT) >> 3] = BigInt(capacity);
    Atomics.store(int64, start >> 3, MAGIC); // others may open it from now on
  }

  /** How many claims of dead producers were given up. */
  get lost(): number {
    return Atomics.load(this.int32, (this.start + LOST_AT) >> 2) >>> 0;
  }

  countLost(): void {
    Atomics.add(this.int32, (this.start + LOST_AT) >> 2, 1);
  }

  /** A counter, which a peer may have damaged. */
  position(at: number): number {
    const position = Number(Atomics.load(this.int64, at >> 3));
    if (Number.isSafeInteger(position) && position >= 0 && position % 8 === 0) {
      return position;
    }
    throw this.damaged();
  }

  /**
   * Moves a counter that this thread alone writes, and publishes all earlier writes. Its
   * upper half changes once in 4 GiB. In between a store of the lower half is a store of
   * the whole, and several times as fast as one of a bigint.
   */
  publishPosition(at: number, before: number, position: number): void {
    if (hasSameUpperHalf(before, position)) {
      Atomics.store(this.int32, at >> 2, position | 0);
    } else {
      Atomics.store(this.int64, at >> 3, BigInt(position));
    }
  }

  /** The same, without an order: what is published afterwards publishes it, too. */
  setPosition(at: number, before: number, position: number): void {
    if (hasSameUpperHalf(before, position)) {
      this.int32[at >> 2] = position | 0;
    } else {
      this.int64[at >> 3] = BigInt(position);
    }
  }

  /** The error of what cannot be in a ring. */
  damaged(): Error {
    return ipcError(EBADMSG, "read", this.subject);
  }
}

const HALF = 0x1_0000_0000;

function hasSameUpperHalf(one: number, other: number): boolean {
  return other - one < HALF && (other >>> 0) >= (one >>> 0);
}
