/**
 * What must not end a process, lose a permit, or keep a wait for ever: closing, resizing
 * and overwriting under a wait, Workers that are terminated, callers that lie.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  PosixSemaphore,
  SysvSemaphore,
  SysvSemaphoreSet,
} from "../ffi/semaphore.ts";
import { SharedCondition, SharedMutex, SharedRwLock } from "../ffi/lock.ts";
import { placeOf } from "../ffi/kernel/mapping.ts";
import { wakeOne } from "../ffi/wait/futexes.ts";
import { blockedCalls } from "../ffi/wait/pool.ts";
import { assertPrinted } from "./support/asserts.ts";
import { compile, noCompiler } from "./support/c.ts";
import { inChild, spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { spawn, until } from "./support/process.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { settled, soon } from "./support/waits.ts";

const SIZE = PosixSemaphore.size;
const WAITERS = 1; // the place in a sem_t of how many wait
const PRIVATE = 2; // the place of a flag of futex(2)

// --- Closing, resizing and overwriting under a wait --------------------------

for (const what of ["semaphore.close", "map.close", "map.resize"]) {
  leakTest(
    `PosixSemaphore.acquire() does not use memory that is gone after ${what}() in the same tick`,
    async () => {
      // The 64th delivery lets the event loop run first, and one of 64 after it.
      const ends = await inChild(async (what) => {
        const { PosixSemaphore } = await import("../ffi/semaphore.ts");
        const { MemoryMap } = await import("../ffi/memory_map.ts");
        const ends = new Set<string>();
        for (const before of [63, ...Array(130).keys()]) {
          // Only private memory can be moved.
          using map = MemoryMap.anonymous(64, { private: true });
          using semaphore = PosixSemaphore.init(map.bytes, before);
          for (let i = 0; i < before; i++) await semaphore.acquire();
          const pending = semaphore.acquire();
          if (what === "semaphore.close") semaphore.close();
          else if (what === "map.close") map.close();
          else {
            try {
              map.resize(1 << 20);
            } catch (error) { // refused, because the wait uses the memory
              if (!(error instanceof TypeError)) throw error;
              semaphore.release();
            }
          }
          await pending.then(
            () => ends.add("taken"),
            ({ name }) => ends.add(name),
          );
        }
        return [...ends];
      }, { argument: what });
      // A resize is refused while a wait uses the memory.
      assertEquals(ends, [what === "map.resize" ? "taken" : "ClosedError"]);
    },
  );
}

leakTest("PosixSemaphore.acquire() ends when a name is closed", async () => {
  const told = await inChild(async () => {
    const { PosixSemaphore } = await import("../ffi/semaphore.ts");
    const ends = new Set<string>();
    for (const before of [63, ...Array(130).keys()]) {
      const semaphore = PosixSemaphore.create(null, before);
      PosixSemaphore.unlink(semaphore.name!);
      for (let i = 0; i < before; i++) await semaphore.acquire();
      const pending = semaphore.acquire();
      semaphore.close();
      await pending.catch(({ name }) => ends.add(name));
    }
    return [...ends];
  });
  assertEquals(told, ["ClosedError"]);
});

leakTest(
  "A wait for a semaphore that ends leaves no call on the pool",
  async () => {
    using set = SysvSemaphoreSet.create(null, [0]);
    using mutex = SharedMutex.create(null);
    const guard = mutex.lockSync();
    for (let round = 0; round < 8; round++) {
      const controller = new AbortController();
      const { signal } = controller;
      const waits = settled([
        set.operate([{ index: 0, delta: -1 }], { signal }),
        mutex.lock({ signal }),
      ]);
      await until(() => blockedCalls() === 2, "two calls");
      controller.abort();
      await waits;
      assertEquals(blockedCalls(), 0); // they were interrupted
    }
    guard.release();
    set.remove();
    mutex.remove();
  },
);

leakTest("PosixSemaphore refuses what has been overwritten", async () => {
  const told = await inChild(async () => {
    const { PosixSemaphore } = await import("../ffi/semaphore.ts");
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    using map = MemoryMap.anonymous(64);
    using semaphore = PosixSemaphore.init(map.bytes, 0);
    const permit = (semaphore.release(), semaphore.acquireSync());
    const pending = semaphore.acquire().catch(String);
    await new Promise((resolve) => setTimeout(resolve));
    map.bytes.fill(65);
    const told = [String(await pending)];
    const calls = [
      () => semaphore.acquireSync(),
      () => semaphore.acquireSync({ timeout: 1 }),
      () => semaphore.tryAcquire(),
      () => semaphore.release(),
      () => semaphore.value,
      () => permit.release(),
      () => semaphore.acquire(),
    ];
    for (const call of calls) {
      try {
        await call();
      } catch (error) {
        told.push(String(error));
      }
    }
    return told;
  });
  assertEquals(told.length, 8);
  for (const text of told) assert(text.includes("(EINVAL)"), text);
});

leakTest(
  "PosixSemaphore that is overwritten while a thread blocks is EINVAL",
  async () => {
    using dir = scratch();
    const path = dir.file("map");
    using map = MemoryMap.create(path, 64);
    using _semaphore = PosixSemaphore.init(map.bytes, 0);
    await using child = spawnCall(async (path: string) => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      using map = MemoryMap.open(path);
      using semaphore = PosixSemaphore.at(map.bytes);
      try {
        semaphore.acquireSync();
      } catch (error) {
        console.log((error as { code: string }).code);
      }
    }, { argument: path });
    const words = new Int32Array(map.bytes.buffer);
    await child.until(() => words[WAITERS] === 1, "wait");
    words[PRIVATE] = 65; // with which futex(2) fails, and libc would end the process
    await child.until(() => {
      wakeOne(placeOf("bytes", map.bytes).address);
      return child.stdout !== "";
    }, "error");
    assertPrinted(await child.ended(), "EINVAL");
  },
);

// --- Workers that are terminated ---------------------------------------------

/** Terminates a Worker that waits; then gives six, and looks how many can be had. */
async function givenAfterTermination(kind: string) {
  const { PosixSemaphore, SysvSemaphoreSet } = await import(
    "../ffi/semaphore.ts"
  );
  const module = import.meta.resolve("../ffi/semaphore.ts");
  const set = SysvSemaphoreSet.create(null, [0]);
  const named = PosixSemaphore.create(null, 0);
  const semaphore = kind === "posix"
    ? named
    : set.semaphore(0, { undo: false });
  const code = `
    import { PosixSemaphore, SysvSemaphoreSet } from "${module}";
    const semaphore = ${
    kind === "posix"
      ? `PosixSemaphore.open("${named.name}")`
      : `SysvSemaphoreSet.fromId(${set.id}).semaphore(0, { undo: false })`
  };
    for (let i = 0; i < 6; i++) semaphore.acquire();
    setTimeout(() => postMessage("waits"), 10);`;
  const url = `data:text/javascript,${encodeURIComponent(code)}`;
  const worker = new Worker(url, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  const tasks = () => Array.from(Deno.readDirSync("/proc/self/task")).length;
  const before = tasks();
  worker.terminate();
  while (tasks() >= before) await new Promise((end) => setTimeout(end, 1));
  for (let i = 0; i < 6; i++) semaphore.release();
  let had = 0;
  try {
    while (had < 6) {
      semaphore.acquireSync({ timeout: 3000 });
      had++;
    }
  } catch {
    // Lost.
  }
  PosixSemaphore.unlink(named.name!);
  set.remove();
  return had;
}

for (const kind of ["posix", "sysv"]) {
  leakTest(
    `No ${kind} permit is lost to a Worker that was terminated`,
    async () => {
      for (let round = 0; round < 3; round++) {
        assertEquals(
          await inChild(givenAfterTermination, { argument: kind }),
          6,
        );
      }
    },
  );
}

leakTest(
  "PosixSemaphore.acquireSync() is not left asleep by a wait of its thread",
  async () => {
    using dir = scratch();
    const path = dir.file("map");
    using map = MemoryMap.create(path, 64);
    const semaphore = PosixSemaphore.init(map.bytes, 0);
    await using child = spawnCall(async (path: string) => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      using map = MemoryMap.open(path);
      const semaphore = PosixSemaphore.at(map.bytes);
      const pending = semaphore.acquire();
      const words = new Int32Array(map.bytes.buffer);
      while (words[1] === 0) await new Promise((end) => setTimeout(end, 1));
      await new Promise((end) => setTimeout(end, 5)); // it sleeps in the kernel
      semaphore.acquireSync({ timeout: 20_000 });
      console.log("taken");
      semaphore.release();
      await pending;
      console.log("both");
    }, { argument: path });
    const words = new Int32Array(map.bytes.buffer);
    await child.until(() => words[WAITERS] === 2, "two that wait");
    semaphore.release();
    assertPrinted(await child.ended(), "taken", "both");
    assertEquals([semaphore.value, words[WAITERS]], [0, 0]);
  },
);

