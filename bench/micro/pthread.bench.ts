// Locking and unlocking C's mutexes without contention.

import { MemoryMap } from "@linux/ipc/memory-map";
import { PthreadMutex } from "@linux/ipc/pthread";
import { libc } from "./libc.ts";

const { pthread_mutex_lock, pthread_mutex_unlock } = libc;

for (const robust of [true, false]) {
  const kind = robust ? "robust" : "not robust";
  const group = `PthreadMutex, ${kind}: lock and release`;
  const memory = MemoryMap.anonymous(PthreadMutex.size);
  const mutex = PthreadMutex.init(memory, 0, { robust });
  const address = Deno.UnsafePointer.of(memory.bytes);
  Deno.bench(`bare FFI (${kind})`, { group, baseline: true }, () => {
    pthread_mutex_lock(address);
    pthread_mutex_unlock(address);
  });
  Deno.bench(`lockSync, release (${kind})`, { group }, () => {
    mutex.lockSync().release();
  });
  Deno.bench(`using lockSync (${kind})`, { group }, () => {
    using _guard = mutex.lockSync();
  });
  Deno.bench(`tryLock, release (${kind})`, { group }, () => {
    mutex.tryLock()!.release();
  });
  Deno.bench(`await lock, release (${kind})`, { group }, async () => {
    (await mutex.lock()).release();
  });
}
