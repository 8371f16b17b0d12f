import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  ClosedError,
  PosixSharedMemory,
  SequenceBytes,
  SequenceCell,
  SysvSharedMemory,
} from "../ffi/shared_memory.ts";
import { array, bytes, cstring, f64, i16, struct, u64 } from "../ffi/struct.ts";
import { sleepingWords } from "../ffi/wait/futexes.ts";
import { compile, noCompiler } from "./support/c.ts";
import { spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { spawn, until } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";

const person = struct({ age: i16, name: cstring(20), score: f64 });
const ghkim = { age: 80, name: "ghkim", score: 0.5 };
const nobody = { age: 0, name: "", score: 0 };

/** A segment that others find by its id. */
function newSegment(size: number): SysvSharedMemory {
  const memory = SysvSharedMemory.create(null, size);
  memory.remove();
  return memory;
}

leakTest("SequenceCell is read as it was written", async () => {
  assertEquals(SequenceCell.size(person), 8 + 32);
  using memory = newSegment(100);
  for (const offset of [0, 8, 56]) {
    const cell = new SequenceCell(memory, offset, person);
    memory.bytes.fill(0);
    assertEquals([cell.readSync(), cell.sequence], [nobody, 0]);
    cell.write(ghkim);
    assertEquals([cell.readSync(), cell.sequence], [ghkim, 2]);
    assertEquals([cell.tryRead(), await cell.read()], [ghkim, ghkim]);
    assertEquals(person.decode(memory.bytes, offset + 8), ghkim);
    cell.write(nobody);
    assertEquals([cell.readSync(), cell.sequence], [nobody, 4]);
  }
});

leakTest("SequenceCell refuses a place that it does not fit into", () => {
  using memory = newSegment(50);
  for (const offset of [11, 16, 50, -8, 1.5, NaN]) {
    const make = () => new SequenceCell(memory, offset, person);
    assertThrows(make, RangeError, '"offset"');
  }
  for (const offset of [1, 2, 4, 7]) {
    const make = () => new SequenceCell(memory, offset, person);
    assertThrows(make, RangeError, "multiple of 8");
  }
  const closed = MemoryMap.anonymous(100);
  const cell = new SequenceCell(closed, 0, person);
  closed.close();
  assertThrows(() => new SequenceCell(closed, 0, person), ClosedError);
  for (
    const call of [
      () => cell.write(ghkim),
      () => cell.tryRead(),
      () => cell.readSync(),
      () => cell.sequence,
    ]
  ) assertThrows(call, ClosedError);
});

leakTest("SequenceCell writes nothing of what is wrong", () => {
  using memory = newSegment(40);
  const cell = new SequenceCell(memory, 0, person);
  cell.write(ghkim);
  for (
    const value of [
      { ...ghkim, age: 40_000 },
      { ...ghkim, name: "x".repeat(20) },
      { ...ghkim, more: 1 },
      { age: 1 },
      null,
    ]
  ) assertThrows(() => cell.write(value as unknown as typeof ghkim));
  assertEquals([cell.readSync(), cell.sequence], [ghkim, 2]);
});

leakTest("SequenceCell.write() goes on where a writer died", async () => {
  using memory = newSegment(40);
  const cell = new SequenceCell(memory, 0, person);
  memory.atomics.int32[0] = 7; // in the middle of a write
  assertEquals(cell.tryRead(), undefined);
  assertThrows(() => cell.readSync({ timeout: 5 }), DOMException);
  await assertRejects(() => cell.read({ timeout: 5 }), DOMException);
  await assertRejects(() => cell.changed(4, { timeout: 5 }), DOMException);
  const reading = cell.read();
  cell.write(ghkim);
  assertEquals([await reading, cell.sequence], [ghkim, 8]);
});

leakTest("SequenceCell goes on beyond 32 bits", () => {
  using memory = newSegment(40);
  const cell = new SequenceCell(memory, 0, person);
  for (
    const [before, after] of [
      [0x7ffffffe, 0x80000000],
      [0xfffffffe, 0],
      [0xffffffff, 0], // a writer has died
    ] as const
  ) {
    memory.atomics.int32[0] = before;
    cell.write(ghkim);
    assertEquals([cell.sequence, cell.readSync()], [after, ghkim]);
  }
});

leakTest("SequenceCell.changed() waits for the next value", async () => {
  using memory = newSegment(40);
  using readonly = SysvSharedMemory.fromId(memory.id, { readonly: true });
  const writer = new SequenceCell(memory, 0, person);
  const reader = new SequenceCell(readonly, 0, person);
  for (let round = 0; round < 10; round++) {
    const changed = reader.changed(2 * round);
    if (round % 3 === 0) await until(() => sleepingWords() === 1, "a word");
    writer.write({ ...ghkim, age: round });
    assertEquals(await changed, 2 * round + 2);
    assertEquals(reader.readSync().age, round);
  }
  assertEquals(await reader.changed(0), 20);
  for (const since of [-1, 1.5, 2 ** 32]) {
    await assertRejects(() => reader.changed(since), RangeError, '"since"');
  }
  const signal = AbortSignal.abort("enough");
  const told = await reader.changed(20, { signal }).catch((reason) => reason);
  assertEquals(told, "enough");
  await assertRejects(() => reader.changed(20, { timeout: 1 }), DOMException);
  assertThrows(() => reader.write(ghkim), TypeError, "read-only");
});

leakTest("SequenceCell stays in its place when the memory grows", () => {
  using memory = PosixSharedMemory.create(null, 48);
  PosixSharedMemory.unlink(memory.name);
  const cell = new SequenceCell(memory, 8, person);
  cell.write(ghkim);
  memory.resize(100_000);
  assertEquals(cell.readSync(), ghkim);
  memory.resize(40, { shrink: true });
  assertThrows(() => cell.readSync(), RangeError);
  assertThrows(() => cell.write(ghkim), RangeError);
});

// --- Under load --------------------------------------------------------------

const words = struct({ all: array(u64, 16) });
const READS = rounds(50_000, 1_000_000); // of each of three readers

leakTest(
  "SequenceCell: of many reads under a writer none is torn",
  { soak: "also", limit: 120_000 },
  async () => {
    const size = SequenceCell.size(words);
    using memory = newSegment(size + 16);
    using control = SysvSharedMemory.fromId(memory.id);
    const flag = (size + 8) >> 2; // how many readers are ready, and done
    const { int32 } = control.atomics;
    await using all = new AsyncDisposableStack();
    const readers = [0, 1, 2].map(() =>
      all.use(spawnCall(async ({ id, flag, reads }) => {
        const { SysvSharedMemory, SequenceCell } = await import(
          "../ffi/shared_memory.ts"
        );
        const { bytes, struct } = await import("../ffi/struct.ts");
        using memory = SysvSharedMemory.fromId(id);
        const { int32 } = memory.atomics;
        // As bytes, which are decoded faster than numbers.
        const cell = new SequenceCell(memory, 0, struct({ all: bytes(128) }));
        let torn = 0;
        let tried = 0;
        let last = 0;
        let values = 0;
        Atomics.add(int32, flag, 1);
        for (let read = 0; read < reads; read++) {
          let value = cell.tryRead();
          for (; value === undefined; value = cell.tryRead()) tried++;
          const { all } = value;
          const [first] = all;
          if (!all.every((byte: number) => byte === first)) torn++;
          if (first !== last) values++;
          last = first!;
        }
        Atomics.add(int32, flag + 1, 1);
        console.log(torn, values > 1 ? "changing" : "constant", tried >= 0);
      }, {
        argument: { id: memory.id, flag, reads: READS },
        limit: 120_000,
      }))
    );
    for (const reader of readers) {
      await reader.until(() => Atomics.load(int32, flag) === 3, "start");
    }
    const cell = new SequenceCell(memory, 0, words);
    // All bytes of a value are the same.
    const values = Array.from({ length: 256 }, (_, byte) => ({
      all: Array<bigint>(16).fill(BigInt(byte) * 0x0101010101010101n),
    }));
    let writes = 0;
    while (Atomics.load(int32, flag + 1) < 3) {
      for (let i = 0; i < 1_000; i++) cell.write(values[writes++ & 255]!);
      await new Promise((resolve) => setTimeout(resolve));
    }
    for (const reader of readers) {
      const { code, stdout, transcript } = await reader.ended();
      assertEquals([code, stdout], [0, "0 changing true\n"], transcript);
    }
    assert(writes >= 1_000);
  },
);

const WRITER = new URL("./interop/c/sequence_cell_writer.c", import.meta.url);

leakTest(
  "SequenceCell reads what C writes",
  { soak: "also", needs: [noCompiler] },
  async () => {
    using memory = newSegment(SequenceCell.size(person));
    const cell = new SequenceCell(memory, 0, person);
    const writes = rounds(20_000, 200_000);
    const args = [`${memory.id}`, `${writes}`];
    await using peer = spawn(await compile(WRITER), { args });
    let seen = 0;
    while (seen < 2 * writes) {
      seen = await cell.changed(seen);
      const { age, name, score } = await cell.read();
      assertEquals([name, score], [`name ${age}`, age]);
    }
    assertEquals((await peer.ended()).code, 0);
    assertEquals(cell.readSync().age, writes % 30_000);
  },
);

// --- Bytes -------------------------------------------------------------------

/** Whether they are the same bytes. (assertEquals takes long for so many.) */
function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length &&
    one.every((byte, index) => byte === other[index]);
}

