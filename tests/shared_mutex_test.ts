import { assert, assertEquals, assertThrows } from "@std/assert";
import { showKey } from "../ffi/arguments.ts";
import { ClosedError, IpcError, SysvSemaphoreSet } from "../ffi/semaphore.ts";
import {
  type LockGuard,
  SharedCondition,
  SharedMutex,
  SharedRwLock,
} from "../ffi/lock.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { noCompiler } from "./support/c.ts";
import { codeWith } from "./support/code.ts";
import { kill } from "./support/kills.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import {
  outcome,
  Place as LockPlace,
  tamper,
  urlOfWorker,
} from "./support/locks.ts";
import { uniqueKey } from "./support/names.ts";
import {
  type Child,
  type Ended,
  run,
  runDeno,
  spawn,
  until,
} from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

// --- Helpers ----------------------------------------------------------------

const MODULE = import.meta.resolve("../ffi/lock.ts");

/** The ints in the memory that the processes of a test share; the C peer's, too. */
const [FIRST, SECOND, BROKEN, REPORTS, STAYER, SLOTS] = [0, 1, 2, 3, 4, 5];
/** Each process has two: where it is (0 to 4), and how often it was inside. */
const [OUTSIDE, ENTERING, INSIDE, LEAVING, STAYING] = [0, 1, 2, 3, 4];
const WORDS = 200;
/** For what must not take long. */
const LIMITED = { timeout: 10_000 };

/** What the code of all children has besides. */
const PRELUDE = `
  const { SharedMutex } = ipc;
  const mutex = lock;

  /** Adds 1 to two ints, so that others could get in between. */
  function work(words, guard) {
    if (guard.ownerDied) {
      Atomics.store(words, ${SECOND}, Atomics.load(words, ${FIRST}));
      Atomics.add(words, ${REPORTS}, 1);
      guard.markConsistent();
    } else if (Atomics.load(words, ${FIRST}) !== Atomics.load(words, ${SECOND})) {
      Atomics.add(words, ${BROKEN}, 1);
    }
    const value = Atomics.load(words, ${FIRST}) + 1;
    Atomics.store(words, ${FIRST}, value);
    for (let spin = 0; spin < 50; spin++) Atomics.load(words, ${BROKEN});
    Atomics.store(words, ${SECOND}, value);
  }
`;

/** A mutex and memory, and how others get at them. */
class Place extends LockPlace<SharedMutex> {
  constructor() {
    super(SharedMutex.create(null), WORDS, PRELUDE);
  }

  get mutex(): SharedMutex {
    return this.lock;
  }

  /** A Deno that holds the mutex until a line tells it to unlock. */
  override holder(): Promise<Child> {
    return super.holder("mutex.lockSync()");
  }

  /** A C program that uses the same mutex. */
  override peer(program = "shared_mutex_peer", slot = 0): Promise<Child> {
    return super.peer(program, slot);
  }

  /** The mutex is free, and no owner has died. */
  assertFree(): void {
    const guard = this.mutex.tryLock();
    assert(guard !== undefined, "it is locked");
    guard.release();
    assertEquals(guard.ownerDied, false);
  }
}

const { code, runCode } = codeWith({}, "");
const withMutex = codeWith({ SharedMutex: "lock" }, "");

// --- Create, open, remove ---------------------------------------------------

leakTest("SharedMutex.create() makes an unlocked mutex under a key", () => {
  const key = uniqueKey();
  using mutex = SharedMutex.create(key);
  const row = sysvTable("sem").find((row) => row.semid === mutex.id);
  assertEquals([row?.key, row?.perms, row?.nsems], [key, 0o600, 3]);
  assertEquals(mutex.ownerPid, undefined);
  {
    using guard = mutex.lockSync();
    assertEquals(guard.ownerDied, false);
    assertEquals(mutex.ownerPid, Deno.pid);
  }
  assertEquals(mutex.ownerPid, undefined);
  assertRefused(() => SharedMutex.create(key), "EEXIST", "semget");
  mutex.remove();
  assertRefused(() => SharedMutex.open(key), "ENOENT", "semget");
});

leakTest("SharedMutex.open() and its siblings open the same mutex", () => {
  const key = uniqueKey();
  using mutex = SharedMutex.openOrCreate(key, { mode: 0o640 });
  using _guard = mutex.lockSync();
  for (
    const other of [
      SharedMutex.open(key),
      SharedMutex.openOrCreate(key),
      SharedMutex.fromId(mutex.id),
    ]
  ) {
    using same = other;
    assertEquals([same.id, same.ownerPid], [mutex.id, Deno.pid]);
    assertEquals(same.tryLock(), undefined);
  }
  mutex.remove();
  const error = assertThrows(() => mutex.tryLock(), IpcError);
  assertEquals(
    error.message,
    `semop mutex key ${showKey(key)}: Identifier removed (EIDRM)`,
  );
  // The guard cannot unlock it any more, and says so when it is disposed of.
  assertRefused(() => _guard.release(), "EIDRM", "semop");
});

leakTest("SharedMutex.create(null) makes a new one each time", () => {
  using one = new Place();
  using two = new Place();
  assert(one.mutex.id !== two.mutex.id);
  using _guard = one.mutex.lockSync();
  two.assertFree();
});

leakTest("SharedMutex opens no semaphore set of another use", () => {
  for (
    const values of [[0], [0, 0], [1, 0, 0], [2, 2, 0], [0, 2, 0], [0, 0, 2]]
  ) {
    const key = uniqueKey();
    using set = SysvSemaphoreSet.create(key, values);
    for (
      const open of [
        () => SharedMutex.open(key),
        () => SharedMutex.openOrCreate(key),
        () => SharedMutex.fromId(set.id),
      ]
    ) assertThrows(open, TypeError, "not a mutex");
    set.remove();
  }
});

