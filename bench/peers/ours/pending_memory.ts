// Reads of Unix streams, through this library.

import { UnixStream } from "@linux/ipc/socket";
import { reportMemory } from "../memory.ts";

const kept: Disposable[] = []; // forgotten, they would be closed
await reportMemory(() => {
  const pair = UnixStream.pair();
  kept.push(pair);
  const buffer = new Uint8Array(64);
  return Promise.resolve(() => pair[0].read(buffer));
});
