/** The objects of C in shared memory, with C programs on the other side. */
import { assert, assertEquals } from "@std/assert";
import {
  PthreadBarrier,
  pthreadBarrier,
  PthreadCondition,
  pthreadCondition,
  type PthreadGuard,
  PthreadMutex,
  pthreadMutex,
  PthreadRwLock,
  pthreadRwLock,
} from "../../ffi/pthread.ts";
import { type Memory, MemoryMap } from "../../ffi/memory_map.ts";
import {
  MemoryFile,
  PosixSharedMemory,
  SysvSharedMemory,
} from "../../ffi/shared_memory.ts";
import { array, i32, struct } from "../../ffi/struct.ts";
import { assertPrinted } from "../support/asserts.ts";
import { noCompiler } from "../support/c.ts";
import { codeWith } from "../support/code.ts";
import { kill } from "../support/kills.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { urlOfWorker } from "../support/locks.ts";
import { type Child, until } from "../support/process.ts";
import { rounds } from "../support/rounds.ts";
import { say, startPeer } from "./peers.ts";

// --- Helpers ----------------------------------------------------------------

/** The struct of pthread_peer.c. */
const layout = struct({
  lock: pthreadMutex,
  changed: pthreadCondition,
  rw: pthreadRwLock,
  barrier: pthreadBarrier,
  words: array(i32, 64),
});
const { offsets } = layout;
const WORDS = offsets.words / 4;
const [FIRST, SECOND, BROKEN, REPORTS, READY, STOP] = [0, 1, 2, 3, 4, 5];
// Each process counts its work in a slot, too: the sum of these is right at any moment.
const [SLOTS, SLOT_COUNT] = [16, 32];
/** For what must not take long. */
const LIMITED = { timeout: 20_000 };
const NEEDS = { needs: [noCompiler] };

/** The kinds of mutexes, as C numbers them: type, robust, inheriting. */
const KINDS = [0, 1, 2, 3].flatMap((type) =>
  [0, 1].flatMap((robust) => [0, 1].map((pi) => ({ type, robust, pi })))
);
const TYPES = ["normal", "recursive", "errorcheck", "adaptive"];

const nameOf = ({ type, robust, pi }: typeof KINDS[number]) =>
  `${robust ? "robust " : ""}${pi ? "inheriting " : ""}${TYPES[type]}`;

/** What the code of all children and Workers has. */
const IMPORTS = `
  const { SysvSharedMemory } = await import("${
  import.meta.resolve("../../ffi/shared_memory.ts")
}");
  const { PthreadMutex, PthreadCondition, PthreadRwLock, PthreadBarrier } =
    await import("${import.meta.resolve("../../ffi/pthread.ts")}");
`;
const { spawnCode, runCode } = codeWith({}, "");

/** A C program that uses the objects in a segment or a file. */
async function peerIn(where: string): Promise<Child> {
  const peer = await startPeer("pthread_peer", [where], { limit: 300_000 });
  const { changed, rw, barrier, words } = offsets;
  const line = [changed, rw, barrier, words, layout.size].join(" ");
  assertEquals(await peer.line(), line);
  return peer;
}

/** The memory, and how others get at it. */
class Place implements Disposable {
  readonly memory: SysvSharedMemory;
  readonly words: Int32Array;

  constructor() {
    this.memory = SysvSharedMemory.create(null, layout.size);
    this.memory.remove();
    const { buffer } = this.memory.bytes;
    this.words = new Int32Array(buffer, offsets.words, 64);
  }

  init(robust = true): PthreadMutex {
    PthreadCondition.init(this.memory, offsets.changed);
    PthreadRwLock.init(this.memory, offsets.rw);
    PthreadBarrier.init(this.memory, offsets.barrier, { count: 2 });
    return PthreadMutex.init(this.memory, offsets.lock, { robust });
  }

  get mutex(): PthreadMutex {
    return PthreadMutex.at(this.memory, offsets.lock);
  }

