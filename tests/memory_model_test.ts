/**
 * What all memory has in common, whatever it is mapped from: `Memory`.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  ClosedError,
  Memory,
  MemoryFile,
  PosixSharedMemory,
  SequenceCell,
  SysvSharedMemory,
} from "../ffi/shared_memory.ts";
import { i32, struct } from "../ffi/struct.ts";
import { inChild, runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueKey } from "./support/names.ts";

const SIZE = 64; // of all the memories here
const layout = struct({ first: i32, second: i32 });

/** One memory, and how it is opened once more for reading only. */
interface Kind {
  open: () => Memory;
  reopen?: (memory: Memory) => Memory;
}

/** A file without a name. */
function fileMap(options: { private?: boolean; readonly?: boolean }): Memory {
  using dir = scratch();
  return MemoryMap.open(dir.file("data", new Uint8Array(SIZE)), options);
}

const KINDS: Record<string, Kind> = {
  "System V": {
    open() {
      const memory = SysvSharedMemory.create(null, SIZE);
      memory.remove();
      return memory;
    },
    reopen: (memory) =>
      SysvSharedMemory.fromId((memory as SysvSharedMemory).id, {
        readonly: true,
      }),
  },
  POSIX: {
    open() {
      const memory = PosixSharedMemory.create(null, SIZE);
      PosixSharedMemory.unlink(memory.name);
      return memory;
    },
    reopen: (memory) =>
      MemoryMap.fromFd((memory as PosixSharedMemory).fd, { readonly: true }),
  },
  "memory file": {
    open() {
      using file = MemoryFile.create("test", SIZE);
      return file.map();
    },
  },
  file: { open: () => fileMap({}) },
  "private file": { open: () => fileMap({ private: true }) },
  anonymous: { open: () => MemoryMap.anonymous(SIZE) },
  "private anonymous": {
    open: () => MemoryMap.anonymous(SIZE, { private: true }),
  },
};

for (const [name, { open }] of Object.entries(KINDS)) {
  leakTest(`Memory (${name}) is one in all its views`, () => {
    using memory = open();
    assertEquals(memory.byteLength, SIZE);
    assertEquals(memory.bytes, new Uint8Array(SIZE));
    memory.bytes[4] = 5;
    const { int32, bigInt64 } = memory.atomics;
    assertEquals(Atomics.add(int32, 1, 1), 5);
    assertEquals(Atomics.load(bigInt64, 0), 6n << 32n);
    assertEquals([int32.length, bigInt64.length], [SIZE / 4, SIZE / 8]);
    const view = memory.view(4, layout);
    assertEquals([view.first, view.second], [6, 0]);
    view.second = -1;
    assertEquals(memory.read(4, 8), Uint8Array.of(6, 0, 0, 0, ...ones(4)));
    memory.write(6, Uint8Array.of(1, 2));
    assertEquals(int32[1], 0x02010006);
    const target = new Uint8Array(3);
    assertStrictEquals(memory.read(6, target), target);
    assertEquals(target, Uint8Array.of(1, 2, 255));
    assertStrictEquals(memory.bytes, memory.bytes);
    assertStrictEquals(memory.atomics, memory.atomics);
    assertStrictEquals(memory.bytes.buffer, int32.buffer);
  });

  leakTest(`Memory (${name}) refuses what is not in it`, () => {
    using memory = open();
    const bytes = new Uint8Array(4);
    for (const offset of [SIZE - 3, SIZE, 2 ** 31, 2 ** 53 - 1, -1, 1.5, NaN]) {
      assertThrows(() => memory.read(offset, 4), RangeError);
      assertThrows(() => memory.read(offset, bytes), RangeError);
      assertThrows(() => memory.write(offset, bytes), RangeError);
      assertThrows(() => memory.view(offset, layout), RangeError);
    }
    for (const length of [SIZE + 1, 2 ** 53 - 1, -1, 1.5, NaN, Infinity]) {
      assertThrows(() => memory.read(0, length), RangeError);
    }
    for (const wrong of ["1", 1n, null, undefined, {}]) {
      const value = wrong as unknown as number;
      assertThrows(() => memory.read(value, 1), TypeError);
      assertThrows(() => memory.read(0, value), TypeError);
      assertThrows(() => memory.write(value, bytes), TypeError);
      assertThrows(
        () => memory.write(0, wrong as unknown as Uint8Array),
        TypeError,
      );
    }
    assertEquals(memory.read(SIZE, 0).length, 0);
    memory.write(SIZE, new Uint8Array());
    memory.write(-0, Uint8Array.of(7));
    assertEquals(memory.read(-0, 1), Uint8Array.of(7));
    assertEquals(memory.read(SIZE - 4, 4), bytes);
  });

  leakTest(`Memory (${name}) is detached by close()`, () => {
    const memory = open();
    const { bytes } = memory;
    const { int32, bigInt64 } = memory.atomics;
    const view = memory.view(0, layout);
    memory.close();
    memory.close();
    assertEquals(
      [memory.byteLength, bytes.length, int32.length, bigInt64.length],
      [0, 0, 0, 0],
    );
    assert(bytes.buffer.detached);
    assertEquals(bytes[0], undefined);
    assertThrows(() => view.first, TypeError);
    assertThrows(() => Atomics.load(int32, 0));
    for (
      const call of [
        () => memory.read(0, 1),
        () => memory.write(0, new Uint8Array(1)),
        () => memory.view(0, layout),
        () => memory.atomics,
        () => memory.indexOf(0),
      ]
    ) assertThrows(call, ClosedError);
  });
}

