/** The objects of C in shared memory, within one process. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  ClosedError,
  IpcError,
  PthreadBarrier,
  pthreadBarrier,
  PthreadCondition,
  pthreadCondition,
  PthreadMutex,
  pthreadMutex,
  PthreadRwLock,
  pthreadRwLock,
} from "../ffi/pthread.ts";
import { MemoryMap } from "../ffi/memory_map.ts";
import { MemoryFile } from "../ffi/shared_memory.ts";
import { i32, struct } from "../ffi/struct.ts";
import { assertRefused } from "./support/asserts.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { succeeds } from "./support/process.ts";
import { turns } from "./support/waits.ts";

// --- Helpers ----------------------------------------------------------------

const CLASSES = {
  PthreadMutex: { type: PthreadMutex, field: pthreadMutex },
  PthreadCondition: { type: PthreadCondition, field: pthreadCondition },
  PthreadRwLock: { type: PthreadRwLock, field: pthreadRwLock },
  PthreadBarrier: { type: PthreadBarrier, field: pthreadBarrier },
};
const SIZE = 4096;
const [LOCK, OWNER, KIND, NEXT] = [0, 2, 4, 8]; // words of a mutex of glibc
const WAITERS = 0x80000000;
const OTHER_THREAD = 0x3ffffff0; // above the largest number of a thread

function anonymous(): MemoryMap {
  return MemoryMap.anonymous(SIZE);
}

/** Makes each object, and calls it in each way that takes it or waits for it. */
function everything(memory: MemoryMap): (() => unknown)[] {
  const mutex = PthreadMutex.init(memory, 0);
  const condition = PthreadCondition.init(memory, 64);
  const rw = PthreadRwLock.init(memory, 128);
  const barrier = PthreadBarrier.init(memory, 192, { count: 2 });
  const limit = { timeout: 10 };
  return [
    () => mutex.lockSync(limit),
    () => mutex.tryLock(),
    () => mutex.lock(limit),
    () => mutex.ownerTid,
    () => condition.signal(),
    () => condition.broadcast(),
    () => condition.waiters,
    () => rw.lockReadSync(limit),
    () => rw.tryLockRead(),
    () => rw.lockRead(limit),
    () => rw.lockWriteSync(limit),
    () => rw.tryLockWrite(),
    () => rw.lockWrite(limit),
    () => rw.readers,
    () => rw.writerTid,
    () => barrier.waitSync(limit),
    () => barrier.tryWait(),
    () => barrier.wait(limit),
    () => barrier.arrived,
    () => PthreadMutex.at(memory, 0),
    () => PthreadCondition.at(memory, 64),
    () => PthreadRwLock.at(memory, 128),
    () => PthreadBarrier.at(memory, 192),
    () => PthreadMutex.init(memory, 256),
  ];
}

// --- Places -----------------------------------------------------------------

leakTest("the fields of a struct have the sizes of the classes", () => {
  for (const { type, field } of Object.values(CLASSES)) {
    assertEquals([field.size, field.alignment], [type.size, type.align]);
  }
  const layout = struct({ count: i32, lock: pthreadMutex });
  assertEquals(layout.offsets, { count: 0, lock: 8 });
  using memory = anonymous();
  const mutex = PthreadMutex.init(memory, 8);
  using _guard = mutex.lockSync();
  const view = memory.view(0, layout);
  assertEquals(view.lock.length, PthreadMutex.size);
  view.count = 1;
  // A copy over a mutex that is locked would destroy it.
  const lock = new Uint8Array(PthreadMutex.size) as never;
  assertThrows(() => view.lock = lock, TypeError, "PthreadMutex.init()");
  assertThrows(() => layout.encode({ count: 1, lock }), TypeError);
  assertEquals(mutex.tryLock(), undefined);
});

