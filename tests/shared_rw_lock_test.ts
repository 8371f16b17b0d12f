import { assert, assertEquals, assertThrows } from "@std/assert";
import { showKey } from "../ffi/arguments.ts";
import { ClosedError, IpcError, SysvSemaphoreSet } from "../ffi/semaphore.ts";
import { type ReadGuard, SharedMutex, SharedRwLock } from "../ffi/lock.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { noCompiler } from "./support/c.ts";
import { kill } from "./support/kills.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import {
  isInSemop,
  outcome,
  Place,
  tamper,
  urlOfWorker,
} from "./support/locks.ts";
import { uniqueKey } from "./support/names.ts";
import type { Child } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { turns } from "./support/waits.ts";

// --- Helpers ----------------------------------------------------------------

/** The ints in the memory that the processes of a test share; the C peer's, too. */
const [FIRST, SECOND, BROKEN, REPAIRS, SLOTS] = [0, 1, 2, 3, 4];
/** Each process has three: where it is, how often it has been inside, its order. */
const [OUTSIDE, CALLING, READING, WRITING, ASKING] = [0, 1, 2, 3, 4];
const [GO_ON, STAY_READING, STAY_WRITING, WRITE] = [0, 1, 2, 3];
const PEER = "shared_rw_lock_peer";
/** For what must not take long. */
const LIMITED = { timeout: 10_000 };

/** What the code of all children has: the same as the C peer does. */
const PRELUDE = `
  /** Spins for a moment, and longer as long as the order says so. */
  function stay(order, here) {
    for (let spin = 0; spin < 50; spin++) Atomics.load(words, ${BROKEN});
    while (order !== null && Atomics.load(words, order) === here);
  }

  /** Adds 1 to two ints, so that others could get in between. */
  function change(guard, order = null) {
    if (guard.ownerDied) {
      Atomics.store(words, ${SECOND}, Atomics.load(words, ${FIRST}));
      Atomics.add(words, ${REPAIRS}, 1);
      guard.markConsistent();
    } else {
      look(guard);
    }
    const value = Atomics.load(words, ${FIRST}) + 1;
    Atomics.store(words, ${FIRST}, value);
    stay(order, ${STAY_WRITING});
    Atomics.store(words, ${SECOND}, value);
  }

  /** Looks whether another process changes them meanwhile; false when it must not look. */
  function look(guard, order = null) {
    const value = Atomics.load(words, ${FIRST});
    stay(order, ${STAY_READING});
    if (guard.ownerDied) return false;
    const still = Atomics.load(words, ${FIRST}) === value;
    if (!still || Atomics.load(words, ${SECOND}) !== value) {
      Atomics.add(words, ${BROKEN}, 1);
    }
    return true;
  }
`;

class RwPlace extends Place<SharedRwLock> {
  constructor() {
    super(SharedRwLock.create(null), 100, PRELUDE);
  }

  /** It has no owner and no waiters, and no owner has died. */
  assertFree(): void {
    const { readers, waitingWriters, writerPid } = this.lock;
    assertEquals([readers, waitingWriters, writerPid], [0, 0, undefined]);
    const guard = this.lock.tryLockWrite();
    assert(guard !== undefined, "it is locked");
    guard.release();
    assertEquals(guard.ownerDied, false);
  }
}

const NOW = { timeout: 0 };

/** What a call returns; undefined if its timeout has passed. */
async function unlessOver<T>(
  call: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if ((error as Error).name !== "TimeoutError") throw error;
    return undefined;
  }
}

/** The ways to take the lock, in this process. */
const READS: Record<string, (lock: SharedRwLock) => Promise<ReadGuard>> = {
  lockReadSync: (lock) => Promise.resolve(lock.lockReadSync(LIMITED)),
  tryLockRead: (lock) => Promise.resolve(lock.tryLockRead()!),
  lockRead: (lock) => lock.lockRead(LIMITED),
};

// --- Create, open, remove ---------------------------------------------------

leakTest("SharedRwLock.create() makes a lock under a key", () => {
  const key = uniqueKey();
  using lock = SharedRwLock.create(key);
  const row = sysvTable("sem").find((row) => row.semid === lock.id);
  assertEquals([row?.key, row?.perms, row?.nsems], [key, 0o600, 5]);
  assertEquals([lock.writerPid, lock.readers, lock.waitingWriters], [
    undefined,
    0,
    0,
  ]);
  {
    using one = lock.lockReadSync();
    using _two = lock.lockReadSync();
    assertEquals(one.ownerDied, false);
    assert(!("markConsistent" in one));
    assertEquals([lock.writerPid, lock.readers], [undefined, 2]);
  }
  {
    using guard = lock.lockWriteSync();
    assertEquals(guard.ownerDied, false);
    assertEquals([lock.writerPid, lock.readers], [Deno.pid, 0]);
  }
  assertEquals([lock.writerPid, lock.readers], [undefined, 0]);
  assertRefused(() => SharedRwLock.create(key), "EEXIST", "semget");
  lock.remove();
  assertRefused(() => SharedRwLock.open(key), "ENOENT", "semget");
});

