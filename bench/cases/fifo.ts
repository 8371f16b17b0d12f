// Named pipes, one in each direction. (Pipes without a name are the same to the
// kernel, once they are open.)

import { Fifo } from "@linux/ipc/fifo";
import { join } from "@std/path";
import {
  alike,
  BARE,
  BARE_POLL,
  C,
  DENO,
  DENO_ASYNC,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  STDIO,
  withC,
} from "../harness/cases.ts";

/** Named pipes. */
export const fifo: Mechanism = {
  name: "fifo",
  cases: [
    ...alike("sync", ["one-way", "round-trip"], [64, 1024, 65536], [
      C,
      OURS,
      BARE,
      DENO,
    ]),
    ...withC([64, 1024, 65536], [C, OURS_ASYNC, BARE_POLL, DENO_ASYNC]),
    ...alike("async", ["one-way"], [64, 1024, 65536], [
      C,
      OURS_ASYNC,
      DENO_ASYNC,
      STDIO,
    ]),
    ...alike("async", ["round-trip"], [64, 1024, 65536], [
      C,
      OURS_ASYNC,
      BARE_POLL,
      DENO_ASYNC,
      STDIO,
    ]),
  ],
  meet(directory) {
    const addresses = ["to", "from"].map((name) => join(directory, name));
    const fifos = addresses.map((path) => Fifo.create(path));
    return {
      addresses,
      [Symbol.dispose]() {
        for (const fifo of fifos) {
          fifo.unlink();
          fifo.close();
        }
      },
    };
  },
};
