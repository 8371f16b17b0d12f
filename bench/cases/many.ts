// Many connections at once, each with one message under way: how much a server gets
// done, and how fair it is. The load for all servers is a C program.

import {
  C,
  type Case,
  DENO_ASYNC,
  type Mechanism,
  NODEJS,
  OURS_ASYNC,
  type Player,
} from "../harness/cases.ts";
import { meetAtSocket } from "../harness/socket.ts";

const COUNTS = [1, 10, 100, 500, 1000];

function ofKind(kind: string, servers: readonly Player[]): Case[] {
  return COUNTS.map((count) => {
    const extra = [kind, `${count}`];
    const contenders = servers.map((server) => ({
      name: server.name,
      timed: { ...C, extra },
      server: { ...server, extra },
    }));
    const waiting = extra.join("-");
    return { way: "round-trip", size: 64, waiting, contenders };
  });
}

/** Echo servers. */
export const many: Mechanism = {
  name: "many",
  placement: "two-cores",
  times: 5, // what is unfair shows in the long run
  cases: [
    ...ofKind("stream", [C, OURS_ASYNC, DENO_ASYNC, NODEJS]),
    ...ofKind("seqpacket", [C, OURS_ASYNC]),
    ...ofKind("framed", [C, OURS_ASYNC, DENO_ASYNC, NODEJS]),
  ],
  meet: meetAtSocket,
};