for (const [name, { open, reopen }] of Object.entries(KINDS)) {
  leakTest(`Memory (${name}) finds bytes in it`, () => {
    using memory = open();
    memory.write(10, Uint8Array.of(1, 2, 1, 2, 3));
    memory.write(SIZE - 1, Uint8Array.of(9));
    using reader = reopen?.(memory);
    for (const one of [memory, reader]) {
      if (one === undefined) continue;
      assertEquals([1, 2, 9, 0, 7].map((byte) => one.indexOf(byte)), [
        10,
        11,
        SIZE - 1,
        0,
        -1,
      ]);
      assertEquals(one.indexOf(1, 11), 12);
      assertEquals(one.indexOf(Uint8Array.of(1, 2, 3)), 12);
      assertEquals(one.indexOf(Uint8Array.of(1, 2, 3), 13), -1);
      assertEquals(one.indexOf(Uint8Array.of(9, 0)), -1); // ends with the memory
      assertEquals(one.indexOf(new Uint8Array(SIZE + 1)), -1);
      assertEquals(one.indexOf(new Uint8Array(), 5), 5);
      assertEquals(one.indexOf(9, SIZE), -1);
      for (const from of [SIZE + 1, -1, 1.5, NaN, 2 ** 53]) {
        assertThrows(() => one.indexOf(1, from), RangeError, "from");
      }
      for (const byte of [256, -1, 1.5, NaN]) {
        assertThrows(() => one.indexOf(byte), RangeError, "search");
      }
      const text = "1" as unknown as number;
      assertThrows(() => one.indexOf(text), TypeError, "search");
    }
  });
}

function ones(length: number): number[] {
  return Array(length).fill(255);
}

for (const [name, { open, reopen }] of Object.entries(KINDS)) {
  if (reopen === undefined) continue;
  leakTest(`Memory (${name}) that is read-only shows what others write`, () => {
    using memory = open();
    using reader = reopen(memory);
    assertEquals(reader.byteLength, SIZE);
    for (const value of [1, 2, 3]) {
      memory.bytes[SIZE - 1] = value;
      assertEquals(reader.read(SIZE - 1, 1), Uint8Array.of(value));
    }
    layout.write(memory.bytes, { first: 4, second: 5 }, 8);
    assertEquals(layout.decode(reader.read(8, layout.size)), {
      first: 4,
      second: 5,
    });
  });

  leakTest(`Memory (${name}) that is read-only has nothing to write to`, () => {
    using memory = open();
    using reader = reopen(memory);
    for (
      const call of [
        () => reader.bytes,
        () => reader.atomics,
        () => reader.view(0, layout),
        () => reader.write(0, Uint8Array.of(1)),
        () => memory.write(0, reader.bytes),
      ]
    ) assertThrows(call, TypeError, "read-only");
    assertThrows(() => reader.read(SIZE, 1), RangeError);
    reader.close();
    reader.close();
    assertThrows(() => reader.read(0, 1), ClosedError);
    assertEquals(reader.byteLength, 0);
  });
}