  /** Code that has the mutex as `mutex`, and the words. */
  get code(): string {
    return `${IMPORTS}
      const memory = SysvSharedMemory.fromId(${this.memory.id});
      const mutex = PthreadMutex.at(memory, 0);
      const words = new Int32Array(memory.bytes.buffer).subarray(${WORDS});
      const limited = { timeout: ${LIMITED.timeout} };
      const slots = words.subarray(${SLOTS}, ${SLOTS + SLOT_COUNT});
      const slot = Deno.pid % ${SLOT_COUNT};
      function pass(guard) {
        guard?.ownerDied ? work(guard) : guard?.release();
      }
      function work(guard) {
        if (guard.ownerDied) {
          const sum = slots.reduce((sum, count) => sum + count);
          words[${FIRST}] = words[${SECOND}] = sum;
          words[${REPORTS}]++;
          guard.markConsistent();
        } else if (words[${FIRST}] !== words[${SECOND}]) words[${BROKEN}]++;
        const value = words[${FIRST}] + 1;
        words[${FIRST}] = value;
        for (let spin = 0; spin < 50; spin++) Atomics.load(words, ${BROKEN});
        slots[slot]++;
        words[${SECOND}] = value;
        guard.release();
      }
    `;
  }

  spawn(text: string): Child {
    return spawnCode(`${this.code}\n${text}`);
  }

  peer(): Promise<Child> {
    return peerIn(String(this.memory.id));
  }

  /** Nothing was lost: all ints were changed alike. */
  assertWhole(count?: number): void {
    const { words } = this;
    assertEquals([words[BROKEN], words[FIRST]], [0, words[SECOND]]);
    assertEquals(sumOf(words), words[FIRST]);
    if (count !== undefined) assertEquals(words[FIRST], count);
  }

  [Symbol.dispose](): void {
    this.memory.close();
  }
}

function sumOf(words: Int32Array): number {
  const slots = words.subarray(SLOTS, SLOTS + SLOT_COUNT);
  return slots.reduce((sum, count) => sum + count);
}

function work(words: Int32Array, guard: PthreadGuard): void {
  if (guard.ownerDied) {
    words[FIRST] = words[SECOND] = sumOf(words);
    words[REPORTS]!++;
    guard.markConsistent();
  } else if (words[FIRST] !== words[SECOND]) words[BROKEN]!++;
  const value = words[FIRST]! + 1;
  words[FIRST] = value;
  for (let spin = 0; spin < 50; spin++) Atomics.load(words, BROKEN);
  words[SLOTS + Deno.pid % SLOT_COUNT]!++;
  words[SECOND] = value;
  guard.release();
}

// --- Each kind of mutex -----------------------------------------------------

const COUNT = rounds(300, 20_000);

leakTest("PthreadMutex is each kind of mutex of C", NEEDS, async () => {
  using place = new Place();
  const { words } = place;
  await using peer = await place.peer();
  place.init();
  await using child = place.spawn(`
    const reader = Deno.stdin.readable.getReader();
    while (!(await reader.read()).done) {
      const mutex = PthreadMutex.at(memory, 0); // of another kind
      for (let i = 0; i < ${COUNT}; i++) work(await mutex.lock(limited));
      console.log("counted");
    }`);
  for (const kind of KINDS) {
    const { type, robust, pi } = kind;
    words.fill(0);
    await say(peer, `init ${type} ${robust} ${pi} 1`, "ok");
    const { mutex } = place;
    assertEquals(
      [mutex.type, mutex.robust, mutex.inheritsPriority],
      [TYPES[type], robust === 1, pi === 1],
    );

    await say(peer, "lock", "ok");
    assertEquals(mutex.tryLock(), undefined);
    assertEquals(mutex.ownerTid, peer.pid);
    const locking = mutex.lock(LIMITED);
    await say(peer, "unlock", "ok");
    const guard = await locking;
    assertEquals(guard.ownerDied, false);
    await say(peer, "try", "busy");
    await peer.send("lock");
    guard.release();
    assertEquals(await peer.line(), "ok");
    await say(peer, "unlock", "ok");

    await child.send("");
    await peer.send(`count 2 ${COUNT}`);
    for (let i = 0; i < COUNT; i++) work(words, mutex.lockSync(LIMITED));
    assertEquals(await peer.line(), "counted", nameOf(kind));
    assertEquals(await child.line(), "counted", nameOf(kind));
    place.assertWhole(4 * COUNT);
    await say(peer, "try", "ok");
    await say(peer, "unlock", "ok");
  }
});

