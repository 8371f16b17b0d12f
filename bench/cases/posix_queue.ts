// POSIX message queues. (64 KiB are more than a message may have.)

import { PosixMessageQueue } from "@linux/ipc/message-queue";
import {
  alike,
  BARE,
  C,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";

/** POSIX message queues: one for each direction. */
export const posixQueue: Mechanism = {
  name: "posix-queue",
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
    const options = { maxMessages: 10, maxSize: 1024 };
    const queues = [1, 2].map(() => PosixMessageQueue.create(null, options));
    return {
      addresses: queues.map(({ name }) => name),
      [Symbol.dispose]() {
        for (const queue of queues) {
          PosixMessageQueue.unlink(queue.name);
          queue.close();
        }
      },
    };
  },
};