leakTest("init() and at() check the place", () => {
  using memory = anonymous();
  using file = MemoryFile.create("test", SIZE);
  using readonly = file.map({ readonly: true });
  using priv = file.map({ private: true });
  for (const [name, { type }] of Object.entries(CLASSES)) {
    const init = (memory: MemoryMap, offset: number) =>
      type === PthreadBarrier
        ? PthreadBarrier.init(memory, offset, { count: 1 })
        : (type as typeof PthreadMutex).init(memory, offset);
    for (const make of [init, type.at]) {
      const at = make as typeof init;
      assertThrows(() => at(memory, 4), RangeError, "_Alignof", name);
      assertThrows(() => at(memory, -8), RangeError);
      assertThrows(() => at(memory, 0.5), RangeError);
      assertThrows(() => at(memory, SIZE - 8), RangeError);
      assertThrows(() => at(memory, "0" as never), TypeError);
      assertThrows(() => at({} as never, 0), TypeError);
      assertThrows(() => at(readonly as never, 0), TypeError, "read-only");
      assertThrows(() => at(priv as never, 0), TypeError, "private");
    }
    assertThrows(() => new (type as never as new () => object)(), TypeError);
  }
  const options = [{ type: "fast" }, { type: 1 }] as never[];
  for (const option of options) {
    assertThrows(() => PthreadMutex.init(memory, 0, option), TypeError);
  }
  for (const count of [0, -1, 1.5, 2 ** 31]) {
    assertThrows(() => PthreadBarrier.init(memory, 0, { count }), RangeError);
  }
  const last = SIZE - PthreadMutex.size;
  PthreadMutex.init(memory, last - last % 8).lockSync().release();
});

// --- One thread -------------------------------------------------------------

leakTest("PthreadMutex: what a thread does that holds it", async () => {
  using memory = anonymous();
  const limit = { timeout: 1 };
  for (const type of ["normal", "errorcheck", "adaptive"] as const) {
    for (const robust of [true, false]) {
      const mutex = PthreadMutex.init(memory, 0, { type, robust });
      const same = PthreadMutex.at(memory, 0);
      assertEquals([same.type, same.robust], [type, robust]);
      const guard = mutex.lockSync();
      assertRefused(() => same.lockSync(), "EDEADLK", "pthread_mutex_lock");
      assertEquals(same.tryLock(), undefined);
      const init = () => PthreadMutex.init(memory, 0);
      assertRefused(init, "EBUSY", "pthread_mutex_init");
      await assertRejects(() => same.lock(limit), DOMException);
      const waiting = same.lock(); // another task
      guard.release();
      guard.release();
      assertThrows(() => guard.markConsistent(), ClosedError);
      (await waiting).release();
      assertEquals(mutex.ownerTid, undefined);
    }
  }
  const recursive = PthreadMutex.init(memory, 0, { type: "recursive" });
  const guards = [recursive.lockSync(), recursive.tryLock()!];
  guards.push(await PthreadMutex.at(memory, 0).lock());
  for (const guard of guards) guard.release();
  assertEquals(recursive.ownerTid, undefined);
});

leakTest("PthreadMutex: waits are served in order, and end", async () => {
  using memory = anonymous();
  const mutex = PthreadMutex.init(memory, 0);
  const order: number[] = [];
  let guard = mutex.lockSync();
  const waits = Array.from({ length: 100 }, async (_, index) => {
    using _guard = await mutex.lock();
    order.push(index);
  });
  guard.release();
  await Promise.all(waits);
  assertEquals(order, Array.from(order, (_, index) => index));

  guard = mutex.lockSync();
  const abort = new AbortController();
  const aborted = mutex.lock({ signal: abort.signal });
  abort.abort("enough");
  assertEquals(await aborted.catch((reason) => reason), "enough");
  const closed = mutex.lock();
  await turns();
  memory.close();
  await assertRejects(() => closed, ClosedError);
  guard.release(); // the memory was mapped until now
});

leakTest("PthreadMutex: mutexes are unlocked in any order", () => {
  using memory = anonymous();
  const mutexes = [0, 64, 128, 192].map((offset) =>
    PthreadMutex.init(memory, offset)
  );
  for (let round = 0; round < 50; round++) {
    const guards = mutexes.map((mutex) => mutex.lockSync());
    guards.sort(() => Math.random() - 0.5);
    for (const guard of guards) guard.release();
  }
  // Each is found by the kernel when the thread ends: the next test.
});