leakTest("PthreadMutex that Deno makes is one of C", NEEDS, async () => {
  using place = new Place();
  const { memory } = place;
  await using peer = await place.peer();
  const type = "recursive";
  const mutex = PthreadMutex.init(memory, 0, { type });
  {
    using _outer = mutex.lockSync();
    using _inner = await mutex.lock();
    await say(peer, "try", "busy");
    _outer.release();
    await say(peer, "try", "busy");
  }
  await say(peer, "lock", "ok");
  await say(peer, "lock", "ok");
  await say(peer, "unlock", "ok");
  assertEquals(mutex.tryLock(), undefined);
  await say(peer, "unlock", "ok");
  using _guard = mutex.lockSync(LIMITED);
});

/** Each kind of memory, and the path by which C programs map it. */
function* memories(): Generator<[path: string, memory: Memory]> {
  const { size } = layout;
  using dir = scratch();
  const path = dir.file("shared");
  yield [path, MemoryMap.create(path, size)];
  const posix = PosixSharedMemory.create(null, size);
  yield [`/dev/shm${posix.name}`, posix];
  PosixSharedMemory.unlink(posix.name);
  using file = MemoryFile.create("test", size);
  const pathOfFile = `/proc/${Deno.pid}/fd/${file.fd}`;
  yield [pathOfFile, file.map()];
  file.seal(["shrink"]); // so it needs no checks
  yield [pathOfFile, file.map()];
}

leakTest("C's objects in each kind of memory", NEEDS, async () => {
  for (const [path, memory] of memories()) {
    const words = new Int32Array(memory.bytes.buffer).subarray(WORDS);
    const mutex = PthreadMutex.init(memory, offsets.lock);
    const condition = PthreadCondition.init(memory, offsets.changed);
    const rw = PthreadRwLock.init(memory, offsets.rw);
    const barrier = PthreadBarrier.init(memory, offsets.barrier, { count: 2 });
    const count = 300;
    words.fill(0);
    {
      await using peer = await peerIn(path);
      await peer.send(`count 2 ${count}`);
      for (let i = 0; i < count; i++) work(words, mutex.lockSync(LIMITED));
      for (let i = 0; i < count; i++) work(words, await mutex.lock(LIMITED));
      assertEquals(await peer.line(), "counted");
      assertEquals([words[FIRST], sumOf(words)], [4 * count, 4 * count]);

      await peer.send("await");
      await until(() => condition.waiters === 1, "a waiter");
      {
        using _guard = mutex.lockSync(LIMITED);
        words[READY]!++;
        condition.signal();
      }
      assertEquals(await peer.line(), "woken");
      using reader = await rw.lockRead(LIMITED);
      await say(peer, "trywrite", "busy");
      reader.release();
      await peer.send("barrier");
      await barrier.wait(LIMITED);
      await peer.line();

      await say(peer, "lock", "ok");
      await kill(peer);
    }
    const guard = mutex.lockSync(LIMITED);
    memory.close(); // it stays mapped while the mutex is locked
    assertEquals(guard.ownerDied, true);
    guard.release();
  }
});

// --- Owners that die --------------------------------------------------------

leakTest("PthreadMutex tells of a dead owner in C", NEEDS, async () => {
  using place = new Place();
  for (const inheritPriority of [false, true]) {
    const options = { inheritPriority };
    const mutex = PthreadMutex.init(place.memory, 0, options);
    const locks = [
      () => mutex.lockSync(LIMITED),
      () => mutex.lock(LIMITED),
      () => mutex.tryLock()!,
    ];
    for (const lock of locks) {
      await using peer = await place.peer();
      await say(peer, "lock", "ok");
      await kill(peer);
      using guard = await lock();
      assertEquals(guard.ownerDied, true);
      guard.markConsistent();
      guard.release();
      using next = mutex.lockSync();
      assertEquals(next.ownerDied, false);
    }
  }
});

