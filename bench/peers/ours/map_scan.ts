// A mapped file, looked through for a byte that is not there, with memmem.

import { MemoryMap } from "@linux/ipc/memory-map";
import { play, task } from "../task.ts";

using map = MemoryMap.open(task.addresses[0]!);
play({
  send() {},
  receive() {
    if (map.indexOf(1) !== -1) throw new Error("Found it");
  },
});
