// POSIX semaphores: two processes that wake each other in turn.

import { PosixSemaphore } from "@linux/ipc/semaphore";
import {
  alike,
  C,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";

/** Named POSIX semaphores. */
export const posixSemaphore: Mechanism = {
  name: "posix-semaphore",
  cases: [
    ...alike("sync", ["round-trip"], [0], [C, OURS]),
    ...withC([0], [C, OURS_ASYNC]),
    ...alike("async", ["round-trip"], [0], [C, OURS_ASYNC]),
  ],
  meet() {
    const semaphores = [1, 2].map(() => PosixSemaphore.create(null, 0));
    const addresses = semaphores.map(({ name }) => name!);
    return {
      addresses,
      [Symbol.dispose]() {
        for (const semaphore of semaphores) {
          PosixSemaphore.unlink(semaphore.name!);
          semaphore.close();
        }
      },
    };
  },
};