leakTest("PthreadMutex of a dead Deno tells C", NEEDS, async () => {
  using place = new Place();
  for (const inheritPriority of [false, true]) {
    const options = { inheritPriority };
    const mutex = PthreadMutex.init(place.memory, 0, options);
    await using peer = await place.peer();
    for (const lock of ["mutex.lockSync()", "await mutex.lock()"]) {
      await using child = place.spawn(`
        globalThis.guard = ${lock};
        console.log("locked");
        setInterval(() => {}, 1000);`);
      assertEquals(await child.line(), "locked");
      await peer.send("lock");
      await kill(child);
      assertEquals(await peer.line(), "owner died");
      await say(peer, "consistent", "ok");
      await say(peer, "unlock", "ok");
    }
    // A mutex that nobody has repaired is lost for all.
    await using child = place.spawn(`mutex.lockSync(); Deno.exit(0);`);
    assertPrinted(await child.ended());
    const guard = mutex.lockSync(LIMITED);
    assertEquals(guard.ownerDied, true);
    guard.release();
    await say(peer, "lock", "not recoverable");
    for (let i = 0; i < 2; i++) {
      const { error } = await outcome(mutex.lock(LIMITED));
      assertEquals(error, "ENOTRECOVERABLE");
    }
  }
});

async function outcome(
  promise: Promise<PthreadGuard>,
): Promise<{ error?: string; died?: boolean }> {
  try {
    using guard = await promise;
    return { died: guard.ownerDied };
  } catch (error) {
    const { code, name } = error as { code?: unknown; name: string };
    return { error: typeof code === "string" ? code : name };
  }
}

/** A Deno that starts a Worker with that code at a line, and terminates it at the next. */
function workers(place: Place, text: string): Child {
  const url = urlOfWorker(`${place.code}\n${text}`);
  return place.spawn(`
    const reader = Deno.stdin.readable.getReader();
    while (!(await reader.read()).done) {
      const worker = new Worker(${JSON.stringify(url)}, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      console.log("up");
      await reader.read();
      worker.terminate();
      console.log("terminated");
    }`);
}

leakTest("a terminated Worker holds no PthreadMutex", NEEDS, async () => {
  using place = new Place();
  const mutex = place.init();
  await using peer = await place.peer();
  await using child = workers(
    place,
    `await mutex.lock(); postMessage(""); setInterval(() => {}, 1000);`,
  );
  for (let round = 0; round < rounds(3, 20); round++) {
    await say(child, "start", "up");
    assertEquals(mutex.tryLock(), undefined);
    await peer.send("lock");
    await say(child, "end", "terminated");
    assertEquals(await peer.line(), "owner died");
    await say(peer, "consistent", "ok");
    await say(peer, "unlock", "ok");
  }
  await kill(child);
});

leakTest("a terminated Worker that waits takes no wake-up", NEEDS, async () => {
  using place = new Place();
  place.init();
  await using holder = await place.peer();
  await using waiter = await place.peer();
  await using child = workers(
    place,
    `for (let i = 0; i < 3; i++) mutex.lock(); postMessage("");`,
  );
  // The Worker may lock it before it ends.
  const locked = async (peer: Child) => {
    const line = await peer.line();
    if (line === "owner died") await say(peer, "consistent", "ok");
    else assertEquals(line, "ok");
  };
  for (let round = 0; round < rounds(5, 30); round++) {
    await holder.send("lock");
    await locked(holder);
    await say(child, "start", "up");
    await waiter.send("lock");
    await Promise.all([child.send("end"), holder.send("unlock")]);
    assertEquals(await holder.line(), "ok");
    await locked(waiter);
    await say(waiter, "unlock", "ok");
    assertEquals(await child.line(), "terminated");
  }
  await kill(child);
});

// --- Kills at every step ----------------------------------------------------

/** The kinds of mutexes that survive an owner; in the short run the first one. */
const ROBUST = KINDS.filter(({ robust }) => robust === 1)
  .slice(0, rounds(1, KINDS.length));

