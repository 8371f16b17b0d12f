// The robust list of this thread: the mutexes that it holds. When the thread ends, the
// kernel marks each of them, and wakes a waiter: get_robust_list(2).
//
// The C library of the thread has registered the list, in memory of the thread's own. Its
// entries are linked through the mutexes themselves, in shared memory, where other
// processes can overwrite the links. So no link is ever read back from there: what is
// in the list is known here, too, and removal writes what it knows.
//
// An address is kept as the number whose 64 bits are those of the address: it is stored at
// once, as the kernel needs it, and without the allocation of a bigint.

import { check } from "../libc/errno.ts";
import { linuxFutex } from "../libc/linux_futex.ts";
import { OFFSETOF_MUTEX_LOCK, OFFSETOF_MUTEX_NEXT } from "../libc/pthread.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { SYS_get_robust_list } from "../libc/sys_syscall.ts";
import type { Place } from "./place.ts";

// struct robust_list_head of <linux/futex.h>, as indices of 64-bit words.
const FIRST = 0;
const FUTEX_OFFSET = 1;
const PENDING = 2;
const HEAD_WORDS = 3;

const NEXT = OFFSETOF_MUTEX_NEXT / 8;
const LOCK_FROM_NEXT = BigInt(OFFSETOF_MUTEX_LOCK - OFFSETOF_MUTEX_NEXT);

/** An entry of the list. */
export interface RobustEntry {
  readonly place: Place;
  /** How the list refers to the mutex: the address of its link; the lowest bit is 1 for PI. */
  readonly reference: number;
  /** The 64-bit words of the mutex. */
  readonly links: Float64Array;
  /** The entry that was added after this one. */
  newer: RobustEntry | undefined;
  /** The entry that was added before this one. */
  older: RobustEntry | undefined;
}

/** The number that has the bits of an address. */
export function bitsOf(address: bigint): number {
  const word = BigUint64Array.of(address);
  return new Float64Array(word.buffer)[0]!;
}

/** The robust list of this thread. */
export class RobustList {
  declare readonly head: Float64Array;
  /** The address of the head, to which the last link points. */
  declare readonly last: number;
  readonly #awaited = new Set<RobustEntry>();
  resting: number = 0;
  newest: RobustEntry | undefined = undefined;

  constructor() {
    const address = new BigUint64Array(1);
    const size = new BigUint64Array(1);
    const { get_robust_list } = linuxFutex();
    const result = get_robust_list(
      BigInt(SYS_get_robust_list),
      0,
      new Uint8Array(address.buffer),
      new Uint8Array(size.buffer),
    );
    check(Number(result), "get_robust_list");
    this.last = bitsOf(address[0]!);
    const head = runtime.bufferAt(address[0]!, 8 * HEAD_WORDS);
    this.head = new Float64Array(head);
    const offset = new BigInt64Array(head)[FUTEX_OFFSET]!;
    if (offset !== LOCK_FROM_NEXT) {
      throw new Error(
        `Cannot lock: the robust list has its mutexes at ${offset}, not as in glibc`,
      );
    }
  }

  /**
   * Announces that this thread is about to lock or unlock a mutex. If it ends before
   * `end()`, the kernel looks at that mutex, too.
   */
  begin(entry: RobustEntry): void {
    this.head[PENDING] = entry.reference;
  }

  /** Takes the announcement back. */
  end(): void {
    this.head[PENDING] = this.resting;
  }

  /**
   * Announces a mutex that this thread waits for. A thread that was woken, and ends before
   * it tries, has consumed the wake-up: if the mutex is free, the kernel wakes another
   * one. It looks at one mutex only, the last of those awaited.
   */
  await(entry: RobustEntry): void {
    this.#awaited.delete(entry);
    this.#awaited.add(entry);
    this.#rest();
  }

  /** Takes back `await`. */
  unawait(entry: RobustEntry): void {
    this.#awaited.delete(entry);
    this.#rest();
  }

  #rest(): void {
    this.resting = [...this.#awaited].at(-1)?.reference ?? 0;
    this.end();
  }

  /** Whether the list is as it was left. Other code of the thread can have changed it. */
  get isOwn(): boolean {
    return this.head[FIRST] === (this.newest?.reference ?? this.last);
  }

  /** The reference to the newest mutex, or `last`. */
  get first(): number {
    return this.head[FIRST]!;
  }

  /** Takes back what libc has added, and what it has announced. */
  restore(first: number): void {
    this.head[FIRST] = first;
    this.end();
  }

  /** Notes the mutex that libc has added, and restores what libc has taken back. */
  noteAdded(entry: RobustEntry): void {
    this.newest = entry;
    if (this.resting !== 0) this.end();
  }

  /** Whether the list has this mutex, and no other one. */
  isOnly(entry: RobustEntry): boolean {
    return this.newest === entry && entry.older === undefined &&
      this.head[FIRST] === entry.reference;
  }

  /** Removes the only mutex, between `begin` and `end`. */
  removeOnly(): void {
    this.head[FIRST] = this.last;
    this.newest = undefined;
  }

  /** Adds a mutex, between `begin` and `end`. */
  add(entry: RobustEntry): void {
    const newest = this.newest;
    entry.links[NEXT] = this.head[FIRST]!;
    this.head[FIRST] = entry.reference;
    entry.older = newest;
    if (newest !== undefined) newest.newer = entry;
    this.newest = entry;
  }

  /**
   * Removes a mutex, between `begin` and `end`. Returns false where that is not possible,
   * because other code of this thread has added one.
   */
  remove(entry: RobustEntry): boolean {
    const { newer, older } = entry;
    const after = older?.reference ?? this.last;
    let removed = true;
    if (older !== undefined) older.newer = newer;
    if (newer === undefined) {
      removed = this.head[FIRST] === entry.reference;
      if (removed) this.head[FIRST] = after;
      this.newest = older;
    } else {
      newer.older = older;
      link(newer, after);
    }
    entry.newer = entry.older = undefined;
    return removed;
  }
}

/** Writes the link of an entry. If its memory was truncated, the list ends there. */
function link({ place, links }: RobustEntry, after: number): void {
  try {
    place.checkThere();
    links[NEXT] = after;
  } catch {
    // EFAULT
  }
}

let list: RobustList | undefined;

/** The robust list of this thread. */
export function robustList(): RobustList {
  return list ??= new RobustList();
}
