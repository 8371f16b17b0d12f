// System V semaphores, without SEM_UNDO, which cannot be between processes of which
// one only takes and the other only gives.

import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
import type { Mechanism } from "../harness/cases.ts";
import { pairFor, SEMAPHORE_CASES } from "./semaphores.ts";

/** A set of System V semaphores. */
export const sysvSemaphore: Mechanism = {
  name: "sysv-semaphore",
  cases: SEMAPHORE_CASES,
  meet(_directory, way) {
    const set = SysvSemaphoreSet.create(null, [0, 0]);
    return {
      addresses: [set.id, ...pairFor(way, 0, 1)].map(String),
      [Symbol.dispose]() {
        set.remove();
        set.close();
      },
    };
  },
};
