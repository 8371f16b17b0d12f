/**
 * Telling the other side that there is something to read: `Memory.notify` and
 * `Memory.wait`.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  ClosedError,
  MemoryFile,
  PosixSharedMemory,
  SysvSharedMemory,
} from "../ffi/shared_memory.ts";
import { sleepingWords } from "../ffi/wait/futexes.ts";
import { compile, noCompiler } from "./support/c.ts";
import { runCall, spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { spawn, until } from "./support/process.ts";

const PAGE = 4096;

/** An object whose name is gone already. */
function newMemory(size = 64): PosixSharedMemory {
  const memory = PosixSharedMemory.create(null, size);
  PosixSharedMemory.unlink(memory.name);
  return memory;
}

/** A segment that others find by its id. */
function newSegment(size = 64): SysvSharedMemory {
  const memory = SysvSharedMemory.create(null, size);
  memory.remove();
  return memory;
}

leakTest("Memory.wait() returns at once what is another value", async () => {
  using memory = newMemory();
  memory.atomics.int32.set([7, -1], 0);
  assertEquals(await memory.wait(0, 0), 7);
  assertEquals(memory.waitSync(4, 0), -1);
  assertEquals(await memory.wait(0, 0, { timeout: 0 }), 7);
  assertEquals(memory.waitSync(0, 0, { timeout: 0 }), 7);
  assertEquals(await memory.wait(60, 1), 0);
});

leakTest("Memory.wait() takes a value signed or unsigned", async () => {
  using memory = newMemory();
  memory.atomics.int32[0] = -1;
  for (const value of [-1, 0xffffffff]) {
    await assertRejects(
      () => memory.wait(0, value, { timeout: 1 }),
      DOMException,
    );
    assertThrows(() => memory.waitSync(0, value, { timeout: 1 }), DOMException);
  }
  assertEquals(await memory.wait(0, 0x7fffffff), -1);
});

leakTest("Memory.wait() ends when the word changes", async () => {
  for (const memory of [newMemory(), newSegment(), MemoryMap.anonymous(64)]) {
    using _memory = memory;
    const { int32 } = memory.atomics;
    for (let round = 0; round < 20; round++) {
      const waits = [0, 1, 2].map(() => memory.wait(8, round));
      if (round % 5 === 0) await until(() => sleepingWords() === 3, "words");
      Atomics.add(int32, 2, 1);
      assert(memory.notify(8) <= 3);
      assertEquals(await Promise.all(waits), Array(3).fill(round + 1));
    }
  }
});

leakTest("Memory.notify() wakes at most as many as it is told to", () => {
  using memory = newMemory();
  assertEquals(memory.notify(0), 0);
  assertEquals(memory.notify(0, 0), 0);
  for (const count of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => memory.notify(0, count), RangeError, '"count"');
  }
});

leakTest("Memory.wait() refuses what is no word", async () => {
  using memory = newMemory(66);
  for (const offset of [1, 2, 63, 64, 66, -4, 0.5, NaN, 2 ** 40]) {
    assertThrows(() => memory.notify(offset), RangeError, '"offset"');
    assertThrows(() => memory.waitSync(offset, 0), RangeError, '"offset"');
    await assertRejects(() => memory.wait(offset, 0), RangeError, '"offset"');
  }
  for (const value of [2 ** 32, -(2 ** 31) - 1, 1.5, NaN]) {
    assertThrows(() => memory.waitSync(0, value), RangeError, '"value"');
    await assertRejects(() => memory.wait(0, value), RangeError, '"value"');
  }
  for (const timeout of [-1, NaN]) {
    await assertRejects(() => memory.wait(0, 0, { timeout }), RangeError);
  }
  using copy = MemoryMap.anonymous(64, { private: true });
  assertThrows(() => copy.notify(0), TypeError, "private");
  assertThrows(() => copy.waitSync(0, 0), TypeError, "private");
  await assertRejects(() => copy.wait(0, 0), TypeError, "private");
  using small = newMemory(3);
  assertThrows(() => small.notify(0), RangeError);
});

leakTest("Memory.wait() has a timeout, and a signal", async () => {
  using memory = newMemory();
  for (const timeout of [0, 1, 60]) {
    const begin = performance.now();
    const error = await assertRejects(
      () => memory.wait(0, 0, { timeout }),
      DOMException,
    );
    assertEquals(error.name, "TimeoutError");
    assert(performance.now() - begin >= timeout);
    const sync = assertThrows(
      () => memory.waitSync(0, 0, { timeout }),
      DOMException,
    );
    assertEquals(sync.name, "TimeoutError");
    assert(performance.now() - begin >= 2 * timeout);
  }
  const reason = new Error("enough");
  const early = AbortSignal.abort(reason);
  const told = await assertRejects(() => memory.wait(0, 0, { signal: early }));
  assertEquals(told, reason);
  const controller = new AbortController();
  const { signal } = controller;
  const waits = Array.from({ length: 10 }, () => memory.wait(0, 0, { signal }));
  await until(() => sleepingWords() > 0, "a word");
  controller.abort(reason);
  for (const result of await Promise.allSettled(waits)) {
    assertEquals(result, { status: "rejected", reason });
  }
  await until(() => sleepingWords() === 0, "no word");
});

