/**
 * Memory maps that change: their size, their place in the file, and what the
 * kernel is told of them.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { statfsSync } from "node:fs";
import {
  ClosedError,
  IpcError,
  type MemoryAdvice,
  MemoryMap,
} from "../ffi/memory_map.ts";
import { inChild, runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { readAt } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

const PAGE = 4096;
const GIB = 2 ** 30;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

// --- resize ------------------------------------------------------------------

leakTest("MemoryMap.resize() changes the file and the mapping", () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  using map = MemoryMap.open(path, { resizable: true });
  for (const size of [5, 6, PAGE, PAGE + 1, 1_000_000]) {
    for (const reserve of [true, false]) {
      const { bytes } = map;
      map.resize(size, { reserve });
      assertEquals([bytes.length, map.bytes.length], [0, size]);
      assertEquals([map.size, Deno.statSync(path).size], [size, size]);
      assertEquals(decoder.decode(map.read(0, 5)), "hello");
    }
    map.bytes[size - 1] ||= 7;
    assertEquals(readAt(path, size - 1, 2), map.read(size - 1, 1));
  }
  for (const options of [undefined, { shrink: false }]) {
    assertThrows(() => map.resize(999_999, options), RangeError, '"size"');
  }
  map.resize(4, { shrink: true });
  assertEquals(Deno.readTextFileSync(path), "hell");
  assertEquals(decoder.decode(map.bytes), "hell");
  for (const size of [0, -1, 1.5, NaN, 2 ** 53]) {
    assertThrows(() => map.resize(size, { shrink: true }), RangeError);
  }
});

leakTest("MemoryMap.resize() keeps the offset", () => {
  using dir = scratch();
  const path = dir.file("data", "0123456789");
  using map = MemoryMap.open(path, { offset: 3, length: 2, resizable: true });
  map.resize(10);
  assertEquals(decoder.decode(map.bytes), "3456789");
  map.resize(11);
  map.bytes[7] = "a".charCodeAt(0);
  assertEquals(Deno.readTextFileSync(path), "0123456789a");
  for (const size of [0, 3]) {
    assertThrows(
      () => map.resize(size, { shrink: true }),
      RangeError,
      "from 4",
    );
  }
  map.resize(4, { shrink: true });
  assertEquals(decoder.decode(map.bytes), "3");
});

leakTest("MemoryMap.resize() moves memory that is partly locked", () => {
  for (const grown of [2 * PAGE, 100 * PAGE + 1]) {
    using map = MemoryMap.anonymous(5 * PAGE, { private: true });
    map.bytes.fill(7);
    map.lock({ offset: PAGE, length: PAGE });
    map.advise("dontdump", { offset: 3 * PAGE });
    const { bytes: old } = map;
    map.resize(grown, { shrink: true });
    assertEquals([old.length, map.byteLength], [0, grown]);
    const kept = Math.min(grown, 5 * PAGE);
    assert(map.bytes.subarray(0, kept).every((byte) => byte === 7));
    assert(map.bytes.subarray(kept).every((byte) => byte === 0));
  }
});

leakTest("MemoryMap.resize() takes nothing that is mapped here", () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(3 * PAGE));
  Deno.symlinkSync(path, dir.file("link"));
  using map = MemoryMap.open(path, { resizable: true });
  using other = MemoryMap.open(dir.file("link"), { private: true });
  const shrink = () => map.resize(PAGE, { shrink: true });
  assertThrows(shrink, TypeError, "mapped");
  assertEquals(other.bytes[3 * PAGE - 1], 0);
  assertEquals(map.byteLength, 3 * PAGE);
  other.close();
  shrink();
  assertEquals(Deno.statSync(path).size, PAGE);
});

leakTest("MemoryMap changes only what is made resizable", () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  using shared = MemoryMap.open(path);
  using copy = MemoryMap.open(path, { private: true, resizable: true });
  using reader = MemoryMap.open(path, { readonly: true, resizable: true });
  using anonymous = MemoryMap.anonymous(5);
  for (const map of [shared, copy, reader, anonymous]) {
    assertThrows(() => map.resize(10), TypeError);
  }
  for (const map of [shared, anonymous]) {
    assertThrows(() => map.resize(10), TypeError, '"resizable"');
    assertThrows(() => map.append(new Uint8Array(1)), TypeError);
    assertThrows(() => map.moveTo(1), TypeError);
    assertThrows(() => map.size, TypeError);
    assertEquals(map.bytes.length, 5);
  }
  assertEquals(Deno.readTextFileSync(path), "hello");
  copy.moveTo(1);
  reader.moveTo(2);
  assertEquals(decoder.decode(copy.bytes), "ello");
  assertEquals(decoder.decode(reader.read(0, 3)), "llo");
});

leakTest("MemoryMap.resize() moves private memory, with what is in it", () => {
  using map = MemoryMap.anonymous(5_000, { private: true });
  map.bytes.fill(7);
  for (const size of [5_001, 5_000_000, 50_000_000]) {
    const { bytes } = map;
    map.resize(size);
    assertEquals([bytes.length, map.bytes.length], [0, size]);
    assertEquals([map.bytes[0], map.bytes[4_999]], [7, 7]);
    assertEquals([map.bytes[5_000], map.bytes[size - 1]], [0, 0]);
  }
  assertThrows(() => map.resize(1), RangeError, "shrink");
  map.resize(1, { shrink: true });
  assertEquals(map.bytes, Uint8Array.of(7));
  assertThrows(() => map.resize(Number.MAX_SAFE_INTEGER), IpcError, "mremap");
  assertEquals(map.bytes, Uint8Array.of(7));
});

leakTest("MemoryMap never takes views along that are kept", async () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(1_000_000));
  const { code, stdout, transcript } = await runCall(async (path: string) => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const look = (array: Uint8Array) => array[999_999];
    const file = MemoryMap.open(path, { resizable: true });
    const memory = MemoryMap.anonymous(1_000_000, { private: true });
    for (let round = 0; round < 20_000; round++) look(file.bytes);
    for (const map of [file, memory]) {
      const views = [];
      for (const size of [2_000_000, 3_000_000, 1, 100_000_000, 5]) {
        views.push(map.bytes);
        map.resize(size, { shrink: true, reserve: false });
        for (const view of views) {
          if (look(view) !== undefined) throw new Error("not detached");
        }
      }
      const taken = new Uint8Array(map.bytes.buffer.transfer());
      for (const size of [1, 10]) {
        try {
          map.resize(size, { shrink: true });
        } catch (error) {
          console.log((error as Error).name, taken.length, taken[4]);
        }
      }
    }
  }, { argument: path });
  assertEquals([code, stdout], [0, "TypeError 5 0\n".repeat(4)], transcript);
});

// --- append, moveTo ----------------------------------------------------------

leakTest("MemoryMap.append() makes the file grow", () => {
  using dir = scratch();
  const path = dir.file("data", "begin\n");
  using map = MemoryMap.open(path, { offset: 2, resizable: true });
  let text = "begin\n";
  for (let line = 0; line < 1_000; line++) {
    const added = `line ${line}\n`;
    assertEquals(map.append(encoder.encode(added)), text.length);
    text += added;
  }
  assertEquals(Deno.readTextFileSync(path), text);
  assertEquals(map.append(new Uint8Array()), text.length);
  map.append(map.bytes.subarray(0, 4)); // detached by the growth
  assertEquals(Deno.readTextFileSync(path), text + "gin\n");
  assertEquals(decoder.decode(map.bytes), text.slice(2) + "gin\n");
  const wrong = "text" as unknown as Uint8Array;
  assertThrows(() => map.append(wrong), TypeError, '"bytes"');
});

leakTest("MemoryMap.moveTo() is a window over a file beyond 4 GiB", () => {
  using dir = scratch();
  const path = dir.file("sparse", "begin");
  const size = 6 * GIB + 10;
  Deno.truncateSync(path, size);
  using map = MemoryMap.open(path, { length: 20, resizable: true });
  for (const offset of [4 * GIB - 10, 5 * GIB + 7, size - 20, 1]) {
    const { bytes } = map;
    map.moveTo(offset);
    assertEquals([bytes.length, map.bytes.length], [0, 20]);
    map.bytes.fill(offset % 251);
    assertEquals(readAt(path, offset, 20), map.bytes);
  }
  map.moveTo(size - 5);
  assertEquals(map.byteLength, 5);
  map.moveTo(0, 3 * GIB);
  assertEquals(map.bytes.length, 3 * GIB);
  assertEquals(map.bytes[0], "b".charCodeAt(0));
  map.moveTo(5 * GIB + 7, 1);
  for (
    const [offset, length] of [[size], [size - 1, 2], [-1], [0, 0], [0.5], [
      0,
      size + 1,
    ]] as [number, number?][]
  ) assertThrows(() => map.moveTo(offset, length), RangeError);
  assertEquals(map.bytes, Uint8Array.of((5 * GIB + 7) % 251));
});

leakTest("MemoryMap.create() may be resizable", () => {
  using dir = scratch();
  const path = dir.file("data");
  {
    using map = MemoryMap.create(path, 3, { resizable: true, reserve: false });
    map.append(Uint8Array.of(1));
  }
  assertEquals(Deno.readFileSync(path), Uint8Array.of(0, 0, 0, 1));
});

// --- flush -------------------------------------------------------------------

const DEVICE_TYPES = new Set([0xef53, 0x58465342, 0x9123683e]); // ext, XFS, Btrfs

leakTest("MemoryMap.flush() writes the pages that it is told to", async () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(40 * PAGE));
  const onDevice = DEVICE_TYPES.has(statfsSync(dir.path).type);
  using map = MemoryMap.open(path, { offset: 5 });
  const dirty = () => {
    const areas = Deno.readTextFileSync("/proc/self/smaps")
      .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
      .filter((area) => area.split("\n")[0]!.endsWith(path));
    const counts = areas.join("").matchAll(/_Dirty: *(\d+) kB/g);
    return counts.reduce((sum, [, kb]) => sum + Number(kb), 0) * 1024;
  };
  for (const flush of [map.flush, map.flushSync]) {
    map.bytes.fill(1);
    const before = dirty();
    await flush.call(map, { offset: 10 * PAGE, length: 10 * PAGE });
    const part = dirty();
    await flush.call(map);
    const after = dirty();
    if (!onDevice) continue;
    // Nobody else must have flushed: the kernel may, at any time.
    assert(before > part || before < 40 * PAGE, `${before} > ${part}`);
    assertEquals(after, 0);
  }
  assertEquals(
    Deno.readFileSync(path),
    new Uint8Array(40 * PAGE).fill(1).fill(0, 0, 5),
  );
});

leakTest("MemoryMap.flush() refuses what is not in the mapping", async () => {
  using dir = scratch();
  const map = MemoryMap.open(dir.file("data", new Uint8Array(100)), {
    length: 50,
  });
  for (
    const range of [
      { offset: 50 },
      { length: 51 },
      { offset: 1, length: 50 },
      { offset: -1 },
      { offset: 1.5 },
      { length: 0 },
    ]
  ) {
    assertThrows(() => map.flushSync(range), RangeError);
    await assertRejects(() => map.flush(range), RangeError);
    assertThrows(() => map.advise("normal", range), RangeError);
    assertThrows(() => map.lock(range), RangeError);
    assertThrows(() => map.unlock(range), RangeError);
    assertThrows(() => map.populate(range), RangeError);
    assertThrows(() => map.residency(range), RangeError);
  }
  map.close();
  await assertRejects(() => map.flush(), ClosedError);
  for (
    const call of [
      () => map.flushSync(),
      () => map.advise("normal"),
      () => map.lock(),
      () => map.unlock(),
      () => map.populate(),
      () => map.residency(),
      () => map.resize(1),
    ]
  ) assertThrows(call, ClosedError);
});

leakTest("MemoryMap.flush() goes on when the mapping is closed", async () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(4_000_000));
  const flushes = [];
  for (let round = 0; round < 100; round++) {
    const map = MemoryMap.open(path, { resizable: true });
    map.bytes.fill(round);
    flushes.push(map.flush());
    if (round % 2 === 0) map.resize(4_000_000);
    map.close();
  }
  const text = await Deno.readTextFile("/proc/self/comm"); // it has a thread
  assert(text !== "");
  await Promise.all(flushes);
  assertEquals(readAt(path, 3_999_999, 1), Uint8Array.of(99));
});

leakTest("MemoryMap takes nothing away under a flush", async () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(100 * PAGE));
  using map = MemoryMap.open(path, { resizable: true });
  map.bytes.fill(1);
  const flushed = map.flush();
  const shrink = () => map.resize(1, { shrink: true });
  assertThrows(shrink, TypeError);
  await flushed;
  shrink();
  assertEquals(map.bytes, Uint8Array.of(1));
});

// --- What the kernel is told, and tells --------------------------------------

leakTest("MemoryMap.advise() changes nothing that is there", () => {
  using dir = scratch();
  using map = MemoryMap.open(dir.file("data", new Uint8Array(10 * PAGE)));
  using memory = MemoryMap.anonymous(10 * PAGE, { private: true });
  const all: MemoryAdvice[] = [
    ...["sequential", "random", "willneed", "cold", "pageout"] as const,
    ...["nohugepage", "hugepage", "dontdump", "dodump", "normal"] as const,
  ];
  for (const { bytes } of [map, memory]) bytes.fill(9);
  for (const advice of all) {
    for (const one of [map, memory]) {
      try {
        one.advise(advice);
        one.advise(advice, { offset: 5_000, length: 1 });
      } catch (error) { // a kernel without huge pages
        assert(
          error instanceof IpcError && /EINVAL/.test(error.message),
          advice,
        );
      }
      assert(one.bytes.every((byte) => byte === 9), advice);
    }
  }
  for (const advice of ["dontneed", "", "toString", 4, null]) {
    assertThrows(
      () => map.advise(advice as MemoryAdvice),
      TypeError,
      "sequential",
    );
  }
});

/** How many kilobytes of a mapping smaps has under this heading. */
function kilobytes(path: string, heading: string): number {
  const areas = Deno.readTextFileSync("/proc/self/smaps")
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((area) => area.split("\n")[0]!.endsWith(path));
  const counts = areas.join("").matchAll(
    new RegExp(`^${heading}: *(\\d+) kB`, "gm"),
  );
  return counts.reduce((sum, [, kb]) => sum + Number(kb), 0);
}