// --- Wake-ups ----------------------------------------------------------------

leakTest(
  "PosixSemaphore.acquire() passes on what wakes it as it is aborted",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    using map = MemoryMap.create(dir.file("map"), 64);
    const semaphore = PosixSemaphore.init(map.bytes, 0);
    const words = new Int32Array(map.bytes.buffer);
    const source = new URL("./interop/c/semaphore_peer.c", import.meta.url);
    await using peer = spawn(await compile(source), {
      args: ["map", dir.file("map"), "0"],
    });
    const ends = { aborted: 0, taken: 0 };
    for (let round = 0; round < 300; round++) {
      const controller = new AbortController();
      const end = semaphore.acquire({ signal: controller.signal })
        .then(() => "taken" as const, () => "aborted" as const);
      await until(() => words[WAITERS] === 1, "first wait");
      await new Promise((resolve) => setTimeout(resolve, 1)); // in the kernel
      await peer.send("wait");
      await until(() => words[WAITERS] === 2, "second wait");
      semaphore.release();
      if (round % 2 === 0) controller.abort();
      else setTimeout(() => controller.abort());
      const how = await end;
      ends[how]++;
      if (how === "taken") semaphore.release();
      assertEquals(await peer.line(), "taken");
    }
    assert(ends.aborted > 0, JSON.stringify(ends));
    assertEquals([semaphore.value, words[WAITERS]], [0, 0]);
    await peer.closeStdin();
  },
);