leakTest(
  "PthreadMutex survives C programs that are killed",
  NEEDS,
  async () => {
    for (const { type, pi } of ROBUST) {
      using place = new Place();
      const { words } = place;
      place.init();
      await using storm = await place.peer();
      await say(storm, `init ${type} 1 ${pi} 1`, "ok");
      const { mutex } = place;
      await using child = place.spawn(`
        while (words[${STOP}] === 0) {
          const locks = Array.from({ length: 3 }, () => mutex.lock(limited));
          for (const lock of locks) work(await lock);
        }`);
      await storm.send(`storm ${rounds(40, 150)}`);
      const over = storm.line().then((line) => {
        words[STOP] = 1;
        return line;
      });
      while (words[STOP] === 0) {
        work(words, mutex.lockSync(LIMITED));
        await new Promise((resolve) => setTimeout(resolve));
      }
      assertEquals(await over, "over");
      assertPrinted(await child.ended());
      work(words, mutex.lockSync(LIMITED));
      place.assertWhole();
      assert(words[REPORTS]! > 0);
    }
  },
);

/** What a victim does until it is killed: each way to lock, with work and without. */
const VICTIMS = [
  "for (;;) work(mutex.lockSync());",
  "for (;;) work(await mutex.lock());",
  "for (;;) pass(mutex.lockSync());",
  "for (;;) pass(mutex.tryLock());",
  `const one = async () => { for (;;) work(await mutex.lock()); };
   await Promise.all([one(), one(), one()]);`,
];

leakTest(
  "PthreadMutex survives Deno programs that are killed",
  { ...NEEDS, limit: 300_000 },
  async () => {
    const each = rounds(VICTIMS.length, 20);
    for (const { type, pi } of ROBUST) {
      using place = new Place();
      const { words } = place;
      place.init();
      // Threads that sleep and wake each other: a wake-up that is lost would end that.
      await using first = await place.peer();
      await using second = await place.peer();
      await say(first, `init ${type} 1 ${pi} 1`, "ok");
      await first.send("run 1");
      await second.send("visit 2");
      let next = 0;
      const killVictims = async () => {
        while (next < each) {
          const text = VICTIMS[next++ % VICTIMS.length];
          await using victim = place.spawn(`console.log("up"); ${text}`);
          await victim.expect("up\n");
          const delay = 10 * Math.random();
          await new Promise((resolve) => setTimeout(resolve, delay));
          await kill(victim);
          const before = words[FIRST]!;
          const goesOn = () => words[FIRST]! - before > 10;
          await until(goesOn, "going on", LIMITED.timeout);
        }
      };
      await Promise.all([killVictims(), killVictims(), killVictims()]);
      words[STOP] = 1;
      const last = [await first.line(), await second.line()];
      assertEquals(last, ["stopped", "stopped"]);
      work(words, place.mutex.lockSync(LIMITED));
      place.assertWhole();
    }
  },
);

// --- Many waiters -----------------------------------------------------------

leakTest(
  "100 asynchronous waiters are served in order beside C",
  NEEDS,
  async () => {
    using place = new Place();
    place.init();
    await using peer = await place.peer();
    await peer.send("run 3");
    await using child = place.spawn(`
    const order = [];
    let longest = 0;
    await Promise.all(Array.from({ length: 100 }, async (_, index) => {
      const begin = performance.now();
      const guard = await mutex.lock(limited);
      longest = Math.max(longest, performance.now() - begin);
      order.push(index);
      work(guard);
    }));
    if (order.some((index, place) => index !== place)) console.log(order);
    console.error(longest);
    words[${STOP}] = 1;`);
    const ended = await child.ended();
    assertEquals([ended.code, ended.stdout], [0, ""], ended.transcript);
    assert(Number(ended.stderr) < LIMITED.timeout);
    assertEquals(await peer.line(), "stopped");
    place.assertWhole();
  },
);

