// The operations of one semop(2) call: an array of struct sembuf.

import { checkInteger } from "../arguments.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { SEM_UNDO, sembuf, SEMVMX } from "../libc/sys_sem.ts";

/** One of the operations that are done together: `struct sembuf`. */
export interface SysvSemaphoreOperation {
  /** The index of the semaphore in the set, from 0. */
  readonly index: number;
  /**
   * A number above 0 is added to the value. One below 0 waits until the value is large
   * enough, then is subtracted from it. 0 waits until the value is 0.
   */
  readonly delta: number;
  /**
   * `SEM_UNDO`: the kernel undoes the operation when this process ends, also when it is
   * killed.
   *
   * @default {false}
   */
  readonly undo?: boolean | undefined;
}

/** The fields of struct sembuf. */
export type Operation = readonly [index: number, delta: number, flags: number];

/** struct sembuf is three 16-bit numbers. */
export const SHORTS: number = sembuf.size / 2;

/** Operations that the kernel does together: all or none. */
export class Operations {
  readonly sembufs: Int16Array<ArrayBuffer>;
  readonly count: number;
  #trying: Operations | undefined;
  #probe: Operations | undefined;

  constructor(sembufs: Int16Array<ArrayBuffer>) {
    this.sembufs = sembufs;
    this.count = sembufs.length / SHORTS;
  }

  static of(...operations: Operation[]): Operations {
    return new Operations(Int16Array.from(operations.flat()));
  }

  /** The same operations with `IPC_NOWAIT`. */
  get trying(): Operations {
    if (this.#trying !== undefined) return this.#trying;
    const sembufs = this.sembufs.slice();
    for (let at = 2; at < sembufs.length; at += SHORTS) {
      sembufs[at]! |= IPC_NOWAIT;
    }
    return this.#trying = new Operations(sembufs);
  }

  /** The same operations, then their reversal: waits as they do, and changes nothing. */
  get probe(): Operations {
    return this.#probe ??= new Operations(Int16Array.from(this.#andBack()));
  }

  *#andBack(): Generator<number> {
    const { sembufs } = this;
    for (let at = 0; at < sembufs.length; at += SHORTS) {
      yield* [sembufs[at]!, sembufs[at + 1]!, 0];
    }
    for (let at = sembufs.length - SHORTS; at >= 0; at -= SHORTS) {
      const delta = sembufs[at + 1]!;
      if (delta !== 0) yield* [sembufs[at]!, -delta, 0];
    }
  }
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && value as number >= min &&
    value as number <= max;
}

/** Reads and checks the operations of a caller, for a set of `size` semaphores. */
export function operationsOf(
  operations: readonly SysvSemaphoreOperation[],
  size: number,
): Operations {
  if (!Array.isArray(operations)) {
    throw new TypeError('Argument "operations" must be an array');
  }
  const count = operations.length;
  const sembufs = new Int16Array(SHORTS * count);
  for (let i = 0; i < count; i++) {
    const { index, delta, undo = false } = operations[i]!;
    if (!isWithin(index, 0, size - 1)) {
      const name = `operations[${i}].index`;
      checkInteger(name, index, 0, size - 1, "the last one of the set");
    }
    if (!isWithin(delta, -SEMVMX, SEMVMX)) {
      const name = `operations[${i}].delta`;
      checkInteger(name, delta, -SEMVMX, SEMVMX, "SEMVMX");
    }
    sembufs[SHORTS * i] = index;
    sembufs[SHORTS * i + 1] = delta;
    sembufs[SHORTS * i + 2] = undo ? SEM_UNDO : 0;
  }
  if (count === 0) {
    throw new RangeError('Argument "operations" must not be empty');
  }
  return new Operations(sembufs);
}