leakTest("SharedMutex.openOrCreate() makes one for all who hurry", async () => {
  using place = new Place();
  const keys = Array.from({ length: 50 }, uniqueKey);
  await using all = new AsyncDisposableStack();
  const children = [0, 1, 2, 3].map(() =>
    all.use(place.spawn(`
      Atomics.add(words, 0, 1);
      while (Atomics.load(words, 0) < 5);
      for (const key of [${keys}]) {
        const mutex = SharedMutex.openOrCreate(key);
        for (let i = 0; i < 20; i++) {
          const guard = mutex.lockSync();
          if (guard.ownerDied) throw new Error("not yet a mutex");
          words[1]++;
          guard.release();
        }
      }`))
  );
  for (const child of children) {
    await child.until(() => Atomics.load(place.words, 0) === 4, "start");
  }
  Atomics.add(place.words, 0, 1);
  const ends = await Promise.all(children.map((child) => child.ended()));
  for (const key of keys) SharedMutex.open(key).remove();
  for (const ended of ends) assertPrinted(ended, "up");
});

leakTest("SharedMutex refuses what is no key, id or mode", () => {
  const calls = [
    (key: number) => SharedMutex.create(key),
    (key: number) => SharedMutex.open(key),
    (key: number) => SharedMutex.openOrCreate(key),
  ];
  for (const call of calls) {
    for (const key of [0, 1.5, NaN, 2 ** 32, -(2 ** 31) - 1]) {
      assertThrows(() => call(key), RangeError, '"key"');
    }
    for (const key of ["1", undefined, {}, 1n]) {
      assertThrows(() => call(key as number), TypeError, '"key"');
    }
  }
  for (const call of calls.slice(1)) {
    assertThrows(() => call(null as unknown as number), TypeError, '"key"');
  }
  for (const id of [-1, 0.5, 2 ** 31]) {
    assertThrows(() => SharedMutex.fromId(id), RangeError, '"id"');
  }
  assertRefused(() => SharedMutex.fromId(2 ** 31 - 1), "EIDRM", "semctl");
  for (const mode of [-1, 0o1000, 1.5]) {
    const options = { mode };
    assertThrows(() => SharedMutex.create(null, options), RangeError, '"mode"');
    assertThrows(() => SharedMutex.openOrCreate(1, options), RangeError);
  }
});

// --- Locking ----------------------------------------------------------------

leakTest("LockGuard.release() unlocks once", () => {
  using place = new Place();
  const first = place.mutex.lockSync();
  first.release();
  const second = place.mutex.lockSync();
  first.release(); // not what the second holds
  first[Symbol.dispose]();
  assertEquals(place.mutex.tryLock(), undefined);
  second.release();
  place.assertFree();
  assertThrows(() => first.markConsistent(), ClosedError, "guard");
});

leakTest("SharedMutex does not lock twice", async () => {
  using place = new Place();
  const { mutex } = place;
  using other = SharedMutex.fromId(mutex.id);
  {
    using guard = mutex.lockSync();
    for (const one of [mutex, other]) {
      assertEquals(one.tryLock(), undefined);
      for (const options of [undefined, { timeout: 0 }, { timeout: 5 }]) {
        assertRefused(() => one.lockSync(options), "EDEADLK", "semop");
      }
      for (const timeout of [0, 20]) {
        assertEquals(await outcome(one.lock({ timeout })), "TimeoutError");
      }
    }
    guard.release();
    assertEquals(await outcome(other.lock()), "locked");
  }
  using _guard = await mutex.lock();
  assertRefused(() => mutex.lockSync(), "EDEADLK", "semop");
});

leakTest("SharedMutex.lockSync() waits for another process", async () => {
  using place = new Place();
  await using child = await place.holder();
  assertEquals(place.mutex.tryLock(), undefined);
  assertEquals(place.mutex.ownerPid, child.pid);
  await using waiter = await place.start(`
    console.log(await told(() => mutex.lockSync()));`);
  await waiter.settled();
  assertEquals(waiter.unread, "");
  await child.send("");
  assertEquals(await waiter.line(), "locked");
  await child.expect("unlocked\n");
  // The waiter ended with the guard in its hands: that is a death, too.
  assertEquals((await waiter.ended()).code, 0);
  using guard = place.mutex.lockSync(LIMITED);
  assertEquals(guard.ownerDied, true);
});

leakTest("SharedMutex waits never end early", async () => {
  using place = new Place();
  await using _child = await place.holder();
  for (const timeout of [0, 0.5, 1, 3.7, 20, 60, 130]) {
    let start = performance.now();
    const error = assertThrows(
      () => place.mutex.lockSync({ timeout }),
      DOMException,
    );
    assert(performance.now() - start >= timeout, `early: ${timeout}`);
    assertEquals(error.name, "TimeoutError");
    start = performance.now();
    assertEquals(await outcome(place.mutex.lock({ timeout })), "TimeoutError");
    assert(performance.now() - start >= timeout, `early: ${timeout}`);
  }
  for (const timeout of [-1, NaN, -Infinity]) {
    const options = { timeout };
    assertThrows(() => place.mutex.lockSync(options), RangeError);
    assertEquals(await outcome(place.mutex.lock(options)), "RangeError");
  }
  const options = { timeout: "5" as unknown as number };
  assertThrows(() => place.mutex.lockSync(options), TypeError);
  assertEquals(await outcome(place.mutex.lock(options)), "TypeError");
});

leakTest("SharedMutex.lockSync({ timeout: 0 }) tries once", () => {
  using place = new Place();
  place.mutex.lockSync({ timeout: 0 }).release();
  place.mutex.lockSync({ timeout: Infinity }).release();
  place.assertFree();
});

