// The C header data.h in TypeScript: what message_sender.ts and message_receiver.ts share.

import { cstring, i16, struct } from "@linux/ipc/struct";

/** `struct human { short age; char name[20]; };`: 22 bytes. */
export const human = struct({ age: i16, name: cstring(20) });
