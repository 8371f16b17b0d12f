/**
 * What must not end the process, from any caller: all of it through what the
 * module exports. Each in a process of its own, of which nothing is left to tell
 * when it is wrong: SIGSEGV, SIGBUS, or memory that has another owner by then.
 */
import { assert, assertEquals } from "@std/assert";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { rounds } from "./support/rounds.ts";

const MODULE = import.meta.resolve("../mod.ts");

leakTest(
  "Bytes that lie about their length are used with the true one",
  async () => {
    const told = await inChild(async () => {
      const {
        MemoryMap,
        pipe,
        PosixSemaphore,
        SysvMessageQueue,
        UnixSeqpacket,
      } = await import("../mod.ts");
      const { outcome } = await import("./support/child.ts");
      class Longer extends Uint8Array {
        override get byteLength() {
          return 1 << 26;
        }
      }
      class Elsewhere extends Uint8Array {
        override get byteOffset() {
          return 1 << 30;
        }
        override get buffer() {
          return new ArrayBuffer(8);
        }
      }
      using map = MemoryMap.anonymous(4096);
      using ends = pipe();
      ends.writer.writeSync(new Uint8Array(60_000));
      const [left, right] = UnixSeqpacket.pair();
      using queue = SysvMessageQueue.create(null);
      queue.remove();
      const bytes = new Longer(4) as Uint8Array<ArrayBuffer>;
      const place = new Elsewhere(map.bytes.buffer, 64) as Uint8Array<
        ArrayBuffer
      >;
      PosixSemaphore.init(place, 3);
      const refused = [];
      for (
        const call of [
          () => map.read(0, bytes),
          () => map.write(0, bytes),
          () => ends.reader.readSync(bytes),
          () => ends.writer.write(bytes),
          () => left.tryReceive({ buffer: bytes }),
          () => right.trySend(bytes),
          () => queue.trySend(bytes),
          () => PosixSemaphore.at(bytes),
        ]
      ) refused.push((await outcome(call)).split(":")[0]);
      left.close();
      right.close();
      return [refused, map.bytes[64]];
    });
    // The queue is removed, and the bytes are in no memory.
    const ends = [...Array(6).fill("returns"), "IpcError", "TypeError"];
    assertEquals(told, [ends, 3]);
  },
);

leakTest("Options are read before anything is looked at", async () => {
  const told = await inChild(async () => {
    const { MemoryFile, MemoryMap, PosixSharedMemory } = await import(
      "../ffi/shared_memory.ts"
    );
    const { outcome } = await import("./support/child.ts");
    const size = 1 << 20;
    const told: string[] = [];
    const taken: ArrayBuffer[] = [];
    const anonymous = () => MemoryMap.anonymous(size, { private: true });
    const object = () => {
      const memory = PosixSharedMemory.create(null, size);
      PosixSharedMemory.unlink(memory.name);
      return memory;
    };
    const mapped = () => {
      using file = MemoryFile.create("test", size);
      return MemoryMap.fromFd(file.fd, { resizable: true });
    };
    for (const make of [anonymous, object, mapped]) {
      for (const how of ["close", "transfer"]) {
        const memory = make();
        memory.bytes[0] = 80;
        const shrink = () =>
          memory.resize(4096, {
            get shrink() {
              if (how === "close") memory.close();
              else taken.push(memory.bytes.buffer.transfer());
              return true;
            },
          });
        const error = await outcome(shrink);
        told.push(error.match(/closed|transferred/)?.[0] ?? error);
      }
    }
    using other = anonymous(); // where something was unmapped
    other.bytes.fill(1);
    for (
      const name of [
        "flushSync",
        "lock",
        "unlock",
        "populate",
        "residency",
      ] as const
    ) {
      const map = MemoryMap.anonymous(size);
      let count = 0;
      const range = {
        get offset() {
          if (count++ > 0) map.close();
          return count > 1 ? -size : 0;
        },
      };
      told.push(await outcome(() => map[name](range)), `${map.byteLength}`);
      map.close();
    }
    const whole = taken.every((buffer) =>
      buffer.byteLength === size && new Uint8Array(buffer)[0] === 80
    );
    return [told.join(), whole, taken.length];
  });
  const resized = Array(3).fill("closed,transferred");
  const ranged = Array(5).fill("returns,1048576");
  assertEquals(told, [[...resized, ...ranged].join(), true, 3]);
});

