// A file: opened, mapped, written to, unmapped.

import { MemoryMap } from "@linux/ipc/memory-map";
import { play, task } from "../task.ts";

const path = task.addresses[0]!;
let map: MemoryMap;
play({
  send() {
    map = MemoryMap.open(path);
    map.bytes[task.size - 1]!++;
  },
  receive: () => map.close(),
});
