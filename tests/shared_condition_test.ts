import { assert, assertEquals, assertThrows } from "@std/assert";
import { showKey } from "../ffi/arguments.ts";
import {
  ClosedError,
  type IpcError,
  SysvSemaphoreSet,
} from "../ffi/semaphore.ts";
import { SharedCondition, SharedMutex } from "../ffi/lock.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { noCompiler } from "./support/c.ts";
import { kill } from "./support/kills.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { outcome, Place, urlOfWorker } from "./support/locks.ts";
import { uniqueKey } from "./support/names.ts";
import type { Child } from "./support/process.ts";
import { until } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";

// --- Helpers ----------------------------------------------------------------

/**
 * The ints in the memory that the processes of a test share; the C peer's, too: two
 * that change together, what there is to take, who is in the middle of a change, and
 * how many changes there have been.
 */
const [FIRST, SECOND, TOKENS, INSIDE, TIMES] = [0, 1, 2, 3, 4];
const PEER = "shared_condition_peer";
/** For what must not take long. */
const LIMITED = { timeout: 10_000 };
/** How many generations of waiters there can be that have not gone yet. */
const GATES = 4;

/** How often each of those who take turns has one. */
const TURNS = rounds(200, 1_000);

/** The same as the C peer does. Each takes what waits, or locks, as an argument. */
const PRELUDE = `
  function repair(guard) {
    if (!guard.ownerDied) return;
    Atomics.store(words, ${SECOND}, Atomics.load(words, ${FIRST}));
    guard.markConsistent();
  }

  /** Makes a change under a guard; in the middle of it, what is to be done there. */
  function change(guard, tokens, between = () => {}) {
    repair(guard);
    using _guard = guard;
    using _change = condition.changing();
    Atomics.add(words, ${FIRST}, 1);
    Atomics.add(words, ${TOKENS}, tokens);
    between();
    Atomics.add(words, ${SECOND}, 1);
  }

  const isThere = () => Atomics.load(words, ${TOKENS}) > 0;
  const sync = {
    when: (predicate) => condition.lockWhenSync(lock, predicate),
    lock: () => lock.lockSync(),
  };
  const async = {
    when: (predicate) => condition.lockWhen(lock, predicate),
    lock: () => lock.lock(),
  };

  async function take(how) {
    for (;;) {
      const guard = await how.when(isThere);
      if (isThere()) change(guard, -1);
      else {
        repair(guard);
        guard.release();
      }
      Atomics.add(words, ${TIMES}, 1);
    }
  }

  async function turns(how, turn) {
    for (let i = 0; i < ${TURNS}; i++) {
      change(await how.when(() => Atomics.load(words, ${FIRST}) % 4 === turn), 0);
    }
  }
`;

class ConditionPlace extends Place<SharedMutex> {
  readonly condition: SharedCondition;

  constructor() {
    const condition = SharedCondition.create(null);
    super(
      SharedMutex.create(null),
      100,
      `const condition = ipc.SharedCondition.fromId(${condition.id}); ${PRELUDE}`,
    );
    this.condition = condition;
  }

  /** Adds something to take, and tells those who wait for it. */
  add(tokens: number): void {
    using guard = this.lock.lockSync(LIMITED);
    if (guard.ownerDied) {
      this.words[SECOND] = this.words[FIRST]!;
      guard.markConsistent();
    }
    using _change = this.condition.changing();
    this.words[FIRST]!++;
    this.words[TOKENS]! += tokens;
    this.words[SECOND]!++;
  }

  /** A Deno that takes one, when there is one. */
  async taker(how: "sync" | "async"): Promise<Child> {
    const before = this.condition.waiters;
    const child = await this.start(`
      change(await ${how}.when(isThere), -1);
      console.log("taken");`);
    await child.until(() => this.condition.waiters > before, "wait");
    return child;
  }

  override [Symbol.dispose](): void {
    try {
      SysvSemaphoreSet.fromId(this.condition.id).remove();
    } catch (error) {
      if ((error as Partial<IpcError>).code !== "EIDRM") throw error;
    } finally {
      super[Symbol.dispose]();
    }
  }
}

