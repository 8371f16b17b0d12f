/**
 * System V shared memory beyond create, open and close: reading only, several
 * attachments, owner and mode, the table of all segments.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClosedError, ftok, SysvSharedMemory } from "../ffi/shared_memory.ts";
import { runC } from "./support/c.ts";
import { noCompiler } from "./support/c.ts";
import { inChild, runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueKey } from "./support/names.ts";
import { NOBODY, noOtherUser, runAsNobody } from "./support/user.ts";

/** A private segment that is gone when nobody has it attached any more. */
function newMemory(size: number): SysvSharedMemory {
  const memory = SysvSharedMemory.create(null, size);
  memory.remove();
  return memory;
}

// --- Attachments -------------------------------------------------------------

leakTest("SysvSharedMemory can be attached for reading only", () => {
  const key = uniqueKey();
  using memory = SysvSharedMemory.create(key, 5_000);
  using byKey = SysvSharedMemory.open(key, { readonly: true, size: 5_000 });
  using byId = SysvSharedMemory.fromId(memory.id, { readonly: true });
  memory.remove();
  memory.bytes[4_999] = 7;
  for (const reader of [byKey, byId]) {
    assertEquals(reader.byteLength, 5_000);
    assertEquals(reader.read(4_998, 2), Uint8Array.of(0, 7));
    assertThrows(() => reader.read(4_999, 2), RangeError);
    assertThrows(() => reader.bytes, TypeError, "read-only");
    assertEquals(reader.stat().attachments, 3);
  }
});

leakTest(
  "SysvSharedMemory needs no permission to write for reading only",
  { needs: [noOtherUser] },
  async () => {
    using memory = SysvSharedMemory.create(null, 4, { mode: 0o644 });
    memory.remove();
    memory.bytes[3] = 80;
    const { stdout } = await runAsNobody(
      `import { SysvSharedMemory } from "@linux/ipc/shared-memory";
      const id = Number(Deno.args[0]);
      try {
        SysvSharedMemory.fromId(id);
      } catch ({ code }) {
        console.log(code);
      }
      using reader = SysvSharedMemory.fromId(id, { readonly: true });
      console.log(String(reader.read(0, 4)));`,
      { args: [`${memory.id}`] },
    );
    assertEquals(stdout, "EACCES\n0,0,0,80\n");
  },
);

leakTest("SysvSharedMemory for reading only never faults", async () => {
  using memory = newMemory(4);
  const { code, stdout, transcript } = await runCall(async (id: number) => {
    const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
    const reader = SysvSharedMemory.fromId(id, { readonly: true });
    let refused = 0;
    for (
      const call of [
        () => reader.bytes[0] = 1,
        () => Atomics.store(reader.atomics.int32, 0, 1),
        () => reader.write(0, new Uint8Array(1)),
      ]
    ) {
      try {
        call();
      } catch (error) {
        refused += Number(error instanceof TypeError);
      }
    }
    reader.read(0, 4).fill(1);
    reader.close();
    reader.close();
    console.log(refused);
  }, { argument: memory.id });
  assertEquals([code, stdout], [0, "3\n"], transcript);
  assertEquals(memory.bytes, new Uint8Array(4));
});

leakTest("SysvSharedMemory can be attached several times", () => {
  using memory = newMemory(10_000);
  const others = Array.from(
    { length: 50 },
    () => SysvSharedMemory.fromId(memory.id),
  );
  assertEquals(memory.stat().attachments, 51);
  others.forEach(({ bytes }, index) => bytes[index] = index);
  for (const [index, other] of others.entries()) {
    assertEquals(memory.bytes[index], index);
    other.close();
    assertEquals(memory.stat().attachments, 50 - index);
    assertEquals(memory.bytes[49], 49);
  }
});

// --- stat, set, lock ---------------------------------------------------------

leakTest("SysvSharedMemory.stat() tells all", () => {
  const key = uniqueKey();
  const second = () => Math.floor(Date.now() / 1000) * 1000;
  const before = second();
  using memory = SysvSharedMemory.create(key, 100, { mode: 0o640 });
  const isNow = (date: Date | null) =>
    date !== null && date.getTime() >= before - 1000 &&
    date.getTime() <= second() + 1000;
  const { attached, detached, changed, ...rest } = memory.stat();
  assertEquals(rest, {
    key,
    size: 100,
    attachments: 1,
    mode: 0o640,
    removed: false,
    locked: false,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
    creatorUid: Deno.uid()!,
    creatorGid: Deno.gid()!,
    creator: Deno.pid,
    lastUser: Deno.pid,
  });
  assert(isNow(attached) && isNow(changed));
  assertEquals(detached, null);
  SysvSharedMemory.fromId(memory.id).close();
  assert(isNow(memory.stat().detached));
  memory.remove();
  assertEquals([memory.stat().removed, memory.stat().key], [true, 0]);
});

