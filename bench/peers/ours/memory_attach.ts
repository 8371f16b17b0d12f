// A System V segment whose size is not known: attached, written to, detached.

import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { play, task } from "../task.ts";

const id = Number(task.addresses[0]);
let memory: SysvSharedMemory;
play({
  send() {
    memory = SysvSharedMemory.fromId(id);
    memory.bytes[memory.byteLength - 1]!++;
  },
  receive: () => memory.close(),
});
