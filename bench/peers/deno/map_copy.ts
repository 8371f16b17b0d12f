// A mapped file, copied into other memory, with a typed array's method.

import { MemoryMap } from "@linux/ipc/memory-map";
import { play, task } from "../task.ts";

using map = MemoryMap.open(task.addresses[0]!);
const target = new Uint8Array(task.size);
play({ send() {}, receive: () => void target.set(map.bytes) });
