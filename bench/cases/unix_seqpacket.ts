// Unix seqpacket sockets. Deno has none; what it has to send whole messages takes
// part instead.

import {
  alike,
  BARE,
  C,
  type Mechanism,
  NODE,
  OURS,
  OURS_ASYNC,
  withC,
  WORKER,
} from "../harness/cases.ts";
import { meetAtSocket } from "../harness/socket.ts";

/** Unix seqpacket sockets. */
export const unixSeqpacket: Mechanism = {
  name: "unix-seqpacket",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], [64, 1024, 65536], [
      C,
      OURS,
      BARE,
    ]),
    ...withC([64, 1024, 65536], [C, OURS_ASYNC]),
    ...alike("async", ["one-way", "round-trip"], [64, 1024, 65536], [
      C,
      OURS_ASYNC,
      NODE,
      WORKER,
    ]),
  ],
  meet: meetAtSocket,
};
