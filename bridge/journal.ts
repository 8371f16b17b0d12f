// What a bridge has taken out of a queue, or is about to, in a file that is mapped into
// memory: it survives the process, whenever that is killed.
//
// The file has a fixed number of slots. The data of a slot is written first, and its state
// last; so a slot is there as a whole or not at all. The space is allocated when the file
// is created: a full disk is an error at the start, and not a SIGBUS later.

import { Buffer } from "node:buffer";
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { crc32 } from "node:zlib";
import { File, FileLock } from "@linux/ipc/descriptor";
import { MemoryMap } from "@linux/ipc/memory-map";
import { type FieldViews, i64, struct, u32, u64 } from "@linux/ipc/struct";
import { BridgeError } from "./error.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const MAGIC = 0x4a435049; // "IPCJ"
const VERSION = 1;
const HEADER = 512; // bytes
const IDENTITY = 256; // the bytes at its end that name the queue

const head = {
  magic: u32,
  version: u32,
  slots: u32,
  slotSize: u32,
  source: u64, // the first half of all message identifiers
  next: u64, // the number of the next message
};
const slotHead = {
  state: u32,
  crc: u32,
  length: u32,
  seed: u32, // of the pattern in an armed slot
  number: u64,
  type: i64,
};
const header = struct(head);
const slotHeader = struct(slotHead);

/** What a slot has. */
const STATE = {
  free: 0,
  /** A pattern, over which the kernel may have written a message. */
  armed: 1,
  /** A copy of a message that is in the queue. */
  copied: 2,
  /** The same, and the message is being taken out of the queue now. */
  taking: 3,
  /** A message that is nowhere else. */
  held: 4,
} as const;

/** A message in the journal. */
export interface Entry {
  readonly slot: number;
  readonly number: bigint;
  readonly type: bigint;
  readonly data: Bytes;
  /** Whether a copy of it may be in the queue. */
  inQueue: boolean;
}

/** How a journal is made. */
export interface JournalOptions {
  readonly slots: number;
  /** The most bytes of data in a slot. */
  readonly maxSize: number;
  /** The queue whose messages it has: no other one, on any machine, at any time. */
  readonly identity: string;
}