leakTest("the kernel finds every mutex of a thread that ends", async () => {
  const died = await inChild(async () => {
    const { PthreadMutex } = await import("../ffi/pthread.ts");
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    using memory = MemoryMap.anonymous(4096);
    const offsets = [0, 64, 128, 192];
    for (const offset of offsets) PthreadMutex.init(memory, offset);
    const code = `
      import { Memory } from "${new URL(
      "../ffi/memory_map.ts",
      import.meta.url,
    )}";
      import { PthreadMutex } from "${new URL(
      "../ffi/pthread.ts",
      import.meta.url,
    )}";
      onmessage = ({ data }) => {
        const memory = Memory.adopt(data);
        const guards = [${offsets}].map((offset) =>
          PthreadMutex.at(memory, offset).lockSync());
        guards[1].release();
        postMessage("");
        close();
      };`;
    const url = `data:text/javascript,${encodeURIComponent(code)}`;
    const worker = new Worker(url, { type: "module" });
    worker.postMessage(memory.share());
    await new Promise((resolve) => worker.onmessage = resolve);
    return offsets.map((offset) => {
      const mutex = PthreadMutex.at(memory, offset);
      using guard = mutex.lockSync({ timeout: 10_000 });
      guard.markConsistent();
      return guard.ownerDied;
    });
  });
  assertEquals(died, [true, false, true, true]);
});

// --- Memory that goes away --------------------------------------------------

leakTest("the memory of a mutex stays while it is held", () => {
  const other = anonymous();
  const next = PthreadMutex.init(other, 0);
  for (let round = 0; round < 3; round++) {
    const memory = anonymous();
    const mutex = PthreadMutex.init(memory, 0);
    const guard = mutex.lockSync();
    memory.close();
    assertThrows(() => mutex.tryLock(), ClosedError);
    next.lockSync().release(); // follows the list of what this thread holds
    guard.release();
    next.lockSync().release();
  }
  {
    const memory = anonymous();
    const reader = PthreadRwLock.init(memory, 0).lockReadSync();
    memory.close();
    reader.release();
  }
  other.close();
});

leakTest("a mutex of a memory that is resized", () => {
  using dir = scratch();
  using memory = MemoryMap.create(`${dir.path}/file`, SIZE, {
    resizable: true,
  });
  const mutex = PthreadMutex.init(memory, 0);
  const guard = mutex.lockSync();
  memory.resize(4 * SIZE);
  assertEquals(mutex.tryLock(), undefined);
  assertRefused(() => mutex.lockSync(), "EDEADLK", "pthread_mutex_lock");
  guard.release();
  mutex.lockSync().release();
  {
    using _guard = mutex.lockSync();
    const shrink = () => memory.resize(SIZE, { shrink: true });
    assertThrows(shrink, TypeError, "has mapped");
  }
  memory.resize(SIZE, { shrink: true });
  mutex.lockSync().release();
  // An object of another kind at the same place.
  const other = PthreadMutex.init(memory, 0, { type: "recursive" });
  assertThrows(() => mutex.lockSync(), IpcError, "EINVAL");
  other.lockSync().release();
});

leakTest("memory that is truncated is EFAULT", async () => {
  using dir = scratch();
  const path = `${dir.path}/file`;
  using memory = MemoryMap.create(path, SIZE);
  const calls = everything(memory);
  const guard = PthreadMutex.at(memory, 0).lockSync();
  const reader = PthreadRwLock.at(memory, 128).lockReadSync();
  using whole = anonymous();
  const other = PthreadMutex.init(whole, 0);
  await Deno.truncate(path, 0);
  for (const call of calls) {
    let code;
    try {
      await call();
    } catch (error) {
      code = (error as IpcError).code;
    }
    assertEquals(code, "EFAULT", String(call));
  }
  other.lockSync().release();
  assertThrows(() => guard.release(), IpcError, "EFAULT");
  assertThrows(() => reader.release(), IpcError, "EFAULT");
  other.lockSync().release();
});