leakTest("SharedRwLock.open() and its siblings open the same lock", () => {
  const key = uniqueKey();
  using lock = SharedRwLock.openOrCreate(key, { mode: 0o640 });
  const guard = lock.lockReadSync();
  for (
    const other of [
      SharedRwLock.open(key),
      SharedRwLock.openOrCreate(key),
      SharedRwLock.fromId(lock.id),
    ]
  ) {
    using same = other;
    assertEquals([same.id, same.readers], [lock.id, 1]);
    assertEquals(same.tryLockWrite(), undefined);
    same.tryLockRead()!.release();
  }
  lock.remove();
  const error = assertThrows(() => lock.tryLockRead(), IpcError);
  const subject = `reader-writer lock key ${showKey(key)}`;
  assertEquals(error.message, `semop ${subject}: Identifier removed (EIDRM)`);
  // The guard cannot unlock it any more, and says so, once.
  assertRefused(() => guard.release(), "EIDRM", "semop", subject);
  guard.release();
});

leakTest("SharedRwLock opens no semaphore set of another use", () => {
  const all = [
    [0],
    [0, 0, 0],
    [0, 0, 0, 0],
    [1, 0, 0, 0, 0],
    [2, 2, 0, 0, 0],
    [0, 2, 0, 0, 0],
    [0, 0, 2, 0, 0],
    [1, 1, 0, 1, 0],
  ];
  for (const values of all) {
    const key = uniqueKey();
    using set = SysvSemaphoreSet.create(key, values);
    for (
      const open of [
        () => SharedRwLock.open(key),
        () => SharedRwLock.openOrCreate(key),
        () => SharedRwLock.fromId(set.id),
      ]
    ) assertThrows(open, TypeError, "is not a reader-writer lock");
    set.remove();
  }
});

leakTest("SharedRwLock and SharedMutex are not mixed up", () => {
  const key = uniqueKey();
  {
    using mutex = SharedMutex.create(key);
    assertThrows(() => SharedRwLock.open(key), TypeError, "3 semaphores");
    assertThrows(() => SharedRwLock.fromId(mutex.id), TypeError);
    assertThrows(() => SharedRwLock.openOrCreate(key), TypeError);
    mutex.remove();
  }
  using lock = SharedRwLock.create(key);
  assertThrows(() => SharedMutex.open(key), TypeError, "5 semaphores");
  assertThrows(() => SharedMutex.fromId(lock.id), TypeError);
  assertThrows(() => SharedMutex.openOrCreate(key), TypeError);
  lock.remove();
});

leakTest(
  "SharedRwLock refuses what is no key, id, mode or timeout",
  async () => {
    const calls = [
      (key: number) => SharedRwLock.create(key),
      (key: number) => SharedRwLock.open(key),
      (key: number) => SharedRwLock.openOrCreate(key),
    ];
    for (const call of calls) {
      for (const key of [0, 1.5, NaN, 2 ** 32]) {
        assertThrows(() => call(key), RangeError, '"key"');
      }
      assertThrows(() => call("1" as unknown as number), TypeError, '"key"');
    }
    assertThrows(() => SharedRwLock.fromId(-1), RangeError, '"id"');
    assertRefused(() => SharedRwLock.fromId(2 ** 31 - 1), "EIDRM", "semctl");
    const options = { mode: 0o1000 };
    assertThrows(
      () => SharedRwLock.create(null, options),
      RangeError,
      '"mode"',
    );
    assertThrows(() => SharedRwLock.openOrCreate(1, options), RangeError);

    using place = new RwPlace();
    const { lock } = place;
    for (const timeout of [-1, NaN]) {
      assertThrows(() => lock.lockReadSync({ timeout }), RangeError);
      assertThrows(() => lock.lockWriteSync({ timeout }), RangeError);
      assertEquals(await outcome(lock.lockRead({ timeout })), "RangeError");
      assertEquals(await outcome(lock.lockWrite({ timeout })), "RangeError");
    }
    place.assertFree();
  },
);

// --- Locking ----------------------------------------------------------------

leakTest("SharedRwLock: many read, or one writes", async () => {
  using place = new RwPlace();
  const { lock } = place;
  {
    await using reader = await place.holder("lock.lockReadSync()");
    using _mine = lock.lockReadSync({ timeout: 0 });
    using _also = await lock.lockRead({ timeout: 0 });
    assertEquals(lock.readers, 3);
    assertEquals(lock.tryLockWrite(), undefined);
    assertEquals(await outcome(lock.lockWrite({ timeout: 5 })), "TimeoutError");
    await reader.send("");
    await reader.expect("unlocked\n");
  }
  await using writer = await place.holder("await lock.lockWrite()");
  assertEquals([lock.writerPid, lock.readers], [writer.pid, 0]);
  assertEquals([lock.tryLockRead(), lock.tryLockWrite()], [
    undefined,
    undefined,
  ]);
  assertEquals(await outcome(lock.lockRead({ timeout: 5 })), "TimeoutError");
  const read = outcome(lock.lockRead());
  const write = outcome(lock.lockWrite());
  await writer.send("");
  assertEquals([await read, await write], ["locked", "locked"]);
  place.assertFree();
});

