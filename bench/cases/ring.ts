// Rings and broadcasts in shared memory. What others have to send whole messages takes
// part: a Worker's postMessage(), and process.send() of node:child_process. The times of a
// pipe and of a seqpacket socket are those of the mechanisms fifo and unix-seqpacket.

import { SharedBroadcast, SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import {
  alike,
  C,
  type Case,
  type Mechanism,
  type Meeting,
  NODE,
  OURS,
  OURS_ASYNC,
  type Player,
  type Way,
  WORKER,
} from "../harness/cases.ts";

const CAPACITY = 1 << 20;
const SIZES = [16, 64, 1024, 65536];
const RECEIVERS = [1, 2, 4, 8];

/** C and this library, which are told this. */
function told(what: string): Player[] {
  return [C, OURS].map((player) => ({ ...player, extra: [what] }));
}

function casesOf(what: string, ways: readonly Way[]): Case[] {
  return alike(what, ways, SIZES, told(what));
}

/** Memory with something in it, which is unlinked afterwards. */
function meetingIn(memories: readonly PosixSharedMemory[]): Meeting {
  return {
    addresses: memories.map(({ name }) => name),
    [Symbol.dispose]() {
      for (const memory of memories) {
        PosixSharedMemory.unlink(memory.name);
        memory.close();
      }
    },
  };
}

function meetAtRings(producers: "one" | "many"): Meeting {
  const memories = [1, 2].map(() =>
    PosixSharedMemory.create(null, SharedRing.size(CAPACITY))
  );
  for (const memory of memories) SharedRing.create(memory, { producers });
  return meetingIn(memories);
}

/** Rings whose users poll, each on a processor of its own. */
export const ringPolling: Mechanism = {
  name: "ring",
  cases: [
    ...casesOf("spin", ["one-way", "round-trip"]),
    ...casesOf("batch", ["one-way"]),
  ],
  placement: "two-cores",
  meet: () => meetAtRings("one"),
};

/** Rings whose users sleep when there is nothing to do. */
export const ringSleeping: Mechanism = {
  name: "ring",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], SIZES, told("sleep")),
    ...alike("async", ["one-way", "round-trip"], [64, 1024, 65536], [
      { ...C, extra: ["sleep"] },
      { ...OURS_ASYNC, extra: ["async"] },
      NODE,
      WORKER,
    ]),
  ],
  meet: () => meetAtRings("one"),
};

/** A ring with four producers. */
export const ringMany: Mechanism = {
  name: "ring-many",
  cases: alike("spin", ["one-way"], [64, 1024], [C, OURS]),
  placement: "unpinned",
  meet: () => meetAtRings("many"),
};

/** What a message of a broadcast costs its producer, with so many receivers. */
export const broadcast: Mechanism = {
  name: "broadcast",
  cases: RECEIVERS.flatMap((count) =>
    alike(`${count}-receivers`, ["one-way"], [64, 1024], told(`${count}`))
  ),
  placement: "unpinned",
  meet() {
    const size = SharedBroadcast.size(CAPACITY);
    const memory = PosixSharedMemory.create(null, size);
    SharedBroadcast.create(memory);
    return meetingIn([memory]);
  },
};