leakTest("SysvSharedMemory.set() changes owner and mode", () => {
  using memory = newMemory(4);
  memory.set({ mode: 0o604 });
  assertEquals(memory.stat().mode, 0o604);
  memory.set({});
  memory.set({ mode: -0 });
  assertEquals(memory.stat().mode, 0);
  for (const value of [-1, 1.5, 2 ** 32, 2 ** 32 - 1]) {
    assertThrows(() => memory.set({ uid: value }), RangeError, '"uid"');
    assertThrows(() => memory.set({ gid: value }), RangeError, '"gid"');
  }
  assertThrows(() => memory.set({ mode: 0o1000 }), RangeError, '"mode"');
});

leakTest(
  "SysvSharedMemory.set() gives a segment away",
  { needs: [noOtherUser] },
  async () => {
    using memory = newMemory(4);
    memory.set({ uid: NOBODY, gid: NOBODY });
    const { uid, gid, creatorUid } = memory.stat();
    assertEquals([uid, gid, creatorUid], [NOBODY, NOBODY, Deno.uid()]);
    const { stdout } = await runAsNobody(
      `import { SysvSharedMemory } from "@linux/ipc/shared-memory";
      using memory = SysvSharedMemory.fromId(Number(Deno.args[0]));
      memory.bytes[0] = 80;
      memory.set({ mode: 0o400 });`,
      { args: [`${memory.id}`] },
    );
    assertEquals(stdout, "");
    assertEquals([memory.bytes[0], memory.stat().mode], [80, 0o400]);
  },
);

leakTest(
  "SysvSharedMemory says EPERM to who does not own it",
  { needs: [noOtherUser] },
  async () => {
    using memory = SysvSharedMemory.create(null, 4, { mode: 0o666 });
    memory.remove();
    const { stdout } = await runAsNobody(
      `import { SysvSharedMemory } from "@linux/ipc/shared-memory";
      using memory = SysvSharedMemory.fromId(Number(Deno.args[0]));
      for (
        const call of [
          () => memory.set({ mode: 0o600 }),
          () => memory.lock(),
          () => memory.remove(),
        ]
      ) {
        try {
          call();
        } catch ({ code, syscall }) {
          console.log(code, syscall);
        }
      }`,
      { args: [`${memory.id}`] },
    );
    assertEquals(stdout, "EPERM shmctl\n".repeat(3));
  },
);

leakTest("SysvSharedMemory.lock() is seen by all, until unlock()", () => {
  using memory = newMemory(5_000);
  using other = SysvSharedMemory.fromId(memory.id);
  memory.lock();
  assertEquals(other.stat().locked, true);
  assertEquals(other.stat().mode, 0o600);
  other.unlock();
  assertEquals(memory.stat().locked, false);
});

leakTest("SysvSharedMemory says ClosedError of all after close()", () => {
  const memory = newMemory(4);
  memory.close();
  for (
    const call of [
      () => memory.stat(),
      () => memory.set({ mode: 0o600 }),
      () => memory.lock(),
      () => memory.unlock(),
      () => memory.remove(),
    ]
  ) assertThrows(call, ClosedError);
});

// --- list, ftok, huge pages --------------------------------------------------

leakTest("SysvSharedMemory.list() has all segments", () => {
  const key = uniqueKey();
  using one = SysvSharedMemory.create(key, 100, { mode: 0o640 });
  using two = newMemory(200);
  const all = SysvSharedMemory.list();
  assertEquals(all.find(({ id }) => id === one.id), {
    key,
    id: one.id,
    mode: 0o640,
    size: 100,
    attachments: 1,
    removed: false,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
  });
  const { removed, size } = all.find(({ id }) => id === two.id)!;
  assertEquals([removed, size], [true, 200]);
  one.remove();
});

leakTest("SysvSharedMemory.list() needs no permission to read", async () => {
  using memory = newMemory(4);
  const ids = await inChild(async () => {
    const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
    return SysvSharedMemory.list().map(({ id }) => id);
  }, { permissions: ["--allow-ffi"] });
  assert(ids.includes(memory.id));
});

leakTest(
  "ftok() gives the key under which C finds the segment",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("김함지", "");
    using memory = SysvSharedMemory.create(ftok(path, 80), 100);
    const text = `
      #include <stdio.h>
      #include <sys/ipc.h>
      #include <sys/shm.h>
      int main(void) {
        printf("%d\\n", shmget(ftok("${path}", 'P'), 0, 0));
        return 0;
      }`;
    assertEquals(await runC(text), `${memory.id}\n`);
    memory.remove();
  },
);

/** How many huge pages the system has put aside, and nobody has taken. */
const freeHugePages = Number(
  Deno.readTextFileSync("/proc/meminfo").match(/^HugePages_Free: *(\d+)/m)?.[1],
);

leakTest(
  "SysvSharedMemory takes huge pages, and gives them back",
  { needs: [freeHugePages >= 2 ? null : "fewer than 2 huge pages are free"] },
  () => {
    for (let round = 0; round <= freeHugePages; round++) {
      using memory = SysvSharedMemory.create(null, 5_000, { hugePages: true });
      memory.remove();
      using reader = SysvSharedMemory.fromId(memory.id, { readonly: true });
      memory.bytes[4_999] = 1;
      assertEquals(reader.read(4_999, 1), Uint8Array.of(1));
      assertEquals(memory.byteLength, 5_000);
    }
  },
);
