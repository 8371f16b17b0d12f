// <semaphore.h>

import { header } from "./library.ts";
import { copyFrom } from "./string.ts";

export const semaphore = header({
  // sem_t *sem_open(const char *name, int oflag, mode_t mode, unsigned int value)
  sem_open: { parameters: ["buffer", "i32", "u32", "u32"], result: "usize" },
  // int sem_close(sem_t *sem)
  sem_close: { parameters: ["usize"], result: "i32" },
  // int sem_unlink(const char *name)
  sem_unlink: { parameters: ["buffer"], result: "i32" },
  // int sem_init(sem_t *sem, int pshared, unsigned int value)
  sem_init: { parameters: ["usize", "i32", "u32"], result: "i32" },
  // int sem_wait(sem_t *sem)
  sem_wait: { parameters: ["usize"], result: "i32" },
  // int sem_trywait(sem_t *sem)
  sem_trywait: { parameters: ["usize"], result: "i32" },
  // int sem_clockwait(sem_t *sem, clockid_t clockid, const struct timespec *abstime)
  sem_clockwait: { parameters: ["usize", "i32", "buffer"], result: "i32" },
  // int sem_post(sem_t *sem)
  sem_post: { parameters: ["usize"], result: "i32" },
  // int sem_getvalue(sem_t *sem, int *sval)
  sem_getvalue: { parameters: ["usize", "buffer"], result: "i32" },
});

/** sizeof (sem_t) */
export const SIZEOF_SEM_T = 32;
/** _Alignof (sem_t) */
export const ALIGNOF_SEM_T = 8;
export const SEM_VALUE_MAX = 0x7fffffff;

// struct new_sem of glibc, on machines with 64-bit atomics: `uint64_t data` has the
// value in its low half, which is the futex word, and the number of those that wait in
// its high half; sem_post makes a system call only if that is not 0. `int private` is
// one of these two, which are flags of futex(2).
const DATA = 0; // in words of 64 bits
const VALUE = 0; // in words of 32 bits
const WAITERS = 1;
/** The place of `private` among the words of 32 bits. */
export const PRIVATE = 2;
const PRIVATE_BYTES = 8n;
const OF_PROCESSES = 128;
const OF_THREADS = 0;
const WAITER = 1n << 32n;

/** Words of which none is sound. */
export const noWords = new Int32Array(SIZEOF_SEM_T / 4).fill(-1);

const word = new Int32Array(1);
const wordBytes = new Uint8Array(word.buffer);

/** Whether there may be a semaphore; if not, the C library aborts the process. */
export function isSound(private_: number | undefined): boolean {
  return private_ === OF_PROCESSES || private_ === OF_THREADS;
}

/** Whether memory may be looked at, other than by calls of libc. */
function mayView(): boolean {
  const { state, partial } = Deno.permissions.querySync({ name: "ffi" });
  return state === "granted" && partial !== true;
}

/** The words of a sem_t. To be used only while it is mapped. */
export class SemWords {
  /** The memory; {@linkcode noWords} under a permission that is for libc's path. */
  readonly int32: Int32Array;
  readonly #bigInt64: BigInt64Array | undefined;
  readonly #address: bigint;

  constructor(address: bigint) {
    this.#address = address;
    this.int32 = noWords;
    if (!mayView()) return;
    const pointer = Deno.UnsafePointer.create(address)!;
    const { getArrayBuffer } = Deno.UnsafePointerView;
    const buffer = getArrayBuffer(pointer, SIZEOF_SEM_T); // handed to nobody
    this.int32 = new Int32Array(buffer);
    this.#bigInt64 = new BigInt64Array(buffer);
  }

  /** Whether there may be a semaphore, by whatever way that can be told. */
  get areSound(): boolean {
    if (this.#bigInt64 !== undefined) return isSound(this.int32[PRIVATE]);
    copyFrom(this.#address + PRIVATE_BYTES, wordBytes);
    return isSound(word[0]);
  }

  /** Whether sem_post wakes a sleeper of ours that {@linkcode SemWords.enter} counts. */
  get wake(): boolean {
    return this.int32[PRIVATE] === OF_PROCESSES;
  }

  /** The value, where {@linkcode SemWords.wake}. */
  get value(): number {
    return Atomics.load(this.int32, VALUE);
  }

  /** Whether others may wait; where that cannot be seen, they may. */
  get haveWaiters(): boolean {
    return this.int32[WAITERS] !== 0;
  }

  /** Counts one more that waits. */
  enter(): void {
    Atomics.add(this.#bigInt64!, DATA, WAITER);
  }

  /** Counts one less, unless the semaphore has been made anew. */
  leave(): void {
    const words = this.#bigInt64!;
    if (Atomics.load(words, DATA) >> 32n !== 0n) {
      Atomics.sub(words, DATA, WAITER);
    }
  }
}