// --- Bytes that others wrote ------------------------------------------------

leakTest("at() refuses bytes that are no object", () => {
  using memory = anonymous();
  const { bytes } = memory;
  const at = Object.values(CLASSES).map(({ type }) => () => type.at(memory, 0));
  for (const call of at) {
    assertThrows(call, TypeError, "all bytes are zero");
  }
  for (const byte of [0x01, 0x55, 0x7f, 0xaa, 0xff]) {
    bytes.fill(byte);
    for (const call of at) assertThrows(call, TypeError);
  }
  let accepted = 0;
  for (let round = 0; round < 1000; round++) {
    crypto.getRandomValues(bytes.subarray(0, 64));
    for (const call of at) {
      try {
        call();
        accepted++;
      } catch (error) {
        assert(error instanceof TypeError, `${error}`);
      }
    }
  }
  assert(accepted < 10, `${accepted}`);
});

leakTest("at() knows the mutexes of others", () => {
  using memory = anonymous();
  const words = new Int32Array(memory.bytes.buffer, 0, 12);
  const reasonFor = (...values: number[]) => {
    words.fill(0);
    words.set(values);
    return assertThrows(() => PthreadMutex.at(memory, 0), TypeError).message;
  };
  const ROBUST = 16;
  const PROTECT = 64;
  const SHARED = 128;
  assert(/musl/.test(reasonFor(SHARED | 4))); // type, of a robust one
  assert(/32-bit/.test(reasonFor(0, 0, 0, SHARED | ROBUST, 0)));
  assert(/ceiling/.test(reasonFor(0, 0, 0, 0, SHARED | PROTECT)));
  assert(/one process/.test(reasonFor(0, 0, 0, 0, 1)));
  assert(/overwritten/.test(reasonFor(3, 0, 0, 0, SHARED)));
});

const noMusl = succeeds("musl-gcc", "--version") ? null : "no musl-gcc";

leakTest("at() refuses what musl makes", { needs: [noMusl] }, async () => {
  using dir = scratch();
  const path = `${dir.path}/musl`;
  const source = `${dir.path}/musl.c`;
  await Deno.writeTextFile(source, MUSL);
  assert(succeeds("musl-gcc", "-static", "-o", path, source));
  const { stdout } = await new Deno.Command(path).output();
  using memory = anonymous();
  Object.values(CLASSES).forEach(({ type }, index) => {
    memory.bytes.fill(0);
    memory.write(0, stdout.subarray(64 * index, 64 * index + 64));
    assertThrows(() => type.at(memory, 0), TypeError, "musl");
  });
});

const MUSL = `
  #include <pthread.h>
  #include <unistd.h>
  static union { pthread_mutex_t m; pthread_cond_t c; pthread_rwlock_t r;
    pthread_barrier_t b; char bytes[64]; } all[4];
  int main(void) {
    pthread_mutexattr_t m; pthread_condattr_t c; pthread_rwlockattr_t r;
    pthread_barrierattr_t b;
    pthread_mutexattr_init(&m); pthread_condattr_init(&c);
    pthread_rwlockattr_init(&r); pthread_barrierattr_init(&b);
    pthread_mutexattr_setpshared(&m, 1); pthread_condattr_setpshared(&c, 1);
    pthread_rwlockattr_setpshared(&r, 1); pthread_barrierattr_setpshared(&b, 1);
    pthread_mutexattr_setrobust(&m, 1);
    pthread_mutex_init(&all[0].m, &m); pthread_cond_init(&all[1].c, &c);
    pthread_rwlock_init(&all[2].r, &r); pthread_barrier_init(&all[3].b, &b, 2);
    return write(1, all, sizeof all) != sizeof all;
  }`;

