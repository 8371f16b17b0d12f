// What kind of mutex bytes are, as glibc writes them, and why they are none.

import {
  OFFSETOF_MUTEX_KIND,
  OFFSETOF_MUTEX_LOCK,
  PTHREAD_MUTEX_ADAPTIVE_NP,
  PTHREAD_MUTEX_ERRORCHECK,
  PTHREAD_MUTEX_NORMAL,
  PTHREAD_MUTEX_RECURSIVE,
} from "../libc/pthread.ts";

/**
 * What a thread may do that locks a mutex which it has locked: nothing (`"normal"`,
 * `"errorcheck"`, and `"adaptive"`, whose waiters spin in C), or lock it once more
 * (`"recursive"`).
 */
export type PthreadMutexType =
  | "normal"
  | "errorcheck"
  | "recursive"
  | "adaptive";

/** The numbers of the types in C. */
export const TYPES: Record<PthreadMutexType, number> = {
  normal: PTHREAD_MUTEX_NORMAL,
  recursive: PTHREAD_MUTEX_RECURSIVE,
  errorcheck: PTHREAD_MUTEX_ERRORCHECK,
  adaptive: PTHREAD_MUTEX_ADAPTIVE_NP,
};

// The bits of __kind, in glibc since 2.5.
const TYPE = 3;
const ROBUST = 16;
const PRIO_INHERIT = 32;
const PRIO_PROTECT = 64;
const PROCESS_SHARED = 128;
/** glibc notes there whether it uses transactional memory. */
export const ELISION: number = 256 | 512;
const KNOWN = TYPE | ROBUST | PRIO_INHERIT | PRIO_PROTECT | PROCESS_SHARED;

/** The index of `__kind`, as of 32-bit words. */
export const KIND: number = OFFSETOF_MUTEX_KIND / 4;
const LOCK = OFFSETOF_MUTEX_LOCK / 4;

// Where others have what: musl its type in the first word, 128 for shared; 32-bit glibc
// its kind behind three words, and then the number of users.
const MUSL_TYPE = 0;
const MUSL_KNOWN = 15 | PROCESS_SHARED;
const KIND_OF_32_BIT = 3;

/** The kind, without what glibc notes for itself. */
export function kindOf(words: Int32Array): number {
  return words[KIND]! & ~ELISION;
}

/** The type of a kind. */
export function typeOfKind(kind: number): PthreadMutexType {
  const number = kind & TYPE;
  const types = Object.keys(TYPES) as PthreadMutexType[];
  return types.find((type) => TYPES[type] === number)!;
}

export function isRecursive(kind: number): boolean {
  return (kind & TYPE) === PTHREAD_MUTEX_RECURSIVE;
}

export function isRobust(kind: number): boolean {
  return (kind & ROBUST) !== 0;
}

export function inheritsPriority(kind: number): boolean {
  return (kind & PRIO_INHERIT) !== 0;
}

/** Whether these words are of a mutex that processes share, as glibc has it. */
export function isOfProcesses(kind: number): boolean {
  return isShared(kind & ~ELISION, KNOWN & ~PRIO_PROTECT);
}

function isShared(kind: number, known: number): boolean {
  return (kind & ~known) === 0 && (kind & PROCESS_SHARED) !== 0;
}

/** Why processes cannot share the mutex of these words; undefined if they can. */
export function mutexFault(words: Int32Array): string | undefined {
  const kind = kindOf(words);
  if (isShared(kind, KNOWN)) {
    if ((kind & PRIO_PROTECT) !== 0) {
      return "it has a priority ceiling (PTHREAD_PRIO_PROTECT), which is not supported";
    }
    const lock = words[LOCK]! >>> 0;
    const isPlain = !isRobust(kind) && !inheritsPriority(kind);
    return isPlain && lock > 2
      ? `its lock is 0x${lock.toString(16)}: the bytes were overwritten`
      : undefined;
  }
  if (words.every((word) => word === 0)) {
    return "all bytes are zero: it is not initialised, or with " +
      "PTHREAD_MUTEX_INITIALIZER, which is for the threads of one process";
  }
  if (kind === 0 && isShared(words[MUSL_TYPE]!, MUSL_KNOWN)) {
    return "it is of a program that uses musl, whose mutexes are different";
  }
  if (isShared(words[KIND_OF_32_BIT]!, KNOWN)) {
    return "it is of a 32-bit program, whose mutexes are different";
  }
  if ((kind & ~KNOWN) === 0) {
    return "it is for the threads of one process: initialise it with " +
      "pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)";
  }
  return `its kind is 0x${
    (kind >>> 0).toString(16)
  }: these bytes are no mutex of glibc`;
}
