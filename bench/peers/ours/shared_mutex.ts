// A lock, through this library: locked to send, and unlocked to receive, by one
// process alone.

import { type LockGuard, SharedMutex } from "@linux/ipc/lock";
import { play, playAsync, task } from "../task.ts";

const mutex = SharedMutex.fromId(Number(task.addresses[0]));
let guard: LockGuard;
if (task.mode === "sync") {
  play({
    send: () => void (guard = mutex.lockSync()),
    receive: () => guard.release(),
  });
} else {
  await playAsync({
    send: async () => void (guard = await mutex.lock()),
    // deno-lint-ignore require-await -- to unlock never waits
    receive: async () => guard.release(),
  });
}
