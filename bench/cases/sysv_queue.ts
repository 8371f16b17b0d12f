// System V message queues. (64 KiB are more than a message may have.)

import { SysvMessageQueue } from "@linux/ipc/message-queue";
import {
  alike,
  BARE,
  C,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";

/** System V message queues. */
export const sysvQueue: Mechanism = {
  name: "sysv-queue",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], [64, 1024], [
      C,
      OURS,
      BARE,
    ]),
    ...withC([64, 1024], [C, OURS_ASYNC]),
    ...alike("async", ["one-way", "round-trip"], [64, 1024], [C, OURS_ASYNC]),
  ],
  meet() {
    const queue = SysvMessageQueue.create(null);
    return {
      addresses: [`${queue.id}`],
      [Symbol.dispose]() {
        queue.remove();
        queue.close();
      },
    };
  },
};
