// The kinds of locks: which semaphore sets are one.

import type { LockKind } from "./lock_set.ts";

/** A mutex: whether it is owned, whether it is marked, whether a waiter has the turn. */
export const MUTEX: LockKind = {
  name: "mutex",
  size: 3,
  isSound: (values) => {
    const [lock, mark, turn] = values as unknown as [number, number, number];
    return lock <= mark && mark <= 1 && turn <= 1;
  },
};

/** The same, with the number of readers and of waiting writers. */
export const RW_LOCK: LockKind = {
  name: "reader-writer lock",
  size: 5,
  isSound: (values) => {
    const [lock, mark, turn, readers] = values as unknown as number[];
    return lock! <= mark! && mark! <= 1 && turn! <= 1 &&
      (lock === 0 || readers === 0);
  },
};

/** The number of gates of a condition. */
export const GATES = 4;

/** A condition: of each gate whether it is closed, and its waiters. */
export const CONDITION: LockKind = {
  name: "condition",
  size: 2 * GATES,
  isSound: (values) => {
    const gates = values.filter((_, index) => index % 2 === 0);
    return gates.reduce((sum, gate) => sum + gate) <= 1;
  },
};