leakTest("SharedMutex.lock() ends with the signal's reason", async () => {
  using place = new Place();
  const { mutex } = place;
  const aborted = AbortSignal.abort("before");
  assertEquals(await outcome(mutex.lock({ signal: aborted })), "before");
  place.assertFree();
  const guard = mutex.lockSync();
  const controllers = Array.from({ length: 8 }, () => new AbortController());
  const waits = controllers.map(({ signal }) =>
    outcome(mutex.lock({ signal, timeout: 30_000 }))
  );
  controllers.forEach((controller, i) => controller.abort(`reason ${i}`));
  assertEquals(
    await Promise.all(waits),
    controllers.map((_, i) => `reason ${i}`),
  );
  guard.release();
  place.assertFree();
});

leakTest("SharedMutex.lock() loses no lock in a race with abort", async () => {
  using place = new Place();
  for (let round = 0; round < 200; round++) {
    const guard = place.mutex.lockSync();
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const waits = controllers.map(({ signal }, i) =>
      outcome(place.mutex.lock({ signal, timeout: i === 0 ? 1 : 30_000 }))
    );
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

leakTest("SharedMutex.close() ends lock(), and a guard goes on", async () => {
  using place = new Place();
  const { mutex } = place;
  const guard = mutex.lockSync();
  const waits = Array.from({ length: 8 }, () => outcome(mutex.lock()));
  mutex.close();
  mutex.close();
  assertEquals(await Promise.all(waits), Array(8).fill("ClosedError"));
  assertEquals(await outcome(mutex.lock()), "ClosedError");
  for (
    const call of [
      () => mutex.lockSync(),
      () => mutex.tryLock(),
      () => mutex.ownerPid,
      () => mutex.remove(),
    ]
  ) assertThrows(call, ClosedError, "private mutex");
  using other = SharedMutex.fromId(mutex.id);
  assertEquals(other.tryLock(), undefined);
  guard.release();
  other.lockSync().release();
});

leakTest("SharedMutex.lock() serves in the order of the calls", async () => {
  using place = new Place();
  const guard = place.mutex.lockSync();
  const served: number[] = [];
  const all = Promise.all(Array.from({ length: 20 }, async (_, i) => {
    using _guard = await place.mutex.lock();
    served.push(i);
  }));
  guard.release();
  await all;
  assertEquals(served, Array.from({ length: 20 }, (_, i) => i));
});

leakTest("100 pending locks leave the thread pool alone", async () => {
  using place = new Place();
  await using child = await place.holder();
  await using waiter = await place.start(`
    const others = Array.from({ length: 9 }, () => SharedMutex.fromId(mutex.id));
    let inside = 0;
    const all = Array.from({ length: 100 }, async (_, i) => {
      using guard = await [mutex, ...others][i % 10].lock();
      if (inside++ !== 0 || guard.ownerDied) throw new Error("not alone");
      await null;
      inside--;
    });
    for (let i = 0; i < 40; i++) {
      await Deno.readTextFile("/proc/self/comm");
    }
    console.log("read");
    await Promise.all(all);
    console.log("done");`);
  assertEquals(await waiter.line(), "read");
  assertEquals(waiter.unread, "");
  await child.send("");
  assertEquals(await waiter.line(), "done");
  const { code, stderr } = await waiter.ended(); // by itself
  assertEquals([code, stderr], [0, ""]);
  place.assertFree();
});

// --- Whose turn it is -------------------------------------------------------

const TURN = 2; // the index of the semaphore

/** A child that waits for the mutex: it has the turn, or waits for the turn. */
async function waiter(
  place: Place,
  call: string,
  has: "turn" | "place",
): Promise<Child> {
  const child = await place.start(`
    const guard = ${call};
    console.log("locked");
    await Deno.stdin.read(new Uint8Array(1));
    guard.release();`);
  using set = SysvSemaphoreSet.fromId(place.mutex.id);
  const waits = has === "turn"
    ? () => set.getValue(TURN) === 1 && set.lastPid(TURN) === child.pid
    : () => set.waiters(TURN).zero === 1;
  await child.until(waits, `have a ${has}`);
  return child;
}

for (const call of ["mutex.lockSync()", "await mutex.lock()"]) {
  leakTest(`SharedMutex: ${call} comes before who locks again`, async () => {
    using place = new Place();
    const guard = place.mutex.lockSync();
    await using first = await waiter(place, call, "turn");
    await using second = await waiter(place, call, "place");
    guard.release();
    // It is locked, or the turn of the first, or of the second.
    assertEquals(place.mutex.tryLock(), undefined);
    assertEquals(await first.line(), "locked");
    const mine = outcome(place.mutex.lock());
    assertEquals(second.unread, "");
    await first.send("");
    assertEquals(await second.line(), "locked");
    assertEquals(place.mutex.ownerPid, second.pid);
    await second.send("");
    assertEquals(await mine, "locked");
    for (const child of [first, second]) {
      assertEquals((await child.ended()).code, 0);
    }
    place.assertFree();
  });

  leakTest(
    `SharedMutex: ${call} that is stopped or killed loses its turn`,
    async () => {
      using place = new Place();
      let guard = place.mutex.lockSync();
      await using stopped = await waiter(place, call, "turn");
      stopped.kill("SIGSTOP");
      guard.release();
      guard = place.mutex.lockSync(LIMITED);
      assertEquals(guard.ownerDied, false);
      stopped.kill("SIGCONT");
      guard.release();
      assertEquals(await stopped.line(), "locked");
      await stopped.send("");
      await stopped.ended();

      guard = place.mutex.lockSync(LIMITED);
      await using killed = await waiter(place, call, "turn");
      await using next = await waiter(place, call, "place");
      await kill(killed);
      guard.release();
      assertEquals(await next.line(), "locked");
      await next.send("");
      assertEquals((await next.ended()).code, 0);
      place.assertFree();
    },
  );
}

for (const call of ["mutex.lockSync(limit)", "await mutex.lock(limit)"]) {
  leakTest(
    `SharedMutex: ${call} that lost its turn does not give it away`,
    async () => {
      using place = new Place();
      using set = SysvSemaphoreSet.fromId(place.mutex.id);
      using guard = place.mutex.lockSync();
      await using first = await place.start(`
        const limit = { timeout: 2_000 };
        try {
          ${call};
        } catch {
          console.log("over");
        }`);
      const hasTurn = () => set.lastPid(TURN) === first.pid;
      await first.until(hasTurn, "the turn");
      set.setValue(TURN, 0); // what other waiters do if the turn is not used
      await using second = await waiter(place, "mutex.lockSync()", "turn");
      await first.expect("over\n");
      assertEquals((await first.ended()).code, 0);
      assertEquals([set.getValue(TURN), set.lastPid(TURN)], [1, second.pid]);
      guard.release();
      assertEquals(await second.line(), "locked");
      await second.send("");
      assertEquals((await second.ended()).code, 0);
      place.assertFree();
    },
  );
}

leakTest(
  "SharedMutex: a thread that blocks gets the turn of its tasks",
  async () => {
    using place = new Place();
    const { mutex } = place;
    await using holder = await place.holder();
    const waiting = outcome(mutex.lock());
    using set = SysvSemaphoreSet.fromId(mutex.id);
    await until(() => set.getValue(TURN) === 1, "the turn");
    await holder.send("");
    mutex.lockSync(LIMITED).release(); // the task cannot run meanwhile
    assertEquals(await waiting, "locked");
    place.assertFree();
  },
);

// --- Mutual exclusion -------------------------------------------------------

const COUNTS = rounds(500, 5_000);
const COUNTERS = {
  "lockSync()": `for (let i = 0; i < ${COUNTS}; i++) {
      using guard = mutex.lockSync();
      work(words, guard);
    }`,
  "tryLock()": `for (let i = 0; i < ${COUNTS};) {
      using guard = mutex.tryLock();
      if (guard === undefined) continue;
      work(words, guard);
      i++;
    }`,
  "lock()": `await Promise.all([0.2, 0.3, 0.5].map(async (part) => {
      for (let i = 0; i < part * ${COUNTS}; i++) {
        using guard = await mutex.lock();
        work(words, guard);
      }
    }));`,
};

for (const [how, text] of Object.entries(COUNTERS)) {
  leakTest(
    `SharedMutex.${how}: four processes lose no count`,
    { soak: "also" },
    async () => {
      using place = new Place();
      const start = place.mutex.lockSync();
      await using all = new AsyncDisposableStack();
      const children = [0, 1, 2, 3].map(() => all.use(place.spawn(text)));
      for (const child of children) await child.expect("up\n");
      start.release();
      for (const child of children) assertPrinted(await child.ended(), "up");
      assertEquals([...place.words.subarray(0, 4)], [
        4 * COUNTS,
        4 * COUNTS,
        0,
        0,
      ]);
      place.assertFree();
    },
  );
}

leakTest("SharedMutex: processes in C and in Deno lose no count", {
  soak: "also",
  needs: [noCompiler],
}, async () => {
  using place = new Place();
  const start = place.mutex.lockSync();
  await using all = new AsyncDisposableStack();
  const peers = [all.use(await place.peer()), all.use(await place.peer())];
  const children = [COUNTERS["lock()"], COUNTERS["lockSync()"]].map((text) =>
    all.use(place.spawn(text))
  );
  for (const child of children) await child.expect("up\n");
  for (const peer of peers) await peer.send(`count ${COUNTS}`);
  start.release();
  for (const child of children) assertPrinted(await child.ended(), "up");
  for (const peer of peers) assertEquals(await peer.line(), "counted");
  assertEquals([...place.words.subarray(0, 4)], [4 * COUNTS, 4 * COUNTS, 0, 0]);
  place.assertFree();
});

leakTest(
  "SharedMutex: Workers of one process lose no count",
  { soak: "also" },
  async () => {
    using place = new Place();
    const urls = Object.values(COUNTERS).map((text) =>
      urlOfWorker(`${place.code} postMessage("up"); ${text}
      postMessage("done");`)
    );
    const start = place.mutex.lockSync();
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

// --- The owner's death ------------------------------------------------------

leakTest("SharedMutex tells the next owner of the death, once", async () => {
  using place = new Place();
  const { mutex } = place;
  const locks: (() => LockGuard | Promise<LockGuard>)[] = [
    () => mutex.lockSync(LIMITED),
    () => mutex.tryLock()!,
    () => mutex.lock(LIMITED),
  ];
  for (const lock of locks) {
    await using child = await place.holder();
    await kill(child);
    assertEquals(mutex.ownerPid, undefined);
    {
      using guard = await lock();
      assertEquals(guard.ownerDied, true);
      guard.markConsistent();
      assertEquals([mutex.tryLock(), mutex.ownerPid], [undefined, Deno.pid]);
    }
    using guard = await lock();
    assertEquals(guard.ownerDied, false);
    guard.markConsistent(); // nothing to say
  }
  place.assertFree();
});

leakTest("SharedMutex tells until an owner has repaired it", async () => {
  using place = new Place();
  await using child = await place.holder();
  await kill(child);
  for (let i = 0; i < 3; i++) {
    using guard = place.mutex.lockSync(LIMITED);
    assertEquals(guard.ownerDied, true);
  }
  // Who says that it is whole, but dies before it unlocks, has said nothing.
  await using other = await place.start(`
    const guard = mutex.lockSync();
    guard.markConsistent();
    console.log(guard.ownerDied);
    await new Promise(() => setInterval(() => {}, 1000));`);
  assertEquals(await other.line(), "true");
  await kill(other);
  using guard = place.mutex.lockSync(LIMITED);
  assertEquals(guard.ownerDied, true);
  guard.markConsistent();
  guard.release();
  place.assertFree();
});

leakTest("SharedMutex takes every end of the owner for a death", async () => {
  using place = new Place();
  for (
    const [end, code] of [
      ["", 0],
      ["Deno.exit(0);", 0],
      ["Deno.exit(3);", 3],
      ["throw new Error('in the middle');", 1],
      ["Deno.kill(Deno.pid, 'SIGTERM');", 143],
      ["Deno.kill(Deno.pid, 'SIGKILL');", 137],
    ] as const
  ) {
    const ended = await runCode(`${place.code}
      globalThis.guard = mutex.lockSync(); ${end}`);
    assertEquals(ended.code, code, ended.transcript);
    using guard = place.mutex.lockSync(LIMITED);
    assertEquals(guard.ownerDied, true, end);
    guard.markConsistent();
  }
  // But a guard that is disposed of on the way out is none.
  const ended = await runCode(`${place.code}
    using guard = mutex.lockSync();
    throw new Error("in the middle");`);
  assertEquals(ended.code, 1);
  place.assertFree();
});

leakTest("SharedMutex wakes those who wait when its owner dies", async () => {
  using place = new Place();
  await using child = await place.holder();
  await using all = new AsyncDisposableStack();
  const waiters = [
    "mutex.lockSync()",
    "mutex.lock()",
    "mutex.lockSync({ timeout: 30_000 })",
  ].map((call) =>
    all.use(place.spawn(`
      const guard = await ${call};
      work(words, guard);
      guard.release();
      console.log(guard.ownerDied);`))
  );
  for (const waiter of waiters) {
    await waiter.expect("up\n");
    await waiter.settled();
  }
  const mine = outcome(place.mutex.lock());
  await kill(child);
  const lines = await Promise.all(waiters.map((waiter) => waiter.line()));
  lines.push(await mine === "owner died" ? "true, unrepaired" : "false");
  // One of them was told; if it was this process, which repaired nothing, the
  // next one was, too.
  const told = lines.filter((line) => line !== "false").sort();
  assert(
    ["true", "true,true, unrepaired"].includes(told.join()),
    lines.join(),
  );
  for (const waiter of waiters) assertEquals((await waiter.ended()).code, 0);
  place.assertFree();
});

leakTest("SharedMutex does not mind the death of those who wait", async () => {
  using place = new Place();
  const guard = place.mutex.lockSync(LIMITED);
  for (const call of ["mutex.lockSync()", "await mutex.lock()"]) {
    await using waiter = await place.start(`${call};`);
    await waiter.settled();
    await kill(waiter);
  }
  guard.release();
  place.assertFree();
});

leakTest("SharedMutex tells C of a death, and of a death in C", {
  needs: [noCompiler],
}, async () => {
  using place = new Place();
  const { mutex } = place;
  await using peer = await place.peer();
  const ask = async (line: string) => {
    await peer.send(line);
    return await peer.line();
  };
  assertEquals(await ask("lock"), "locked");
  assertEquals([mutex.tryLock(), mutex.ownerPid], [undefined, peer.pid]);
  assertEquals(await ask("try"), "busy");
  assertEquals(await ask("unlock"), "unlocked");
  const guard = mutex.lockSync();
  assertEquals(await ask("try"), "busy");
  guard.release();

  await using child = await place.holder();
  await peer.send("lock");
  await kill(child);
  assertEquals(await peer.line(), "owner died");
  assertEquals(await ask("leave"), "unlocked"); // it did not repair it
  assertEquals(await ask("lock"), "owner died");
  await kill(peer);
  using next = mutex.lockSync();
  assertEquals(next.ownerDied, true);
  next.markConsistent();
  next.release();
  place.assertFree();
});

leakTest("SharedMutex belongs to the process, not to what it forks", {
  needs: [noCompiler],
}, async () => {
  using place = new Place();
  await using peer = await place.peer();
  await peer.send("lock");
  assertEquals(await peer.line(), "locked");
  await peer.send("fork"); // its child has the pipes, too
  await peer.expect("forked\n");
  assertEquals(place.mutex.tryLock(), undefined);
  peer.kill("SIGKILL"); // the child lives on
  {
    using guard = await place.mutex.lock(LIMITED);
    assertEquals(guard.ownerDied, true);
    guard.markConsistent();
    await peer.send("try");
    await peer.expect("busy\n");
  }
  await peer.closeStdin(); // which ends the child
  await peer.ended();
  place.assertFree();
});

leakTest(
  "SharedMutex is not inherited by a program that is started",
  async () => {
    using place = new Place();
    await using parent = await place.start(`
    globalThis.guard = mutex.lockSync();
    const child = new Deno.Command("cat", { stdin: "inherit" }).spawn();
    console.log("holds");
    await child.status;`);
    await parent.expect("holds\n");
    parent.kill("SIGKILL");
    using guard = await place.mutex.lock(LIMITED);
    assertEquals(guard.ownerDied, true);
    await parent.closeStdin(); // which ends cat
    await parent.ended();
  },
);

/**
 * A program that goes in and out, and tells in the memory where it is. The one
 * whose number is in the memory stays inside, with half of its work done.
 */
function loop(slot: number): string {
  const [place, times] = [SLOTS + 2 * slot, SLOTS + 2 * slot + 1];
  return `
    for (;;) {
      Atomics.store(words, ${place}, ${ENTERING});
      const guard = ${
    slot % 2 === 0 ? "mutex.lockSync()" : "await mutex.lock()"
  };
      Atomics.store(words, ${place}, ${INSIDE});
      work(words, guard);
      if (Atomics.load(words, ${STAYER}) === ${slot + 1}) {
        Atomics.add(words, ${FIRST}, 1);
        Atomics.store(words, ${place}, ${STAYING});
        await new Promise(() => setInterval(() => {}, 1000));
      }
      Atomics.store(words, ${place}, ${LEAVING});
      guard.release();
      Atomics.store(words, ${place}, ${OUTSIDE});
      Atomics.add(words, ${times}, 1);
    }`;
}

/** Kills a child that has the mutex: it has said so, and stays there. */
async function killInside(
  child: Child,
  { words }: Place,
  slot: number,
): Promise<void> {
  Atomics.store(words, STAYER, slot + 1);
  const stays = () => Atomics.load(words, SLOTS + 2 * slot) === STAYING;
  await child.until(stays, "stay");
  await kill(child);
}

/** Kills a child that waits for the mutex, or is about to. */
async function killWaiting(
  child: Child,
  { mutex, words }: Place,
  slot: number,
): Promise<void> {
  using guard = await mutex.lock({ timeout: 20_000 });
  assertEquals(guard.ownerDied, false);
  const waits = () => Atomics.load(words, SLOTS + 2 * slot) === ENTERING;
  await child.until(waits, "wait");
  await kill(child);
}

/** Kills a child anywhere. */
async function killAnywhere(child: Child, { words }: Place): Promise<void> {
  for (let spin = Math.random() * 2e4; spin > 0; spin--) {
    Atomics.load(words, SLOTS);
  }
  await kill(child);
}

/** Of five, one is killed inside, one while it waits, the others anywhere. */
const KILLS = [
  killInside,
  killWaiting,
  killAnywhere,
  killAnywhere,
  killAnywhere,
];

leakTest(
  "SharedMutex: kill -9 at random points",
  { soak: "also", limit: 180_000 },
  async () => {
    const ROUNDS = rounds(5, 100);
    const BATCH = rounds(5, 20); // killed one after another; all others survive that
    using place = new Place();
    const { mutex, words } = place;
    const seen = { inside: 0, calling: 0, outside: 0 };
    for (let round = 0; round < ROUNDS;) {
      words.fill(0);
      await using all = new AsyncDisposableStack();
      const start = mutex.lockSync();
      const children = await Promise.all(
        Array.from(
          { length: BATCH },
          (_, slot) =>
            noCompiler !== null || slot % 3 !== 2
              ? place.start(loop(slot))
              : place.peer("shared_mutex_peer", slot),
        ),
      );
      for (const child of children) all.use(child);
      await Promise.all(
        children.map((child, slot) =>
          slot % 3 === 2 && noCompiler === null ? child.send("loop") : undefined
        ),
      );
      start.release();
      let reports = 0;
      for (const [slot, child] of children.entries()) {
        const at = SLOTS + 2 * slot;
        const times = words[at + 1]! + Math.floor(Math.random() * 20);
        const isThere = () => Atomics.load(words, at + 1) >= times;
        await child.until(isThere, "progress");
        await KILLS[slot % KILLS.length]!(child, place, slot);
        const where = Atomics.load(words, at);

        using guard = await mutex.lock({ timeout: 20_000 });
        const before = reports;
        reports = words[REPORTS]! + (guard.ownerDied ? 1 : 0);
        const told = reports - before;
        if (guard.ownerDied) {
          words[SECOND] = words[FIRST]!;
          words[REPORTS]!++;
          guard.markConsistent();
        }
        assert(told === 0 || told === 1, `told ${told} times`);
        if (where === INSIDE || where === STAYING) {
          assertEquals(told, 1, "it died inside, and no owner was told");
          seen.inside++;
        } else if (where === OUTSIDE) {
          assertEquals(told, 0, "it died outside, and an owner was told");
          seen.outside++;
        } else {
          seen.calling++; // in lock() or release(): on either side of the call
        }
        assertEquals(words[FIRST], words[SECOND]);
        assertEquals(words[BROKEN], 0, "half changed, and no owner was told");
        round++;
      }
      place.assertFree();
    }
    const each = ROUNDS / KILLS.length;
    assert(
      seen.inside >= each && seen.calling >= each,
      JSON.stringify(seen),
    );
  },
);

// --- Workers ----------------------------------------------------------------

leakTest(
  "SharedMutex: a Worker that ends while it waits takes nothing",
  async () => {
    using place = new Place();
    const url = urlOfWorker(`${place.code}
    postMessage("");
    globalThis.guard = await mutex.lock();`);
    const semtimedop = Deno.build.arch === "x86_64" ? 220 : 192;
    const ended = await runCode(`${place.code}
    const guard = mutex.lockSync();
    const worker = new Worker("${url}", { type: "module" });
    await new Promise((resolve) => worker.onmessage = resolve);
    const waits = () => Array.from(Deno.readDirSync("/proc/self/task"))
      .some(({ name }) => {
        const path = "/proc/self/task/" + name + "/syscall";
        try {
          return Deno.readTextFileSync(path).startsWith("${semtimedop} ");
        } catch {
          return false; // the thread has ended
        }
      });
    while (!waits()) await new Promise((resolve) => setTimeout(resolve, 1));
    const tasks = () => Array.from(Deno.readDirSync("/proc/self/task")).length;
    const before = tasks();
    worker.terminate(); // it may run on for a moment, and take
    while (tasks() >= before) await new Promise((end) => setTimeout(end, 1));
    guard.release();
    while (waits()) await new Promise((resolve) => setTimeout(resolve, 1));
    using last = await mutex.lock({ timeout: 10_000 });
    console.log(last.ownerDied);`);
    assertPrinted(ended, "false");
    place.assertFree();
  },
);

leakTest("SharedMutex belongs to the process, not to a Worker", async () => {
  using place = new Place();
  const url = urlOfWorker(`${place.code}
    globalThis.guard = mutex.lockSync();
    postMessage("");`);
  await using child = await place.start(`
    const worker = new Worker("${url}", { type: "module" });
    await new Promise((resolve) => worker.onmessage = resolve);
    worker.terminate();
    console.log(await told(() => mutex.lock({ timeout: 100 })));
    await Deno.stdin.read(new Uint8Array(1));`);
  assertEquals(await child.line(), "TimeoutError");
  assertEquals(place.mutex.tryLock(), undefined);
  await child.send("");
  assertEquals((await child.ended()).code, 0);
  using guard = place.mutex.lockSync(LIMITED);
  assertEquals(guard.ownerDied, true);
});

leakTest(
  "SharedMutex.lockSync() waits for a Worker of this process",
  async () => {
    using place = new Place();
    const url = urlOfWorker(`${place.code}
    const guard = mutex.lockSync();
    postMessage("");
    onmessage = () => { guard.release(); close(); };`);
    assertPrinted(
      await runCode(`${place.code}
      const worker = new Worker("${url}", { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      console.log(await told(() => mutex.lockSync({ timeout: 20 })));
      worker.postMessage("");
      console.log(await told(() => mutex.lockSync()));`),
      "TimeoutError",
      "locked",
    );
  },
);

// --- What the kernel refuses, and misuse ------------------------------------

leakTest("SharedMutex.remove() tells all who wait", async () => {
  using place = new Place();
  const { mutex } = place;
  const guard = mutex.lockSync();
  await using waiter = await place.start(`
    console.log(await told(() => mutex.lockSync()));
    console.log(await told(() => mutex.lockSync()));
    console.log(await told(() => mutex.tryLock()));`);
  await waiter.settled();
  const waits = Array.from({ length: 6 }, () => outcome(mutex.lock()));
  mutex.remove();
  assertEquals(await Promise.all(waits), Array(6).fill("EIDRM"));
  for (let i = 0; i < 3; i++) {
    assertEquals(await waiter.line(), "IpcError EIDRM");
  }
  assertRefused(() => guard.release(), "EIDRM", "semop");
  guard.release();
  assertRefused(() => mutex.remove(), "EIDRM", "semctl");
  assertRefused(() => mutex.ownerPid, "EIDRM", "semctl");
  // The guard holds nothing any more.
  assertRefused(() => mutex.lockSync(), "EIDRM", "semop");
});

leakTest("LockGuard.release() finds that it holds nothing", async () => {
  using place = new Place();
  const guard = place.mutex.lockSync();
  tamper(place.mutex, 0, 0, 0);
  const error = assertRefused(() => guard.release(), "EPERM", "semop");
  assert(error.message.includes("private mutex"), error.message);
  place.assertFree();
  // A lock that is reset while it is held is not undone when its holder ends.
  await using child = await place.holder();
  tamper(place.mutex, 0, 1, 0);
  using next = place.mutex.lockSync(LIMITED);
  assertEquals(next.ownerDied, true);
  await kill(child);
  assertEquals(place.mutex.tryLock(), undefined);
});

leakTest("SharedMutex goes on after values that it never has", async () => {
  using place = new Place();
  for (const values of [[1, 0, 0], [7, 7, 0], [0, 5, 7], [32_767, 32_767, 1]]) {
    tamper(place.mutex, ...values);
    const end = await outcome(place.mutex.lock({ timeout: 10 }));
    assert(["TimeoutError", "owner died"].includes(end), end);
  }
});

leakTest("SharedMutex says what permissions forbid", {
  needs: [noOtherUser],
}, async () => {
  const key = uniqueKey();
  for (
    const [mode, expected] of [
      [0o600, "EACCES EACCES"],
      [0o604, "open EACCES EACCES EACCES EPERM"],
      [0o606, "open undefined null ok EPERM"],
    ] as const
  ) {
    using mutex = SharedMutex.create(key, { mode });
    const guard = mutex.lockSync();
    const { stdout } = await runAsNobody(`
      import { SharedMutex } from "@linux/ipc/lock";
      const told = [];
      async function tell(call: () => unknown) {
        try {
          told.push(String(await call()));
        } catch (error) {
          const { code, name } = error as { code?: string; name: string };
          told.push(typeof code === "string" ? code : name);
        }
      }
      await tell(() => (SharedMutex.open(${key}), "open"));
      if (told[0] !== "open") {
        await tell(() => SharedMutex.fromId(${mutex.id}));
      } else {
        const mutex = SharedMutex.open(${key});
        await tell(() => mutex.tryLock());
        await tell(async () => {
          try {
            await mutex.lock({ timeout: 10 });
          } catch (error) {
            if ((error as Error).name === "TimeoutError") return null;
            throw error;
          }
        });
        await tell(() => (SharedMutex.openOrCreate(${key}), "ok"));
        await tell(() => mutex.remove());
      }
      console.log(told.join(" "));`);
    guard.release();
    mutex.remove();
    assertEquals(stdout.trim(), expected, mode.toString(8));
  }
});

/** Runs a command in an IPC namespace of its own, with these limits. */
function withLimits(limits: string, text: string): Promise<Ended> {
  return run("unshare", {
    args: [
      "--ipc",
      "sh",
      "-c",
      `echo "${limits}" > /proc/sys/kernel/sem && exec "$0" "$@"`,
      Deno.execPath(),
      ...withMutex.code(text),
    ],
  });
}

const noNamespaces = await reason("--ipc");
const noPidNamespaces = await reason("--pid", "--fork", "--mount-proc");

async function reason(...flags: string[]): Promise<string | null> {
  try {
    const { success } = await new Deno.Command("unshare", {
      args: [...flags, "true"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success ? null : "no right to make namespaces";
  } catch {
    return "no unshare(1)";
  }
}

leakTest("SharedMutex names the limits of the system", {
  needs: [noNamespaces],
}, async () => {
  const text = (call: string) =>
    `try {
      const mutex = SharedMutex.create(null);
      ${call};
    } catch (error) {
      const { syscall, code, limit } = error;
      console.log(syscall, code, limit?.name, limit?.value);
    }`;
  assertPrinted(
    await withLimits("250 32000 32 1", text("SharedMutex.create(null)")),
    "semget ENOSPC SEMMNI (/proc/sys/kernel/sem) 1",
  );
  assertPrinted(
    await withLimits("250 32000 3 10", text("mutex.lockSync()")),
    "semop E2BIG SEMOPM (/proc/sys/kernel/sem) 3",
  );
});

leakTest("SharedMutex works between pid namespaces", {
  needs: [noPidNamespaces],
}, async () => {
  using place = new Place();
  await using inside = spawn("unshare", {
    args: [
      "--pid",
      "--fork",
      "--mount-proc",
      "--kill-child",
      Deno.execPath(),
      ...code(`${place.code}
        console.log(mutex.ownerPid);
        globalThis.guard = await mutex.lock();
        console.log(mutex.ownerPid === Deno.pid && "holds");
        await Deno.stdin.read(new Uint8Array(1));`),
    ],
  });
  const guard = place.mutex.lockSync();
  await inside.expect("0\n");
  guard.release();
  await inside.expect("holds\n");
  assertEquals(place.mutex.tryLock(), undefined);
  assert(place.mutex.ownerPid! > 1);
  inside.kill("SIGKILL");
  using next = await place.mutex.lock(LIMITED);
  assertEquals(next.ownerDied, true);
});

leakTest("SharedMutex works under a grant for libc alone", async () => {
  using place = new Place();
  const libc = Deno.readTextFileSync("/proc/self/maps")
    .match(/\/\S+\/libc\.so\.6$/m)?.[0];
  assert(libc !== undefined);
  const ended = await run(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      `--allow-ffi=${libc}`,
      "-",
    ],
    stdin: `import { SharedMutex } from "${MODULE}";
      const mutex = SharedMutex.fromId(${place.mutex.id});
      mutex.lockSync().release();
      const guard = await mutex.lock();
      await mutex.lock({ timeout: 1 }).catch(({ name }) => console.log(name));
      guard.release();`,
  });
  assertPrinted(ended, "TimeoutError");
});

leakTest(
  "SharedMutex.lock() of a task that waits for itself can be ended",
  async () => {
    using place = new Place();
    using _guard = await place.mutex.lock();
    const signal = AbortSignal.timeout(50);
    assertEquals(await outcome(place.mutex.lock({ signal })), "TimeoutError");
  },
);

// --- The example ------------------------------------------------------------

leakTest(
  "lost_update.ts loses an update, and then none",
  { soak: true },
  async () => {
    const example = new URL("../examples/lost_update.ts", import.meta.url);
    assertPrinted(
      await runDeno(example),
      "Without a lock:",
      "  A reads 1",
      "  B reads 1",
      "  A writes 2",
      "  B writes 2",
      "  the number is 2: one update is lost",
      "With a lock:",
      "  A locks it and reads 1",
      "  B finds it locked, and waits",
      "  A writes 2 and unlocks it",
      "  B locks it and reads 2",
      "  B writes 3 and unlocks it",
      "  the number is 3",
      "With a lock whose owner is killed:",
      "  A locks it and reads 1",
      "  B finds it locked, and waits",
      "  A is killed",
      "  B locks it, is told that its owner died, and reads 1",
      "  B writes 2 and unlocks it",
      "  the number is 2: B knows that A added nothing",
    );
    const help = await runDeno(example, { args: ["--help"] });
    assertEquals([help.code, help.stderr], [0, ""]);
    assert(help.stdout.startsWith("Usage: lost_update.ts\n"));
  },
);

leakTest("Deno.inspect() shows a mutex and its guard", () => {
  const key = uniqueKey();
  using mutex = SharedMutex.create(key);
  const { id } = mutex;
  const guard = mutex.lockSync();
  const shown = (released: boolean) =>
    `LockGuard { ownerDied: false, released: ${released} }`;
  assertEquals(Deno.inspect(guard), shown(false));
  guard.release();
  assertEquals(Deno.inspect(guard), shown(true));
  mutex.remove();
  mutex.close();
  assertEquals(
    Deno.inspect(mutex),
    `SharedMutex { id: ${id}, key: ${showKey(key)}, closed: true }`,
  );
});

leakTest("list() finds the locks of its kind, and no others", () => {
  using mutex = SharedMutex.create(uniqueKey(), { mode: 0o640 });
  using lock = SharedRwLock.create(null);
  using condition = SharedCondition.create(null);
  using other = SysvSemaphoreSet.create(null, [2, 0, 0]); // no state of a mutex
  try {
    const ids = [mutex.id, lock.id, condition.id, other.id];
    const found = [SharedMutex, SharedRwLock, SharedCondition].map((type) =>
      type.list().map(({ id }) => id).filter((id) => ids.includes(id))
    );
    assertEquals(found, [[mutex.id], [lock.id], [condition.id]]);
    const entry = SharedMutex.list().find(({ id }) => id === mutex.id);
    assertEquals([entry?.mode, entry?.size], [0o640, 3]);
  } finally {
    for (const each of [mutex, lock, condition, other]) each.remove();
  }
});