leakTest("PosixSemaphore: 100 waits of one object are one", async () => {
  using map = MemoryMap.anonymous(64);
  using semaphore = PosixSemaphore.init(map.bytes, 0);
  const words = new Int32Array(map.bytes.buffer);
  const served: number[] = [];
  const all = Array.from({ length: 100 }, async (_, index) => {
    await semaphore.acquire();
    served.push(index);
  });
  await until(() => words[WAITERS] === 1, "wait");
  assertEquals(blockedCalls(), 0);
  for (let i = 0; i < 100; i++) semaphore.release();
  await soon(Promise.all(all));
  assertEquals(served, Array.from(served.keys()));
  assertEquals([semaphore.value, words[WAITERS]], [0, 0]);
});

leakTest(
  "PosixSemaphore.acquire() waits under a permission for libc alone",
  async () => {
    using semaphore = PosixSemaphore.create(uniqueName(), 0);
    const name = semaphore.name!;
    const arch = Deno.build.arch;
    const paths = [`/lib/${arch}-linux-gnu/libc.so.6`, "/lib64/libc.so.6"]
      .filter((path) => {
        try {
          return Deno.statSync(path).isFile;
        } catch {
          return false;
        }
      });
    await using child = spawnCall(async (name: string) => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      using semaphore = PosixSemaphore.open(name);
      const pending = semaphore.acquire();
      const closed = PosixSemaphore.open(name);
      const end = closed.acquire().catch(({ name }) => name);
      closed.close();
      console.log(await end);
      await pending;
      semaphore.acquireSync();
      console.log("taken");
    }, { argument: name, permissions: [`--allow-ffi=${paths}`] });
    assertEquals(await child.line(), "ClosedError");
    semaphore.release();
    semaphore.release();
    assertPrinted(await child.ended(), "ClosedError", "taken");
    PosixSemaphore.unlink(name);
  },
);

// --- System V: probes --------------------------------------------------------

leakTest("SysvSemaphoreSet.operate() waits with any list", async () => {
  using set = SysvSemaphoreSet.create(null, [2, 1, 0]);
  const operations = [
    { index: 0, delta: -2 },
    { index: 1, delta: 0 },
    { index: 0, delta: 3 },
    { index: 2, delta: -1 },
    { index: 2, delta: 0 },
  ];
  const done = set.operate(operations);
  for (const [index, values] of [[1, [2, 0, 0]], [2, [2, 0, 1]]] as const) {
    await until(() => {
      const { increase, zero } = set.waiters(index);
      return increase + zero === 1;
    }, "wait");
    set.setAll(values);
  }
  await soon(done);
  assertEquals(set.getAll(), [3, 0, 0]);
  set.remove();
});

