// Two named semaphores, through this library: the first wakes the one who serves,
// the second the other.

import { PosixSemaphore } from "@linux/ipc/semaphore";
import { play, playAsync, ready, task } from "../task.ts";

const [first, second] = task.addresses.map((name) => PosixSemaphore.open(name));
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
