import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { showKey } from "../ffi/arguments.ts";
import {
  ClosedError,
  IpcError,
  type SysvSemaphoreOperation,
  SysvSemaphoreSet,
} from "../ffi/semaphore.ts";
import { blockedCalls } from "../ffi/wait/pool.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { compile, noCompiler } from "./support/c.ts";
import { inChild, runCall, spawnCall } from "./support/child.ts";
import { kill, killAll } from "./support/kills.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { uniqueKey } from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import { run, until } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { NOBODY, noOtherUser, runAsNobody } from "./support/user.ts";
import { raceAborts, settled } from "./support/waits.ts";
import { Words } from "./support/words.ts";

const MAX = 32767;
const SEM = "/proc/sys/kernel/sem";

// --- Helpers ----------------------------------------------------------------

/** A private set, which its `using` block removes. */
function newSet(...values: number[]) {
  const set = SysvSemaphoreSet.create(null, values);
  const remove = () => {
    if (exists(set.id)) SysvSemaphoreSet.fromId(set.id).remove();
    set.close();
  };
  return { set, id: set.id, [Symbol.dispose]: remove };
}

function exists(id: number): boolean {
  return sysvTable("sem").some(({ semid }) => semid === id);
}

function take(index: number, delta = -1): SysvSemaphoreOperation[] {
  return [{ index, delta }];
}

