// A mapped file of doubles, added up in a loop of JavaScript.

import { MemoryMap } from "@linux/ipc/memory-map";
import { play, task } from "../task.ts";

using map = MemoryMap.open(task.addresses[0]!);
const values = new Float64Array(map.bytes.buffer);
play({
  send() {},
  receive() {
    let sum = 0;
    for (let index = 0; index < values.length; index++) sum += values[index]!;
    if (sum !== 0) throw new Error("Not zero");
  },
});