// --- Create, open, remove ---------------------------------------------------

leakTest("SharedCondition.create() and its siblings", () => {
  const key = uniqueKey();
  using condition = SharedCondition.create(key);
  const row = sysvTable("sem").find((row) => row.semid === condition.id);
  assertEquals([row?.key, row?.perms, row?.nsems], [key, 0o600, 8]);
  assertEquals(condition.waiters, 0);
  for (
    const other of [
      SharedCondition.open(key),
      SharedCondition.openOrCreate(key),
      SharedCondition.fromId(condition.id),
    ]
  ) {
    using same = other;
    assertEquals(same.id, condition.id);
  }
  assertRefused(() => SharedCondition.create(key), "EEXIST", "semget");
  condition.remove();
  assertRefused(() => SharedCondition.open(key), "ENOENT", "semget");
  const subject = `condition key ${showKey(key)}`;
  assertRefused(() => condition.changing(), "EIDRM", "semctl", subject);
  assertRefused(() => condition.remove(), "EIDRM", "semctl", subject);
});

leakTest("SharedCondition opens no semaphore set of another use", () => {
  for (
    const values of [
      [0, 0],
      [0, 0, 0, 0],
      [2, 0, 0, 0, 0, 0, 0, 0],
      [1, 0, 0, 0, 1, 0, 0, 0],
    ]
  ) {
    const key = uniqueKey();
    using set = SysvSemaphoreSet.create(key, values);
    for (
      const open of [
        () => SharedCondition.open(key),
        () => SharedCondition.openOrCreate(key),
        () => SharedCondition.fromId(set.id),
      ]
    ) assertThrows(open, TypeError, "is not a condition");
    set.remove();
  }
});

// --- Waiting ----------------------------------------------------------------

leakTest("SharedCondition.lockWhen() looks with the mutex locked", async () => {
  using place = new ConditionPlace();
  const { lock, condition } = place;
  const seen: (number | undefined)[] = [];
  const predicate = () => seen.push(lock.ownerPid) > 0;
  for (const timeout of [undefined, 0]) {
    using guard = condition.lockWhenSync(lock, predicate, { timeout });
    assertEquals([guard.ownerDied, lock.ownerPid], [false, Deno.pid]);
  }
  for (const timeout of [undefined, 0]) {
    using guard = await condition.lockWhen(lock, predicate, { timeout });
    assertEquals([guard.ownerDied, lock.ownerPid], [false, Deno.pid]);
  }
  assertEquals(seen, Array(4).fill(Deno.pid));
  assertEquals([lock.ownerPid, condition.waiters], [undefined, 0]);
});

leakTest(
  "SharedCondition refuses what is no mutex and no predicate",
  async () => {
    using place = new ConditionPlace();
    const { lock, condition } = place;
    for (
      const [name, ...args] of [
        ["mutex", condition, () => true],
        ["mutex", undefined, () => true],
        ["predicate", lock, true],
        ["predicate", lock],
      ]
    ) {
      const [mutex, predicate] = args as [SharedMutex, () => boolean];
      const call = () => condition.lockWhenSync(mutex, predicate);
      assertThrows(call, TypeError, `"${name}"`);
      const end = await outcome(condition.lockWhen(mutex, predicate));
      assertEquals(end, "TypeError");
    }
    lock.tryLock()!.release();
  },
);

leakTest("SharedCondition: what the predicate throws unlocks", async () => {
  using place = new ConditionPlace();
  const { lock, condition } = place;
  const predicate = () => {
    throw new Error("predicate");
  };
  assertThrows(
    () => condition.lockWhenSync(lock, predicate),
    Error,
    "predicate",
  );
  assertEquals(await outcome(condition.lockWhen(lock, predicate)), "Error");
  lock.tryLock()!.release();
  assertEquals(condition.waiters, 0);
});