/** Waits until a process waits in the kernel. */
async function untilWaiting(
  set: SysvSemaphoreSet,
  index: number,
  count = 1,
): Promise<void> {
  for (;;) {
    const { increase, zero } = set.waiters(index);
    if (increase + zero >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Waits until the calls that were abandoned have ended. */
async function untilIdle(): Promise<void> {
  await until(() => blockedCalls() === 0, "idle pool");
}

/** What the code of another user's children begins with. */
const PRELUDE = `
  import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
  /** What a call returns, or how it fails, as one line. */
  function told(call) {
    try {
      return JSON.stringify(call()) ?? "done";
    } catch (error) {
      return [error.name, error.code, error.syscall].join(" ").trim();
    }
  }
`;

const noNamespace = reasonAgainst(
  "make an IPC namespace",
  ["unshare", "-i", "sh", "-c", `cat ${SEM} > ${SEM}`],
);

/** A wrapper that runs a command among these limits, and among no other sets. */
function limited(limits: string): string[] {
  const script = `echo ${limits} > ${SEM}; exec "$@"`;
  return ["unshare", "-i", "sh", "-c", script, "sh"];
}

// --- create, open, remove ---------------------------------------------------

leakTest("SysvSemaphoreSet.create() makes a set with its values", () => {
  for (const values of [[0], [1], [MAX], [0, 1, 2, MAX], Array(500).fill(3)]) {
    const key = uniqueKey();
    using set = SysvSemaphoreSet.create(key, values);
    assertEquals([set.size, set.getAll()], [values.length, values]);
    using opened = SysvSemaphoreSet.open(key);
    assertEquals([opened.id, opened.size], [set.id, values.length]);
    using found = SysvSemaphoreSet.fromId(set.id);
    assertEquals([found.id, found.getAll()], [set.id, values]);
    set.remove();
    assert(!exists(set.id));
  }
});

leakTest(
  "SysvSemaphoreSet.create() takes typed arrays, and keys of all signs",
  () => {
    for (const key of [-1, 0x80000000, 0xffffffff, -0x80000000, 1]) {
      if (
        sysvTable("sem").some((row) => (row.key! | 0) === (key | 0))
      ) continue;
      using set = SysvSemaphoreSet.create(key, Uint16Array.of(5, 6));
      assertEquals([set.stat().key, set.getAll()], [key >>> 0, [5, 6]]);
      set.remove();
    }
  },
);

leakTest("SysvSemaphoreSet.create() fails where the key is taken", () => {
  const key = uniqueKey();
  using set = SysvSemaphoreSet.create(key, [1]);
  const error = assertRefused(
    () => SysvSemaphoreSet.create(key, [7, 7]),
    "EEXIST",
    "semget",
  );
  assertEquals(
    error.message,
    `semget semaphore set key ${showKey(key)}: File exists (EEXIST)`,
  );
  assertEquals(set.getAll(), [1]);
  set.remove();
});

leakTest(
  "SysvSemaphoreSet.create(null) makes another private set each time",
  () => {
    using one = newSet(1);
    using two = newSet(1);
    assertNotEquals(one.id, two.id);
    assertEquals(one.set.stat().key, 0);
  },
);

leakTest(
  "SysvSemaphoreSet.open() and fromId() fail where there is none",
  () => {
    const key = uniqueKey();
    const error = assertRefused(
      () => SysvSemaphoreSet.open(key),
      "ENOENT",
      "semget",
    );
    assertEquals(error.subject, `semaphore set key ${showKey(key)}`);
    const { id } = newSet(1);
    using set = SysvSemaphoreSet.fromId(id);
    set.remove();
    assertRefused(() => SysvSemaphoreSet.fromId(id), "EIDRM", "semctl");
  },
);

leakTest("SysvSemaphoreSet.openOrCreate() makes one set", () => {
  const key = uniqueKey();
  using made = SysvSemaphoreSet.openOrCreate(key, [3, 4]);
  using opened = SysvSemaphoreSet.openOrCreate(key, [5]);
  assertEquals([opened.id, opened.size], [made.id, 2]);
  assertEquals(opened.getAll(), [3, 4]);
  const larger = () => SysvSemaphoreSet.openOrCreate(key, [1, 2, 3]);
  assertEquals(assertRefused(larger, "EINVAL", "semget").limit, undefined);
  made.remove();
  using again = SysvSemaphoreSet.openOrCreate(key, [5]);
  assertEquals(again.getAll(), [5]);
  again.remove();
});

leakTest("SysvSemaphoreSet refuses what is no key, value, mode or id", () => {
  const { create, open, openOrCreate, fromId } = SysvSemaphoreSet;
  for (const key of [0, 1.5, NaN, 2 ** 32, -(2 ** 31) - 1]) {
    assertThrows(() => SysvSemaphoreSet.create(key, [1]), RangeError, '"key"');
    assertThrows(() => SysvSemaphoreSet.open(key), RangeError, '"key"');
    const call = () => SysvSemaphoreSet.openOrCreate(key, [1]);
    assertThrows(call, RangeError, '"key"');
  }
  assertEquals([create, open, openOrCreate, fromId].length, 4);
  for (const key of ["1", 1n, undefined, {}]) {
    const wrong = key as unknown as number;
    const call = () => SysvSemaphoreSet.create(wrong, [1]);
    assertThrows(call, TypeError, '"key"');
  }
  for (const key of [null]) {
    const wrong = key as unknown as number;
    assertThrows(() => SysvSemaphoreSet.open(wrong), TypeError, '"key"');
  }
  const ways = [
    (values: number[]) => SysvSemaphoreSet.create(null, values),
    (values: number[]) => SysvSemaphoreSet.openOrCreate(uniqueKey(), values),
  ];
  for (const way of ways) {
    assertThrows(() => way([]), RangeError, '"values"');
    for (const value of [-1, 1.5, NaN, MAX + 1, 65536]) {
      assertThrows(() => way([1, value]), RangeError, '"values[1]"');
    }
    for (const value of ["1", 1n, null, undefined]) {
      const wrong = [value] as unknown as number[];
      assertThrows(() => way(wrong), TypeError, '"values[0]"');
    }
    for (const values of [5, null, undefined, {}, "12"]) {
      const wrong = values as unknown as number[];
      assertThrows(() => way(wrong), TypeError, '"values"');
    }
  }
  for (const mode of [-1, 0o1000, 1.5]) {
    const call = () => SysvSemaphoreSet.create(null, [1], { mode });
    assertThrows(call, RangeError, '"mode"');
  }
  for (const id of [-1, 1.5, 2 ** 31]) {
    assertThrows(() => SysvSemaphoreSet.fromId(id), RangeError, '"id"');
  }
  for (const timeout of [-1, NaN]) {
    const call = () => SysvSemaphoreSet.open(uniqueKey(), { timeout });
    assertThrows(call, RangeError, '"timeout"');
  }
});

leakTest(
  "SysvSemaphoreSet.remove() is EIDRM to all who come after",
  async () => {
    const place = newSet(0);
    const { set } = place;
    using other = SysvSemaphoreSet.fromId(place.id);
    const semaphore = set.semaphore(0);
    other.remove();
    for (
      const call of [
        () => set.getAll(),
        () => set.setAll([1]),
        () => set.getValue(0),
        () => set.setValue(0, 1),
        () => set.lastPid(0),
        () => set.waiters(0),
        () => set.stat(),
        () => set.change({ mode: 0o600 }),
        () => set.remove(),
        () => semaphore.value,
      ]
    ) assertRefused(call, "EIDRM", "semctl");
    for (
      const call of [
        () => set.operateSync(take(0)),
        () => set.tryOperate(take(0)),
        () => semaphore.acquireSync(),
        () => semaphore.tryAcquire(),
        () => semaphore.release(),
      ]
    ) assertRefused(call, "EIDRM", "semop");
    const timed = () => set.operateSync(take(0), { timeout: 1 });
    assertRefused(timed, "EIDRM", "semtimedop");
    for (
      const call of [() => set.operate(take(0)), () => semaphore.acquire()]
    ) assertEquals((await assertRejects(call, IpcError)).code, "EIDRM");
    set.close();
  },
);

leakTest("SysvSemaphoreSet fails after close(), in every way", async () => {
  using place = newSet(1);
  const { set } = place;
  const semaphore = set.semaphore(0);
  set.close();
  set.close();
  set[Symbol.dispose]();
  const subject = "Cannot use private semaphore set: it is closed";
  for (
    const call of [
      () => set.getAll(),
      () => set.setAll([1]),
      () => set.getValue(0),
      () => set.setValue(0, 1),
      () => set.lastPid(0),
      () => set.waiters(0),
      () => set.stat(),
      () => set.change({ mode: 0o600 }),
      () => set.remove(),
      () => set.operateSync(take(0)),
      () => set.operateSync(take(0), { timeout: 1 }),
      () => set.tryOperate(take(0)),
      () => semaphore.value,
      () => semaphore.acquireSync(),
      () => semaphore.tryAcquire(),
      () => semaphore.release(),
    ]
  ) assertThrows(call, ClosedError, subject);
  for (
    const call of [() => set.operate(take(0)), () => semaphore.acquire()]
  ) await assertRejects(call, ClosedError, subject);
  assert(exists(place.id));
});

leakTest("SysvSemaphoreSet.stat(), set() and list() tell of the set", () => {
  const key = uniqueKey();
  const start = Math.floor(Date.now() / 1000) * 1000;
  using set = SysvSemaphoreSet.create(key, [1, 2], { mode: 0o640 });
  const { operated, changed, ...rest } = set.stat();
  assertEquals(rest, {
    key,
    size: 2,
    mode: 0o640,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
    creatorUid: Deno.uid()!,
    creatorGid: Deno.gid()!,
  });
  for (const time of [operated!, changed]) {
    assert(time.getTime() >= start - 1000 && time.getTime() <= Date.now());
  }
  const entry = () => SysvSemaphoreSet.list().find(({ id }) => id === set.id);
  assertEquals(entry(), { id: set.id, ...set.stat() });
  set.change({ mode: 0o604 });
  assertEquals(set.stat().mode, 0o604);
  set.change({});
  assertEquals(entry()!.mode, 0o604);
  for (const mode of [-1, 0o1000]) {
    assertThrows(() => set.change({ mode }), RangeError, '"mode"');
  }
  for (const uid of [-1, 2 ** 32 - 1, 1.5]) {
    assertThrows(() => set.change({ uid }), RangeError, '"uid"');
    assertThrows(() => set.change({ gid: uid }), RangeError, '"gid"');
  }
  set.remove();
  assertEquals(entry(), undefined);
});

leakTest("SysvSemaphoreSet.create() gives exactly the mode", () => {
  const umask = Deno.umask(0o077);
  for (const mode of [0, 0o400, 0o200, 0o600, 0o666, 0o777]) {
    using set = SysvSemaphoreSet.create(null, [1], { mode });
    const { id } = set;
    const row = sysvTable("sem").find(({ semid }) => semid === id)!;
    assertEquals(row.perms! & 0o777, mode);
    set.remove();
  }
  Deno.umask(umask);
});

// --- Permissions and limits -------------------------------------------------

leakTest(
  "SysvSemaphoreSet grants another user what the mode says",
  { needs: [noOtherUser] },
  async () => {
    const keys = [0o600, 0o604, 0o602, 0o606].map((mode) => {
      const key = uniqueKey();
      SysvSemaphoreSet.create(key, [1, 0], { mode }).close();
      return key;
    });
    const ended = await runAsNobody(`${PRELUDE}
      for (const key of ${JSON.stringify(keys)}) {
        using set = SysvSemaphoreSet.open(key);
        console.log(set.size);
        console.log(told(() => set.getAll()));
        console.log(told(() => set.stat().size));
        console.log(told(() => set.waiters(0)));
        console.log(told(() => set.lastPid(0) > 0));
        console.log(told(() => set.tryOperate([{ index: 1, delta: 0 }])));
        console.log(told(() => set.tryOperate([{ index: 0, delta: -1 }])));
        console.log(told(() => set.setValue(0, 1)));
        console.log(told(() => set.setAll([1, 0])));
        console.log(told(() => set.change({ mode: 0o666 })));
        console.log(told(() => set.remove()));
        console.log(told(() => SysvSemaphoreSet.openOrCreate(key, [1]).size));
        console.log(told(() => SysvSemaphoreSet.fromId(set.id).size));
        console.log(told(() =>
          SysvSemaphoreSet.list().find(({ id }) => id === set.id).size));
      }`);
    const [ctl, op] = ["IpcError EACCES semctl", "IpcError EACCES semop"];
    const eperm = "IpcError EPERM semctl";
    const get = "IpcError EACCES semget";
    const noRead = [ctl, ctl, ctl, ctl, op];
    const read = ["[1,0]", "2", '{"increase":0,"zero":0}', "true", "true"];
    assertPrinted(
      ended,
      ...["2", ...noRead, op, ctl, ctl, ctl, eperm, get, "2", "2"],
      ...["2", ...read, op, ctl, ctl, eperm, eperm, get, "2", "2"],
      ...["2", ...noRead, "true", "done", "done", ctl, eperm, get, "2", "2"],
      ...["2", ...read, "true", "done", "done", eperm, eperm, "2", "2", "2"],
    );
    for (const key of keys) {
      using set = SysvSemaphoreSet.open(key);
      set.remove();
    }
  },
);

leakTest(
  "SysvSemaphoreSet can be given to another user",
  { needs: [noOtherUser] },
  async () => {
    using place = newSet(1);
    place.set.change({ uid: NOBODY, gid: NOBODY, mode: 0o600 });
    const { uid, gid, creatorUid } = place.set.stat();
    assertEquals([uid, gid, creatorUid], [NOBODY, NOBODY, Deno.uid()!]);
    const ended = await runAsNobody(`${PRELUDE}
      using set = SysvSemaphoreSet.fromId(${place.id});
      console.log(set.semaphore(0).tryAcquire() !== undefined);
      set.remove();`);
    assertPrinted(ended, "true");
    assert(!exists(place.id));
  },
);

leakTest(
  "SysvSemaphoreSet.create() makes sets that their makers may not use",
  { needs: [noOtherUser] },
  async () => {
    const ended = await runAsNobody(`${PRELUDE}
      for (const mode of [0, 0o400, 0o200, 0o066]) {
        using set = SysvSemaphoreSet.create(null, [1], { mode });
        console.log(told(() => set.getAll()), told(() =>
          set.tryOperate([{ index: 0, delta: -1 }])));
        set.remove();
      }`);
    const [ctl, op] = ["IpcError EACCES semctl", "IpcError EACCES semop"];
    assertPrinted(
      ended,
      `${ctl} ${op}`,
      `[1] ${op}`,
      `${ctl} true`,
      `${ctl} ${op}`,
    );
  },
);

leakTest(
  "SysvSemaphoreSet names the limit that it ran into",
  { needs: [noNamespace] },
  async () => {
    const told = await inChild(async () => {
      const { IpcError, SysvSemaphoreSet } = await import(
        "../ffi/semaphore.ts"
      );
      const said = (call: () => unknown) => {
        try {
          call();
          return "returns";
        } catch (error) {
          if (!(error instanceof IpcError)) throw error;
          return `${error.code} ${error.limit?.name} ${error.limit?.value}`;
        }
      };
      const create = (size: number) =>
        SysvSemaphoreSet.create(null, Array(size).fill(1));
      const told = [
        said(() => create(6)),
        said(() => SysvSemaphoreSet.openOrCreate(7, Array(6).fill(1))),
      ];
      using first = create(5);
      const nothing = { index: 0, delta: 0 };
      const more = { index: 0, delta: 1 };
      told.push(
        said(() => first.tryOperate(Array(4).fill(nothing))),
        said(() => first.operateSync(Array(3).fill(more))),
        said(() => create(4)),
        said(() => create(2)),
        said(() => create(1)),
        said(() => create(1)),
      );
      const { length } = SysvSemaphoreSet.list();
      for (const { id } of SysvSemaphoreSet.list()) {
        SysvSemaphoreSet.fromId(id).remove();
      }
      return [...told, `${length} sets`, SysvSemaphoreSet.list().length];
    }, { wrapper: limited("5 8 3 3") });
    assertEquals(told, [
      `EINVAL SEMMSL (${SEM}) 5`,
      `EINVAL SEMMSL (${SEM}) 5`,
      `E2BIG SEMOPM (${SEM}) 3`,
      "returns",
      `ENOSPC SEMMNS (${SEM}) 8`,
      "returns",
      "returns",
      `ENOSPC SEMMNS (${SEM}) 8`,
      "3 sets",
      0,
    ]);
  },
);

// --- Creating and initialising ----------------------------------------------

leakTest(
  "SysvSemaphoreSet.openOrCreate() makes one set for all who hurry",
  { soak: "also", limit: 120_000 },
  async () => {
    using start = new Words(1);
    const times = rounds(50, 500);
    const first = uniqueKey();
    await using all = new AsyncDisposableStack();
    const children = [0, 1, 2, 3].map(() =>
      all.use(spawnCall(async ({ id, first, times }) => {
        const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
        const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
        using memory = SysvSharedMemory.fromId(id);
        const start = new Int32Array(memory.bytes.buffer);
        for (let round = 0; round < times; round++) {
          Atomics.add(start, 0, 1);
          while (Atomics.load(start, 0) < 4 * (round + 1));
          using set = SysvSemaphoreSet.openOrCreate(first + round, [9, 10]);
          // Who saw it without its values would change them too early.
          set.operateSync([{ index: 1, delta: 1 }, { index: 0, delta: -1 }]);
        }
      }, { argument: { id: start.id, first, times }, limit: 100_000 }))
    );
    for (const child of children) assertPrinted(await child.ended());
    assertEquals(start.words[0], 4 * times);
    for (let round = 0; round < times; round++) {
      using set = SysvSemaphoreSet.open(first + round);
      assertEquals(set.getAll(), [5, 14]);
      set.remove();
    }
  },
);

/** Makes a set as a C program may: KEY, and "get", "setval" or "op". */
async function makeInC(key: number, how: string): Promise<void> {
  const program = await compile(
    new URL("./interop/c/semaphore_set_make.c", import.meta.url),
  );
  assertEquals((await run(program, { args: [`${key}`, how] })).code, 0);
}

leakTest(
  "SysvSemaphoreSet.open() does not open a set that is not initialised",
  { needs: [noCompiler] },
  async () => {
    {
      const [how, value] = ["get", 0];
      const key = uniqueKey();
      await makeInC(key, how);
      for (const timeout of [0, 20]) {
        for (
          const call of [
            () => SysvSemaphoreSet.open(key, { timeout }),
            () => SysvSemaphoreSet.openOrCreate(key, [1], { timeout }),
          ]
        ) {
          const start = performance.now();
          const error = assertThrows(call, DOMException);
          assert(performance.now() - start >= timeout);
          assertEquals(error.name, "TimeoutError");
          assert(
            error.message.includes(
              `key ${showKey(key)} to be initialised`,
            ),
          );
          assert(error.message.includes("{ untouched: true }"), error.message);
        }
      }
      const untouched = true;
      using opened = SysvSemaphoreSet.open(key, { untouched });
      assertEquals([opened.getAll(), opened.stat().operated], [[value], null]);
      using same = SysvSemaphoreSet.openOrCreate(key, [9], { untouched });
      assertEquals(same.getAll(), [value]);
      same.remove();
    }
    const key = uniqueKey();
    await makeInC(key, "op");
    using opened = SysvSemaphoreSet.open(key, { timeout: 0 });
    assertEquals(opened.getAll(), [1]);
    opened.remove();
  },
);

leakTest(
  "SysvSemaphoreSet.open() opens a set whose values were only set",
  { needs: [noCompiler] },
  async () => {
    const open = (key: number, timeout?: number) => [
      SysvSemaphoreSet.open(key, { timeout }),
      SysvSemaphoreSet.openOrCreate(key, [9], { timeout }),
    ];
    for (const [how, values] of [["setval", [3]], ["zero", [0]]] as const) {
      for (const timeout of [undefined, 0]) {
        const key = uniqueKey();
        await makeInC(key, how);
        for (const opened of open(key, timeout)) {
          assertEquals(opened.getAll(), [...values]);
          assertEquals(opened.stat().operated, null);
          opened.close();
        }
        SysvSemaphoreSet.open(key).remove();
      }
    }
    // One of two is set: the creator may set the other one later.
    const key = uniqueKey();
    await makeInC(key, "some");
    assertThrows(
      () => SysvSemaphoreSet.open(key, { timeout: 0 }),
      DOMException,
    );
    using opened = SysvSemaphoreSet.open(key, { timeout: 20_000 });
    assertEquals(opened.getAll(), [3, 0]);
    opened.remove();
  },
);

/** How often a process has gone to sleep. */
function pauses(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(status.match(/^voluntary_ctxt_switches:\s*(\d+)/m)![1]);
}

leakTest(
  "SysvSemaphoreSet.open() waits for the values",
  { needs: [noCompiler] },
  async () => {
    for (const how of ["open", "openOrCreate", "removed"]) {
      const key = uniqueKey();
      await makeInC(key, "get");
      await using child = spawnCall(async ({ key, how }) => {
        const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
        console.log("up");
        const timeout = 20_000;
        const set = how === "open"
          ? SysvSemaphoreSet.open(key, { timeout })
          : SysvSemaphoreSet.openOrCreate(key, [9], { timeout });
        console.log(`${set.getAll()}`);
      }, { argument: { key, how } });
      assertEquals(await child.line(), "up");
      const before = pauses(child.pid);
      await child.until(() => pauses(child.pid) > before + 10, "pauses");
      assertEquals(child.unread, "");
      using set = SysvSemaphoreSet.open(key, { untouched: true });
      if (how === "removed") {
        set.remove();
        assertPrinted(await child.ended(), "up", "9");
        using made = SysvSemaphoreSet.open(key);
        made.remove();
        continue;
      }
      set.setValue(0, 6);
      set.operateSync(take(0, 1));
      assertPrinted(await child.ended(), "up", "7");
      set.remove();
    }
  },
);

// --- Values -----------------------------------------------------------------

leakTest("SysvSemaphoreSet gets and sets values", () => {
  using place = newSet(1, 2, 3);
  const { set } = place;
  set.setValue(1, MAX);
  assertEquals([set.getValue(0), set.getValue(1)], [1, MAX]);
  assertEquals(set.getAll(), [1, MAX, 3]);
  set.setAll(Int16Array.of(7, 8, 9));
  assertEquals(set.getAll(), [7, 8, 9]);
  for (const values of [[1], [1, 2, 3, 4]]) {
    assertThrows(() => set.setAll(values), RangeError, "must have 3 numbers");
  }
  for (const value of [-1, MAX + 1, 1.5]) {
    assertThrows(() => set.setValue(0, value), RangeError, '"value"');
    assertThrows(() => set.setAll([1, 2, value]), RangeError, '"values[2]"');
  }
  for (const index of [-1, 3, 1.5, NaN, 65536]) {
    for (
      const call of [
        () => set.getValue(index),
        () => set.setValue(index, 1),
        () => set.lastPid(index),
        () => set.waiters(index),
        () => set.semaphore(index),
        () => set.tryOperate(take(index)),
      ]
    ) assertThrows(call, RangeError, "index");
  }
  assertEquals(set.getAll(), [7, 8, 9]);
});

leakTest("SysvSemaphoreSet.lastPid() is who changed it last", async () => {
  using place = newSet(5, 5);
  const { set, id } = place;
  assertEquals(set.lastPid(0), Deno.pid);
  const pid = await inChild<number, number>(async (id) => {
    const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
    using set = SysvSemaphoreSet.fromId(id);
    set.operateSync([{ index: 1, delta: -1 }]);
    return Deno.pid;
  }, { argument: id });
  assertEquals([set.lastPid(0), set.lastPid(1)], [Deno.pid, pid]);
});

// --- Operations -------------------------------------------------------------

leakTest("SysvSemaphoreSet.tryOperate() does all or nothing", () => {
  using place = newSet(2, 0, 1);
  const { set } = place;
  const all = [take(0), take(2), take(1, 3)].flat();
  assert(set.tryOperate(all));
  assertEquals(set.getAll(), [1, 3, 0]);
  assert(!set.tryOperate(all), "the second one cannot be done");
  assertEquals(set.getAll(), [1, 3, 0]);
  assert(!set.tryOperate([take(0, 5), take(1, 0)].flat()));
  assertEquals(set.getAll(), [1, 3, 0]);
});

leakTest("SysvSemaphoreSet operates in the order of the list", () => {
  using place = newSet(0);
  const { set } = place;
  assert(!set.tryOperate([...take(0, -1), ...take(0, 1)]));
  assert(set.tryOperate([...take(0, 1), ...take(0, -1)]));
  assert(set.tryOperate([...take(0, 0), ...take(0, 2)]));
  assert(!set.tryOperate([...take(0, 0), ...take(0, 2)]));
  assert(set.tryOperate([...take(0, -2), ...take(0, 0), ...take(0, 1)]));
  assertEquals(set.getAll(), [1]);
});

leakTest(
  "SysvSemaphoreSet.operate...() say ERANGE above the highest value",
  async () => {
    using place = newSet(MAX, 0);
    const { set } = place;
    const all = [...take(1, 1), ...take(0, 1)];
    const error = assertRefused(() => set.tryOperate(all), "ERANGE", "semop");
    assertEquals(error.errno, 34);
    assertRefused(() => set.operateSync(all), "ERANGE", "semop");
    const timed = () => set.operateSync(all, { timeout: 10 });
    assertRefused(timed, "ERANGE", "semtimedop");
    const rejected = await assertRejects(() => set.operate(all), IpcError);
    assertEquals(rejected.code, "ERANGE");
    assertRefused(() => set.semaphore(0).release(), "ERANGE", "semop");
    assertEquals(set.getAll(), [MAX, 0]);
  },
);

leakTest("SysvSemaphoreSet.operate...() say E2BIG above SEMOPM", async () => {
  const most = Number(Deno.readTextFileSync(SEM).split(/\s+/)[2]);
  using place = newSet(0);
  const { set } = place;
  assert(set.tryOperate(Array(most).fill({ index: 0, delta: 0 })));
  const all = Array(most + 1).fill({ index: 0, delta: 0 });
  const error = assertRefused(() => set.tryOperate(all), "E2BIG", "semop");
  assertEquals(error.limit, { name: `SEMOPM (${SEM})`, value: most });
  assertRefused(() => set.operateSync(all), "E2BIG", "semop");
  assertEquals(
    (await assertRejects(() => set.operate(all), IpcError)).code,
    "E2BIG",
  );
});

leakTest("SysvSemaphoreSet refuses what are no operations", async () => {
  using place = newSet(1);
  const { set } = place;
  const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [[], RangeError, '"operations"'],
    [null, TypeError, '"operations"'],
    [{ index: 0, delta: 1 }, TypeError, '"operations"'],
    [[{ index: 0 }], TypeError, '"operations[0].delta"'],
    [[{ delta: 1 }], TypeError, '"operations[0].index"'],
    [[{ index: 0, delta: 1n }], TypeError, '"operations[0].delta"'],
    [[...take(0), ...take(0, MAX + 1)], RangeError, '"operations[1].delta"'],
    [take(0, -MAX - 1), RangeError, '"operations[0].delta"'],
    [take(0, 0.5), RangeError, '"operations[0].delta"'],
    [take(1), RangeError, '"operations[0].index"'],
  ];
  for (const [value, kind, message] of wrong) {
    const operations = value as SysvSemaphoreOperation[];
    assertThrows(() => set.tryOperate(operations), kind, message);
    assertThrows(() => set.operateSync(operations), kind, message);
    await assertRejects(() => set.operate(operations), kind, message);
  }
  assertEquals(set.getAll(), [1]);
});

// --- Waiting, blocking the thread -------------------------------------------

leakTest("SysvSemaphoreSet.operateSync() never gives up early", () => {
  using place = newSet(0, 1);
  const { set } = place;
  for (const timeout of [0, 0.25, 1, 2, 10, 33.3, 100]) {
    for (const operations of [take(0), take(1, 0), take(1, -2)]) {
      const start = performance.now();
      const call = () => set.operateSync(operations, { timeout });
      const error = assertThrows(call, DOMException);
      const passed = performance.now() - start;
      assert(passed >= timeout, `${passed} of ${timeout} ms`);
      assertEquals(error.name, "TimeoutError");
    }
  }
  for (const timeout of [0, 1e15, Infinity]) {
    set.operateSync(take(1), { timeout });
    set.operateSync(take(1, 1), { timeout });
  }
  assertEquals(set.getAll(), [0, 1]);
});

leakTest("SysvSemaphoreSet refuses what is no timeout", async () => {
  using place = newSet(1);
  for (const timeout of [-1, NaN]) {
    const sync = () => place.set.operateSync(take(0), { timeout });
    assertThrows(sync, RangeError, '"timeout"');
    const call = () => place.set.operate(take(0), { timeout });
    await assertRejects(call, RangeError, '"timeout"');
    const acquire = () => place.set.semaphore(0).acquire({ timeout });
    await assertRejects(acquire, RangeError, '"timeout"');
  }
  assertEquals(place.set.getAll(), [1]);
});

interface Wait {
  id: number;
  operations: SysvSemaphoreOperation[];
  timeout?: number | undefined;
}

/** Waits, and says how that ended. */
async function waitSync({ id, operations, timeout }: Wait) {
  const { IpcError, SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
  const set = SysvSemaphoreSet.fromId(id);
  console.log("up");
  try {
    set.operateSync(operations, { timeout });
    console.log("done");
  } catch (error) {
    console.log(error instanceof IpcError ? error.code : error);
  }
}

leakTest(
  "SysvSemaphoreSet.operateSync() blocks until it can be done",
  async () => {
    for (const timeout of [undefined, 20_000]) {
      using place = newSet(1, 0);
      const { set, id } = place;
      const operations = [...take(0, -2), ...take(1, 0)];
      await using child = spawnCall(waitSync, {
        argument: { id, operations, timeout },
      });
      assertEquals(await child.line(), "up");
      await untilWaiting(set, 0);
      assertEquals(set.waiters(0), { increase: 1, zero: 0 });
      set.setAll([2, 1]);
      await untilWaiting(set, 1);
      assertEquals(set.waiters(1), { increase: 0, zero: 1 });
      assertEquals(set.getAll(), [2, 1], "nothing is done before");
      for (let round = 0; round < 5; round++) { // semop is interrupted by these
        child.kill("SIGSTOP");
        child.kill("SIGCONT");
        await child.settled();
      }
      assertEquals(child.unread, "");
      set.operateSync(take(1));
      assertPrinted(await child.ended(), "up", "done");
      assertEquals(set.getAll(), [0, 0]);
    }
  },
);

leakTest("SysvSemaphoreSet.remove() tells those who wait", async () => {
  using place = newSet(0, 1);
  const { set, id } = place;
  await using all = new AsyncDisposableStack();
  const children = [take(0), take(1, 0), take(0)].map((operations, index) =>
    all.use(spawnCall(waitSync, {
      argument: { id, operations, timeout: index === 2 ? 20_000 : undefined },
    }))
  );
  await untilWaiting(set, 0, 2);
  await untilWaiting(set, 1);
  const waits = Array.from({ length: 8 }, () => set.operate(take(0)));
  const acquire = set.semaphore(0).acquire();
  const results = settled([...waits, acquire]);
  await untilWaiting(set, 0, 3);
  set.remove();
  for (const child of children) {
    assertPrinted(await child.ended(), "up", "EIDRM");
  }
  for (const { reason } of await results) {
    assertInstanceOf(reason, IpcError);
    assertEquals(reason.code, "EIDRM");
  }
  await untilIdle();
});

// --- Waiting ----------------------------------------------------------------

leakTest(
  "SysvSemaphoreSet.operate() waits, for more and for zero",
  async () => {
    using place = newSet(0, 1);
    const { set } = place;
    const more = set.operate(take(0));
    const zero = set.operate(take(1, 0));
    const [done, pending] = [new Set<string>(), [more, zero]];
    more.then(() => done.add("more"));
    zero.then(() => done.add("zero"));
    await untilWaiting(set, 0);
    await untilWaiting(set, 1);
    assertEquals(done.size, 0);
    set.operateSync([...take(0, 1), ...take(1)]);
    await Promise.all(pending);
    assertEquals(set.getAll(), [0, 0]);
  },
);

leakTest("SysvSemaphoreSet.operate() never gives up early", async () => {
  using place = newSet(0);
  const { set } = place;
  const semaphore = set.semaphore(0);
  const timeouts = [0, 0.25, 1, 2, 10, 33.3, 100];
  await Promise.all(timeouts.flatMap((timeout) =>
    [
      () => set.operate(take(0), { timeout }),
      () => semaphore.acquire({ timeout }),
    ].map(async (call) => {
      const start = performance.now();
      const error = await assertRejects(call, DOMException);
      const passed = performance.now() - start;
      assert(passed >= timeout, `${passed} of ${timeout} ms`);
      assertEquals(error.name, "TimeoutError");
    })
  ));
  assertEquals(set.getAll(), [0]);
  await untilIdle();
});

leakTest(
  "SysvSemaphoreSet waits end with the reason of the signal",
  async () => {
    using place = newSet(0);
    const { set } = place;
    const semaphore = set.semaphore(0);
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    const waits = [1, 2, 3, 4].flatMap(() => [
      set.operate(take(0), { signal }),
      semaphore.acquire({ signal }),
    ]);
    const all = settled(waits);
    await untilWaiting(set, 0, 4);
    controller.abort(reason);
    for (const { reason: why } of await all) assertStrictEquals(why, reason);
    set.setValue(0, 5);
    for (
      const call of [
        set.operate(take(0), { signal }),
        semaphore.acquire({ signal }),
      ]
    ) {
      assertStrictEquals((await settled([call]))[0]!.reason, reason);
    }
    assertEquals(set.getAll(), [5]);
    await untilIdle();
  },
);

leakTest(
  "SysvSemaphoreSet.close() ends what waits, and takes nothing",
  async () => {
    using place = newSet(0);
    using other = SysvSemaphoreSet.fromId(place.id);
    for (const round of [1, 2, 3, 4, 5]) {
      const set = SysvSemaphoreSet.fromId(place.id);
      const semaphore = set.semaphore(0, { undo: round % 2 === 0 });
      const waits = Array.from({ length: 8 }, () => semaphore.acquire());
      const all = settled(waits);
      await untilWaiting(other, 0); // one of them for all
      set.close();
      if (round > 2) other.setValue(0, 3); // just then
      for (const { reason } of await all) assertInstanceOf(reason, ClosedError);
      assertEquals(other.getAll(), [round > 2 ? 3 : 0]);
      other.setAll([0]);
    }
    const set = SysvSemaphoreSet.fromId(place.id);
    const all = settled([set.operate(take(0)), set.operate(take(0, -2))]);
    await untilWaiting(other, 0, 2);
    set.close();
    for (const { reason } of await all) assertInstanceOf(reason, ClosedError);
    await untilIdle();
  },
);

leakTest(
  "SysvSemaphoreSet: 100 pending waits leave file I/O alone",
  async () => {
    using place = newSet(0, 1);
    const { set } = place;
    const controller = new AbortController();
    const { signal } = controller;
    const semaphore = set.semaphore(0);
    const waits = Array.from({ length: 100 }, (_, i) => {
      if (i % 3 === 0) return set.operate(take(0), { signal });
      if (i % 3 === 1) return set.operate(take(1, 0), { signal });
      return semaphore.acquire({ signal });
    });
    const all = settled(waits);
    await untilWaiting(set, 0);
    for (let round = 0; round < 20; round++) {
      assert((await Deno.readTextFile("/proc/self/stat")).length > 0);
      await Deno.stat("/");
    }
    set.setValue(0, 10);
    while (set.getValue(0) > 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    controller.abort();
    const results = await all;
    assertEquals(
      results.filter(({ status }) => status === "fulfilled").length,
      10,
    );
    assertEquals(set.getAll(), [0, 1]);
    await untilIdle();
  },
);

for (const lanes of ["with", "without"]) {
  leakTest(
    `SysvSemaphore.acquire() ${lanes} a thread loses no permit to an abort that races it`,
    { soak: "also", limit: 120_000 },
    async () => {
      using place = newSet(0, 0, 0);
      const { set, id } = place;
      const semaphore = set.semaphore(0, { undo: false });
      const end = new AbortController();
      const others = settled(
        lanes === "with" ? [] : Array.from(
          { length: 4 },
          () => set.operate(take(2), { signal: end.signal }),
        ),
      );
      await using giver = spawnCall(giveOnDemand, { argument: id });
      assertEquals(await giver.line(), "up");
      await raceAborts(rounds(500, 5_000), {
        wait: (options) => semaphore.acquire(options),
        bring: () => set.tryOperate(take(1, 1)), // the giver gives one
      });
      assertEquals(set.getAll(), [0, 0, 0]);
      end.abort();
      await others;
      await kill(giver);
    },
  );
}

async function giveOnDemand(id: number) {
  const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
  using set = SysvSemaphoreSet.fromId(id);
  console.log("up");
  for (;;) {
    set.operateSync([{ index: 1, delta: -1 }]);
    set.operateSync([{ index: 0, delta: 1 }]);
  }
}

leakTest(
  "SysvSemaphoreSet: nothing pending, and the program ends",
  async () => {
    const ended = await runCall(async () => {
      const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
      const set = SysvSemaphoreSet.create(null, [0]);
      const wait = set.operate([{ index: 0, delta: -1 }], { timeout: 5 });
      console.log(await wait.catch(({ name }) => name));
      set.remove();
    });
    assertPrinted(ended, "TimeoutError");
  },
);

// --- One semaphore, and its permits -----------------------------------------

leakTest("SysvSemaphore gives a permit back once", async () => {
  using place = newSet(7, 1);
  const { set } = place;
  for (const undo of [true, false]) {
    const semaphore = set.semaphore(1, { undo });
    assertEquals([semaphore.index, semaphore.value], [1, 1]);
    const permits = [
      () => semaphore.acquireSync(),
      () => semaphore.acquireSync({ timeout: 1 }),
      () => semaphore.tryAcquire()!,
      () => semaphore.acquire(),
    ];
    for (const acquire of permits) {
      const permit = await acquire();
      assertEquals([semaphore.value, semaphore.tryAcquire()], [0, undefined]);
      permit.release();
      permit.release();
      permit[Symbol.dispose]();
      assertEquals(semaphore.value, 1);
    }
    {
      using _permit = semaphore.tryAcquire();
      assertEquals(semaphore.value, 0);
    }
    semaphore.release();
    assertEquals(semaphore.value, 2);
    semaphore.acquireSync();
  }
  assertEquals(set.getAll(), [7, 1]);
});

// --- SEM_UNDO ---------------------------------------------------------------

/** Takes one in every way, with and without undo; then waits to be ended. */
async function takeAll({ id, end }: { id: number; end: string }) {
  const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
  const set = SysvSemaphoreSet.fromId(id);
  const undo = true;
  set.operateSync([{ index: 0, delta: -1, undo }, { index: 1, delta: -1 }]);
  set.tryOperate([{ index: 0, delta: -1, undo }, { index: 1, delta: -1 }]);
  set.semaphore(0).acquireSync();
  set.semaphore(1, { undo: false }).acquireSync();
  set.semaphore(2).release();
  set.semaphore(3, { undo: false }).release();
  set.semaphore(0).acquireSync().release();
  console.log("waits");
  // This one is taken on a thread of the pool, which ends long before the process.
  await set.operate([{ index: 4, delta: -1, undo }]);
  await set.semaphore(5).acquire();
  console.log("has");
  if (end === "exit") Deno.exit(3);
  if (end === "throw") throw new Error("end");
  if (end === "wait") await new Promise(() => setInterval(() => {}, 1000));
}

for (
  const [end, code] of [["end", 0], ["exit", 3], ["throw", 1], [
    "wait",
    137,
  ]] as const
) {
  leakTest(
    `SysvSemaphoreSet undoes what a process did that ends by ${end}`,
    async () => {
      using place = newSet(5, 5, 5, 5, 0, 0);
      const { set, id } = place;
      await using child = spawnCall(takeAll, { argument: { id, end } });
      assertEquals(await child.line(), "waits");
      await untilWaiting(set, 4);
      assertEquals(set.getAll(), [2, 2, 6, 6, 0, 0]);
      set.operateSync(take(4, 1));
      await untilWaiting(set, 5);
      assertEquals(set.getValue(4), 0, "the thread is not the process");
      set.operateSync(take(5, 1));
      assertEquals(await child.line(), "has");
      if (end === "wait") {
        assertEquals(set.getAll(), [2, 2, 6, 6, 0, 0]);
        child.kill("SIGKILL");
      }
      assertEquals((await child.ended()).code, code);
      assertEquals(set.getAll(), [5, 2, 5, 6, 1, 1]);
    },
  );
}

leakTest("SysvSemaphoreSet.setAll() forgets what would be undone", async () => {
  using place = newSet(1);
  const { set, id } = place;
  await using child = spawnCall(holdLock, { argument: id });
  assertEquals(await child.line(), "has");
  set.setAll([9]);
  await kill(child);
  assertEquals(set.getAll(), [9]);
});

async function holdLock(id: number) {
  const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
  const set = SysvSemaphoreSet.fromId(id);
  set.semaphore(0).acquireSync();
  console.log("has");
  await new Promise(() => setInterval(() => {}, 1000));
}

leakTest(
  "SysvSemaphoreSet undoes for the process, not for its Worker",
  async () => {
    const told = await inChild(async () => {
      const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
      using set = SysvSemaphoreSet.create(null, [3]);
      const module = import.meta.resolve("../ffi/semaphore.ts");
      const code = `
      import { SysvSemaphoreSet } from "${module}";
      const set = SysvSemaphoreSet.fromId(${set.id});
      set.semaphore(0).acquireSync();
      postMessage("has");`;
      const url = `data:text/javascript,${encodeURIComponent(code)}`;
      const worker = new Worker(url, { type: "module" });
      await new Promise((resolve) => worker.onmessage = resolve);
      worker.terminate();
      const tasks = () =>
        Array.from(Deno.readDirSync("/proc/self/task")).length;
      const before = tasks();
      while (tasks() >= before) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const value = set.getValue(0);
      set.remove();
      return value;
    });
    assertEquals(told, 2);
  },
);

// --- Many processes ---------------------------------------------------------

leakTest(
  "SysvSemaphore lets one of 64 in at a time, and none starves",
  { soak: "also", limit: 120_000 },
  async () => {
    const each = rounds(10, 100);
    using place = newSet(1);
    using counter = new Words(2);
    await using all = new AsyncDisposableStack();
    const children = [true, false, false, false].map((sync) =>
      all.use(spawnCall(count, {
        argument: { set: place.id, memory: counter.id, each, sync },
        limit: 110_000,
      }))
    );
    for (const child of children) assertPrinted(await child.ended());
    assertEquals([...counter.words], [64 * each, 0]);
    assertEquals(place.set.getAll(), [1]);
  },
);

interface Count {
  set: number;
  memory: number;
  each: number;
  sync: boolean;
}

async function count({ sync, ...ids }: Count) {
  const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
  const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
  using set = SysvSemaphoreSet.fromId(ids.set);
  using memory = SysvSharedMemory.fromId(ids.memory);
  const counter = new Int32Array(memory.bytes.buffer);
  const lock = set.semaphore(0);
  await Promise.all(Array.from({ length: 16 }, async () => {
    for (let round = 0; round < ids.each; round++) {
      // To block here while others of this thread have it would be for ever.
      using _permit = sync ? lock.acquireSync() : await lock.acquire();
      if (counter[1]! !== 0) throw new Error("another process is in");
      counter[1] = 1;
      const value = counter[0]!;
      for (let i = 0; i < 100; i++) counter[0] = value;
      counter[0] = value + 1;
      counter[1] = 0;
    }
  }));
}

leakTest(
  "SysvSemaphore is given back when who has it, or waits for it, is killed",
  { soak: "also", limit: 240_000 },
  async () => {
    using place = newSet(1, 3);
    const { set, id } = place;
    const lock = set.semaphore(0);
    for (let kills = rounds(5, 100); kills > 0; kills -= 5) {
      const victims = [0, 1, 2, 3, 4].map((kind) =>
        spawnCall(useForEver, { argument: { id, kind } })
      );
      await killAll(victims, async () => {
        using _permit = await lock.acquire({ timeout: 20_000 });
        await null;
      });
      assertEquals(set.getAll(), [1, 3]);
    }
    assertEquals(set.waiters(0), { increase: 0, zero: 0 });
  },
);

async function useForEver({ id, kind }: { id: number; kind: number }) {
  const { SysvSemaphoreSet } = await import("../ffi/semaphore.ts");
  const set = SysvSemaphoreSet.fromId(id);
  const lock = set.semaphore(0);
  const places = [{ index: 1, delta: -2, undo: true }];
  const back = [{ index: 1, delta: 2, undo: true }];
  if (kind === 4) { // is inside for certain
    set.operateSync(places);
    lock.acquireSync();
  }
  console.log("up");
  for (;;) {
    if (kind === 4) await new Promise(() => setInterval(() => {}, 1000));
    else if (kind === 0) lock.acquireSync().release();
    else if (kind === 1) (await lock.acquire()).release();
    else if (kind === 2) {
      await set.operate(places);
      set.operateSync(back);
    } else {
      const both = [{ index: 0, delta: -1, undo: true }, ...places];
      set.operateSync(both);
      set.tryOperate([...back, { index: 0, delta: 1, undo: true }]);
    }
  }
}

leakTest("SysvSemaphoreSet leaves no set behind", () => {
  for (let round = 0; round < 1000; round++) {
    using set = SysvSemaphoreSet.create(null, [1, 2, 3]);
    set.semaphore(1).acquireSync();
    set.remove();
  }
});

leakTest("Deno.inspect() shows a set and a semaphore of it", () => {
  const key = uniqueKey();
  using set = SysvSemaphoreSet.create(key, [1, 2]);
  const semaphore = set.semaphore(1);
  const { id } = set;
  using same = SysvSemaphoreSet.fromId(id);
  using other = SysvSemaphoreSet.create(null, [1]);
  for (const closed of [false, true]) {
    const shown = `SysvSemaphoreSet { id: ${id}, key: ${
      showKey(key)
    }, closed: ${closed}, size: 2 }`;
    assertEquals([set, same].map((set) => Deno.inspect(set)), [shown, shown]);
    assertEquals(
      Deno.inspect(semaphore),
      `SysvSemaphore { set: ${id}, index: 1, closed: ${closed} }`,
    );
    if (closed) break;
    assertEquals(
      Deno.inspect(other),
      `SysvSemaphoreSet { id: ${other.id}, closed: false, size: 1 }`,
    );
    set.remove();
    other.remove();
    set.close();
    same.close();
  }
});
