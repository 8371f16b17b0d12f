// Two semaphores of a System V set, through this library: the first wakes the one
// who serves, the second the other.

import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
import { play, playAsync, ready, task } from "../task.ts";

const [id, ...indexes] = task.addresses.map(Number);
const set = SysvSemaphoreSet.fromId(id!);
const [first, second] = indexes.map((index) =>
  set.semaphore(index, { undo: false })
);
const [mine, other] = task.serves ? [first!, second!] : [second!, first!];
if (task.serves) ready();
if (task.mode === "sync") {
  play({
    send: () => other.release(),
    receive: () => void mine.acquireSync(),
  });
} else {
  await playAsync({
    // deno-lint-ignore require-await -- to release never waits
    send: async () => other.release(),
    receive: () => mine.acquire(),
  });
}
