// Unix stream sockets.

import {
  alike,
  BARE,
  BARE_POLL,
  C,
  DENO_ASYNC,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  withC,
} from "../harness/cases.ts";
import { meetAtSocket } from "../harness/socket.ts";

/** Unix stream sockets. */
export const unixStream: Mechanism = {
  name: "unix-stream",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], [64, 1024, 65536], [
      C,
      OURS,
      BARE,
    ]),
    ...withC([64, 1024, 65536], [C, OURS_ASYNC, BARE_POLL, DENO_ASYNC]),
    ...alike("async", ["one-way"], [64, 1024, 65536], [
      C,
      OURS_ASYNC,
      DENO_ASYNC,
    ]),
    ...alike("async", ["round-trip"], [64, 1024, 65536], [
      C,
      OURS_ASYNC,
      BARE_POLL,
      DENO_ASYNC,
    ]),
  ],
  meet: meetAtSocket,
};