leakTest("A guard of SharedRwLock unlocks once", () => {
  using place = new RwPlace();
  const { lock } = place;
  const first = lock.lockReadSync();
  const second = lock.lockReadSync();
  first.release();
  first.release(); // not what the second holds
  first[Symbol.dispose]();
  assertEquals(lock.readers, 1);
  second.release();
  const writer = lock.lockWriteSync();
  writer.release();
  const next = lock.lockWriteSync();
  writer.release();
  assertEquals(lock.tryLockRead(), undefined);
  next.release();
  place.assertFree();
  assertThrows(() => writer.markConsistent(), ClosedError, "guard");
});

leakTest("SharedRwLock finds a thread that would wait for itself", async () => {
  using place = new RwPlace();
  const { lock } = place;
  using other = SharedRwLock.fromId(lock.id);
  {
    using _writer = await lock.lockWrite();
    for (const one of [lock, other]) {
      assertRefused(() => one.lockReadSync(), "EDEADLK", "semop");
      assertRefused(() => one.lockWriteSync(), "EDEADLK", "semop");
      assertEquals(await outcome(one.lockRead({ timeout: 5 })), "TimeoutError");
    }
  }
  {
    using _one = lock.lockReadSync();
    using _two = await other.lockRead();
    assertRefused(() => lock.lockWriteSync(), "EDEADLK", "semop");
    _one.release();
    assertRefused(() => other.lockWriteSync(), "EDEADLK", "semop");
    assertEquals(lock.waitingWriters, 0);
  }
  lock.lockWriteSync().release();
  place.assertFree();
});

leakTest("SharedRwLock has 32767 readers at the most", () => {
  using place = new RwPlace();
  using all = new DisposableStack();
  for (let i = 0; i < 32_767; i++) all.use(place.lock.lockReadSync());
  assertEquals(place.lock.readers, 32_767);
  assertRefused(() => place.lock.lockReadSync(), "ERANGE", "semop");
  assertRefused(() => place.lock.tryLockRead(), "ERANGE", "semop");
  all.dispose();
  place.assertFree();
});

leakTest("SharedRwLock waits never end early", async () => {
  using place = new RwPlace();
  const { lock } = place;
  await using _writer = await place.holder("lock.lockWriteSync()");
  for (const timeout of [0, 0.5, 3.7, 20, 60, 130]) {
    const calls = [
      () => lock.lockReadSync({ timeout }),
      () => lock.lockWriteSync({ timeout }),
      () => lock.lockRead({ timeout }),
      () => lock.lockWrite({ timeout }),
    ];
    for (const call of calls) {
      const start = performance.now();
      const end = await outcome(Promise.try<ReadGuard, []>(call));
      assert(performance.now() - start >= timeout, `early: ${timeout}`);
      assertEquals(end, "TimeoutError");
    }
  }
  assertEquals(lock.waitingWriters, 0);
});

leakTest("SharedRwLock waits end with the signal's reason", async () => {
  using place = new RwPlace();
  const { lock } = place;
  const aborted = { signal: AbortSignal.abort("before") };
  assertEquals(await outcome(lock.lockRead(aborted)), "before");
  assertEquals(await outcome(lock.lockWrite(aborted)), "before");
  place.assertFree();
  const guard = lock.lockWriteSync();
  const controllers = Array.from({ length: 8 }, () => new AbortController());
  const waits = controllers.map(({ signal }, i) =>
    outcome(
      i % 2 === 0 ? lock.lockRead({ signal }) : lock.lockWrite({ signal }),
    )
  );
  controllers.forEach((controller, i) => controller.abort(`reason ${i}`));
  assertEquals(
    await Promise.all(waits),
    controllers.map((_, i) => `reason ${i}`),
  );
  guard.release();
  place.assertFree();
});

leakTest("SharedRwLock loses nothing in a race with abort", async () => {
  using place = new RwPlace();
  const { lock } = place;
  for (let round = 0; round < 200; round++) {
    const guard = round % 4 < 2 ? lock.lockWriteSync() : lock.lockReadSync();
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const waits = controllers.map(({ signal }, i) => {
      const options = { signal, timeout: i === 0 ? 1 : 30_000 };
      return outcome(
        i % 2 === 0 ? lock.lockWrite(options) : lock.lockRead(options),
      );
    });
    if (round % 2 === 0) await new Promise((done) => setTimeout(done, 0));
    guard.release();
    if (round % 3 === 0) await null;
    for (const controller of controllers) controller.abort("aborted");
    for (const end of await Promise.all(waits)) {
      assert(["aborted", "locked", "TimeoutError"].includes(end), end);
    }
    place.assertFree();
  }
});

leakTest("SharedRwLock.close() ends waits, and guards go on", async () => {
  using place = new RwPlace();
  const { lock } = place;
  using other = SharedRwLock.fromId(lock.id);
  const guard = lock.lockWriteSync();
  const waits = Array.from(
    { length: 8 },
    (_, i) => outcome(i % 2 === 0 ? lock.lockRead() : lock.lockWrite()),
  );
  lock.close();
  lock.close();
  assertEquals(await Promise.all(waits), Array(8).fill("ClosedError"));
  assertEquals(await outcome(lock.lockRead()), "ClosedError");
  assertEquals(await outcome(lock.lockWrite()), "ClosedError");
  for (
    const call of [
      () => lock.lockReadSync(),
      () => lock.lockWriteSync(),
      () => lock.tryLockRead(),
      () => lock.tryLockWrite(),
      () => lock.writerPid,
      () => lock.readers,
      () => lock.waitingWriters,
      () => lock.remove(),
    ]
  ) assertThrows(call, ClosedError, "private reader-writer lock");
  assertEquals([other.writerPid, other.waitingWriters], [Deno.pid, 0]);
  guard.release();
  other.lockWriteSync().release();
});