leakTest("a wait that ends passes its wake-up on", NEEDS, async () => {
  using place = new Place();
  place.init();
  await using holder = await place.peer();
  await using waiter = await place.peer();
  // In each round C holds the mutex, this child waits, and then C waits; the wait is
  // aborted at about the time when C unlocks.
  await using child = place.spawn(`
    const reader = Deno.stdin.readable.getReader();
    for (;;) {
      const abort = new AbortController();
      const lock = mutex.lock({ signal: abort.signal }).then(
        (guard) => guard.release(), () => {});
      console.log("waits");
      if ((await reader.read()).done) break;
      setTimeout(() => abort.abort(), 2 * Math.random());
      await lock;
      console.log("over");
      if ((await reader.read()).done) break;
    }`);
  for (let round = 0; round < rounds(10, 300); round++) {
    await say(holder, "lock", "ok");
    if (round > 0) await child.send("");
    assertEquals(await child.line(), "waits");
    await waiter.send("lock");
    await Promise.all([child.send(""), holder.send("unlock")]);
    assertEquals(await holder.line(), "ok");
    assertEquals(await waiter.line(), "ok");
    await say(waiter, "unlock", "ok");
    assertEquals(await child.line(), "over");
  }
  await kill(child);
});

// --- Conditions -------------------------------------------------------------

leakTest("PthreadCondition wakes C, and is signalled by C", NEEDS, async () => {
  using place = new Place();
  const { words } = place;
  const mutex = place.init();
  const condition = PthreadCondition.at(place.memory, offsets.changed);
  await using peer = await place.peer();
  for (let round = 0; round < rounds(20, 500); round++) {
    await peer.send("await");
    await until(() => condition.waiters === 1, "a waiter");
    {
      using _guard = mutex.lockSync(LIMITED);
      words[READY]!++;
      round % 2 === 0 ? condition.signal() : condition.broadcast();
    }
    assertEquals(await peer.line(), "woken");

    using guard = await mutex.lock(LIMITED);
    const waiting = condition.wait(guard, () => words[READY]! > 0, LIMITED);
    await say(peer, "signal 1", "ok");
    await waiting;
    words[READY]!--;
    await peer.send("signal 1");
    condition.waitSync(guard, () => words[READY]! > 0, LIMITED);
    words[READY]!--;
    assertEquals(mutex.tryLock(), undefined); // it is locked again
    guard.release();
    assertEquals(await peer.line(), "ok");
  }
});

leakTest(
  "no signal is lost among many waiters in C and here",
  NEEDS,
  async () => {
    using place = new Place();
    const { words } = place;
    const mutex = place.init();
    const condition = PthreadCondition.at(place.memory, offsets.changed);
    await using sender = await place.peer();
    await using one = await place.peer();
    await using two = await place.peer();
    const take = async () => {
      using guard = await mutex.lock(LIMITED);
      await condition.wait(guard, () => words[READY]! > 0, LIMITED);
      words[READY]!--;
    };
    for (let round = 0; round < rounds(5, 100); round++) {
      await one.send("await");
      await two.send("await");
      const here = Array.from({ length: 10 }, take);
      for (let i = 0; i < 12; i++) await say(sender, "signal 1", "ok");
      await Promise.all(here);
      assertEquals([await one.line(), await two.line()], ["woken", "woken"]);
      assertEquals(words[READY], 0);
    }
  },
);

leakTest("a condition in which a waiter was killed fails", NEEDS, async () => {
  using place = new Place();
  const mutex = place.init();
  const condition = PthreadCondition.at(place.memory, offsets.changed);
  for (let i = 0; i < 2; i++) {
    await using peer = await place.peer();
    await peer.send("await");
    await until(() => condition.waiters === i + 1, "a waiter");
    await kill(peer);
  }
  await using living = await place.peer();
  await living.send("await");
  await until(() => condition.waiters === 3, "a waiter");
  // Until glibc 2.40 the dead are waited for; since then they are not.
  let code = "none";
  try {
    for (let i = 0; i < 4; i++) condition.signal();
  } catch (error) {
    code = (error as { code: string }).code;
  }
  assert(["none", "EOWNERDEAD"].includes(code), code);
  PthreadCondition.init(place.memory, offsets.changed).signal();
  mutex.lockSync(LIMITED).release();
});

// --- Read-write locks and barriers ------------------------------------------