leakTest("SequenceBytes is read as it was written", async () => {
  const size = 600_000; // more than one part of a copy
  using memory = newSegment(SequenceBytes.size(size) + 8);
  using readonly = SysvSharedMemory.fromId(memory.id, { readonly: true });
  const writer = new SequenceBytes(memory, 8, size);
  const reader = new SequenceBytes(readonly, 8, size);
  const cell = new SequenceCell(readonly, 8, struct({ all: bytes(size) }));
  assertEquals(reader.byteLength, size);
  const buffer = new Uint8Array(size);
  for (const round of [1, 2, 3]) {
    const value = new Uint8Array(size).fill(round);
    value[size - 1] = 80;
    const changed = reader.changed(reader.sequence);
    writer.write(value);
    assertEquals(await changed, 2 * round);
    assert(isSame(reader.readSync(), value));
    assert(isSame(cell.readSync().all, value));
    for (
      const read of [
        () => reader.tryRead({ buffer }),
        () => reader.readSync({ buffer, timeout: 0 }),
        () => reader.read({ buffer, timeout: 0 }),
      ]
    ) {
      assert(await read() === buffer);
      assert(isSame(buffer, value));
      buffer.fill(0);
    }
  }
  assertThrows(() => reader.write(buffer), TypeError, "read-only");
});

