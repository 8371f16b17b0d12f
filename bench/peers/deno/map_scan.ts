// A mapped file, looked through for a byte that is not there, with a typed array's method.

import { MemoryMap } from "@linux/ipc/memory-map";
import { play, task } from "../task.ts";

using map = MemoryMap.open(task.addresses[0]!);
play({
  send() {},
  receive() {
    if (map.bytes.indexOf(1) !== -1) throw new Error("Found it");
  },
});