leakTest("SharedRwLock.remove() tells all who wait", async () => {
  using place = new RwPlace();
  const { lock } = place;
  const guard = lock.lockWriteSync();
  await using all = new AsyncDisposableStack();
  const waiters = ["lock.lockReadSync()", "lock.lockWriteSync()"].map((call) =>
    all.use(place.spawn(`console.log(await told(() => ${call}));`))
  );
  for (const waiter of waiters) {
    await waiter.expect("up\n");
    await waiter.settled();
  }
  const waits = Array.from(
    { length: 6 },
    (_, i) => outcome(i % 2 === 0 ? lock.lockRead() : lock.lockWrite()),
  );
  lock.remove();
  assertEquals(await Promise.all(waits), Array(6).fill("EIDRM"));
  for (const waiter of waiters) {
    assertEquals(await waiter.line(), "IpcError EIDRM");
  }
  assertRefused(() => guard.release(), "EIDRM", "semop");
  assertRefused(() => lock.readers, "EIDRM", "semctl");
  assertRefused(() => lock.remove(), "EIDRM", "semctl");
  assertRefused(() => lock.lockWriteSync(), "EIDRM", "semop");
});

leakTest("SharedRwLock serves in the order of the calls", async () => {
  using place = new RwPlace();
  const { lock } = place;
  const guard = lock.lockWriteSync();
  const written: number[] = [];
  const read: number[] = [];
  const all = Promise.all(Array.from({ length: 20 }, async (_, i) => {
    using _guard = i % 2 === 0 ? await lock.lockWrite() : await lock.lockRead();
    (i % 2 === 0 ? written : read).push(i);
  }));
  guard.release();
  await all;
  const order = Array.from({ length: 20 }, (_, i) => i);
  assertEquals(written, order.filter((i) => i % 2 === 0));
  assertEquals(read, order.filter((i) => i % 2 === 1));
  place.assertFree();
});

leakTest("100 pending reads and writes leave the pool alone", async () => {
  using place = new RwPlace();
  await using holder = await place.holder("lock.lockWriteSync()");
  await using waiter = await place.start(`
    const others = Array.from({ length: 9 }, () => ipc.SharedRwLock.fromId(lock.id));
    const all = Array.from({ length: 100 }, async (_, i) => {
      const one = [lock, ...others][i % 10];
      if (i % 3 === 0) {
        using guard = await one.lockWrite();
        change(guard);
      } else {
        using guard = await one.lockRead();
        look(guard);
        await null;
        look(guard);
      }
    });
    for (let i = 0; i < 40; i++) {
      await Deno.readTextFile("/proc/self/comm");
    }
    console.log("read");
    await Promise.all(all);
    console.log("done");`);
  assertEquals(await waiter.line(), "read");
  assertEquals(waiter.unread, "");
  await holder.send("");
  assertEquals(await waiter.line(), "done");
  const { code, stderr } = await waiter.ended(); // by itself
  assertEquals([code, stderr], [0, ""]);
  assertEquals([...place.words.subarray(0, 4)], [34, 34, 0, 0]);
  place.assertFree();
});

// --- Who goes first ---------------------------------------------------------

/** A writer that waits because this process reads. */
async function waitingWriter(place: RwPlace, call: string): Promise<Child> {
  const before = place.lock.waitingWriters;
  const child = await place.start(`
    {
      using guard = ${call};
      change(guard);
    }
    console.log("written");`);
  const waits = () => place.lock.waitingWriters > before;
  await child.until(waits, "wait to write");
  return child;
}

/** How long a reader lets writers go first, in milliseconds. */
const COURTESY = 1000;

for (const write of ["lock.lockWriteSync()", "await lock.lockWrite()"]) {
  leakTest(`SharedRwLock.lockRead() lets ${write} go first`, async () => {
    using place = new RwPlace();
    const { lock, words } = place;
    const guard = lock.lockReadSync();
    await using writer = await waitingWriter(place, write);
    const start = performance.now();
    const read = lock.lockRead();
    guard.release();
    using _mine = await read;
    const elapsed = performance.now() - start;
    assert(words[FIRST] === 1 || elapsed >= COURTESY, `after ${elapsed} ms`);
    _mine.release();
    await writer.expect("written\n");
    place.assertFree();
  });
}

