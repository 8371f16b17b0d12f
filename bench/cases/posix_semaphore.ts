// Named POSIX semaphores.

import { PosixSemaphore } from "@linux/ipc/semaphore";
import type { Mechanism } from "../harness/cases.ts";
import { pairFor, SEMAPHORE_CASES } from "./semaphores.ts";

/** Named POSIX semaphores. */
export const posixSemaphore: Mechanism = {
  name: "posix-semaphore",
  cases: SEMAPHORE_CASES,
  meet(_directory, way) {
    const semaphores = [1, 2].map(() => PosixSemaphore.create(null, 0));
    const [first, second] = semaphores.map(({ name }) => name!);
    return {
      addresses: pairFor(way, first!, second!),
      [Symbol.dispose]() {
        for (const semaphore of semaphores) {
          PosixSemaphore.unlink(semaphore.name!);
          semaphore.close();
        }
      },
    };
  },
};
