/**
 * Memory whose file another process has truncated: no call of the module ends the
 * process with SIGBUS, whatever the kind of mapping. Each in a process of its own.
 */
import { assertEquals } from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import { SequenceBytes } from "../ffi/shared_memory.ts";
import { noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { refusing } from "./support/seccomp.ts";

/** The kinds of mappings whose file can be truncated. */
const KINDS = [
  "map",
  "read-only map",
  "private map",
  "object",
  "read-only object",
  "private object",
  "memory file",
  "adopted memory",
];

/** What each call says of memory whose file is empty by now. */
async function outcomesOf(
  { kind, path, name }: { kind: string; path: string; name: string },
): Promise<Record<string, string>> {
  const {
    Memory,
    MemoryFile,
    MemoryMap,
    PosixSemaphore,
    PosixSharedMemory,
    SequenceBytes,
    SequenceCell,
    u32,
    struct,
  } = await import("../mod.ts");
  const { unistd } = await import("../ffi/libc/unistd.ts");
  const { outcome } = await import("./support/child.ts");
  const size = 3 * 65536 + 5;
  const how = {
    readonly: kind.startsWith("read-only"),
    private: kind.startsWith("private"),
  };
  Deno.writeFileSync(path, new Uint8Array(size));
  using object = PosixSharedMemory.create(name, size);
  using file = MemoryFile.create("test", size);
  function open() {
    if (kind.endsWith("object")) return PosixSharedMemory.open(name, how);
    if (kind === "memory file") return file.map();
    const map = MemoryMap.open(path, { ...how, resizable: true });
    if (kind !== "adopted memory") return map;
    using owner = map;
    return Memory.adopt(structuredClone(owner.share()));
  }
  using memory = open();
  PosixSharedMemory.unlink(name);
  using plain = MemoryMap.anonymous(size);
  using other = MemoryMap.open(path);
  using target = MemoryMap.create(`${path}.other`, size);
  if (how.private) memory.bytes.fill(0); // a truncation takes these pages, too
  const layout = struct({ value: u32 });
  const cell = new SequenceCell(memory, 64, layout);
  const values = new SequenceBytes(memory, 64, size - 80);
  const part = how.readonly ? undefined : memory.bytes.subarray(128, 192);
  const semaphore = part && PosixSemaphore.init(part, 0);
  const free = part && PosixSemaphore.init(part.subarray(32), 1);
  const changed = how.private ? undefined : cell.changed(0);
  const acquired = how.private ? undefined : semaphore?.acquire();
  for (const wait of [changed, acquired]) wait?.catch(() => {}); // looked at below
  const waiting = how.private ? undefined : memory.wait(0, 0);
  waiting?.catch(() => {}); // looked at below
  Deno.truncateSync(path, 0);
  for (const { fd } of [object, file]) unistd().ftruncate(fd, 0n);
  const calls: Record<string, () => unknown> = {
    wait: () => waiting,
    waitNow: () => memory.wait(0, 0),
    waitOther: () => memory.wait(0, 1),
    waitSync: () => memory.waitSync(0, 0, { timeout: 0 }),
    waitSyncOther: () => memory.waitSync(0, 1),
    notify: () => memory.notify(0),
    read: () => memory.read(0, 5),
    readAll: () => memory.read(0, size),
    readEnd: () => memory.read(size - 1, 1),
    readNone: () => memory.read(size, 0),
    readInto: () => memory.read(0, new Uint8Array(5)),
    readIntoPlain: () => memory.read(0, plain.bytes),
    readIntoTarget: () => memory.read(0, target.bytes),
    readIntoTruncated: () => plain.read(0, other.bytes),
    write: () => memory.write(0, new Uint8Array(5)),
    writeAll: () => memory.write(0, new Uint8Array(size)),
    writeFromPlain: () => memory.write(0, plain.bytes),
    writeFromTruncated: () => plain.write(0, other.bytes),
    writeFromTruncatedPart: () => target.write(0, other.bytes.subarray(1, 3)),
    indexOf: () => memory.indexOf(1),
    indexOfBytes: () => memory.indexOf(Uint8Array.of(1, 2)),
    indexOfEnd: () => memory.indexOf(1, size - 1),
    indexOfTruncated: () => plain.indexOf(other.bytes),
    populate: () => memory.populate(),
    lock: () => memory.lock(),
    unlock: () => memory.unlock(),
    residency: () => memory.residency(),
    willneed: () => memory.advise("willneed"),
    pageout: () => memory.advise("pageout"),
    share: () => Memory.adopt(memory.share()).close(),
    inspect: () => Deno.inspect(memory),
    cellChanged: () => changed,
    cellSequence: () => cell.sequence,
    cellTryRead: () => cell.tryRead(),
    cellReadSync: () => cell.readSync(),
    cellRead: () => cell.read(),
    cellWrite: () => cell.write({ value: 1 }),
    cellInspect: () => Deno.inspect(cell),
    valuesTryRead: () => values.tryRead(),
    valuesReadInto: () =>
      values.tryRead({ buffer: target.bytes.subarray(0, size - 80) }),
    valuesWrite: () => values.write(new Uint8Array(size - 80)),
  };
  if (part !== undefined) {
    for (const [name, object] of Object.entries({ semaphore, free })) {
      calls[`${name}Value`] = () => object!.value;
      calls[`${name}Release`] = () => object!.release();
      calls[`${name}Try`] = () => object!.tryAcquire();
      calls[`${name}Sync`] = () => object!.acquireSync();
      calls[`${name}Async`] = () => object!.acquire();
    }
    calls.semaphoreAcquired = () => acquired;
    calls.semaphoreAt = () => PosixSemaphore.at(part);
    calls.semaphoreInit = () => PosixSemaphore.init(part, 1);
  }
  if (memory instanceof MemoryMap) {
    calls.flush = () => memory.flush();
    calls.flushSync = () => memory.flushSync();
    calls.append = () => memory.append(other.bytes);
    calls.moveTo = () => memory.moveTo(0);
  }
  const outcomes: Record<string, string> = {};
  for (const [title, call] of Object.entries(calls)) {
    const told = await outcome(call);
    const [, syscall, code] = told.match(/^IpcError: (\w+) .*\((E\w+)\)$/) ??
      [];
    outcomes[title] = code ? `${syscall} ${code}` : told.split(":")[0]!;
  }
  return outcomes;
}

const [READ, WRITE, FUTEX] = ["process_vm_readv", "process_vm_writev", "futex"]
  .map((syscall) => `${syscall} EFAULT`);
const CHECK = "rt_sigprocmask EFAULT";

const EXPECTED: Record<string, string | undefined> = {
  wait: FUTEX,
  waitNow: FUTEX,
  waitOther: FUTEX,
  waitSync: FUTEX,
  waitSyncOther: FUTEX,
  notify: FUTEX,
  semaphoreInit: FUTEX,
  read: READ,
  readAll: READ,
  readEnd: READ,
  readNone: "returns",
  readInto: READ,
  readIntoPlain: READ,
  readIntoTarget: READ,
  readIntoTruncated: WRITE,
  write: WRITE,
  writeAll: WRITE,
  writeFromPlain: WRITE,
  writeFromTruncated: READ,
  writeFromTruncatedPart: READ,
  indexOf: READ,
  indexOfBytes: READ,
  indexOfEnd: READ,
  indexOfTruncated: READ,
  populate: "madvise EFAULT",
  lock: "madvise EFAULT",
  unlock: "returns",
  residency: "returns",
  willneed: "returns",
  pageout: "returns",
  share: "returns",
  inspect: "returns",
  flush: "returns",
  flushSync: "returns",
  append: READ,
  moveTo: "RangeError",
  cellChanged: FUTEX,
  cellSequence: READ,
  cellTryRead: READ,
  cellReadSync: READ,
  cellRead: READ,
  cellWrite: FUTEX,
  cellInspect: "returns",
  valuesTryRead: READ,
  valuesReadInto: READ,
  valuesWrite: FUTEX,
};

const OF_READONLY = {
  write: "TypeError",
  writeAll: "TypeError",
  writeFromPlain: "TypeError",
  cellWrite: "TypeError",
  valuesWrite: "TypeError",
};

const OF_PRIVATE = {
  wait: "returns",
  waitNow: "TypeError",
  waitOther: "TypeError",
  waitSync: "TypeError",
  waitSyncOther: "TypeError",
  notify: "TypeError",
  share: "TypeError",
  cellChanged: "returns",
  semaphoreAcquired: "returns",
};

for (const kind of KINDS) {
  leakTest(
    `A truncated ${kind} is EFAULT to every call, not SIGBUS`,
    async () => {
      using dir = scratch();
      const argument = { kind, path: dir.file("data"), name: uniqueName() };
      const told = await inChild(outcomesOf, { argument });
      const expected: Record<string, string | undefined> = {
        ...EXPECTED,
        ...kind.startsWith("read-only") ? OF_READONLY : {},
        ...kind.startsWith("private") ? OF_PRIVATE : {},
      };
      if (kind === "memory file") expected.moveTo = "TypeError"; // not resizable
      for (const [call, outcome] of Object.entries(told)) {
        const isOfSemaphore = /^(semaphore|free)/.test(call);
        const one = expected[call] ?? (isOfSemaphore ? CHECK : undefined);
        assertEquals(`${call} ${outcome}`, `${call} ${one}`);
      }
    },
  );
}

leakTest("A truncation during a call is EFAULT, not SIGBUS", async () => {
  using dir = scratch();
  const told = await inChild(async (path: string) => {
    const { MemoryMap, SequenceBytes } = await import("../ffi/memory_map.ts");
    const { outcome } = await import("./support/child.ts");
    const size = 1 << 18;
    Deno.writeFileSync(path, new Uint8Array(size));
    using map = MemoryMap.open(path);
    using source = MemoryMap.open(path);
    using plain = MemoryMap.anonymous(size);
    const values = new SequenceBytes(map, 0, 8192);
    const bytes = new Uint8Array(8192);
    const text = `self.onmessage = ({ data: [path, size, state] }) => {
      while (Atomics.load(state, 0) === 0) {
        Deno.truncateSync(path, 0);
        Deno.truncateSync(path, size);
        Atomics.add(state, 1, 1);
      }
      self.postMessage(0);
      self.close();
    };`;
    const url = `data:text/javascript,${encodeURIComponent(text)}`;
    const worker = new Worker(url, { type: "module" });
    const state = new Int32Array(new SharedArrayBuffer(8));
    worker.postMessage([path, size, state]);
    const calls = [
      () => map.read(0, size),
      () => map.read(0, plain.bytes),
      () => map.write(0, plain.bytes),
      () => plain.write(0, source.bytes),
      () => map.write(1, source.bytes.subarray(0, size - 1)),
      () => map.indexOf(1),
      () => map.waitSync(size - 4, 0, { timeout: 0 }),
      () => map.waitSync(size - 4, 1),
      () => map.wait(size - 4, 0, { timeout: 0 }),
      () => map.notify(size - 4),
      () => values.write(bytes),
      () => values.tryRead(),
      () => values.sequence,
    ];
    const told = new Set<string>();
    const isDone = () => told.has("EFAULT") && told.has("returns");
    while (Atomics.load(state, 1) < 300 || !isDone()) {
      for (const call of calls) {
        const text = await outcome(call);
        told.add(text.match(/EFAULT|TimeoutError/)?.[0] ?? text);
      }
    }
    const ended = new Promise((resolve) => worker.onmessage = resolve);
    Atomics.store(state, 0, 1);
    await ended;
    told.delete("TimeoutError");
    return [...told].sort();
  }, { argument: dir.file("data") });
  assertEquals(told, ["EFAULT", "returns"]);
});

leakTest(
  "SequenceBytes in memory that can be truncated is never torn",
  async () => {
    using dir = scratch();
    using map = MemoryMap.create(dir.file("data"), 8192);
    const values = new SequenceBytes(map, 0, 1000);
    using reader = MemoryMap.open(dir.file("data"), { readonly: true });
    const text = `import { Memory, SequenceBytes } from "${
      import.meta.resolve("../ffi/shared_memory.ts")
    }";
    self.onmessage = ({ data }) => {
      const memory = Memory.adopt(data);
      const values = new SequenceBytes(memory, 0, 1000);
      const end = memory.atomics.int32.subarray(1024, 1025);
      for (let n = 0; Atomics.load(end, 0) === 0; n++) {
        values.write(new Uint8Array(1000).fill(n));
      }
      memory.close();
      self.postMessage(0);
      self.close();
    };`;
    const url = `data:text/javascript,${encodeURIComponent(text)}`;
    const worker = new Worker(url, { type: "module" });
    const ended = new Promise((resolve) => worker.onmessage = resolve);
    worker.postMessage(map.share());
    await values.changed(0);
    const other = new SequenceBytes(reader, 0, 1000);
    const seen = new Set<number>();
    for (let read = 0; read < 2_000 || seen.size < 3; read++) {
      const value = other.readSync();
      seen.add(value[0]!);
      assertEquals(value.indexOf(value[0]! ^ 1), -1);
      assertEquals(value[0], value[999]);
    }
    Atomics.store(map.atomics.int32, 1024, 1);
    await ended;
  },
);

const COPIES = ["process_vm_readv", "process_vm_writev"];

for (const call of COPIES) {
  leakTest(`Memory does without ${call} where it is forbidden`, {
    needs: [noCompiler],
  }, async () => {
    using dir = scratch();
    const told = await inChild(async (path: string) => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      using map = MemoryMap.create(path, 300_000);
      map.write(299_997, Uint8Array.of(1, 2, 3));
      const at = map.indexOf(Uint8Array.of(2, 3));
      return [at, [...map.read(at - 1, 3)]];
    }, {
      argument: dir.file("data"),
      wrapper: await refusing({
        call,
        argument: 2,
        value: 1,
        error: "EPERM",
      }),
    });
    assertEquals(told, [299_998, [1, 2, 3]]);
  });
}