leakTest("SharedRwLock.lockReadSync() lets writers go first", async () => {
  using place = new RwPlace();
  const { lock, words } = place;
  await using reader = await place.start(`
    const guard = lock.lockReadSync();
    console.log("reads");
    while (Atomics.load(words, ${SLOTS}) === 0);
    guard.release();`);
  await reader.expect("reads\n");
  await using writer = await waitingWriter(place, "lock.lockWriteSync()");
  Atomics.store(words, SLOTS, 1);
  const start = performance.now();
  const guard = lock.lockReadSync();
  const elapsed = performance.now() - start;
  assert(words[FIRST] === 1 || elapsed >= COURTESY, `after ${elapsed} ms`);
  guard.release();
  await writer.expect("written\n");
  place.assertFree();
});

leakTest(
  "SharedRwLock: a writer that waits does not starve readers",
  async () => {
    using place = new RwPlace();
    const { lock } = place;
    await using reader = await place.holder("lock.lockReadSync()");
    await using writer = await waitingWriter(place, "lock.lockWriteSync()");
    writer.kill("SIGSTOP");
    const { lockReadSync, lockRead } = READS;
    for (const read of [lockReadSync!, lockRead!]) {
      using guard = await read(lock);
      assertEquals(guard.ownerDied, false);
    }
    assertEquals([lock.readers, lock.waitingWriters], [1, 1]);
    const timeout = 5;
    const tries: Record<string, () => Promise<ReadGuard | undefined>> = {
      tryLockRead: () => Promise.resolve(lock.tryLockRead()),
      atOnceSync: async () => await unlessOver(() => lock.lockReadSync(NOW)),
      atOnce: () => unlessOver(() => lock.lockRead(NOW)),
      shortlySync: () => unlessOver(() => lock.lockReadSync({ timeout })),
      shortly: () => unlessOver(() => lock.lockRead({ timeout })),
    };
    for (const [name, attempt] of Object.entries(tries)) {
      const start = performance.now();
      assertEquals(await attempt(), undefined, `${name} goes first`);
      let guard;
      while ((guard = await attempt()) === undefined) await turns(1);
      guard.release();
      const elapsed = performance.now() - start;
      assert(elapsed >= COURTESY, `${name} goes first, after ${elapsed} ms`);
    }
    writer.kill("SIGCONT");
    await reader.send("");
    await writer.expect("written\n");
    place.assertFree();
  },
);

leakTest("SharedRwLock: who reads may read once more", async () => {
  using place = new RwPlace();
  const { lock } = place;
  const guard = lock.lockReadSync();
  await using writer = await waitingWriter(place, "lock.lockWriteSync()");
  const mine = outcome(lock.lockWrite()); // one more, of this very thread
  lock.lockReadSync().release();
  assertEquals(await outcome(lock.lockRead(LIMITED)), "locked");
  assertEquals([lock.readers, lock.waitingWriters], [1, 2]);
  guard.release();
  assertEquals(await mine, "locked");
  await writer.expect("written\n");
  place.assertFree();
});

leakTest("SharedRwLock: a reader gets its turn among writers", async () => {
  using place = new RwPlace();
  const TURN = 2; // the index of the semaphore
  using set = SysvSemaphoreSet.fromId(place.lock.id);
  const guard = place.lock.lockWriteSync();
  const start = (call: string) =>
    place.start(`
      const guard = ${call};
      console.log("locked");
      await Deno.stdin.read(new Uint8Array(1));
      guard.release();`);
  await using reader = await start("lock.lockReadSync()");
  const hasTurn = () => set.lastPid(TURN) === reader.pid;
  await reader.until(hasTurn, "have the turn");
  await using writer = await start("await lock.lockWrite()");
  await writer.until(() => set.waiters(TURN).zero === 1, "wait for the turn");
  guard.release();
  assertEquals(place.lock.tryLockWrite(), undefined);
  assertEquals(await reader.line(), "locked");
  assertEquals(writer.unread, "");
  await reader.send("");
  assertEquals(await writer.line(), "locked");
  await writer.send("");
  for (const child of [reader, writer]) {
    assertEquals((await child.ended()).code, 0);
  }
  place.assertFree();
});

// --- Exclusion --------------------------------------------------------------

const COUNTS = rounds(300, 3_000);
const COUNTERS: Record<string, string> = {
  sync: `for (let i = 0; i < ${COUNTS}; i++) {
      {
        using guard = lock.lockReadSync();
        look(guard);
      }
      using guard = lock.lockWriteSync();
      change(guard);
    }`,
  trying: `for (let i = 0; i < ${COUNTS};) {
      {
        using guard = lock.tryLockRead();
        if (guard !== undefined) look(guard);
      }
      using guard = lock.tryLockWrite();
      if (guard === undefined) continue;
      change(guard);
      i++;
    }`,
  async: `await Promise.all([1, 2, 3].map(async (sixths) => {
      for (let i = 0; i < sixths * ${COUNTS / 6}; i++) {
        {
          using guard = await lock.lockRead();
          look(guard);
          await null;
          look(guard);
        }
        using guard = await lock.lockWrite();
        change(guard);
      }
    }));`,
};

