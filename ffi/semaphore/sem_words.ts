// The words of a sem_t: what tells whether it is a semaphore, its value, and the number
// of its waiters, which libc has no call for.

import { isMusl, mayView } from "../libc/library.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { SEM_VALUE_MAX, SIZEOF_SEM_T } from "../libc/semaphore.ts";
import { copyFrom } from "../libc/string.ts";

// struct new_sem of glibc, on machines with 64-bit atomics. `uint64_t data` has the
// value in its low half, which is the futex word, and the number of waiters in its high
// half: sem_post makes a system call only if there are any. `int private` is one of two
// flags of futex(2).
const DATA = 0; // index of a 64-bit word
const VALUE = 0; // index of a 32-bit word
const WAITERS = 1;
const PRIVATE = 2;
const PRIVATE_BYTES = 8n;
const WORDS = 3; // of the struct, without its padding
const PROCESS_SHARED = 128;
const PROCESS_PRIVATE = 0;
const WAITER = 1n << 32n;

const word = new Int32Array(1);
const wordBytes = new Uint8Array(word.buffer);
const noWords = new Int32Array(SIZEOF_SEM_T / 4).fill(-1);

function isSemaphore(flag: number | undefined): boolean {
  return flag === PROCESS_SHARED || flag === PROCESS_PRIVATE;
}

// Semaphores that the other C library, and 32-bit programs, put into shared memory.
// musl: `int value` with the highest bit set while there may be waiters, `int waiters`,
// and the other flag, so that 0 is process-shared there. Its versions differ in when
// sem_post wakes a waiter, so with musl a wait backs off instead of being counted.
// 32-bit glibc: `unsigned value`, `int private`, `int pad`, `unsigned nwaiters`.
const PRIVATE_OF_32_BIT = 1; // index of a 32-bit word

/** Why processes cannot share a semaphore with these words; undefined if they can. */
function faultOf(words: Int32Array): string | undefined {
  const flag = words[PRIVATE];
  if (!isSemaphore(flag)) return "it is not initialised";
  if (isMusl()) {
    return flag === 0
      ? undefined
      : "it was initialised with pshared = 0, or by a " +
        "program that uses glibc, whose semaphores are different";
  }
  if (words[VALUE]! < 0) {
    return "it is of a program that uses musl, whose semaphores are different";
  }
  if (flag === PROCESS_SHARED) return undefined;
  if (words[PRIVATE_OF_32_BIT] === PROCESS_SHARED) {
    return "it is of a 32-bit program, whose semaphores are different";
  }
  return "it was initialised with pshared = 0 (for the threads of one process), or " +
    "by a program that uses musl, or not at all";
}

/** The value and the waiters in the bytes of a sem_t; undefined if it is none. */
export function semaphoreIn(
  bytes: Uint8Array<ArrayBuffer>,
): { value: number; waiters: number } | undefined {
  if (bytes.length < SIZEOF_SEM_T) return undefined;
  const words = new Int32Array(bytes.slice(0, SIZEOF_SEM_T).buffer);
  if (faultOf(words) !== undefined) return undefined;
  return { value: words[VALUE]!, waiters: words[WAITERS]! >>> 0 };
}

/** The words of a sem_t. Use them only while it is mapped. */
export class SemWords {
  readonly #address: bigint;
  declare private readonly int32: Int32Array;
  readonly #bigInt64: BigInt64Array | undefined;
  readonly #isGlibc: boolean; // and its words can be viewed

  constructor(address: bigint) {
    this.#address = address;
    this.int32 = noWords;
    this.#isGlibc = mayView() && !isMusl();
    if (!mayView()) return;
    const buffer = runtime.bufferAt(address, SIZEOF_SEM_T);
    this.int32 = new Int32Array(buffer);
    this.#bigInt64 = new BigInt64Array(buffer);
  }

  /** Whether this is a semaphore. If not, the C library aborts the process. */
  get areSound(): boolean {
    const flag = this.int32[PRIVATE];
    if (flag === PROCESS_SHARED || flag === PROCESS_PRIVATE) return true;
    return this.#bigInt64 === undefined && this.#areSoundInCopy();
  }

  /** The same without a view. */
  #areSoundInCopy(): boolean {
    copyFrom(this.#address + PRIVATE_BYTES, wordBytes);
    return isSemaphore(word[0]);
  }

  /** Why processes cannot share this semaphore; undefined if they can. */
  get fault(): string | undefined {
    const words = new Int32Array(WORDS);
    copyFrom(this.#address, new Uint8Array(words.buffer));
    return faultOf(words);
  }

  /** Whether sem_post wakes a thread of ours that {@linkcode SemWords.enter} counts. */
  get wake(): boolean {
    return this.int32[PRIVATE] === PROCESS_SHARED;
  }

  /** The value, where {@linkcode SemWords.wake}. */
  get value(): number {
    return Atomics.load(this.int32, VALUE);
  }

  /** Whether sem_post wakes waiters that are counted, and there are any. */
  get mayWake(): boolean {
    return this.int32[WAITERS] !== 0 && this.wake;
  }

  /** Whether there are waiters, after what was written before. */
  get mustWake(): boolean {
    return Atomics.load(this.int32, WAITERS) !== 0;
  }

  /** Whether the words are those of glibc, and can be viewed. */
  get isKnown(): boolean {
    return this.#isGlibc;
  }

  /** Whether there may be other waiters: true without a view. */
  get haveWaiters(): boolean {
    return this.int32[WAITERS] !== 0;
  }

  /** Adds one to the value; false if it is SEM_VALUE_MAX. */
  post(): boolean {
    const { int32 } = this;
    for (;;) {
      const before = Atomics.load(int32, VALUE);
      if (before === SEM_VALUE_MAX) return false;
      const after = (before + 1) | 0;
      if (Atomics.compareExchange(int32, VALUE, before, after) === before) {
        return true;
      }
    }
  }

  /** Adds one waiter. */
  enter(): void {
    Atomics.add(this.#bigInt64!, DATA, WAITER);
  }

  /** Takes one waiter away, unless the semaphore was initialised again. */
  leave(): void {
    const words = this.#bigInt64!;
    if (Atomics.load(words, DATA) >> 32n !== 0n) {
      Atomics.sub(words, DATA, WAITER);
    }
  }
}
