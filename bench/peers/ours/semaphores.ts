// What semaphores of both families do: the first wakes the one who serves, the
// second the other.

import { play, playAsync, ready, task } from "../task.ts";

interface Semaphore {
  acquireSync(): unknown;
  acquire(): Promise<unknown>;
  release(): void;
}

/** Plays with two semaphores. */
export async function playSemaphores(
  first: Semaphore,
  second: Semaphore,
): Promise<never> {
  const [mine, other] = task.serves ? [first, second] : [second, first];
  if (task.serves) ready();
  if (task.mode === "sync") {
    play({
      send: () => other.release(),
      receive: () => void mine.acquireSync(),
    });
  }
  return await playAsync({
    // deno-lint-ignore require-await -- to release never waits
    send: async () => other.release(),
    receive: () => mine.acquire(),
  });
}