leakTest("SharedRwLock: processes in Deno and in C lose no count", {
  soak: "also",
  needs: [noCompiler],
  limit: 120_000,
}, async () => {
  using place = new RwPlace();
  const start = place.lock.lockWriteSync();
  await using all = new AsyncDisposableStack();
  const peers = [
    all.use(await place.peer(PEER)),
    all.use(await place.peer(PEER)),
  ];
  const children = Object.values(COUNTERS).map((text) =>
    all.use(place.spawn(text))
  );
  for (const child of children) await child.expect("up\n");
  for (const peer of peers) await peer.send(`count ${COUNTS}`);
  start.release();
  for (const child of children) assertPrinted(await child.ended(), "up");
  for (const peer of peers) assertEquals(await peer.line(), "counted");
  assertEquals([...place.words.subarray(0, 4)], [5 * COUNTS, 5 * COUNTS, 0, 0]);
  place.assertFree();
});

leakTest(
  "SharedRwLock: Workers of one process lose no count",
  { soak: "also" },
  async () => {
    using place = new RwPlace();
    const urls = Object.values(COUNTERS).map((text) =>
      urlOfWorker(
        `${place.code} postMessage("up"); ${text} postMessage("done");`,
      )
    );
    const start = place.lock.lockWriteSync();
    await using child = await place.start(`
    const workers = ${JSON.stringify(urls)}.map((url) =>
      new Worker(url, { type: "module" }));
    const next = () => Promise.all(workers.map((worker) =>
      new Promise((resolve) => worker.onmessage = resolve)));
    await next();
    console.log("ready");
    await next();
    for (const worker of workers) worker.terminate();`);
    await child.expect("ready\n");
    start.release();
    const { code, stderr } = await child.ended();
    assertEquals([code, stderr], [0, ""]);
    assertEquals([...place.words.subarray(0, 4)], [
      3 * COUNTS,
      3 * COUNTS,
      0,
      0,
    ]);
    place.assertFree();
  },
);

// --- Death ------------------------------------------------------------------

leakTest(
  "SharedRwLock tells all of a writer's death, until it is repaired",
  async () => {
    using place = new RwPlace();
    const { lock } = place;
    for (const [name, read] of Object.entries(READS)) {
      await using writer = await place.holder("lock.lockWriteSync()");
      await kill(writer);
      assertEquals(lock.writerPid, undefined);
      {
        using one = await read(lock);
        using two = await read(lock);
        const told = [one.ownerDied, two.ownerDied];
        assertEquals([...told, lock.readers], [true, true, 2], name);
      }
      for (const repairs of [false, true]) {
        using guard = await lock.lockWrite(LIMITED);
        assertEquals(guard.ownerDied, true);
        if (repairs) guard.markConsistent();
      }
      using guard = await read(lock);
      assertEquals(guard.ownerDied, false);
    }
    place.assertFree();
  },
);

leakTest(
  "SharedRwLock: the repair that is not finished does not count",
  async () => {
    using place = new RwPlace();
    const { lock } = place;
    await using writer = await place.holder("lock.lockWriteSync()");
    await kill(writer);
    await using other = await place.start(`
    const guard = lock.lockWriteSync();
    guard.markConsistent();
    console.log(guard.ownerDied);
    await new Promise(() => setInterval(() => {}, 1000));`);
    assertEquals(await other.line(), "true");
    await kill(other);
    assertEquals(lock.lockReadSync(LIMITED).ownerDied, true);
    using guard = lock.tryLockWrite();
    assertEquals(guard, undefined); // this process reads
  },
);

leakTest("SharedRwLock does not mind the death of readers", async () => {
  using place = new RwPlace();
  const { lock } = place;
  await using all = new AsyncDisposableStack();
  const readers = await Promise.all(
    ["lock.lockReadSync()", "lock.tryLockRead()", "await lock.lockRead()"]
      .map((call) => place.holder(call)),
  );
  for (const reader of readers) all.use(reader);
  const mine = lock.lockReadSync();
  const written = outcome(lock.lockWrite(LIMITED));
  mine.release();
  for (const [i, reader] of readers.entries()) {
    assertEquals([lock.readers, lock.tryLockWrite()], [3 - i, undefined]);
    await kill(reader); // the last of which ends the wait
  }
  assertEquals(await written, "locked");
  place.assertFree();
});

leakTest("SharedRwLock does not mind the death of those who wait", async () => {
  using place = new RwPlace();
  const { lock } = place;
  for (
    const call of ["lock.lockWriteSync()", "await lock.lockWrite()"]
  ) {
    const guard = lock.lockReadSync();
    await using writer = await waitingWriter(place, call);
    await kill(writer);
    assertEquals([lock.readers, lock.waitingWriters], [1, 0]);
    guard.release();
    place.assertFree();
  }
  for (const call of ["lock.lockReadSync()", "await lock.lockRead()"]) {
    const guard = lock.lockWriteSync();
    await using reader = await place.start(call);
    await reader.settled();
    await kill(reader);
    guard.release();
    place.assertFree();
  }
});

leakTest(
  "SharedRwLock wakes readers when the writer before them dies",
  async () => {
    using place = new RwPlace();
    const guard = place.lock.lockReadSync();
    await using writer = await waitingWriter(place, "lock.lockWriteSync()");
    await using reader = await place.start(`
    using guard = lock.lockReadSync();
    console.log(guard.ownerDied, lock.readers);`);
    await reader.until(() => isInSemop(reader.pid), "wait to read");
    await kill(writer);
    assertEquals(await reader.line(), "false 2");
    assertEquals((await reader.ended()).code, 0);
    guard.release();
    place.assertFree();
  },
);