leakTest("a mutex that is overwritten while it is held", async () => {
  using memory = anonymous();
  const words = new Int32Array(memory.bytes.buffer, 0, 10);
  const other = PthreadMutex.init(memory, 64);
  const initial = new Int32Array(10);
  const fills: ((words: Int32Array) => void)[] = [
    (words) => words.fill(0),
    (words) => words.fill(-1),
    (words) => words.fill(0x41414141),
    (words) => words.fill(0x41414141, NEXT - 2), // the links only
    (words) => words[LOCK] = OTHER_THREAD,
    (words) => words[OWNER] = OTHER_THREAD,
    (words) => words[KIND] = 0,
    (words) => crypto.getRandomValues(words),
  ];
  for (const robust of [true, false]) {
    for (const fill of fills) {
      const mutex = PthreadMutex.init(memory, 0, { robust });
      initial.set(words);
      const outer = other.lockSync();
      const guard = mutex.lockSync();
      fill(words);
      for (const call of [() => mutex.tryLock(), () => outer.release()]) {
        try {
          call();
        } catch (error) {
          assert(error instanceof IpcError, `${error}`);
        }
      }
      try {
        guard.release();
      } catch (error) {
        assertEquals((error as IpcError).code, "EPERM");
      }
      other.lockSync().release();
      words.set(initial);
      PthreadMutex.init(memory, 0, { robust }).lockSync().release();
    }
  }
  // Bytes that say that somebody owns it are believed, for as long as one likes.
  const mutex = PthreadMutex.init(memory, 0);
  words[LOCK] = OTHER_THREAD | WAITERS;
  const limit = { timeout: 5 };
  assertThrows(() => mutex.lockSync(limit), DOMException);
  await assertRejects(() => mutex.lock(limit), DOMException);
});

leakTest("objects that are overwritten end no process", async () => {
  using memory = anonymous();
  for (const byte of [0x00, 0x41, 0x7f, 0x80, 0xff]) {
    for (const call of everything(memory)) {
      everything(memory);
      memory.bytes.fill(byte);
      try {
        const got = await call();
        if (Object(got) === got && "release" in (got as object)) {
          (got as Disposable)[Symbol.dispose]();
        }
      } catch (error) {
        const isKnown = error instanceof IpcError ||
          error instanceof DOMException || error instanceof TypeError;
        assert(isKnown, `${error}`);
      }
    }
  }
});

leakTest("PthreadMutex and robust mutexes of other code of the thread", () => {
  const libc = Deno.dlopen("libc.so.6", {
    pthread_mutex_lock: { parameters: ["pointer"], result: "i32" },
    pthread_mutex_unlock: { parameters: ["pointer"], result: "i32" },
  });
  const { pthread_mutex_lock, pthread_mutex_unlock } = libc.symbols;
  using memory = anonymous();
  const foreign = Deno.UnsafePointer.of(memory.bytes);
  PthreadMutex.init(memory, 0);
  const mutex = PthreadMutex.init(memory, 64);
  pthread_mutex_lock(foreign);
  const call = () => mutex.lockSync();
  assertRefused(call, "EBUSY", "pthread_mutex_lock");
  pthread_mutex_unlock(foreign);
  using _guard = mutex.lockSync();
  libc.close();
});

// --- Conditions, read-write locks, barriers ---------------------------------