leakTest("MemoryMap.lock() keeps pages in memory until unlock()", () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(10 * PAGE));
  using map = MemoryMap.open(path);
  map.lock({ offset: PAGE, length: PAGE + 1 });
  assertEquals(kilobytes(path, "Locked"), 8);
  map.lock();
  assertEquals(kilobytes(path, "Locked"), 40);
  map.unlock({ offset: 0, length: 1 });
  assertEquals(kilobytes(path, "Locked"), 36);
  map.unlock();
  assertEquals(kilobytes(path, "Locked"), 0);
});

leakTest(
  "MemoryMap.lock() names the limit",
  { needs: [noOtherUser] },
  async () => {
    const { stdout } = await runAsNobody(`
      import { MemoryMap } from "@linux/ipc/memory-map";
      const [line] = Deno.readTextFileSync("/proc/self/limits")
        .match(/Max locked memory .*/);
      const limit = Number(line.split(/ +/)[3]);
      if (limit < 2 ** 30) {
        using map = MemoryMap.anonymous(limit + 8192);
        try {
          map.lock();
        } catch ({ syscall, limit: found }) {
          console.log(syscall, found.name, found.value === limit);
        }
      } else console.log("mlock RLIMIT_MEMLOCK true");`);
    assertEquals(stdout, "mlock RLIMIT_MEMLOCK true\n");
  },
);