leakTest("SharedRwLock tells C of a death, and of a death in C", {
  needs: [noCompiler],
}, async () => {
  using place = new RwPlace();
  const { lock } = place;
  await using peer = await place.peer(PEER);
  const ask = async (line: string) => {
    await peer.send(line);
    return await peer.line();
  };
  assertEquals(await ask("read"), "locked");
  assertEquals([lock.readers, lock.tryLockWrite()], [1, undefined]);
  const reader = lock.tryLockRead()!;
  assertEquals(await ask("unlock-read"), "unlocked");
  assertEquals(await ask("try-write"), "busy");
  reader.release();
  assertEquals(await ask("write"), "locked");
  assertEquals([lock.tryLockRead(), lock.writerPid], [undefined, peer.pid]);
  assertEquals(await ask("unlock-write"), "unlocked");
  const writer = lock.lockWriteSync();
  assertEquals(await ask("try-read"), "busy");
  await peer.send("write");
  await peer.until(() => lock.waitingWriters === 1, "wait to write");
  writer.release();
  assertEquals(await peer.line(), "locked");
  assertEquals(lock.waitingWriters, 0);
  assertEquals(await ask("unlock-write"), "unlocked");

  await using child = await place.holder("lock.lockWriteSync()");
  await peer.send("read");
  await kill(child);
  assertEquals(await peer.line(), "owner died");
  assertEquals(await ask("unlock-read"), "unlocked");
  assertEquals(await ask("write"), "owner died");
  assertEquals(await ask("leave"), "unlocked"); // it did not repair it
  assertEquals(await ask("write"), "owner died");
  assertEquals(await ask("unlock-write"), "unlocked");
  assertEquals(await ask("write"), "locked");
  await kill(peer);
  using next = lock.lockWriteSync(LIMITED);
  assertEquals(next.ownerDied, true);
  next.markConsistent();
  next.release();
  place.assertFree();
});

/** A program that reads and writes, and tells in the memory where it is. */
function loop(slot: number): string {
  const at = SLOTS + 3 * slot;
  const isSync = Math.floor(slot / 4) % 2 === 0;
  const [now, sync] = isSync ? ["", "Sync"] : ["await", ""];
  return `
    async function write() {
      Atomics.store(words, ${at}, ${ASKING});
      const guard = ${now} lock.lockWrite${sync}();
      Atomics.store(words, ${at}, ${WRITING});
      change(guard, ${at + 2});
      Atomics.store(words, ${at}, ${CALLING});
      guard.release();
      Atomics.store(words, ${at}, ${OUTSIDE});
    }
    async function read() {
      Atomics.store(words, ${at}, ${CALLING});
      const guard = ${now} lock.lockRead${sync}();
      Atomics.store(words, ${at}, ${READING});
      const whole = look(guard, ${at + 2});
      Atomics.store(words, ${at}, ${CALLING});
      guard.release();
      Atomics.store(words, ${at}, ${OUTSIDE});
      return whole;
    }
    for (let round = 0;; round++) {
      const order = Atomics.load(words, ${at + 2});
      const reads = order === ${GO_ON}
        ? round % 2 === 0
        : order === ${STAY_READING};
      if (!reads || !await read()) await write();
      Atomics.add(words, ${at + 1}, 1);
    }`;
}

leakTest(
  "SharedRwLock: kill -9 at any point",
  { soak: "also", limit: 240_000 },
  async () => {
    const ROUNDS = rounds(8, 100);
    const BATCH = rounds(8, 10); // killed one after another; all others survive that
    using place = new RwPlace();
    const { lock, words } = place;
    const isC = (slot: number) => noCompiler === null && slot % 3 === 2;
    for (let round = 0; round < ROUNDS;) {
      words.fill(0);
      await using all = new AsyncDisposableStack();
      const start = lock.lockWriteSync();
      const children = await Promise.all(Array.from(
        { length: BATCH },
        (_, slot) =>
          isC(slot) ? place.peer(PEER, slot) : place.start(loop(slot)),
      ));
      for (const child of children) all.use(child);
      for (const [slot, child] of children.entries()) {
        if (isC(slot)) await child.send("loop");
      }
      start.release();
      let repairs = 0;
      for (const [slot, child] of children.entries()) {
        const at = SLOTS + 3 * slot;
        const is = (where: number) => () => Atomics.load(words, at) === where;
        // Where it is to die: inside for certain, waiting for certain, anywhere.
        const order = [STAY_WRITING, STAY_READING, WRITE, GO_ON][round % 4]!;
        const reader = order === WRITE ? lock.lockReadSync() : undefined;
        Atomics.store(words, at + 2, order);
        if (order === STAY_WRITING) await child.until(is(WRITING), "write");
        else if (order === STAY_READING) await child.until(is(READING), "read");
        else if (order === WRITE) {
          const waits = () => is(ASKING)() && isInSemop(child.pid);
          await child.until(waits, "wait to write");
        } else {
          const times = words[at + 1]! + Math.floor(Math.random() * 20);
          const isThere = () => Atomics.load(words, at + 1) >= times;
          await child.until(isThere, "progress");
          for (let spin = Math.random() * 2e4; spin > 0; spin--) isThere();
        }
        await kill(child);
        const where = Atomics.load(words, at);
        reader?.release();

        using guard = await lock.lockWrite({ timeout: 20_000 });
        if (guard.ownerDied) {
          words[SECOND] = words[FIRST]!;
          words[REPAIRS]!++;
          guard.markConsistent();
        }
        const told = words[REPAIRS]! - repairs;
        repairs += told;
        if (where === WRITING) {
          assertEquals(told, 1, "it died writing, and no owner was told");
        } else if ([OUTSIDE, READING].includes(where!) || order === WRITE) {
          assertEquals(told, 0, "it did not die writing, but all were told");
        } // else it died in a call, on either side of locking or unlocking
        assert(told === 0 || told === 1, `told ${told} times`);
        assertEquals(words[FIRST], words[SECOND]);
        assertEquals(words[BROKEN], 0, "half changed, and no owner was told");
        round++;
      }
      place.assertFree();
    }
  },
);

