// An uncontended lock.

import { SharedMutex } from "@linux/ipc/lock";
import {
  alone,
  C,
  type Mechanism,
  OURS,
  OURS_ASYNC,
} from "../harness/cases.ts";

/** The lock that survives its holder. */
export const sharedMutex: Mechanism = {
  name: "shared-mutex",
  cases: [
    alone("sync", 0, [C, OURS]),
    alone("async", 0, [C, OURS_ASYNC]),
  ],
  meet() {
    const mutex = SharedMutex.create(null);
    return {
      addresses: [`${mutex.id}`],
      [Symbol.dispose]() {
        mutex.remove();
        mutex.close();
      },
    };
  },
};
