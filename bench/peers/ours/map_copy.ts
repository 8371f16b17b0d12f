// A mapped file, copied into other memory, with memmove.

import { MemoryMap } from "@linux/ipc/memory-map";
import { play, task } from "../task.ts";

using map = MemoryMap.open(task.addresses[0]!);
const target = new Uint8Array(task.size);
play({ send() {}, receive: () => void map.read(0, target) });