for (const how of ["sync", "async"] as const) {
  leakTest(`SharedCondition wakes who waits, ${how}`, async () => {
    using place = new ConditionPlace();
    const { condition, words } = place;
    await using one = await place.taker(how);
    await using two = await place.taker(how);
    assertEquals(condition.waiters, 2);
    place.add(0); // they look, and go on waiting
    await until(() => condition.waiters === 2, "wait again");
    place.add(1);
    await until(() => words[TOKENS] === 0, "take");
    place.add(1);
    for (const child of [one, two]) {
      await child.expect("taken\n");
      assertEquals((await child.ended()).code, 0);
    }
    assertEquals([words[FIRST], words[SECOND], condition.waiters], [5, 5, 0]);
  });
}

leakTest("SharedCondition waits never end early", async () => {
  using place = new ConditionPlace();
  const { lock, condition } = place;
  for (const timeout of [0, 0.5, 20, 60, 130]) {
    const calls = [
      () => condition.lockWhenSync(lock, () => false, { timeout }),
      () => condition.lockWhen(lock, () => false, { timeout }),
    ];
    for (const call of calls) {
      const start = performance.now();
      const end = await outcome(Promise.try(call));
      assert(performance.now() - start >= timeout, `early: ${timeout}`);
      assertEquals(end, "TimeoutError");
      assertEquals([condition.waiters, lock.ownerPid], [0, undefined]);
    }
  }
  for (const timeout of [-1, NaN]) {
    const options = { timeout };
    const call = () => condition.lockWhenSync(lock, () => true, options);
    assertThrows(call, RangeError);
    const end = await outcome(condition.lockWhen(lock, () => true, options));
    assertEquals(end, "RangeError");
  }
});

leakTest(
  "SharedCondition waits end by signal, close() and remove()",
  async () => {
    using place = new ConditionPlace();
    const { lock, condition } = place;
    const never = () => false;
    const waits = (one: SharedCondition, signal?: AbortSignal) =>
      Array.from(
        { length: 6 },
        () => outcome(one.lockWhen(lock, never, { signal })),
      );
    const controller = new AbortController();
    const aborted = waits(condition, controller.signal);
    controller.abort("aborted");
    assertEquals(await Promise.all(aborted), Array(6).fill("aborted"));

    const other = SharedCondition.fromId(condition.id);
    const closed = waits(other);
    other.close();
    other.close();
    assertEquals(await Promise.all(closed), Array(6).fill("ClosedError"));
    for (
      const call of [
        () => other.lockWhenSync(lock, never),
        () => other.changing(),
        () => other.waiters,
        () => other.remove(),
      ]
    ) assertThrows(call, ClosedError, "condition");
    assertEquals([condition.waiters, lock.ownerPid], [0, undefined]);

    await using child = await place.start(
      `console.log(await told(() => condition.lockWhenSync(lock, () => false)));`,
    );
    await child.until(() => condition.waiters === 1, "wait");
    const removed = waits(condition);
    condition.remove();
    assertEquals(await Promise.all(removed), Array(6).fill("EIDRM"));
    assertEquals(await child.line(), "IpcError EIDRM");
    lock.tryLock()!.release();
  },
);

leakTest("SharedCondition.lockWhenSync() finds a deadlock", () => {
  using place = new ConditionPlace();
  using _guard = place.lock.lockSync();
  const call = () => place.condition.lockWhenSync(place.lock, () => true);
  assertRefused(call, "EDEADLK", "semop");
});

leakTest(
  "SharedCondition: changes in changes, and after unlocking",
  async () => {
    using place = new ConditionPlace();
    const { lock, condition } = place;
    let looks = 0;
    const controller = new AbortController();
    const { signal } = controller;
    const wait = outcome(
      condition.lockWhen(lock, () => ++looks < 0, { signal }),
    );
    await until(() => condition.waiters === 1, "wait");
    const guard = lock.lockSync();
    const outer = condition.changing();
    const inner = condition.changing();
    inner[Symbol.dispose]();
    inner[Symbol.dispose]();
    guard.release(); // too early; a waiter is woken once more for that
    await until(() => looks === 2 && condition.waiters === 1, "wait again");
    outer[Symbol.dispose]();
    // Nothing is left of the promises: a change without a waiter does nothing.
    condition.changing()[Symbol.dispose]();
    controller.abort("aborted");
    assertEquals(await wait, "aborted");
    using set = SysvSemaphoreSet.fromId(condition.id);
    const counts = set.getAll().filter((_, index) => index % 2 === 1);
    assertEquals(counts, Array(GATES).fill(0));
  },
);