leakTest("Memory.adopt() takes nothing but what was shared", async () => {
  const told = await inChild(async () => {
    const { Memory, MemoryMap, SysvSharedMemory } = await import(
      "../ffi/shared_memory.ts"
    );
    type Handle = Parameters<typeof Memory.adopt>[0];
    const { outcome } = await import("./support/child.ts");
    using memory = SysvSharedMemory.create(null, 4096);
    memory.remove();
    using secret = MemoryMap.anonymous(4096, { private: true });
    const handle = memory.share();
    const again = () => new Int32Array(new SharedArrayBuffer(4));
    const told = [];
    for (
      const change of [
        { address: 4096n },
        { address: 0n },
        { address: -1n },
        { address: 2n ** 64n },
        { address: handle.address + 4096n },
        { length: 1 << 30 },
        { length: 0 },
        { length: -1 },
        { length: 1.5 },
        { access: "private" },
        { subject: null },
        { state: new Int32Array(1) },
        { state: again().subarray(1) },
      ]
    ) {
      const forged = { ...handle, state: again(), ...change } as Handle;
      told.push(await outcome(() => Memory.adopt(forged)));
    }
    using other = Memory.adopt(handle);
    const twice = { ...handle, state: again() };
    told.push(await outcome(() => Memory.adopt(twice)));
    // What is said once, and differently the second time.
    const next = memory.share();
    let count = 0;
    const unsteady = {
      ...next,
      get length() {
        return count++ === 0 ? next.length : 1 << 30;
      },
    };
    using last = Memory.adopt(unsteady);
    last.bytes[4095] = 80;
    secret.bytes[0] = 1;
    return [
      told.filter((error) => !error.startsWith("TypeError")),
      told.length,
      last.byteLength,
      other.read(4095, 1)[0],
      memory.bytes[4095],
      memory.stat().attachments,
    ];
  });
  assertEquals(told, [[], 14, 4096, 80, 80, 3]);
});

leakTest("What any thread has mapped is not taken from it", async () => {
  const told = await inChild(async (module) => {
    const { MemoryFile, MemoryMap } = await import("../ffi/shared_memory.ts");
    const { outcome } = await import("./support/child.ts");
    const size = 5 * 4096;
    using file = MemoryFile.create("test", size);
    const source = `
      import { MemoryMap } from "${module}";
      self.onmessage = ({ data }) => {
        const map = MemoryMap.fromFd(data);
        self.onmessage = ({ data }) => {
          if (data === "close") map.close();
          self.postMessage(data === "close" ? 0 : map.bytes.at(-1));
        };
        self.postMessage(map.byteLength);
      };`;
    const url = URL.createObjectURL(
      new Blob([source], { type: "text/javascript" }),
    );
    const worker = new Worker(url, { type: "module" });
    const ask = (data: unknown) =>
      new Promise((resolve) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.postMessage(data);
      });
    const told = [await ask(file.fd)];
    using map = MemoryMap.fromFd(file.fd, { resizable: true });
    map.lock({ offset: 0, length: 4096 }); // it is two lines of /proc/self/maps now
    map.bytes[size - 1] = 80;
    const shrink = () => map.resize(4096, { shrink: true });
    told.push((await outcome(shrink)).split(":")[0], await ask("read"));
    await ask("close");
    told.push(await outcome(shrink), file.size);
    worker.terminate();
    return told;
  }, { argument: MODULE });
  assertEquals(told, [5 * 4096, "TypeError", 80, "returns", 4096]);
});

