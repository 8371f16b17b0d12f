// Locking and unlocking C's locks without contention. The summary of each group has the
// ratios to the same two calls of the C library. (A `using` declaration costs as much with
// an object that does nothing: that is V8's.)

import { MemoryMap } from "@linux/ipc/memory-map";
import { PthreadMutex, PthreadRwLock } from "@linux/ipc/pthread";
import { libc } from "./libc.ts";

const {
  pthread_mutex_lock,
  pthread_mutex_unlock,
  pthread_rwlock_rdlock,
  pthread_rwlock_unlock,
  pthread_rwlock_wrlock,
} = libc;

const nothing = { [Symbol.dispose]() {} };

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
  Deno.bench(`tryLock, release (${kind})`, { group }, () => {
    mutex.tryLock()!.release();
  });
  Deno.bench(`using lockSync (${kind})`, { group }, () => {
    using _guard = mutex.lockSync();
  });
  Deno.bench(`using nothing (${kind})`, { group }, () => {
    using _nothing = nothing;
  });
  Deno.bench(`await lock, release (${kind})`, { group }, async () => {
    (await mutex.lock()).release();
  });
}

const memory = MemoryMap.anonymous(PthreadRwLock.size);
const rwLock = PthreadRwLock.init(memory, 0);
const address = Deno.UnsafePointer.of(memory.bytes);
{
  const group = "PthreadRwLock: lock to read, and release";
  Deno.bench("bare FFI (read)", { group, baseline: true }, () => {
    pthread_rwlock_rdlock(address);
    pthread_rwlock_unlock(address);
  });
  Deno.bench("lockReadSync, release", { group }, () => {
    rwLock.lockReadSync().release();
  });
}
{
  const group = "PthreadRwLock: lock to write, and release";
  Deno.bench("bare FFI (write)", { group, baseline: true }, () => {
    pthread_rwlock_wrlock(address);
    pthread_rwlock_unlock(address);
  });
  Deno.bench("lockWriteSync, release", { group }, () => {
    rwLock.lockWriteSync().release();
  });
}