/** The kilobytes of this process that mlock keeps in memory. */
function lockedKilobytes(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Number(status.match(/^VmLck:\s*(\d+) kB/m)![1]);
}

for (const [name, { open, reopen }] of Object.entries(KINDS)) {
  leakTest(`Memory (${name}) loads, locks and advises pages`, () => {
    using memory = open();
    memory.populate();
    assertEquals(memory.residency(), Uint8Array.of(1));
    const before = lockedKilobytes();
    memory.lock({ offset: 8, length: 1 });
    assertEquals(lockedKilobytes(), before + 4);
    memory.unlock();
    assertEquals(lockedKilobytes(), before);
    memory.write(0, Uint8Array.of(5));
    memory.advise("cold");
    assertEquals(memory.read(0, 1), Uint8Array.of(5));
    for (const call of ["populate", "residency", "lock", "unlock"] as const) {
      const range = { offset: SIZE };
      assertThrows(() => memory[call](range), RangeError, "offset");
      assertThrows(() => memory[call]({ length: 0 }), RangeError, "length");
    }
    if (reopen === undefined) return;
    using reader = reopen(memory);
    reader.populate();
    assertEquals(reader.residency(), Uint8Array.of(1));
  });

  leakTest(`Memory (${name}) shows what it is`, () => {
    const memory = open();
    const shown = new RegExp(
      `\\w+ \\{ .*byteLength: ${SIZE}, closed: false \\}`,
    );
    assertMatch(Deno.inspect(memory), shown);
    memory.close();
    assertMatch(
      Deno.inspect(memory),
      /^\w+ \{ .*byteLength: 0, closed: true \}$/,
    );
    const calls = [
      () => memory.populate(),
      () => memory.residency(),
      () => memory.lock(),
      () => memory.unlock(),
      () => memory.advise("normal"),
    ];
    for (const call of calls) assertThrows(call, ClosedError);
  });
}

leakTest("Deno.inspect() shows names and numbers", () => {
  using file = MemoryFile.create("test", SIZE);
  assertEquals(
    Deno.inspect(file),
    `MemoryFile { file: "memory file test", fd: ${file.fd}, closed: false }`,
  );
  file.close();
  assertEquals(
    Deno.inspect(file),
    'MemoryFile { file: "memory file test", closed: true }',
  );
  using segment = SysvSharedMemory.create(null, SIZE);
  segment.remove();
  assertEquals(
    Deno.inspect(segment),
    `SysvSharedMemory { id: ${segment.id}, byteLength: ${SIZE}, closed: false }`,
  );
  using keyed = SysvSharedMemory.create(uniqueKey(), SIZE);
  keyed.remove();
  assertMatch(
    Deno.inspect(keyed),
    /^SysvSharedMemory \{ id: \d+, key: 0x[\da-f]+, /,
  );
  const map = MemoryMap.anonymous(SIZE);
  const cell = new SequenceCell(map, 8, layout);
  cell.write({ first: 1, second: 2 });
  assertEquals(
    Deno.inspect(cell),
    "SequenceCell { offset: 8, sequence: 2, closed: false }",
  );
  using shared = Memory.adopt(map.share());
  assertEquals(
    Deno.inspect(shared),
    `Memory { byteLength: ${SIZE}, closed: false }`,
  );
  map.close();
  assertEquals(Deno.inspect(cell), "SequenceCell { offset: 8, closed: true }");
});

leakTest("Memory is made by this module alone", () => {
  const mapping = { address: 4096n, start: 4096n, span: 8n, length: 8 };
  for (const Kind of [Memory, MemoryMap, PosixSharedMemory]) {
    const Public = Kind as unknown as new (...args: unknown[]) => unknown;
    for (const args of [[], [mapping], [mapping, "none", 0], ["", mapping]]) {
      assertThrows(() => new Public(...args), Error);
    }
  }
});

leakTest("Memory.write() copies between memories, and within one", () => {
  using from = KINDS.POSIX!.open();
  using to = KINDS["System V"]!.open();
  from.bytes.set([1, 2, 3, 4, 5]);
  to.write(10, from.bytes.subarray(1, 4));
  assertEquals(to.read(9, 5), Uint8Array.of(0, 2, 3, 4, 0));
  from.write(1, from.bytes.subarray(0, 5)); // they overlap
  assertEquals(from.read(0, 6), Uint8Array.of(1, 1, 2, 3, 4, 5));
  to.write(0, from.read(0, 2));
  assertEquals(to.read(0, 2), Uint8Array.of(1, 1));
});

leakTest("Memory.atomics needs a beginning that is aligned", () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(100));
  for (const offset of [1, 2, 4, 7, 12]) {
    using map = MemoryMap.open(path, { offset });
    assertThrows(() => map.atomics, RangeError, "multiple of 8");
  }
  for (const [offset, length, words] of [[8, 92, 23], [96, 3, 0]] as const) {
    using map = MemoryMap.open(path, { offset, length });
    assertEquals(map.atomics.int32.length, words);
  }
});

