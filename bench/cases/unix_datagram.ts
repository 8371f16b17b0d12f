// Unix datagram sockets: a bound one for each direction. (One may be connected to
// the other only when it is there, so that the second is.)

import {
  alike,
  BARE,
  C,
  DENO_ASYNC,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";
import { meetAtSockets } from "../harness/socket.ts";

/** Unix datagram sockets. */
export const unixDatagram: Mechanism = {
  name: "unix-datagram",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], [64, 1024, 65536], [
      C,
      OURS,
      BARE,
    ]),
    ...withC([64, 1024, 65536], [C, OURS_ASYNC, DENO_ASYNC]),
    ...alike("async", ["one-way", "round-trip"], [64, 1024, 65536], [
      C,
      OURS_ASYNC,
      DENO_ASYNC,
    ]),
  ],
  meet: (directory) => meetAtSockets(directory, ["to", "from"]),
};
