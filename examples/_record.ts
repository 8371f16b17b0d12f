// The records that fifo_client.ts writes and fifo_server.ts reads.

import { cstring, struct } from "@linux/ipc/struct";

/** A text in a record of 1024 bytes, zeroes behind it. */
export const record = struct({ text: cstring(1024) });

/** The name that both sides know. */
export const NAME = "./named_pipe";