leakTest(
  "SysvSemaphoreSet.operate() waits with more than half of SEMOPM",
  async () => {
    const sem = Deno.readTextFileSync("/proc/sys/kernel/sem").split(/\s+/);
    const most = Number(sem[2]);
    using set = SysvSemaphoreSet.create(null, [0]);
    const all = Array(most).fill({ index: 0, delta: -1 });
    const done = set.operate(all);
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(blockedCalls(), 0, "no call that ends at once");
    set.setValue(0, most);
    await soon(done);
    assertEquals(set.getAll(), [0]);
    set.remove();
  },
);

leakTest(
  "A lock says EACCES where it may not wait, and takes no turn there",
  { needs: [noOtherUser] },
  async () => {
    const ended = await runAsNobody(`
      import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
      import { SharedMutex, SharedRwLock } from "@linux/ipc/lock";
      // Between two looks at the clock a waiter has competed for long enough.
      const now = performance.now.bind(performance);
      let ahead = 0;
      performance.now = () => now() + (ahead += 10);
      using mutex = SharedMutex.create(null);
      using lock = SharedRwLock.create(null);
      const timeout = 60_000;
      const codes = [];
      for (const [{ id }, values, waits] of [
        [mutex, [1, 1, 0], [
          () => mutex.lock({ timeout }),
          () => mutex.lockSync({ timeout }),
        ]],
        [lock, [1, 1, 0, 0, 0], [
          () => lock.lockRead({ timeout }),
          () => lock.lockReadSync({ timeout }),
          () => lock.lockWrite({ timeout }),
          () => lock.lockWriteSync({ timeout }),
        ]],
      ]) {
        using set = SysvSemaphoreSet.fromId(id);
        set.setAll(values); // locked
        for (const wait of waits) {
          set.change({ mode: 0o200 });
          codes.push(await (async () => await wait())().catch(({ code }) => code));
          set.change({ mode: 0o600 });
          codes.push(set.getAll().join() === values.join());
        }
      }
      console.log(codes.join());
      mutex.remove();
      lock.remove();`);
    assertPrinted(ended, Array(6).fill("EACCES,true").join());
  },
);

// --- Callers that lie ----------------------------------------------------------

leakTest("No class of semaphores can be constructed from outside", async () => {
  using set = SysvSemaphoreSet.create(null, [1]);
  using mutex = SharedMutex.create(null);
  using lock = SharedRwLock.create(null);
  using map = MemoryMap.anonymous(SIZE);
  const permit = PosixSemaphore.init(map.bytes, 1).acquireSync();
  const owner = mutex.lockSync();
  const reader = lock.lockReadSync();
  const classes = [
    PosixSemaphore,
    SysvSemaphoreSet,
    SysvSemaphore,
    SharedMutex,
    SharedRwLock,
    SharedCondition,
    ...[permit, owner, reader].map((object) => object.constructor),
  ];
  for (const each of classes) {
    const construct = each as unknown as new (...args: unknown[]) => unknown;
    for (const args of [[], [null, 4096n], [{ id: 0 }], ["/x", 0n, {}]]) {
      assertThrows(() => new construct(...args), TypeError, "construct");
    }
  }
  owner.release();
  reader.release();
  for (const object of [set, mutex, lock]) object.remove();
  await null;
});

leakTest("PosixSemaphore looks at the bytes themselves", () => {
  using map = MemoryMap.anonymous(4096);
  class Liar extends Uint8Array<ArrayBuffer> {
    override get length() {
      return SIZE;
    }
    override get byteLength() {
      return SIZE;
    }
    override get byteOffset() {
      return 0;
    }
  }
  const { buffer } = map.bytes;
  const short = new Liar(buffer, 4096 - 8, 8);
  for (const use of [PosixSemaphore.at, PosixSemaphore.init]) {
    assertThrows(() => use(short, 1), RangeError, "at least 32 bytes");
  }
  const odd = new Liar(buffer, 4);
  assertThrows(() => PosixSemaphore.init(odd, 1), RangeError, "multiple of 8");
  const foreign = new Uint8Array(64);
  Object.defineProperty(foreign, "buffer", { value: buffer });
  assertThrows(() => PosixSemaphore.init(foreign, 1), TypeError, '"bytes"');
  assertEquals(map.read(0, 4096), new Uint8Array(4096));
});