leakTest("100 pending waits for a condition leave the pool alone", async () => {
  using place = new ConditionPlace();
  await using child = await place.start(`
    const all = Array.from({ length: 100 }, async () =>
      change(await async.when(isThere), -1));
    for (let i = 0; i < 40; i++) {
      await Deno.readTextFile("/proc/self/comm");
    }
    console.log("read");
    await Promise.all(all);
    console.log("done");`);
  assertEquals(await child.line(), "read");
  assertEquals(child.unread, "");
  place.add(100);
  assertEquals(await child.line(), "done");
  const { code, stderr } = await child.ended(); // by itself
  assertEquals([code, stderr], [0, ""]);
  assertEquals(place.words[TOKENS], 0);
});

leakTest("SharedCondition: four take turns, and none misses its own", {
  soak: "also",
  needs: [noCompiler],
  limit: 120_000,
}, async () => {
  using place = new ConditionPlace();
  const worker = urlOfWorker(`${place.code}
    await turns(sync, 2);
    postMessage("");`);
  await using all = new AsyncDisposableStack();
  const start = place.lock.lockSync();
  const peer = all.use(await place.peer(PEER, place.condition.id));
  const children = [
    "await turns(sync, 0);",
    "await turns(async, 1);",
    `const worker = new Worker("${worker}", { type: "module" });
     await new Promise((resolve) => worker.onmessage = resolve);
     worker.terminate();`,
  ].map((text) => all.use(place.spawn(text)));
  await peer.send(`turns 3 ${TURNS}`);
  start.release();
  for (const child of children) assertPrinted(await child.ended(), "up");
  assertEquals(await peer.line(), "done");
  assertEquals([place.words[FIRST], place.words[SECOND]], [
    4 * TURNS,
    4 * TURNS,
  ]);
  assertEquals(place.condition.waiters, 0);
});

leakTest("SharedCondition is heard by who is late to listen", async () => {
  using place = new ConditionPlace();
  const { lock, condition } = place;
  await using late = await place.taker("sync");
  await late.settled();
  late.kill("SIGSTOP");
  place.add(1);
  // Others come to wait before it has heard of that.
  const controller = new AbortController();
  const { signal } = controller;
  const other = outcome(condition.lockWhen(lock, () => false, { signal }));
  await until(() => condition.waiters === 1, "wait");
  late.kill("SIGCONT");
  await late.expect("taken\n");
  controller.abort("aborted");
  assertEquals(await other, "aborted");
});

leakTest("SharedCondition goes on when all its gates are taken", async () => {
  using place = new ConditionPlace();
  const { condition } = place;
  await using all = new AsyncDisposableStack();
  const stopped: Child[] = [];
  for (let i = 0; i < GATES; i++) {
    const child = all.use(await place.taker("sync"));
    await child.settled();
    child.kill("SIGSTOP");
    stopped.push(child);
    place.add(0); // opens its gate, from which it does not go
    assertEquals(condition.waiters, 0);
  }
  for (const how of ["sync", "async"]) {
    await using child = await place.start(`
      change(await ${how}.when(isThere), -1);
      console.log("taken");`);
    await child.settled();
    place.add(1);
    await child.expect("taken\n");
  }
  for (const child of stopped) child.kill("SIGCONT");
  await until(() => condition.waiters === GATES, "wait again");
  place.add(GATES);
  for (const child of stopped) await child.expect("taken\n");
});

// --- Death ------------------------------------------------------------------