leakTest("Memory.close() ends the waits in it", async () => {
  const memory = newMemory(10_000);
  const waits = Array.from({ length: 10 }, () => memory.wait(9_996, 0));
  await until(() => sleepingWords() > 0, "a word");
  memory.close(); // calls on other threads still use the address
  for (const result of await Promise.allSettled(waits)) {
    assert(
      result.status === "rejected" && result.reason instanceof ClosedError,
    );
  }
  await assertRejects(() => memory.wait(0, 0), ClosedError);
  assertThrows(() => memory.notify(0), ClosedError);
});

leakTest("Memory.wait() goes on when the memory is resized", async () => {
  using memory = newMemory(PAGE + 8);
  const waiting = memory.wait(PAGE + 4, 0);
  await until(() => sleepingWords() === 1, "a word");
  for (const size of [2 * PAGE, 100_000, 1_000_000]) memory.resize(size);
  const shrink = () => memory.resize(PAGE, { shrink: true });
  if (sleepingWords() === 1) assertThrows(shrink, TypeError, "waits");
  Atomics.store(memory.atomics.int32, PAGE / 4 + 1, 5);
  memory.notify(PAGE + 4);
  assertEquals(await waiting, 5);
  shrink();
});

leakTest("Memory.wait() ends when the word is gone", async () => {
  using memory = newMemory(8);
  const waiting = assertRejects(() => memory.wait(4, 0), RangeError, "a word");
  await until(() => sleepingWords() === 1, "a word");
  memory.resize(16); // so that the wait is in a mapping of before
  memory.resize(4, { shrink: true });
  await waiting;
});

leakTest("Memory.wait() works where nothing may be written", async () => {
  using memory = newSegment();
  using reader = SysvSharedMemory.fromId(memory.id, { readonly: true });
  using file = MemoryFile.create("test", 64);
  using writable = file.map();
  using readonly = file.map({ readonly: true });
  for (const [from, to] of [[memory, reader], [writable, readonly]] as const) {
    const waiting = to.wait(0, 0);
    await until(() => sleepingWords() === 1, "a word");
    Atomics.store(from.atomics.int32, 0, 7);
    from.notify(0);
    assertEquals(await waiting, 7);
    assertEquals(to.waitSync(0, 0), 7);
    assertThrows(() => to.waitSync(0, 7, { timeout: 1 }), DOMException);
  }
});

leakTest(
  "Memory.wait() leaves threads to others, a hundred times",
  async () => {
    using memory = newMemory(400);
    const { int32 } = memory.atomics;
    const waits = Array.from(
      { length: 100 },
      (_, index) => memory.wait(4 * index, 0),
    );
    await until(() => sleepingWords() > 0, "a word");
    assert((await Deno.readTextFile("/proc/self/comm")) !== "");
    for (let index = 0; index < 100; index++) {
      Atomics.store(int32, index, index + 1);
      memory.notify(4 * index);
    }
    assertEquals(
      await Promise.all(waits),
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
  },
);

leakTest("Memory.wait() sees a change without a wake-up", async () => {
  using memory = newMemory();
  const waiting = memory.wait(0, 0);
  await until(() => sleepingWords() === 1, "a word");
  Atomics.store(memory.atomics.int32, 0, 3);
  assertEquals(await waiting, 3);
});

leakTest("Memory that waited lets the program end", async () => {
  const { code, stdout, transcript } = await runCall(async () => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const map = MemoryMap.anonymous(4);
    try {
      await map.wait(0, 0, { timeout: 10 });
    } catch (error) {
      console.log((error as Error).name);
    }
  });
  assertEquals([code, stdout], [0, "TimeoutError\n"], transcript);
});

// --- Two processes, and C ----------------------------------------------------

leakTest("Memory.wait() and notify() take turns with a process", async () => {
  const times = 2_000;
  using memory = newSegment();
  await using child = spawnCall(async ({ id, times }) => {
    const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
    using memory = SysvSharedMemory.fromId(id);
    const { int32 } = memory.atomics;
    for (let turn = 1; turn < times; turn += 2) {
      if (await memory.wait(0, turn - 1) !== turn) {
        throw new Error("not my turn");
      }
      int32[1]! += 1;
      Atomics.store(int32, 0, turn + 1);
      memory.notify(0);
    }
  }, { argument: { id: memory.id, times } });
  // It gets its program from this thread, which must not block before.
  await child.until(() => memory.stat().attachments === 2, "attachment");
  const { int32 } = memory.atomics;
  for (let turn = 0; turn < times; turn += 2) {
    int32[1]! += 1;
    Atomics.store(int32, 0, turn + 1);
    memory.notify(0);
    const next = memory.waitSync(0, turn + 1, { timeout: 20_000 });
    assertEquals(next, turn + 2);
  }
  const ended = await child.ended();
  assertEquals([ended.code, int32[1]], [0, times], ended.transcript);
});

const TURNS = new URL("./interop/c/memory_turns.c", import.meta.url);

leakTest(
  "Memory.wait() and notify() take turns with C",
  { needs: [noCompiler] },
  async () => {
    const times = 2_000;
    using memory = newSegment();
    const args = [`${memory.id}`, `${times}`];
    await using peer = spawn(await compile(TURNS), { args });
    const { int32 } = memory.atomics;
    const options = { timeout: 20_000 };
    for (let turn = 0; turn < times; turn += 2) {
      Atomics.store(int32, 0, turn + 1);
      memory.notify(0);
      const next = turn % 4 === 0
        ? await memory.wait(0, turn + 1, options)
        : memory.waitSync(0, turn + 1, options);
      assertEquals(next, turn + 2);
    }
    assertEquals((await peer.ended()).code, 0);
  },
);
