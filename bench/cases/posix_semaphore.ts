// POSIX semaphores: two processes that wake each other in turn; and one that takes
// and gives what nobody else wants.

import { PosixSemaphore } from "@linux/ipc/semaphore";
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

/** Named POSIX semaphores. */
export const posixSemaphore: Mechanism = {
  name: "posix-semaphore",
  cases: [
    ...alike("sync", ["round-trip"], [0], [C, OURS, BARE]),
    ...withC([0], [C, OURS_ASYNC]),
    ...alike("async", ["round-trip"], [0], [C, OURS_ASYNC]),
    alone("sync", 0, [C, OURS, BARE]),
    alone("async", 0, [C, OURS_ASYNC]),
  ],
  meet(_directory, way) {
    const semaphores = [1, 2].map(() => PosixSemaphore.create(null, 0));
    const [first, second] = semaphores.map(({ name }) => name!);
    // Who is alone gives to the one that it takes from.
    const addresses = [first!, way === "alone" ? first! : second!];
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