leakTest("PthreadCondition: how waits end", async () => {
  using memory = anonymous();
  const mutex = PthreadMutex.init(memory, 0, { type: "recursive" });
  const condition = PthreadCondition.init(memory, 64, { clock: "monotonic" });
  const limit = { timeout: 5 };
  const never = () => false;

  let guard = mutex.lockSync();
  condition.waitSync(guard, () => true);
  await condition.wait(guard, () => true);
  const second = mutex.lockSync();
  assertThrows(() => condition.waitSync(guard, never), TypeError, "more than");
  second.release();
  assertThrows(() => condition.waitSync(guard, 1 as never), TypeError);
  assertThrows(() => condition.waitSync({} as never, never), TypeError);

  // What ends otherwise leaves the mutex unlocked, and the guard released.
  assertThrows(() => condition.waitSync(guard, never, limit), DOMException);
  assertEquals(mutex.ownerTid, undefined);
  assertThrows(() => condition.waitSync(guard, never), ClosedError);
  guard = mutex.lockSync();
  await assertRejects(() => condition.wait(guard, never, limit), DOMException);
  guard = mutex.lockSync();
  const fails = () => {
    throw new RangeError("predicate");
  };
  assertThrows(() => condition.waitSync(guard, fails), RangeError);
  assertEquals(mutex.ownerTid, undefined);
  guard = mutex.lockSync();
  let calls = 0;
  const later = () => ++calls < 3 ? false : fails();
  await assertRejects(() => condition.wait(guard, later), RangeError);
  assertEquals([calls, mutex.ownerTid], [3, undefined]);
  guard = mutex.lockSync();
  const closed = condition.wait(guard, never);
  await turns();
  memory.close();
  await assertRejects(() => closed, ClosedError);
  guard.release();
});

leakTest("PthreadRwLock: what a thread does that holds it", async () => {
  using memory = anonymous();
  const lock = PthreadRwLock.init(memory, 0, { prefer: "writer" });
  const NAME = "pthread_rwlock_trywrlock";
  {
    using _reader = lock.lockReadSync();
    using _second = lock.lockReadSync();
    assertRefused(() => lock.lockWriteSync(), "EDEADLK", NAME);
    await assertRejects(() => lock.lockWrite({ timeout: 1 }), DOMException);
    const init = () => PthreadRwLock.init(memory, 0);
    assertRefused(init, "EBUSY", "pthread_rwlock_init");
  }
  using _writer = lock.lockWriteSync();
  assertRefused(() => lock.lockWriteSync(), "EDEADLK", NAME);
  assertThrows(() => lock.lockReadSync(), IpcError, "EDEADLK");
  assert(lock.writerTid! > 0);
});

leakTest(
  "PthreadBarrier: rounds, and arrivals that are taken back",
  async () => {
    using memory = anonymous();
    const barrier = PthreadBarrier.init(memory, 0, { count: 3 });
    for (let round = 0; round < 5; round++) {
      const limit = { timeout: 5 };
      assertThrows(() => barrier.waitSync(limit), DOMException);
      const early = barrier.wait();
      await assertRejects(() => barrier.wait(limit), DOMException);
      const abort = new AbortController();
      const aborted = barrier.wait({ signal: abort.signal });
      abort.abort(round);
      assertEquals(await aborted.catch((reason) => reason), round);
      assertEquals(barrier.arrived, 1);
      const next = barrier.wait();
      assertEquals(barrier.tryWait(), true);
      assertEquals(await Promise.all([early, next]), [false, false]);
    }
    // All is counted from 0 again when glibc would begin anew.
    const words = new Int32Array(memory.bytes.buffer, 0, 5);
    const most = 0x7fffffff - 0x7fffffff % 3;
    words[0] = words[1] = words[4] = most - 3;
    const all = [barrier.wait(), barrier.wait(), barrier.wait()];
    assertEquals(await Promise.all(all), [false, false, true]);
    assertEquals([words[0], words[1], words[4]], [0, 0, 0]);
    const one = PthreadBarrier.init(memory, 64, { count: 1 });
    assertEquals([one.waitSync(), await one.wait()], [true, true]);
  },
);

leakTest("the objects of C show what they are", () => {
  using memory = anonymous();
  const mutex = PthreadMutex.init(memory, 0);
  const guard = mutex.lockSync();
  assertEquals(Deno.inspect(mutex), "PthreadMutex { offset: 0 }");
  assertEquals(
    Deno.inspect(guard),
    "PthreadGuard { ownerDied: false, released: false }",
  );
  guard.release();
  const rw = PthreadRwLock.init(memory, 64);
  assertEquals(Deno.inspect(rw), "PthreadRwLock { offset: 64 }");
  assertEquals(
    Deno.inspect(rw.tryLockRead()?.release()),
    "undefined",
  );
});
