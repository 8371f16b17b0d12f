/**
 * Memory that goes to another thread: `Memory.share` and `Memory.adopt`.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  ClosedError,
  Memory,
  MemoryFile,
  type MemoryHandle,
  PosixSharedMemory,
  SysvSharedMemory,
} from "../ffi/shared_memory.ts";
import { runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { rounds } from "./support/rounds.ts";

const MODULE = import.meta.resolve("../ffi/shared_memory.ts");
const PAGE = 4096;

function memories(size: number): Memory[] {
  const sysv = SysvSharedMemory.create(null, size);
  sysv.remove();
  const posix = PosixSharedMemory.create(null, size);
  PosixSharedMemory.unlink(posix.name);
  using file = MemoryFile.create("test", size);
  return [sysv, posix, file.map(), MemoryMap.anonymous(size)];
}

leakTest("Memory.share() is closed on each side for itself", () => {
  for (const size of [1, PAGE, 2 * PAGE + 5]) {
    for (const first of ["sharer", "adopter"]) {
      for (const memory of memories(size)) {
        const other = Memory.adopt(memory.share());
        memory.bytes[size - 1] = 7;
        assertEquals([other.byteLength, other.bytes[size - 1]], [size, 7]);
        const [early, late] = first === "sharer"
          ? [memory, other]
          : [other, memory];
        early.close();
        late.bytes[size - 1]! += 1;
        assertEquals(late.read(size - 1, 1), Uint8Array.of(8));
        assertThrows(() => early.read(0, 1), ClosedError);
        late.close();
      }
    }
  }
});

leakTest("Memory.share() counts as an attachment", () => {
  using memory = SysvSharedMemory.create(null, 5_000);
  memory.remove();
  const other = Memory.adopt(memory.share());
  assertEquals(memory.stat().attachments, 2);
  other.close();
  assertEquals(memory.stat().attachments, 1);
});

leakTest("Memory.share() keeps the offset, and what is read-only", () => {
  using file = MemoryFile.create("test", 3 * PAGE);
  using map = file.map({ offset: PAGE + 5, length: 10 });
  map.bytes.fill(3);
  using other = Memory.adopt(map.share());
  assertEquals(other.bytes, map.bytes);
  using reader = file.map({ offset: PAGE, length: 10, readonly: true });
  using once = Memory.adopt(reader.share());
  using again = Memory.adopt(once.share());
  assertEquals(again.read(4, 2), Uint8Array.of(0, 3));
  assertThrows(() => again.bytes, TypeError, "read-only");
});

leakTest("Memory.share() takes all of what is partly locked", () => {
  using map = MemoryMap.anonymous(5 * PAGE);
  map.lock({ offset: PAGE, length: PAGE }); // to the kernel that is three mappings
  map.bytes.fill(7);
  using other = Memory.adopt(map.share());
  assertEquals(other.bytes, map.bytes);
});

leakTest("Memory.adopt() takes a handle once", () => {
  using memory = MemoryMap.anonymous(64);
  const handle = memory.share();
  using _other = Memory.adopt(structuredClone(handle));
  for (const used of [handle, structuredClone(handle)]) {
    assertThrows(() => Memory.adopt(used), TypeError, "already");
  }
  for (const wrong of [null, undefined, 5, {}, { address: 1n }, memory]) {
    const adopt = () => Memory.adopt(wrong as unknown as MemoryHandle);
    assertThrows(adopt, TypeError, '"handle"');
  }
});

leakTest("Memory.share() refuses what is private, or closed", () => {
  const memory = MemoryMap.anonymous(64, { private: true });
  assertThrows(() => memory.share(), TypeError, "private");
  memory.close();
  assertThrows(() => memory.share(), ClosedError);
});

leakTest("Memory.share() keeps the memory from being made smaller", () => {
  using memory = PosixSharedMemory.create(null, 3 * PAGE);
  PosixSharedMemory.unlink(memory.name);
  const shrink = () => memory.resize(PAGE, { shrink: true });
  const handle = memory.share();
  assertThrows(shrink, TypeError, "mapped"); // on its way
  const other = Memory.adopt(structuredClone(handle));
  assertThrows(shrink, TypeError, "mapped");
  memory.resize(4 * PAGE);
  memory.bytes[0] = 5;
  assertEquals([other.byteLength, other.bytes[0]], [3 * PAGE, 5]);
  other.close();
  shrink();
  assertEquals(memory.size, PAGE);
});

leakTest("Memory is shared with Workers", async () => {
  const { code, stdout, transcript } = await runCall(async (module) => {
    const { PosixSharedMemory, MemoryMap } = await import(
      "../ffi/shared_memory.ts"
    );
    const source = `
      import { Memory } from "${module}";
      self.onmessage = async ({ data }) => {
        const memory = Memory.adopt(data);
        const { int32 } = memory.atomics;
        for (let i = 0; i < 50_000; i++) Atomics.add(int32, 0, 1);
        Atomics.add(int32, 1, 1);
        memory.notify(4);
        await memory.wait(8, 0); // the other side has closed its own
        int32[3] = Atomics.add(int32, 0, 1);
        memory.close();
        self.postMessage(int32.length);
        self.close();
      };`;
    const url = `data:text/javascript,${encodeURIComponent(source)}`;
    const posix = PosixSharedMemory.create(null, 64);
    PosixSharedMemory.unlink(posix.name);
    for (const memory of [posix, MemoryMap.anonymous(64)]) {
      const { int32 } = memory.atomics;
      const ends = [1, 2, 3].map(() => {
        const worker = new Worker(url, { type: "module" });
        worker.postMessage(memory.share());
        return new Promise((resolve) => {
          worker.onmessage = ({ data }) => resolve(data);
        });
      });
      for (let done = 0; done < 3;) done = await memory.wait(4, done);
      console.log(Atomics.load(int32, 0));
      Atomics.store(int32, 2, 1);
      memory.notify(8);
      memory.close();
      console.log(String(await Promise.all(ends)));
    }
    const maps = Deno.readTextFileSync("/proc/self/maps");
    console.log(maps.includes("/dev/shm/"), maps.includes("/dev/zero"));
  }, { argument: MODULE });
  assertEquals(
    [code, stdout],
    [0, "150000\n0,0,0\n".repeat(2) + "false false\n"],
    transcript,
  );
});

leakTest("Memory.share() leaves nothing behind in many rounds", {
  soak: "also",
}, () => {
  using memory = MemoryMap.anonymous(3 * PAGE);
  const ROUNDS = rounds(100, 1_000);
  for (let round = 0; round < ROUNDS; round++) {
    using other = Memory.adopt(memory.share());
    other.bytes[round]! += 1;
    assertEquals(memory.bytes[round], 1);
  }
});