leakTest("MemoryMap.residency() tells which pages are there", () => {
  using map = MemoryMap.anonymous(10 * PAGE);
  assertEquals(map.residency(), new Uint8Array(10));
  map.bytes[0] = map.bytes[3 * PAGE] = 1;
  assertEquals(map.residency(), Uint8Array.of(1, 0, 0, 1, ...Array(6).fill(0)));
  const part = { offset: 3 * PAGE - 1, length: 2 };
  assertEquals(map.residency(part), Uint8Array.of(0, 1));
  map.populate({ offset: 5 * PAGE, length: PAGE + 1 });
  assertEquals(map.residency(), Uint8Array.of(1, 0, 0, 1, 0, 1, 1, 0, 0, 0));
  using all = MemoryMap.anonymous(10 * PAGE, { populate: true });
  assertEquals(all.residency(), new Uint8Array(10).fill(1));
});

leakTest("MemoryMap.populate() loads a file", () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(10 * PAGE));
  for (const options of [{}, { private: true }, { readonly: true }]) {
    using map = MemoryMap.open(path, options);
    map.populate();
    assertEquals(kilobytes(path, "Rss"), 40);
  }
  using map = MemoryMap.open(path, { populate: true });
  assertEquals([kilobytes(path, "Rss"), map.byteLength], [40, 10 * PAGE]);
});