leakTest("PthreadRwLock excludes C, and C this one", NEEDS, async () => {
  using place = new Place();
  place.init();
  const lock = PthreadRwLock.at(place.memory, offsets.rw);
  await using peer = await place.peer();
  {
    using _reader = lock.lockReadSync(LIMITED);
    await say(peer, "read", "ok");
    assertEquals(lock.readers, 2);
    assertEquals(lock.tryLockWrite(), undefined);
    await say(peer, "leave", "ok");
    await say(peer, "trywrite", "busy");
  }
  const writer = await lock.lockWrite(LIMITED);
  await say(peer, "tryread", "busy");
  await peer.send("read");
  writer.release();
  assertEquals(await peer.line(), "ok");
  const writing = lock.lockWrite(LIMITED);
  await say(peer, "leave", "ok");
  (await writing).release();
  await say(peer, "write", "ok");
  assertEquals([lock.readers, lock.writerTid], [0, peer.pid]);
  assertEquals(lock.tryLockRead(), undefined);
  const reading = [lock.lockRead(LIMITED), lock.lockRead(LIMITED)];
  await say(peer, "leave", "ok");
  for (const reader of reading) (await reader).release();
  lock.lockWriteSync(LIMITED).release();
  assertEquals([lock.readers, lock.writerTid], [0, undefined]);
});

leakTest("PthreadBarrier waits for C, and C for this one", NEEDS, async () => {
  using place = new Place();
  place.init();
  const barrier = PthreadBarrier.at(place.memory, offsets.barrier);
  await using peer = await place.peer();
  for (let round = 0; round < rounds(10, 200); round++) {
    // A wait that ends has not arrived.
    assertEquals(
      await barrier.wait({ timeout: 1 }).catch(({ name }) => name),
      "TimeoutError",
    );
    assertEquals([barrier.arrived, barrier.tryWait()], [0, undefined]);
    const waiting = barrier.wait(LIMITED);
    assertEquals(barrier.arrived, 1);
    await say(peer, "barrier", "last");
    assertEquals(await waiting, false);

    await peer.send("barrier");
    await until(() => barrier.arrived === 1, "an arrival");
    assertEquals(
      round % 2 === 0 ? barrier.waitSync(LIMITED) : barrier.tryWait(),
      true,
    );
    assertEquals(await peer.line(), "ok");
  }
});

// --- Bytes that change during a call ----------------------------------------

leakTest("PthreadMutex whose kind changes all the time", NEEDS, async () => {
  using safe = MemoryMap.anonymous(4096);
  const other = PthreadMutex.init(safe, 0);
  for (const robust of [true, false]) {
    for (const flipped of [16, 16 | 32, 1]) { // robust, inheriting, recursive
      using place = new Place();
      const { words } = place;
      const mutex = place.init(robust);
      await using peer = await place.peer();
      const lock = new Int32Array(place.memory.bytes.buffer, 0, 10);
      await peer.send(`flip ${flipped} 2000000000`);
      for (let i = 0; i < rounds(20_000, 500_000); i++) {
        lock.fill(0, 0, 4); // what went wrong before
        try {
          mutex.tryLock()?.release();
        } catch (error) {
          const { code } = error as { code: string };
          assert(["EINVAL", "EPERM"].includes(code), `${error}`);
        }
      }
      words[STOP] = 1;
      assertEquals(await peer.line(), "flipped");
      other.lockSync().release(); // the list of this thread is in order
    }
  }
});

// --- Refusals ---------------------------------------------------------------

leakTest(
  "objects for the threads of one process are refused",
  NEEDS,
  async () => {
    using place = new Place();
    await using peer = await place.peer();
    await say(peer, "init 0 0 0 0", "ok");
    const { memory } = place;
    const reasons = [
      () => PthreadMutex.at(memory, offsets.lock),
      () => PthreadCondition.at(memory, offsets.changed),
      () => PthreadRwLock.at(memory, offsets.rw),
      () => PthreadBarrier.at(memory, offsets.barrier),
    ].map((at) => {
      try {
        return String(at());
      } catch (error) {
        return String(error);
      }
    });
    for (const reason of reasons) {
      assert(/threads of one process|all bytes are zero/.test(reason), reason);
    }
    await say(peer, "init 1 0 0 0", "ok");
    const { code } = await runCode(`${place.code}`).then(({ stderr }) => ({
      code: /threads of one process: initialise it with pthread_mutexattr/.test(
        stderr,
      ),
    }));
    assert(code);
  },
);