// --- Workers ----------------------------------------------------------------

leakTest("SharedRwLock belongs to the process, not to a Worker", async () => {
  using place = new RwPlace();
  const { lock } = place;
  const url = urlOfWorker(`${place.code}
    globalThis.guard = lock.lockReadSync();
    postMessage("");`);
  await using child = await place.start(`
    const worker = new Worker("${url}", { type: "module" });
    await new Promise((resolve) => worker.onmessage = resolve);
    worker.terminate();
    console.log(await told(() => lock.lockWrite({ timeout: 100 })));
    await Deno.stdin.read(new Uint8Array(1));`);
  assertEquals(await child.line(), "TimeoutError");
  assertEquals([lock.readers, lock.tryLockWrite()], [1, undefined]);
  await child.send("");
  assertEquals((await child.ended()).code, 0);
  place.assertFree();
});

leakTest(
  "SharedRwLock: a Worker that ends as it waits blocks no other",
  async () => {
    using place = new RwPlace();
    const { lock } = place;
    const guard = lock.lockReadSync();
    for (const call of ["lock.lockWrite()", "lock.lockRead()"]) {
      const url = urlOfWorker(`${place.code}
      ${call};
      postMessage("");`);
      await using child = await place.start(`
      const worker = new Worker("${url}", { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      worker.terminate();
      console.log("terminated");
      await Deno.stdin.read(new Uint8Array(1));`);
      await child.expect("terminated\n");
      assertEquals(await outcome(lock.lockRead(LIMITED)), "locked");
      await child.send("");
      assertEquals((await child.ended()).code, 0);
      assertEquals(lock.waitingWriters, 0);
    }
    guard.release();
    place.assertFree();
  },
);

// --- What the kernel refuses, and misuse ------------------------------------

leakTest("A guard of SharedRwLock finds that it holds nothing", async () => {
  using place = new RwPlace();
  const { lock } = place;
  const reader = lock.lockReadSync();
  tamper(lock, 0, 0, 0, 0, 0);
  assertRefused(() => reader.release(), "EPERM", "semop");
  const writer = lock.lockWriteSync();
  tamper(lock, 0, 0, 0, 0, 0);
  assertRefused(() => writer.release(), "EPERM", "semop");
  // What was announced and is gone takes nothing from others.
  tamper(lock, 0, 0, 0, 1, 0);
  const wait = outcome(lock.lockWrite({ timeout: 20 }));
  tamper(lock, 0, 0, 0, 1, 0);
  assertEquals(await wait, "TimeoutError");
  assertEquals(lock.waitingWriters, 0);
});

leakTest("SharedRwLock says what permissions forbid", {
  needs: [noOtherUser],
}, async () => {
  const key = uniqueKey();
  for (
    const [mode, expected] of [
      [0o600, "EACCES"],
      [0o604, "open EACCES EACCES EACCES EACCES 1 EPERM"],
      [0o606, "open guard undefined guard TimeoutError 1 EPERM"],
    ] as const
  ) {
    using lock = SharedRwLock.create(key, { mode });
    using guard = lock.lockReadSync();
    const { stdout } = await runAsNobody(`
      import { SharedRwLock } from "@linux/ipc/lock";
      const told: string[] = [];
      async function tell(call: () => unknown) {
        try {
          const result = await call();
          const isGuard = typeof result === "object" && result !== null;
          if (isGuard) (result as { release(): void }).release();
          told.push(isGuard ? "guard" : String(result));
        } catch (error) {
          const { code, name } = error as { code?: string; name: string };
          told.push(typeof code === "string" ? code : name);
        }
      }
      await tell(() => (SharedRwLock.open(${key}), "open"));
      if (told[0] === "open") {
        const lock = SharedRwLock.open(${key});
        await tell(() => lock.tryLockRead());
        await tell(() => lock.tryLockWrite());
        await tell(() => lock.lockRead());
        await tell(() => lock.lockWrite({ timeout: 10 }));
        await tell(() => lock.readers);
        await tell(() => lock.remove());
      }
      console.log(told.join(" "));`);
    guard.release();
    lock.remove();
    assertEquals(stdout.trim(), expected, mode.toString(8));
  }
});