leakTest("Memory.indexOf() finds what lies across two copies", () => {
  using dir = scratch();
  using map = MemoryMap.create(dir.file("data"), 200_000);
  for (const length of [1, 2, 3, 64, 5_000, 100_000]) {
    const search = new Uint8Array(length).fill(7);
    for (const at of [0, 1, 65_534, 65_535, 65_536, 131_071]) {
      if (at + length > 200_000) continue;
      map.bytes.fill(0);
      map.write(at, search);
      const around = [map.indexOf(search), map.indexOf(search, at)];
      assertEquals(around, [at, at], `${length} bytes at ${at}`);
      assertEquals(map.indexOf(search, at + 1), -1, `${length} bytes at ${at}`);
    }
  }
  const end = map.byteLength;
  assertEquals(map.indexOf(new Uint8Array(), end), end);
  assertEquals(map.indexOf(7, end), -1);
  assertEquals(map.indexOf(new Uint8Array(end + 1)), -1);
});

leakTest("Memory.read() and write() move overlapping bytes of one file", () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(300_000));
  using map = MemoryMap.open(path);
  using other = MemoryMap.open(path);
  const numbers = Uint8Array.from({ length: 299_990 }, (_, at) => at % 251);
  for (const source of [map, other]) {
    map.write(0, numbers);
    map.write(10, source.bytes.subarray(0, 299_990));
    assertEquals(map.read(10, 299_990), numbers);
    map.read(10, source.bytes.subarray(0, 299_990));
    assertEquals(map.read(0, 299_990), numbers);
  }
});