leakTest("SequenceBytes refuses what does not fit", async () => {
  using memory = newSegment(SequenceBytes.size(32));
  for (const size of [0, -1, 1.5, 33]) {
    assertThrows(() => new SequenceBytes(memory, 0, size), RangeError);
  }
  assertThrows(() => new SequenceBytes(memory, 4, 8), RangeError, "offset");
  assertThrows(() => SequenceBytes.size(0), RangeError, '"size"');
  const cell = new SequenceBytes(memory, 0, 32);
  for (const length of [0, 31, 33]) {
    const buffer = new Uint8Array(length);
    assertThrows(() => cell.write(buffer), RangeError, '"bytes.length"');
    assertThrows(() => cell.tryRead({ buffer }), RangeError, '"buffer.length"');
    assertThrows(() => cell.readSync({ buffer }), RangeError);
    await assertRejects(() => cell.read({ buffer }), RangeError);
  }
  const none = null as unknown as Uint8Array;
  assertThrows(() => cell.write(none), TypeError, '"bytes"');
  const buffer = "x" as unknown as Uint8Array<ArrayBuffer>;
  assertThrows(() => cell.tryRead({ buffer }), TypeError, '"buffer"');
  assertEquals(cell.sequence, 0);
});

leakTest(
  "SequenceBytes.read() notices a buffer that was transferred",
  async () => {
    using memory = newSegment(SequenceBytes.size(32));
    const cell = new SequenceBytes(memory, 0, 32);
    memory.atomics.int32[0] = 1; // in the middle of a write
    const buffer = new Uint8Array(32);
    const reading = cell.read({ buffer });
    structuredClone(buffer, { transfer: [buffer.buffer] });
    cell.write(new Uint8Array(32));
    await assertRejects(() => reading, RangeError, '"buffer.length"');
  },
);

// --- A writer that does not stop, or stops in the middle ----------------------

const STORM = new URL("./interop/c/sequence_cell_storm.c", import.meta.url);

leakTest(
  "SequenceCell: reads of a large value under a writer can be ended",
  { needs: [noCompiler] },
  async () => {
    const size = 16 << 20;
    using memory = newSegment(SequenceBytes.size(size));
    const cells = [
      new SequenceCell(memory, 0, struct({ all: bytes(size) })),
      new SequenceBytes(memory, 0, size),
    ];
    const args = [`${memory.id}`, `${size}`];
    await using peer = spawn(await compile(STORM), { args });
    await peer.expect("up\n");
    for (const cell of cells) {
      // Only the event loop ends this, after it has run the timer often enough.
      const controller = new AbortController();
      let ticks = 0;
      const timer = setInterval(() => {
        if (++ticks === 5) controller.abort("enough");
      });
      const told = (async () => {
        for (;;) await cell.read({ signal: controller.signal });
      })().catch((reason) => reason);
      assertEquals(await told, "enough");
      clearInterval(timer);
      // A read that succeeds was between two writes.
      const timedOut = (error: Error) => error.name === "TimeoutError";
      for (let ended = 0; ended < 3;) {
        await cell.read({ timeout: 1 }).catch((error) => {
          if (!timedOut(error)) throw error;
          ended++;
        });
      }
      for (let ended = 0; ended < 3;) {
        try {
          cell.readSync({ timeout: 1 });
        } catch (error) {
          if (!timedOut(error as Error)) throw error;
          ended++;
        }
      }
    }
    // The writer dies in the middle of a write, and another one goes on.
    await peer.closeStdin();
    await peer.ended();
    memory.atomics.int32[0]! |= 1;
    for (const cell of cells) {
      assertEquals(cell.tryRead(), undefined);
      assertThrows(() => cell.readSync({ timeout: 5 }), DOMException);
      await assertRejects(() => cell.read({ timeout: 5 }), DOMException);
    }
    const reading = cells.map((cell) => cell.read());
    new SequenceBytes(memory, 0, size).write(new Uint8Array(size));
    await Promise.all(reading);
  },
);
