// System V semaphores: two processes that wake each other in turn; and one that
// takes and gives what nobody else wants. Without SEM_UNDO, which cannot be between
// processes of which one only takes and the other only gives.

import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
import {
  alike,
  alone,
  BARE,
  C,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";

/** A set of System V semaphores. */
export const sysvSemaphore: Mechanism = {
  name: "sysv-semaphore",
  cases: [
    ...alike("sync", ["round-trip"], [0], [C, OURS, BARE]),
    ...withC([0], [C, OURS_ASYNC]),
    ...alike("async", ["round-trip"], [0], [C, OURS_ASYNC]),
    alone("sync", 0, [C, OURS, BARE]),
    alone("async", 0, [C, OURS_ASYNC]),
  ],
  meet(_directory, way) {
    const set = SysvSemaphoreSet.create(null, [0, 0]);
    // Who is alone gives to the one that it takes from.
    const indexes = way === "alone" ? [0, 0] : [0, 1];
    return {
      addresses: [set.id, ...indexes].map(String),
      [Symbol.dispose]() {
        set.remove();
        set.close();
      },
    };
  },
};
