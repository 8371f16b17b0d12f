// Unix seqpacket sockets. Deno has none.

import {
  alike,
  C,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";
import { meetAtSocket } from "../harness/socket.ts";

/** Unix seqpacket sockets. */
export const unixSeqpacket: Mechanism = {
  name: "unix-seqpacket",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], [64, 1024, 65536], [C, OURS]),
    ...withC([64, 1024], [C, OURS_ASYNC]),
    ...alike("async", ["round-trip"], [64, 1024], [C, OURS_ASYNC]),
  ],
  meet: meetAtSocket,
};