leakTest("MemoryMap.populate() says EFAULT where there is SIGBUS", async () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(10 * PAGE));
  const code = await inChild(async (path: string) => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    using map = MemoryMap.open(path);
    Deno.truncateSync(path, 4096); // a peer that is not to be trusted
    try {
      map.populate();
      return "returned";
    } catch (error) {
      return (error as { code: string }).code;
    }
  }, { argument: path });
  assertEquals(code, "EFAULT");
});

// --- read-only ---------------------------------------------------------------

leakTest(
  "MemoryMap.open() for reading only needs no more than that",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    const path = dir.file("data", "hello");
    Deno.chmodSync(path, 0o644);
    Deno.chmodSync(dir.path, 0o755);
    const { stdout } = await runAsNobody(
      `import { MemoryMap } from "@linux/ipc/memory-map";
      const [path] = Deno.args;
      for (const options of [{}, { readonly: true }, { private: true }]) {
        try {
          using map = MemoryMap.open(path, options);
          console.log(new TextDecoder().decode(map.read(1, 4)));
        } catch ({ code, syscall }) {
          console.log(code, syscall);
        }
      }`,
      { args: [path] },
    );
    assertEquals(stdout, "EACCES open\nello\nello\n");
  },
);

leakTest("MemoryMap.open() for reading only never faults", async () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  const { code, stdout, transcript } = await runCall(async (path: string) => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    using map = MemoryMap.open(path, { readonly: true });
    let refused = 0;
    for (
      const call of [
        () => map.bytes[0] = 1,
        () => map.bytes.fill(1),
        () => Atomics.store(map.atomics.int32, 0, 1),
        () => map.write(0, new Uint8Array(1)),
        () => map.resize(10),
        () => map.append(new Uint8Array(1)),
      ]
    ) {
      try {
        call();
      } catch (error) {
        refused += Number(error instanceof TypeError);
      }
    }
    const copy = map.read(0, 5);
    copy.fill(1);
    await map.flush();
    map.advise("sequential");
    console.log(refused, new TextDecoder().decode(map.read(0, 5)));
  }, { argument: path });
  assertEquals([code, stdout], [0, "6 hello\n"], transcript);
});

leakTest("MemoryMap that changes leaves nothing behind in many rounds", {
  soak: "also",
}, () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(PAGE));
  const ROUNDS = rounds(100, 1_000);
  for (let round = 0; round < ROUNDS; round++) {
    using map = MemoryMap.open(path, { resizable: true });
    using memory = MemoryMap.anonymous(round + 1, { private: true });
    map.append(Uint8Array.of(1));
    map.moveTo(round, 1);
    memory.resize(3 * PAGE + round);
    assertThrows(() => map.moveTo(2 ** 40), RangeError);
    assertThrows(() => map.resize(2 ** 53 - 1), IpcError);
    memory.lock();
  }
  assertEquals(Deno.statSync(path).size, PAGE + ROUNDS);
});
