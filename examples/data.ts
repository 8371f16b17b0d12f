// data.h: what the sender and the receiver of the message queue share.

import { cstring, i16, struct } from "@linux/ipc/struct";

/** `struct human { short age; char name[20]; };`: 22 bytes. */
export const human = struct({ age: i16, name: cstring(20) });