leakTest("Memory that was transferred belongs to its new owner", async () => {
  assertEquals(
    await inChild(async () => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const { i32, struct } = await import("../ffi/struct.ts");
      const map = MemoryMap.anonymous(64);
      const { int32 } = map.atomics;
      const taken = new Uint8Array(map.bytes.buffer.transfer());
      taken[0] = 7;
      const names = [
        () => map.read(0, 1),
        () => map.write(0, taken),
        () => map.atomics,
        () => map.view(0, struct({ value: i32 })),
        () => map.close(),
      ].map((call) => {
        try {
          call();
          return "returned";
        } catch (error) {
          return (error as Error).name;
        }
      });
      return [...names, int32.length, taken[0]];
    }),
    [...Array(4).fill("TypeError"), "Error", 0, 7],
  );
});

leakTest("Memory that is forgotten stays for its views", async () => {
  const { code, stdout, transcript } = await runCall(
    async () => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const shm = await import("../ffi/shared_memory.ts");
      const collect = (globalThis as unknown as { gc(): void }).gc;
      const views: Uint8Array[] = [];
      for (let round = 0; round < 50; round++) {
        views.push(MemoryMap.anonymous(5_000).bytes);
        views.push(MemoryMap.anonymous(5_000, { private: true }).bytes);
        const sysv = shm.SysvSharedMemory.create(null, 5_000);
        sysv.remove();
        views.push(sysv.bytes.subarray(1_000));
        const posix = shm.PosixSharedMemory.create(null, 5_000);
        shm.PosixSharedMemory.unlink(posix.name);
        views.push(new Uint8Array(posix.atomics.int32.buffer));
        views.push(shm.MemoryFile.create("test", 5_000).map().bytes);
      }
      for (let round = 0; round < 5; round++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve));
      }
      let sum = 0;
      for (const view of views) {
        view.fill(1);
        sum += view.reduce((sum, byte) => sum + byte, 0);
      }
      console.log(sum);
    },
    { flags: ["--v8-flags=--expose-gc"] },
  );
  assertEquals(
    [code, stdout],
    [0, `${50 * (4 * 5_000 + 4_000)}\n`],
    transcript,
  );
});

leakTest("Memory that is collected takes no other memory along", async () => {
  const { code, stdout, transcript } = await runCall(
    async () => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const collect = (globalThis as unknown as { gc(): void }).gc;
      for (let round = 0; round < 200; round++) {
        const map = MemoryMap.anonymous(65_536);
        map.bytes.fill(round);
        map.close(); // its address is free for the next one
        using other = MemoryMap.anonymous(65_536);
        if (round % 20 === 0) collect();
        other.bytes.fill(7);
      }
      console.log("ended");
    },
    { flags: ["--v8-flags=--expose-gc"] },
  );
  assertEquals([code, stdout], [0, "ended\n"], transcript);
});