leakTest("Semaphores call no method that a caller has replaced", async () => {
  using map = MemoryMap.anonymous(SIZE);
  using posix = PosixSemaphore.init(map.bytes, 1);
  using set = SysvSemaphoreSet.create(null, [1]);
  const sysv = set.semaphore(0);
  const lie = () => {
    throw new Error("called");
  };
  for (const semaphore of [posix, sysv]) {
    Object.assign(semaphore, { release: lie, tryAcquire: lie });
    for (const key of ["name", "index"]) {
      if (!(key in semaphore)) continue;
      assertThrows(() => Object.assign(semaphore, { [key]: 7 }), TypeError);
    }
    semaphore.acquireSync().release();
    (await semaphore.acquire()).release();
    assertEquals(semaphore.value, 1);
  }
  Object.defineProperty(set, "size", { value: 100 });
  const beyond = [{ index: 5, delta: 1 }];
  assertThrows(() => set.tryOperate(beyond), RangeError, "index");
  using mutex = SharedMutex.create(null);
  using condition = SharedCondition.create(null);
  Object.assign(mutex, { lock: lie, lockSync: lie });
  const guard = await condition.lockWhen(mutex, () => true);
  assertThrows(() => Object.assign(guard, { ownerDied: 1 }), TypeError);
  guard.release();
  condition.lockWhenSync(mutex, () => true).release();
  const fake = Object.create(SharedMutex.prototype);
  assertThrows(() => condition.lockWhenSync(fake, () => true), TypeError);
  for (const object of [set, mutex, condition]) object.remove();
});

leakTest("SysvSemaphoreSet reads what it is given once", () => {
  using set = SysvSemaphoreSet.create(null, [1, 1]);
  let asked = 0;
  /** An object whose properties have other values the second time. */
  const once = (values: Record<string, unknown>, later: unknown) => {
    const seen = new Set<PropertyKey>();
    return new Proxy(values, {
      get(target, key) {
        asked++;
        if (seen.has(key)) return later;
        seen.add(key);
        return Reflect.get(target, key);
      },
    });
  };
  const values = { length: 2, 0: 3, 1: 4 };
  set.setAll(once(values, 100_000) as unknown as number[]);
  assertEquals(set.getAll(), [3, 4]);
  set.change(once({ mode: 0o640 }, 0o7777));
  assertEquals(set.stat().mode, 0o640);
  const list = new Proxy([{ index: 0, delta: 1 }], {
    get(target, key) {
      if (key === "length") return asked++ % 2 === 0 ? 1 : 0;
      return Reflect.get(target, key);
    },
  });
  asked = 0;
  assert(set.tryOperate(list));
  const element = once({ index: 0, delta: 1, undo: false }, 9) as {
    index: number;
    delta: number;
  };
  assert(set.tryOperate([element]));
  assertEquals(set.getAll(), [5, 4]);
  set.remove();
});

leakTest("Waits for semaphores take AbortSignals only", async () => {
  using map = MemoryMap.anonymous(SIZE);
  using posix = PosixSemaphore.init(map.bytes, 0);
  using set = SysvSemaphoreSet.create(null, [0]);
  using mutex = SharedMutex.create(null);
  using lock = SharedRwLock.create(null);
  using condition = SharedCondition.create(null);
  const fake = { aborted: false, addEventListener() {} };
  for (const signal of [fake, null, 5, new EventTarget()]) {
    const options = { signal: signal as unknown as AbortSignal };
    for (
      const call of [
        () => posix.acquire(options),
        () => set.operate([{ index: 0, delta: -1 }], options),
        () => set.semaphore(0).acquire(options),
        () => mutex.lock(options),
        () => lock.lockRead(options),
        () => lock.lockWrite(options),
        () => condition.lockWhen(mutex, () => false, options),
      ]
    ) await assertRejects(call, TypeError, '"signal"');
  }
  for (const object of [set, mutex, lock, condition]) object.remove();
});