leakTest(
  "SharedCondition tells of a death in the middle of a change",
  async () => {
    using place = new ConditionPlace();
    const { lock, condition, words } = place;
    const never = outcome(condition.lockWhen(lock, () => false));
    await until(() => condition.waiters === 1, "wait");
    await using child = await place.start(`
    change(lock.lockSync(), 1, () => {
      console.log("half");
      Deno.stdin.readSync(new Uint8Array(1));
    });`);
    await child.expect("half\n");
    await kill(child);
    assertEquals(await never, "owner died");
    assertEquals([words[FIRST], words[SECOND]], [1, 0]);
    // It was not repaired: all who come are told at once.
    using guard = condition.lockWhenSync(lock, () => false);
    assertEquals(guard.ownerDied, true);
  },
);

leakTest("SharedCondition: kill -9 at any point", {
  soak: "also",
  limit: 240_000,
}, async () => {
  const ROUNDS = rounds(8, 100);
  const BATCH = 8;
  using place = new ConditionPlace();
  const { condition, words } = place;
  const isC = (slot: number) => noCompiler === null && slot % 3 === 2;
  const program = (slot: number, order: string) => {
    const how = slot % 3 === 0 ? "sync" : "async";
    return {
      stay: `change(await ${how}.lock(), 3, () => {
        Atomics.store(words, ${INSIDE}, Deno.pid);
        while (Deno.stdin.readSync(new Uint8Array(1)) !== null);
      });`,
      wait: `await ${how}.when(() => false);`,
      add: `for (;;) {
        change(await ${how}.lock(), 1);
        Atomics.add(words, ${TIMES}, 1);
      }`,
      take: `await take(${how});`,
    }[order]!;
  };
  const start = (slot: number, order: string) =>
    isC(slot)
      ? place.peer(PEER, condition.id)
      : place.start(`await Deno.stdin.read(new Uint8Array(1));
          ${program(slot, order)}`);

  for (let round = 0; round < ROUNDS; round += BATCH) {
    await using all = new AsyncDisposableStack();
    // These take what there is, and survive.
    for (const slot of [0, 1, 2]) {
      const child = all.use(
        await place.start(`await take(${slot % 2 === 0 ? "sync" : "async"});`),
      );
      await child.until(() => condition.waiters === slot + 1, "wait");
    }
    const orders = Array.from(
      { length: BATCH },
      (_, slot) => ["stay", "wait", "add", "take"][slot % 4]!,
    );
    const children = await Promise.all(
      orders.map((order, slot) => start(slot, order)),
    );
    for (const child of children) all.use(child);
    for (const [slot, child] of children.entries()) {
      const order = orders[slot]!;
      await child.send(order);
      if (order === "stay") {
        const isInside = () => Atomics.load(words, INSIDE) === child.pid;
        await child.until(isInside, "change");
      } else if (order === "wait") {
        await child.until(() => condition.waiters === 4, "wait");
      } else {
        const times = words[TIMES]! + Math.floor(Math.random() * 20);
        if (order === "take") {
          await child.until(() => condition.waiters === 4, "wait");
          place.add(40);
        }
        const isThere = () => Atomics.load(words, TIMES) >= times;
        await child.until(isThere, "progress");
        for (let spin = Math.random() * 2e4; spin > 0; spin--) isThere();
      }
      await kill(child);
      if (order === "wait") place.add(3);
      // Nobody but the dead one has told the others that there is something to take.
      await until(
        () => Atomics.load(words, TOKENS) === 0 && condition.waiters === 3,
        `${order}: take all`,
      );
      assertEquals(words[FIRST], words[SECOND]);
    }
  }
});

leakTest(
  "SharedCondition.lockWhen() ends when the mutex is removed",
  async () => {
    using condition = SharedCondition.create(null);
    using mutex = SharedMutex.create(null);
    try {
      const waiting = outcome(condition.lockWhen(mutex, () => false));
      await until(() => condition.waiters === 1, "a waiter");
      mutex.remove();
      assertEquals(await waiting, "EIDRM");
    } finally {
      condition.remove();
    }
  },
);