leakTest("Memory that is closed under a wait is not written to", async () => {
  const told = await inChild(async () => {
    const {
      MemoryMap,
      pipe,
      PosixMessageQueue,
      SysvMessageQueue,
      UnixDatagram,
    } = await import("../mod.ts");
    const size = 8192; // what is received directly, not through a copy
    const data = new Uint8Array(100).fill(7);
    using ends = pipe();
    const [left, right] = UnixDatagram.pair();
    using posix = PosixMessageQueue.create(null, {
      maxMessages: 1,
      maxSize: size,
    });
    PosixMessageQueue.unlink(posix.name);
    using sysv = SysvMessageQueue.create(null);

    const told = [];
    try {
      type Bytes = Uint8Array<ArrayBuffer>;
      for (
        const [receive, send] of [
          [
            (buffer: Bytes) => ends.reader.read(buffer),
            () => ends.writer.write(data),
          ],
          [
            (buffer: Bytes) => left.receive({ buffer }),
            () => right.send(data),
          ],
          [
            (buffer: Bytes) => posix.receive({ buffer }),
            () => posix.send(data),
          ],
          [
            (buffer: Bytes) => sysv.receive({ buffer }),
            () => sysv.send(data),
          ],
        ] as const
      ) {
        const map = MemoryMap.anonymous(size);
        const before = map.bytes;
        const received = receive(map.bytes).then(
          (got) => typeof got === "object" ? got?.data.length : got,
          (error) => error.name,
        );
        await new Promise((resolve) => setTimeout(resolve, 20));
        map.close();
        using other = MemoryMap.anonymous(size); // mostly in the same place
        await send();
        told.push(await received, before.length, other.bytes[0]);
      }
      // Nothing is lost of what could not be put there.
      told.push(ends.reader.readSync(new Uint8Array(200)));
      told.push(left.tryReceive()?.data.length);
    } finally {
      sysv.remove();
      left.close();
      right.close();
    }
    return told;
  });
  assertEquals(told, [
    ...[0, 0, 0],
    ...["RangeError", 0, 0],
    ...[100, 0, 0],
    ...[100, 0, 0],
    100,
    100,
  ]);
});

leakTest(
  "What is sent must not become smaller meanwhile, and may become larger",
  async () => {
    const told = await inChild(async () => {
      const { pipe, SysvMessageQueue, UnixStream } = await import("../mod.ts");
      const { outcome } = await import("./support/child.ts");
      const size = 1 << 20;
      const told = [];
      const newBuffer = () => new ArrayBuffer(size, { maxByteLength: size });
      using ends = pipe();
      const [left, right] = UnixStream.pair();
      for (
        const [writer, reader] of [
          [ends.writer, ends.reader],
          [left, right],
        ] as const
      ) {
        const buffer = newBuffer();
        const writing = outcome(() => writer.write(new Uint8Array(buffer)));
        buffer.resize(10);
        await reader.read(new Uint8Array(size));
        told.push((await writing).split(":")[0]);
      }
      left.close();
      right.close();
      using queue = SysvMessageQueue.create(null);
      try {
        const buffer = newBuffer();
        buffer.resize(4);
        const full = new Uint8Array(8_192);
        while (queue.trySend(full));
        const first = queue.send(full);
        const second = queue.send(new Uint8Array(buffer)); // waits for its turn
        buffer.resize(8_000);
        const lengths = [];
        for (let left = true; left;) {
          const message = await queue.receive({ timeout: 5_000 });
          lengths.push(message.data.length);
          left = message.data.length !== 4 && message.data.length !== 8_000;
        }
        await Promise.all([first, second]);
        told.push(lengths.at(-1));
      } finally {
        queue.remove();
      }
      return told;
    });
    assertEquals(told, ["TypeError", "TypeError", 4]);
  },
);

leakTest(
  "Views of memory outlive everything, in any order",
  { soak: "also" },
  async () => {
    const times = rounds(60, 600); // divisible by three
    const told = await inChild(async (times) => {
      const { i32, Memory, MemoryFile, PosixSharedMemory, struct } =
        await import(
          "../mod.ts"
        );
      const { gc } = globalThis as unknown as { gc: () => void };
      const layout = struct({ value: i32 });
      const kept = [];
      for (let round = 0; round < times; round++) {
        const object = PosixSharedMemory.create(null, 4096);
        PosixSharedMemory.unlink(object.name);
        const file = MemoryFile.create("test", 8192);
        const map = file.map();
        const adopted = Memory.adopt(map.share());
        const moved = adopted.bytes.buffer.transfer();
        const views = [map.bytes.subarray(8000), new Uint8Array(moved, 8000)];
        if (round % 3 === 0) map.close();
        if (round % 5 === 0) file.close();
        if (round % 7 === 0) object.resize(9000);
        kept.push({ views, view: object.view(0, layout) });
        if (round % 20 === 0) {
          gc(); // of all that is not in kept
          await new Promise((resolve) => setTimeout(resolve));
        }
      }
      gc();
      await new Promise((resolve) => setTimeout(resolve));
      let there = 0;
      for (const { views, view } of kept) {
        view.value = 80;
        for (const bytes of views) {
          bytes[0] = 80;
          there += bytes.length;
        }
      }
      return [there, kept.every(({ view }) => view.value === 80)];
    }, { argument: times, flags: ["--v8-flags=--expose-gc"] });
    assertEquals(told, [192 * (times + times * 2 / 3), true]);
  },
);