/** Bytes that no message has by chance. */
function pattern(seed: number, length: number): Bytes {
  const words = new Uint32Array(Math.ceil(length / 4));
  let word = seed | 1;
  for (let i = 0; i < words.length; i++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[i] = word;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** Where the bytes differ last; -1 if they are equal. */
function lastDifference(one: Bytes, other: Bytes): number {
  let at = one.length - 1;
  while (at >= 0 && one[at] === other[at]) at--;
  return at;
}

function asBuffer({ buffer, byteOffset, byteLength }: Bytes): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** What a queue is, as the header has it. */
function identityBytes(identity: string): Bytes {
  const bytes = new Uint8Array(IDENTITY);
  new TextEncoder().encodeInto(identity, bytes);
  return bytes;
}

/** The slots of a mapped file. */
class Slots {
  readonly map: MemoryMap;
  readonly header: FieldViews<typeof head>;
  /** The bytes of data in a slot. */
  readonly room: number;
  readonly heads: readonly FieldViews<typeof slotHead>[];
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #size: number;

  constructor(map: MemoryMap) {
    this.map = map;
    this.header = map.view(0, header);
    this.#size = this.header.slotSize;
    this.room = this.#size - slotHeader.size;
    const { buffer, byteOffset } = map.bytes;
    this.#words = new Int32Array(buffer, byteOffset, map.byteLength >> 2);
    const whole = Math.floor((map.byteLength - HEADER) / this.#size);
    const length = Math.min(this.header.slots, whole);
    const views = Array.from(
      { length },
      (_, slot) => map.view(this.#at(slot), slotHeader),
    );
    this.heads = views;
  }

  /** A new file of free slots. */
  static create(path: string, { slots, maxSize }: JournalOptions): Slots {
    const slotSize = Slots.sizeFor(maxSize);
    const map = MemoryMap.create(path, HEADER + slots * slotSize);
    map.bytes.set(header.encode({
      magic: MAGIC,
      version: VERSION,
      slots,
      slotSize,
      source: crypto.getRandomValues(new BigUint64Array(1))[0]!,
      next: 1n,
    }));
    return new Slots(map);
  }

  /** The slots of a file that exists. */
  static open(path: string): Slots {
    const isEmpty = statSync(path).size < HEADER;
    const map = isEmpty ? undefined : MemoryMap.open(path);
    if (map !== undefined) {
      const { magic, version, slotSize } = map.view(0, header);
      const isRight = magic === MAGIC && version === VERSION &&
        slotSize >= slotHeader.size && slotSize % 8 === 0;
      if (isRight) return new Slots(map);
    }
    map?.close();
    throw new BridgeError(
      `${path} is no journal of this program, or is damaged: move it away`,
    );
  }

  static sizeFor(maxSize: number): number {
    return Math.ceil((slotHeader.size + maxSize) / 64) * 64;
  }

  /** Whether the file has the shape that these options want. */
  suits({ slots, maxSize }: JournalOptions): boolean {
    return this.#size === Slots.sizeFor(maxSize) &&
      slots === this.header.slots && slots === this.heads.length;
  }

  /** Whether the messages are of this queue. */
  isOf(identity: string): boolean {
    return lastDifference(this.#identity, identityBytes(identity)) === -1;
  }

  /** The messages are of this queue from now on. */
  setIdentity(identity: string): void {
    this.#identity.set(identityBytes(identity));
  }

  /** Takes another first half for the identifiers of messages. */
  renewSource(): void {
    this.header.source = crypto.getRandomValues(new BigUint64Array(1))[0]!;
  }

  data(slot: number, length: number): Bytes {
    const start = this.#at(slot) + slotHeader.size;
    return this.map.bytes.subarray(start, start + length);
  }

  /** The checksum of the length, the number, the type and the data. */
  crcOf(slot: number, length: number): number {
    const start = this.#at(slot) + slotHeader.size;
    const numbers = this.map.bytes.subarray(start - 16, start);
    const ofNumbers = crc32(asBuffer(numbers), length);
    return crc32(asBuffer(this.data(slot, length)), ofNumbers);
  }

  /** After all that was written before. */
  setState(slot: number, state: number): void {
    Atomics.store(this.#words, this.#at(slot) >> 2, state);
  }

  get #identity(): Bytes {
    return this.map.bytes.subarray(HEADER - IDENTITY, HEADER);
  }

  #at(slot: number): number {
    return HEADER + slot * this.#size;
  }
}

/** Keeps other processes out of a file. */
function locked(path: string): File {
  const file = File.openOrCreate(`${path}.lock`);
  if (FileLock.of(file).tryLock() !== undefined) return file;
  file.close();
  throw new BridgeError(`Another bridge uses ${path}`);
}

/** The journal of a bridge. */
export class Journal implements Disposable {
  /** What was found damaged when the file was opened. */
  readonly damaged: string[] = [];
  readonly #lock: File | undefined;
  readonly #slots: Slots;
  readonly #source: string;
  readonly #free: number[] = [];
  readonly #seed: number = crypto.getRandomValues(new Uint32Array(1))[0]!;
  readonly #pattern: Bytes;
  #armed: number | undefined;
  #entries: Entry[] = [];

  private constructor(
    slots: Slots,
    { identity }: JournalOptions,
    lock?: File,
  ) {
    this.#lock = lock;
    this.#slots = slots;
    const isSameQueue = slots.isOf(identity);
    // The file may have been copied to another machine, or `next` may be older than what
    // was published, after a loss of power: no identifier may come again.
    if (!isSameQueue) slots.renewSource();
    slots.setIdentity(identity);
    this.#source = slots.header.source.toString(36);
    this.#pattern = pattern(this.#seed, slots.room);
    this.#load(isSameQueue);
  }

  /** Opens the file, or creates it. The messages of one of another shape are kept. */
  static open(path: string, options: JournalOptions): Journal {
    const lock = locked(path);
    try {
      const unfinished = `${path}.new`;
      rmSync(unfinished, { force: true });
      if (!existsSync(path)) {
        Slots.create(unfinished, options).map.close();
        renameSync(unfinished, path);
      }
      const slots = Slots.open(path);
      if (slots.suits(options)) {
        return new Journal(slots, options, lock);
      }
      using old = new Journal(slots, options);
      const journal = old.#movedTo(unfinished, options, lock);
      renameSync(unfinished, path);
      return journal;
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** The messages that are not done, oldest first. */
  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** The most bytes of a message. */
  get maxSize(): number {
    return this.#slots.room;
  }

  /** How many more messages have room. */
  get room(): number {
    return this.#free.length + (this.#armed === undefined ? 0 : 1);
  }

  /** The identifier of a message: the same whenever it is published. */
  idOf({ number }: Entry): string {
    return `${this.#source}.${number.toString(36)}`;
  }

  /** Writes the copy of a message that stays in the queue for now. */
  copy(type: bigint, data: Bytes): void {
    this.#add(STATE.copied, type, data);
  }

  /** Writes a message that is nowhere else. */
  hold(type: bigint, data: Bytes): void {
    this.#add(STATE.held, type, data);
  }

  /**
   * Lets a call receive a message right into the journal. The kernel writes the bytes, so
   * that they are in the file before the process goes on.
   */
  receive(
    receive: (buffer: Bytes) => { type: bigint; size: number } | undefined,
  ): boolean {
    const slot = this.#armed ??= this.#arm();
    const received = receive(this.#slots.data(slot, this.#slots.room));
    if (received === undefined) return false;
    this.#armed = undefined;
    this.#commit(slot, STATE.held, received.type, received.size);
    return true;
  }

  /** Says that the message is being taken out of the queue, right before it is. */
  taking(entry: Entry): void {
    entry.inQueue = false;
    this.#slots.setState(entry.slot, STATE.taking);
  }

  /** Gives the space of these messages back, if they have any: they are done. */
  done(entries: readonly Entry[]): void {
    const all = new Set(entries);
    this.#entries = this.#entries.filter((entry) => {
      if (!all.has(entry)) return true;
      this.#slots.setState(entry.slot, STATE.free);
      this.#free.push(entry.slot);
      return false;
    });
  }

  /** The messages are of another queue from now on, which has none of their copies. */
  moveTo(identity: string): void {
    if (this.#slots.isOf(identity)) return;
    this.#slots.setIdentity(identity);
    for (const entry of this.#entries) this.taking(entry);
  }

  close(): void {
    this.#slots.map.close();
    this.#lock?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads what an earlier process has left. */
  #load(isSameQueue: boolean): void {
    for (const [slot, { state }] of this.#slots.heads.entries()) {
      if (state === STATE.armed) this.#recover(slot);
      else if (state !== STATE.free) this.#loadSlot(slot, state, isSameQueue);
      if (this.#slots.heads[slot]!.state === STATE.free) this.#free.push(slot);
    }
    this.#entries.sort((one, other) => one.number < other.number ? -1 : 1);
  }

  #loadSlot(slot: number, state: number, isSameQueue: boolean): void {
    const { number, type, length, crc } = this.#slots.heads[slot]!;
    const isWhole = state <= STATE.held && length <= this.#slots.room &&
      crc === this.#slots.crcOf(slot, length);
    if (!isWhole) {
      this.damaged.push(`message ${number} of the journal is damaged`);
      this.#slots.setState(slot, STATE.free);
      return;
    }
    // Whether a message that was being taken is still in the queue is not known. What is
    // there, with the same bytes, may be the next message: so it counts as that.
    const inQueue = state === STATE.copied && isSameQueue;
    const data = this.#slots.data(slot, length);
    this.#entries.push({ slot, number, type, data, inQueue });
  }

  /** Looks whether the kernel has received a message before the process was killed. */
  #recover(slot: number): void {
    const { room } = this.#slots;
    const { seed } = this.#slots.heads[slot]!;
    const data = this.#slots.data(slot, room);
    const last = lastDifference(data, pattern(seed, room));
    if (last === -1) this.#slots.setState(slot, STATE.free);
    else this.#commit(slot, STATE.held, 0n, last + 1);
  }

  #arm(): number {
    const slot = this.#take();
    this.#slots.heads[slot]!.seed = this.#seed;
    this.#slots.data(slot, this.#slots.room).set(this.#pattern);
    this.#slots.setState(slot, STATE.armed);
    return slot;
  }

  #add(state: number, type: bigint, data: Bytes): void {
    const slot = this.#take();
    this.#slots.data(slot, data.length).set(data);
    this.#commit(slot, state, type, data.length);
  }

  #take(): number {
    const slot = this.#free.pop();
    if (slot === undefined) throw new Error("The journal is full");
    return slot;
  }

  /** Makes a slot valid whose data is written. */
  #commit(slot: number, state: number, type: bigint, length: number): void {
    const number = this.#slots.header.next++;
    this.#write(slot, state, number, type, length);
  }

  #write(
    slot: number,
    state: number,
    number: bigint,
    type: bigint,
    length: number,
  ): void {
    const view = this.#slots.heads[slot]!;
    view.number = number;
    view.type = type;
    view.length = length;
    view.crc = this.#slots.crcOf(slot, length);
    this.#slots.setState(slot, state);
    const data = this.#slots.data(slot, length);
    const inQueue = state === STATE.copied;
    this.#entries.push({ slot, number, type, data, inQueue });
  }

  /** A journal of another shape with the same messages. */
  #movedTo(path: string, options: JournalOptions, lock: File): Journal {
    const tooLarge = this.#entries.some(({ data }) =>
      data.length > options.maxSize
    );
    if (tooLarge || this.#entries.length > options.slots) {
      throw new BridgeError(
        `${path} would have no room for the messages of the journal: let a bridge with ` +
          "the former limits publish them first",
      );
    }
    const slots = Slots.create(path, options);
    slots.setIdentity(options.identity);
    slots.header.source = this.#slots.header.source;
    slots.header.next = this.#slots.header.next;
    const journal = new Journal(slots, options, lock);
    for (const { type, data, number, inQueue } of this.#entries) {
      const slot = journal.#take();
      slots.data(slot, data.length).set(data);
      const state = inQueue ? STATE.copied : STATE.held;
      journal.#write(slot, state, number, type, data.length);
    }
    journal.damaged.push(...this.damaged);
    return journal;
  }
}
