// What it costs that others wait: a FIFO's round trip with a C program while so many
// other waits are pending in the same process, and the memory that a wait takes.

import {
  C,
  type Contender,
  DENO_ASYNC,
  type Mechanism,
  OURS_ASYNC,
} from "../harness/cases.ts";
import { meetAtSocket } from "../harness/socket.ts";
import { fifo } from "./fifo.ts";

const CROWDS = [0, 1, 10, 100, 1000];

function among(kind: string): Contender[] {
  return CROWDS.map((count) => {
    const name = `${count} waiting`;
    const timed = { ...OURS_ASYNC, name, extra: [kind, `${count}`] };
    return { name, timed, server: C };
  });
}

/** Round trips while others wait: for what has a descriptor, and what has none. */
export const pending: Mechanism = {
  name: "pending",
  cases: ["reads", "acquires"].map((waiting) => ({
    way: "round-trip",
    size: 64,
    waiting,
    contenders: among(waiting),
  })),
  meet: fifo.meet,
};

/** Bytes for each read that is pending on a Unix stream. */
export const pendingMemory: Mechanism = {
  name: "pending-memory",
  unit: "B",
  cases: [{
    way: "alone",
    size: 0,
    waiting: "async",
    contenders: [DENO_ASYNC, OURS_ASYNC].map((timed) => (
      { name: timed.name, timed, server: null }
    )),
  }],
  meet: meetAtSocket,
};