leakTest("Workers that are ended leave the memory in its place", async () => {
  const told = await inChild(async (module) => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const source = `
      import { Memory } from "${module}";
      self.onmessage = ({ data }) => {
        const memory = Memory.adopt(data);
        memory.wait(0, 0).catch(() => {});
        self.postMessage("ready");
        const { int32 } = memory.atomics;
        setInterval(() => Atomics.add(int32, 1, 1));
      };`;
    const url = URL.createObjectURL(
      new Blob([source], { type: "text/javascript" }),
    );
    const map = MemoryMap.anonymous(4096);
    const { bytes } = map;
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(url, { type: "module" });
      const ready = new Promise((resolve) => worker.onmessage = resolve);
      worker.postMessage(map.share());
      await ready;
      if (round === 4) map.close();
      worker.terminate();
    }
    return bytes.length;
  }, { argument: MODULE });
  assertEquals(told, 0);
});

leakTest(
  "What another thread overwrites meanwhile leads to errors at worst",
  { soak: "also" },
  async () => {
    const calls = await inChild(async ([module, count]: [string, number]) => {
      const ipc = await import("../mod.ts");
      const { outcome } = await import("./support/child.ts");
      const source = `
        import { Memory } from "${module}";
        self.onmessage = ({ data }) => {
          const { int32 } = Memory.adopt(data).atomics;
          const values = [0, 1, -1, 8, 64, 0x7fffffff, -0x80000000];
          const any = (count) => Math.floor(Math.random() * count);
          self.postMessage("ready");
          while (int32[0] === 0) { // the first word is for the end
            for (let i = 0; i < 50; i++) {
              const at = 16 + any(int32.length - 16);
              int32[at] = any(2) ? values[any(values.length)] : any(2 ** 32);
            }
          }
          self.postMessage("over");
        };`;
      const url = URL.createObjectURL(
        new Blob([source], { type: "text/javascript" }),
      );
      const map = ipc.MemoryMap.anonymous(32_768);
      const worker = new Worker(url, { type: "module" });
      const told = () => new Promise((resolve) => worker.onmessage = resolve);
      const ready = told();
      worker.postMessage(map.share());
      await ready;
      const timeout = 0;
      let calls = 0;
      const attempt = async (call: () => unknown) => {
        calls++;
        await outcome(call);
      };
      /** Makes an object, or finds one in the bytes, and uses it. */
      const use = async <T>(
        init: () => T,
        at: () => T,
        ...uses: ((object: T) => unknown)[]
      ) => {
        for (const make of [init, at]) {
          await attempt(async () => {
            const object = make();
            for (const use of uses) await attempt(() => use(object));
          });
        }
      };
      for (let round = 0; round < count; round++) {
        await use(
          () => ipc.PthreadRwLock.init(map, 2048),
          () => ipc.PthreadRwLock.at(map, 2048),
          (lock) => lock.tryLockRead()?.release(),
          async (lock) => (await lock.lockWrite({ timeout })).release(),
        );
        await use(
          () => ipc.PthreadBarrier.init(map, 4096, { count: 2 }),
          () => ipc.PthreadBarrier.at(map, 4096),
          (barrier) => barrier.waitSync({ timeout }),
          (barrier) => barrier.wait({ timeout }),
        );
        const bytes = map.bytes.subarray(5120, 5152);
        await use(
          () => ipc.PosixSemaphore.init(bytes, 1),
          () => ipc.PosixSemaphore.at(bytes),
          (semaphore) => semaphore.acquireSync({ timeout }).release(),
          async (semaphore) => (await semaphore.acquire({ timeout })).release(),
        );
        const cell = new ipc.SequenceBytes(map, 6144, 64);
        await attempt(() => cell.write(new Uint8Array(64)));
        await attempt(() => cell.read({ timeout }));
        const ring = { offset: 8192, capacity: 1024 };
        await use(
          () => ipc.SharedRing.create(map, ring),
          () => ipc.SharedRing.open(map, ring),
          (ring) => {
            using producer = ring.producer();
            using consumer = ring.consumer();
            for (let i = 0; i < 4; i++) {
              producer.tryWrite(new Uint8Array(99));
              producer.tryClaim(8)?.abort();
              consumer.tryRead(({ bytes }) => bytes.at(-1));
            }
          },
        );
      }
      const over = told();
      map.atomics.int32[0] = 1;
      await over;
      worker.terminate();
      return calls;
    }, { argument: [MODULE, rounds(40, 2_000)] });
    assert(calls > 0);
  },
);
