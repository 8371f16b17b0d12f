// Acquiring and releasing without contention.

import { MemoryMap } from "@linux/ipc/memory-map";
import { PosixSemaphore, SysvSemaphoreSet } from "@linux/ipc/semaphore";
import { SharedMutex } from "@linux/ipc/lock";
import { removeAtEnd } from "./leftovers.ts";
import { libc } from "./libc.ts";

const { sem_post, sem_wait, semop } = libc;

{
  const group = "POSIX semaphore: acquire and release";
  const memory = MemoryMap.anonymous(PosixSemaphore.size);
  const semaphore = PosixSemaphore.init(memory.bytes, 1);
  const address = Deno.UnsafePointer.of(memory.bytes);
  Deno.bench("bare FFI", { group, baseline: true }, () => {
    sem_wait(address);
    sem_post(address);
  });
  Deno.bench("acquireSync, release", { group }, () => {
    semaphore.acquireSync();
    semaphore.release();
  });
  Deno.bench("using acquireSync", { group }, () => {
    using _permit = semaphore.acquireSync();
  });
  Deno.bench("tryAcquire, release", { group }, () => {
    semaphore.tryAcquire();
    semaphore.release();
  });
  Deno.bench("await acquire, release", { group }, async () => {
    await semaphore.acquire();
    semaphore.release();
  });
}

{
  const group = "System V semaphore: acquire and release";
  const set = SysvSemaphoreSet.create(null, [1]);
  removeAtEnd(set);
  const { id } = set;
  const semaphore = set.semaphore(0, { undo: false });
  const take = Int16Array.of(0, -1, 0); // struct sembuf
  const give = Int16Array.of(0, 1, 0);
  Deno.bench("bare FFI", { group, baseline: true }, () => {
    semop(id, take, 1n);
    semop(id, give, 1n);
  });
  Deno.bench("acquireSync, release", { group }, () => {
    semaphore.acquireSync();
    semaphore.release();
  });
  Deno.bench("await acquire, release", { group }, async () => {
    await semaphore.acquire();
    semaphore.release();
  });
}

{
  const group = "SharedMutex: lock and release";
  const mutex = SharedMutex.create(null);
  removeAtEnd(mutex);
  const { id } = mutex;
  const NOWAIT = 0x800; // IPC_NOWAIT
  const UNDO = 0x1000; // SEM_UNDO
  // deno-fmt-ignore -- a struct sembuf in each line
  const take = Int16Array.of(
    0, 0, NOWAIT,
    1, 0, NOWAIT,
    0, 1, UNDO,
    1, 1, 0,
  );
  const give = Int16Array.of(0, -1, NOWAIT | UNDO, 1, -1, NOWAIT);
  Deno.bench("bare FFI", { group, baseline: true }, () => {
    semop(id, take, 4n);
    semop(id, give, 2n);
  });
  Deno.bench("lockSync, release", { group }, () => {
    mutex.lockSync().release();
  });
  Deno.bench("tryLock, release", { group }, () => {
    mutex.tryLock()!.release();
  });
  Deno.bench("await lock, release", { group }, async () => {
    (await mutex.lock()).release();
  });
}
