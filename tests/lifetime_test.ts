/**
 * From the first to the last moment: nothing is left by what was closed, by what
 * failed, or by what was forgotten, and nothing that is gone can be used.
 *
 * Whatever could crash the process is done by a child, which must end by itself:
 * neither with 139 (SIGSEGV) nor with 135 (SIGBUS).
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as ipc from "../mod.ts";
import {
  BufferedReader,
  ClosedError,
  Fifo,
  FramedStream,
  i32,
  MemoryFile,
  MemoryMap,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  PosixSharedMemory,
  SharedCondition,
  SharedMutex,
  SharedRwLock,
  struct,
  SysvMessageQueue,
  SysvSemaphoreSet,
  SysvSharedMemory,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "../mod.ts";
import { callText, inChild, outcome } from "./support/child.ts";
import { leakTest, snapshot } from "./support/leaks.ts";
import {
  type Scratch,
  scratch,
  uniqueKey,
  uniqueName,
} from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

const CYCLES = rounds(30, 1_000);

// --- Again and again -----------------------------------------------------------

/** Descriptors and mappings, counted one by one. */
function counts(): { descriptors: number; mappings: number } {
  const { descriptors, mappings } = snapshot();
  // The runtime has these, too, as many as it likes; leakTest has an eye on them.
  descriptors.delete("anon_inode:[eventpoll]");
  descriptors.delete("anon_inode:[eventfd]");
  const sum = (map: Map<string, number>) =>
    map.values().reduce((total, count) => total + count, 0);
  return { descriptors: sum(descriptors), mappings: sum(mappings) };
}

/** Does something once, for the costs of the first time, and then 1,000 times. */
function cycleTest(
  name: string,
  body: (directory: Scratch) => void | Promise<void>,
): void {
  leakTest(
    `${name} ${CYCLES} times leaves nothing`,
    { soak: "also" },
    async () => {
      using dir = scratch();
      await body(dir);
      const before = counts();
      for (let cycle = 0; cycle < CYCLES; cycle++) await body(dir);
      assertEquals(counts(), before);
      assertEquals(dir.list(), []);
    },
  );
}

const byte = Uint8Array.of(1);

cycleTest("pipe()", () => {
  using ends = pipe();
  ends.writer.writeSync(byte);
  ends.reader.readSync(byte);
});

cycleTest("pipe() with a wait", async () => {
  using ends = pipe();
  const waiting = ends.reader.read(byte);
  ends.writer.writeSync(byte);
  await waiting;
});

cycleTest("pipe() with a wait that its close() ends", async () => {
  const { reader, writer } = pipe();
  const waiting = reader.read(byte);
  reader.close();
  writer.close();
  await assertRejects(() => waiting, ClosedError);
});

cycleTest("Fifo.create()", (dir) => {
  using fifo = Fifo.create(`${dir.path}/fifo`);
  using again = Fifo.open(fifo.path);
  using ends = fifo.openBoth();
  using writer = again.tryOpenWriter()!;
  writer.writeSync(byte);
  ends.reader.readSync(byte);
  fifo.unlink();
});

cycleTest("SysvMessageQueue.create()", () => {
  using queue = SysvMessageQueue.create(null);
  using again = SysvMessageQueue.fromId(queue.id);
  queue.sendSync(byte);
  again.receiveSync();
  queue.remove();
});

cycleTest("SysvSharedMemory.create()", () => {
  using memory = SysvSharedMemory.create(null, 5000);
  using again = SysvSharedMemory.fromId(memory.id);
  memory.remove();
  memory.bytes[4999] = 1;
  assertEquals(again.bytes[4999], 1);
});

cycleTest("MemoryMap.create()", (dir) => {
  const path = `${dir.path}/file`;
  using map = MemoryMap.create(path, 5000);
  using again = MemoryMap.open(path, { offset: 4097, length: 10 });
  using copy = MemoryMap.open(path, { private: true });
  map.bytes[4097] = 1;
  assertEquals([again.bytes[0], copy.bytes[4097]], [1, 1]);
  Deno.removeSync(path);
});

cycleTest("MemoryMap.anonymous()", () => {
  using map = MemoryMap.anonymous(5000);
  using semaphore = PosixSemaphore.init(map.bytes.subarray(0, 32), 1);
  using _permit = semaphore.tryAcquire()!;
});

cycleTest("PosixSemaphore.create()", () => {
  using semaphore = PosixSemaphore.create(null, 1);
  using again = PosixSemaphore.open(semaphore.name!);
  PosixSemaphore.unlink(semaphore.name!);
  using _permit = again.acquireSync();
});

cycleTest("UnixListener.listen()", (dir) => {
  using listener = UnixListener.listen(`${dir.path}/socket`);
  using client = UnixStream.connectSync(`${dir.path}/socket`);
  using server = listener.acceptSync();
  client.writeSync(byte);
  server.readSync(byte);
});

cycleTest("UnixListener.listen() with waits", async (dir) => {
  using listener = UnixListener.listen(`${dir.path}/socket`);
  const accepting = listener.accept();
  using client = await UnixStream.connect(`${dir.path}/socket`);
  using server = await accepting;
  const waiting = server.read(byte);
  await client.write(byte);
  await waiting;
});

cycleTest("what fails", async (dir) => {
  const away = `${dir.path}/away/x`;
  const file = dir.file("file", "text");
  const nothing = 0x7fffffff;
  const calls = [
    () => Fifo.create(away),
    () => Fifo.create(file),
    () => Fifo.open(file),
    () => MemoryMap.open(away),
    () => MemoryMap.open(file, { offset: 4 }),
    () => MemoryMap.open("/dev/null"),
    () => MemoryMap.create(file, 1),
    () => MemoryMap.create(`${dir.path}/large`, Number.MAX_SAFE_INTEGER),
    () => MemoryMap.anonymous(Number.MAX_SAFE_INTEGER),
    () => SysvMessageQueue.fromId(nothing),
    () => SysvSharedMemory.fromId(nothing),
    () => SysvSharedMemory.create(null, Number.MAX_SAFE_INTEGER),
    () => PosixSemaphore.open("/ipc-nothing"),
    () => UnixListener.listen(away),
    () => UnixListener.listen(file, { reclaim: true }),
    () => UnixStream.connectSync(file),
    () => UnixStream.connect(file),
    () => ipc.PipeReader.fromFd(nothing),
  ];
  for (const call of calls) {
    assert(await outcome(call) !== "returns", String(call));
  }
  Deno.removeSync(file);
});

// --- Views of memory that is gone ----------------------------------------------

/** Ways to memory; each child has a file of 8192 bytes. */
const MEMORIES = ["anonymous", "file", "part of a file", "segment"] as const;
type Memory = typeof MEMORIES[number];

for (const memory of MEMORIES) {
  leakTest(`close() takes every view along (${memory})`, async () => {
    using dir = scratch();
    const file = dir.file("file", new Uint8Array(8192).fill(7));
    const outcomes = await inChild(useAfterClose, {
      argument: { memory, file },
    });
    assertEquals(outcomes, {
      "before": [7, 7, 7],
      "bytes.length": 0,
      "bytes.byteLength": 0,
      "bytes.buffer.detached": true,
      "subarray.length": 0,
      "whole.length": 0,
      "Int32Array.length": 0,
      "Float64Array.length": 0,
      "BigUint64Array.length": 0,
      "live bytes.length": 0,
      "bytes[0]": "undefined",
      "subarray[0]": "undefined",
      "BigUint64Array[0]": "undefined",
      "at()": "TypeError",
      "write an element": "returns",
      "fill()": "TypeError",
      "set()": "TypeError",
      "slice()": "TypeError",
      "subarray()": "TypeError",
      "iterate": "TypeError",
      "sort()": "TypeError",
      "decode text": "returns",
      "new view": "TypeError",
      "DataView.byteLength": "TypeError",
      "DataView.getInt32()": "TypeError",
      "DataView.setInt32()": "TypeError",
      "Atomics.load()": "TypeError",
      "Atomics.store()": "TypeError",
      "struct view, read": "TypeError",
      "struct view, write": "TypeError",
      "struct view, nested": "TypeError",
      "struct view, element": "TypeError",
      "struct view, string": "TypeError",
      "struct view, JSON": "TypeError",
      "struct view, print": "returns",
      "decode()": "TypeError",
      "write()": "TypeError",
      "view()": "ClosedError",
      "semaphore": "ClosedError",
      "at": "ClosedError",
      "close()": "returns",
      "dispose": "returns",
      // What was mapped afterwards, perhaps in its place, is untouched.
      "after": true,
    });
  });
}

/** Uses every kind of view of a memory that was closed. */
async function useAfterClose(
  { memory, file }: { memory: Memory; file: string },
): Promise<Record<string, unknown>> {
  const ipc = await import("../mod.ts");
  const open = {
    anonymous: () => ipc.MemoryMap.anonymous(8192),
    file: () => ipc.MemoryMap.open(file),
    "part of a file": () => ipc.MemoryMap.open(file, { offset: 64 }),
    segment: () => {
      const memory = ipc.SysvSharedMemory.create(null, 8192);
      memory.remove();
      return memory;
    },
  };
  const map = open[memory]();
  const { bytes } = map;
  bytes.fill(7);
  const { buffer } = bytes;
  const subarray = bytes.subarray(8, 16);
  const whole = new Uint8Array(buffer);
  const ints = new Int32Array(buffer, 0, 4);
  const floats = new Float64Array(buffer, 8, 4);
  const longs = new BigUint64Array(buffer, 8, 4);
  const data = new DataView(buffer, 4, 16);
  const layout = ipc.struct({
    number: ipc.i32,
    nested: ipc.struct({ inner: ipc.i64 }),
    list: ipc.array(ipc.i16, 4),
    raw: ipc.bytes(4),
    text: ipc.cstring(8),
  });
  const view = map.view(0, layout);
  const { nested, list, raw } = view;
  const semaphore = ipc.PosixSemaphore.init(bytes.subarray(64, 96), 1);
  const outcomes: Record<string, unknown> = {
    before: [bytes[1], subarray[0], raw[0]],
  };

  map.close();
  const others = Array.from({ length: 8 }, () => ipc.MemoryMap.anonymous(8192));

  outcomes["bytes.length"] = bytes.length;
  outcomes["bytes.byteLength"] = bytes.byteLength;
  outcomes["bytes.buffer.detached"] = buffer.detached;
  outcomes["subarray.length"] = subarray.length;
  outcomes["whole.length"] = whole.length;
  outcomes["Int32Array.length"] = ints.length;
  outcomes["Float64Array.length"] = floats.length;
  outcomes["BigUint64Array.length"] = longs.length;
  outcomes["live bytes.length"] = raw.length;
  outcomes["bytes[0]"] = String(bytes[0]);
  outcomes["subarray[0]"] = String(subarray[0]);
  outcomes["BigUint64Array[0]"] = String(longs[0]);
  const uses: Record<string, () => unknown> = {
    "at()": () => bytes.at(0),
    "write an element": () => {
      bytes[0] = subarray[0] = ints[0] = 1;
      longs[0] = 1n;
    },
    "fill()": () => bytes.fill(1),
    "set()": () => bytes.set([1], 0),
    "slice()": () => bytes.slice(0, 1),
    "subarray()": () => bytes.subarray(0, 1),
    "iterate": () => [...bytes],
    "sort()": () => bytes.sort(),
    "decode text": () => new TextDecoder().decode(bytes),
    "new view": () => new Uint8Array(buffer),
    "DataView.byteLength": () => data.byteLength,
    "DataView.getInt32()": () => data.getInt32(0),
    "DataView.setInt32()": () => data.setInt32(0, 1),
    "Atomics.load()": () => Atomics.load(ints, 0),
    "Atomics.store()": () => Atomics.store(ints, 0, 1),
    "struct view, read": () => view.number,
    "struct view, write": () => view.number = 1,
    "struct view, nested": () => nested.inner,
    "struct view, element": () => list[0],
    "struct view, string": () => view.text = "text",
    "struct view, JSON": () => JSON.stringify(view),
    "struct view, print": () => Deno.inspect(view),
    "decode()": () => layout.decode(bytes),
    "write()": () => layout.write(bytes, {} as never),
    "view()": () => map.view(0, layout),
    "semaphore": () => semaphore.release(),
    "at": () => ipc.PosixSemaphore.at(bytes),
    "close()": () => map.close(),
    "dispose": () => map[Symbol.dispose](),
  };
  for (const [use, call] of Object.entries(uses)) {
    try {
      call();
      outcomes[use] = "returns";
    } catch (error) {
      outcomes[use] = (error as Error).name;
    }
  }
  outcomes.after = others.every(({ bytes }) =>
    bytes.every((byte) => byte === 0)
  );
  for (const other of others) other.close();
  return outcomes;
}

leakTest(
  "close() in the middle of something that uses the memory is no crash",
  async () => {
    const outcomes = await inChild(async () => {
      const ipc = await import("../mod.ts");
      const layout = ipc.struct({
        point: ipc.struct({ x: ipc.i32, y: ipc.i32 }),
        list: ipc.array(ipc.i32, 2),
        text: ipc.cstring(8),
      });
      const uses: Record<
        string,
        (bytes: Uint8Array<ArrayBuffer>, close: () => number) => unknown
      > = {
        forEach: (bytes, close) => bytes.forEach(close),
        map: (bytes, close) => bytes.map(close),
        filter: (bytes, close) => bytes.filter(close),
        find: (bytes, close) => bytes.find(() => close() > 1),
        findLast: (bytes, close) => bytes.findLast(() => close() > 1),
        every: (bytes, close) => bytes.every(close),
        reduce: (bytes, close) => bytes.reduce(close),
        reduceRight: (bytes, close) => bytes.reduceRight(close),
        sort: (bytes, close) => bytes.sort(close),
        toSorted: (bytes, close) => bytes.toSorted(close),
        fill: (bytes, close) => bytes.fill({ valueOf: close } as never),
        with: (bytes, close) => bytes.with(0, { valueOf: close } as never),
        set: (bytes, close) => bytes.set([1, { valueOf: close } as never, 2]),
        copyWithin: (bytes, close) =>
          bytes.copyWithin(8, { valueOf: close } as never),
        slice: (bytes, close) => bytes.slice({ valueOf: close } as never),
        subarray: (bytes, close) => bytes.subarray({ valueOf: close } as never),
        indexOf: (bytes, close) =>
          bytes.indexOf(9, { valueOf: close } as never),
        lastIndexOf: (bytes, close) =>
          bytes.lastIndexOf(9, { valueOf: close } as never),
        includes: (bytes, close) =>
          bytes.includes(9, { valueOf: close } as never),
        join: (bytes, close) =>
          bytes.join({ toString: () => `${close()}` } as never),
        element: (bytes, close) => bytes[0] = { valueOf: close } as never,
        iterator: (bytes, close) => {
          for (const _ of bytes) close();
        },
        from: (bytes, close) => Uint8Array.from(bytes, close),
        "Atomics.add": (bytes, close) =>
          Atomics.add(new Int32Array(bytes.buffer), 0, {
            valueOf: close,
          } as never),
        "DataView.set": (bytes, close) =>
          new DataView(bytes.buffer).setInt32(0, { valueOf: close } as never),
        "new Uint8Array": (bytes, close) =>
          new Uint8Array(bytes.buffer, { valueOf: close } as never, 8),
        "struct view": (bytes, close) => {
          layout.view(bytes).point = {
            x: 1,
            get y() {
              return close();
            },
          };
        },
        "array view": (bytes, close) => {
          layout.view(bytes).list = {
            length: 2,
            0: 1,
            get 1() {
              return close();
            },
          } as never;
        },
        "message": (bytes, close) => {
          using queue = ipc.SysvMessageQueue.create(null);
          try {
            queue.trySend(bytes, {
              get type() {
                return close();
              },
            });
          } finally {
            queue.remove();
          }
        },
        "write": (bytes, close) => {
          using ends = ipc.pipe();
          ends.writer.writeSync(bytes, {
            get timeout() {
              return close();
            },
          });
        },
        "read": (bytes, close) => {
          using ends = ipc.pipe();
          ends.writer.writeSync(new Uint8Array(64));
          ends.reader.readSync(bytes, {
            get timeout() {
              return close();
            },
          });
        },
        "semaphore": (bytes, close) =>
          ipc.PosixSemaphore.init(bytes.subarray(0, 32), 1).acquireSync({
            get timeout() {
              return close();
            },
          }),
      };
      const outcomes: Record<string, string> = {};
      for (const [use, call] of Object.entries(uses)) {
        const map = ipc.MemoryMap.anonymous(8192);
        const close = () => {
          map.close();
          return 1;
        };
        try {
          call(map.bytes, close);
          outcomes[use] = "fine";
        } catch (error) {
          // A detached buffer is a TypeError, or a RangeError where it is too short.
          const isFine = error instanceof TypeError ||
            error instanceof RangeError;
          outcomes[use] = isFine ? "fine" : String(error);
        }
        if (map.bytes.length !== 0) outcomes[use] = "was not closed";
      }
      return outcomes;
    });
    const uses = Object.keys(outcomes);
    assert(uses.length > 25);
    assertEquals(
      outcomes,
      Object.fromEntries(uses.map((use) => [use, "fine"])),
    );
  },
);

leakTest(
  "close() of memory that is being written to a pipe ends the write",
  async () => {
    const ended = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      using ends = pipe();
      const map = MemoryMap.anonymous(1 << 20);
      const writing = ends.writer.write(map.bytes).then(
        (count) => `wrote ${count}`,
        (error) => (error as Error).name,
      );
      await new Promise((resolve) => setTimeout(resolve)); // the pipe is full
      map.close();
      const buffer = new Uint8Array(1 << 20);
      const read = ends.reader.readSync(buffer);
      const outcome = await writing;
      return { read, outcome };
    }, { limit: 10_000 });
    assert(ended.read! > 0);
    assert(ended.outcome !== `wrote ${1 << 20}`, ended.outcome);
  },
);

leakTest(
  "close() of memory that is being read into ends the read without a crash",
  async () => {
    const ended = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      using ends = pipe();
      const map = MemoryMap.anonymous(8192);
      const reading = ends.reader.read(map.bytes).then(
        (count) => `read ${count}`,
        (error) => (error as Error).name,
      );
      await new Promise((resolve) => setTimeout(resolve));
      map.close();
      ends.writer.writeSync(Uint8Array.of(1, 2, 3));
      const outcome = await reading;
      const buffer = new Uint8Array(8);
      return { outcome, left: ends.reader.tryRead(buffer) };
    }, { limit: 10_000 });
    assert(ended.outcome !== "read 3", ended.outcome);
    assertEquals(ended.left, 3); // nothing was lost
  },
);

// --- After close() -------------------------------------------------------------

/** An object of a class, and what else has to be closed. */
interface Made {
  object: Disposable & { close(): void };
  rest: Disposable[];
}

/** What takes part in a ring or a broadcast, over memory of its own. */
function overRing<Ring, Object extends { close(): void }>(
  kind: {
    size(capacity: number): number;
    create(memory: MemoryMap): Ring;
  },
  join: (ring: Ring) => Object,
) {
  const memory = MemoryMap.anonymous(kind.size(1024));
  return { object: join(kind.create(memory)), rest: [memory] };
}

/** How to make one of each class that can be closed. */
const MAKERS: Record<string, (directory: Scratch) => Made> = {
  PipeReader: () => {
    const { reader, writer } = pipe();
    return { object: reader, rest: [writer] };
  },
  PipeWriter: () => {
    const { reader, writer } = pipe();
    return { object: writer, rest: [reader] };
  },
  Fifo: (dir) => {
    const path = `${dir.path}/fifo`;
    const rest = { [Symbol.dispose]: () => Deno.removeSync(path) };
    return { object: Fifo.create(path), rest: [rest] };
  },
  SysvMessageQueue: () => {
    const object = SysvMessageQueue.create(null);
    object.remove();
    return { object, rest: [] };
  },
  SysvSharedMemory: () => {
    const object = SysvSharedMemory.create(null, 64);
    object.remove();
    return { object, rest: [] };
  },
  PosixSharedMemory: () => {
    const object = PosixSharedMemory.create(null, 64);
    PosixSharedMemory.unlink(object.name);
    return { object, rest: [] };
  },
  MemoryFile: () => ({ object: MemoryFile.create("file", 64), rest: [] }),
  MemoryMap: () => ({ object: MemoryMap.anonymous(64), rest: [] }),
  EventFd: () => ({ object: ipc.EventFd.create(), rest: [] }),
  File: (dir) => ({
    object: ipc.File.openOrCreate(`${dir.path}/file`),
    rest: [],
  }),
  PidFd: () => ({ object: ipc.PidFd.open(Deno.pid), rest: [] }),
  TimerFd: () => ({ object: ipc.TimerFd.create(), rest: [] }),
  RingConsumer: () => overRing(ipc.SharedRing, (ring) => ring.consumer()),
  RingProducer: () => overRing(ipc.SharedRing, (ring) => ring.producer()),
  BroadcastProducer: () =>
    overRing(ipc.SharedBroadcast, (broadcast) => broadcast.producer()),
  BroadcastReceiver: () =>
    overRing(ipc.SharedBroadcast, (broadcast) => broadcast.receiver()),
  PosixSemaphore: () => {
    const object = PosixSemaphore.create(null, 1);
    PosixSemaphore.unlink(object.name!);
    return { object, rest: [] };
  },
  PosixMessageQueue: () => {
    const object = PosixMessageQueue.create(null);
    PosixMessageQueue.unlink(object.name);
    return { object, rest: [] };
  },
  SysvSemaphoreSet: () => {
    const object = SysvSemaphoreSet.create(null, [1, 1]);
    object.remove();
    return { object, rest: [] };
  },
  SharedCondition: () => {
    const object = SharedCondition.create(null);
    object.remove();
    return { object, rest: [] };
  },
  SharedMutex: () => {
    const object = SharedMutex.create(null);
    object.remove();
    return { object, rest: [] };
  },
  SharedRwLock: () => {
    const object = SharedRwLock.create(null);
    object.remove();
    return { object, rest: [] };
  },
  BufferedReader: () => {
    const [one, other] = UnixStream.pair();
    return { object: new BufferedReader(one), rest: [other] };
  },
  FramedStream: () => {
    const [one, other] = UnixStream.pair();
    return { object: new FramedStream(one), rest: [other] };
  },
  PassedDescriptor: () => {
    using ends = pipe();
    using sockets = UnixStream.pair();
    sockets[0].sendSync(byte, { descriptors: [ends.reader] });
    const message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
    return { object: message.descriptors[0]!, rest: [] };
  },
  UnixDatagram: () => {
    const [one, other] = UnixDatagram.pair();
    return { object: one, rest: [other] };
  },
  UnixSeqpacket: () => {
    const [one, other] = UnixSeqpacket.pair();
    return { object: one, rest: [other] };
  },
  UnixListener: (dir) => ({
    object: UnixListener.listen(`${dir.path}/socket`),
    rest: [],
  }),
  UnixStream: (dir) => {
    using listener = UnixListener.listen(`${dir.path}/socket`);
    const object = UnixStream.connectSync(`${dir.path}/socket`);
    return { object, rest: [listener.acceptSync()] };
  },
};

/** What an object has open, descriptors and mappings, if it is not one thing. */
const HOLDS: Record<string, number> = {
  BroadcastProducer: 0, // over memory that stays open, as those of the other rings
  BroadcastReceiver: 0,
  EventFd: 0, // is not counted
  PosixSharedMemory: 2,
  RingConsumer: 0,
  RingProducer: 0,
  SharedCondition: 0, // known by its id alone, as the next four are
  SharedMutex: 0,
  SharedRwLock: 0,
  SysvMessageQueue: 0,
  SysvSemaphoreSet: 0,
};

/**
 * What methods may want. Some of it gets every method as far as the question
 * whether its object is closed; and nothing of it may get any further.
 */
const ARGUMENTS: unknown[][] = [
  [],
  [new Uint8Array(8)],
  [new Uint8Array(8), new Uint8Array(8)],
  [new Uint8Array(8), 0],
  [{ after: 1 }],
  [struct({ value: i32 })],
  [{}],
  [[]],
  [[{ index: 0, delta: 1 }]],
  [[1, 1]],
  [0],
  [1],
  [4096],
  [0, 1],
  [0, struct({ value: i32 })],
  ["name"],
  ["normal"],
  [() => assert(false, "called")],
];

/** What is documented to go on working, and what it gives. */
const STILL: Record<string, (value: unknown) => unknown> = {
  "File.kind": (kind) => assertEquals(kind, "file"),
  "File.readable": (stream) => assertClosedStream(stream),
  "File.writable": (stream) => assertClosedStream(stream),
  "Fifo.path": (path) => assertEquals(typeof path, "string"),
  "PosixMessageQueue.maxSize": (size) => assertEquals(typeof size, "number"),
  "PosixMessageQueue.name": (name) => assertEquals(typeof name, "string"),
  "PosixSemaphore.name": (name) => assertEquals(typeof name, "string"),
  "PosixSharedMemory.name": (name) => assertEquals(typeof name, "string"),
  "MemoryMap.byteLength": (length) => assertEquals(length, 0),
  "MemoryMap.bytes": (bytes) => assertEquals(bytes, new Uint8Array(0)),
  // A stream tells of it where it is used.
  "PipeReader.readable": (stream) => assertClosedStream(stream),
  "PipeWriter.writable": (stream) => assertClosedStream(stream),
  "UnixStream.readable": (stream) => assertClosedStream(stream),
  "UnixStream.writable": (stream) => assertClosedStream(stream),
  "SharedCondition.id": (id) => assertEquals(typeof id, "number"),
  "SharedMutex.id": (id) => assertEquals(typeof id, "number"),
  "SharedRwLock.id": (id) => assertEquals(typeof id, "number"),
  "SysvSemaphoreSet.semaphore": (semaphore) =>
    assertThrows(
      () => (semaphore as { tryAcquire(): unknown }).tryAcquire(),
      ClosedError,
    ),
  "SysvSemaphoreSet.id": (id) => assertEquals(typeof id, "number"),
  "SysvSemaphoreSet.size": (size) => assertEquals(size, 2),
  "SysvMessageQueue.id": (id) => assertEquals(typeof id, "number"),
  "PosixSharedMemory.byteLength": (length) => assertEquals(length, 0),
  "PosixSharedMemory.bytes": (bytes) => assertEquals(bytes, new Uint8Array(0)),
  "SysvSharedMemory.byteLength": (length) => assertEquals(length, 0),
  "SysvSharedMemory.bytes": (bytes) => assertEquals(bytes, new Uint8Array(0)),
  "SysvSharedMemory.id": (id) => assertEquals(typeof id, "number"),
  "RingConsumer.capacity": (count) => assertEquals(typeof count, "number"),
  "RingConsumer.maxMessageLength": (count) =>
    assertEquals(typeof count, "number"),
  "RingProducer.capacity": (count) => assertEquals(typeof count, "number"),
  "RingProducer.maxMessageLength": (count) =>
    assertEquals(typeof count, "number"),
  "BroadcastProducer.capacity": (count) => assertEquals(typeof count, "number"),
  "BroadcastProducer.maxMessageLength": (count) =>
    assertEquals(typeof count, "number"),
  "BroadcastReceiver.capacity": (count) => assertEquals(typeof count, "number"),
  "BroadcastReceiver.maxMessageLength": (count) =>
    assertEquals(typeof count, "number"),
  "BroadcastReceiver.missed": (count) => assertEquals(typeof count, "number"),
  "BroadcastReceiver.missedBytes": (count) =>
    assertEquals(typeof count, "number"),
  "RingConsumer.closed": (closed) => assert(closed),
  "RingProducer.closed": (closed) => assert(closed),
  "BroadcastProducer.closed": (closed) => assert(closed),
  "BroadcastReceiver.closed": (closed) => assert(closed),
};

/** Asserts that the first use of a stream fails with a ClosedError. */
async function assertClosedStream(stream: unknown): Promise<void> {
  await assertRejects(async () => {
    if (stream instanceof ReadableStream) await stream.getReader().read();
    if (stream instanceof WritableStream) await stream.getWriter().write(byte);
  }, ClosedError);
}

/** What those need that want something. */
const ARGUMENTS_OF: Record<string, unknown[]> = {
  "SysvSemaphoreSet.semaphore": [0],
};

/** Reads a getter, or calls a method, and waits if it says so. */
async function useMember(
  object: object,
  { get, value }: PropertyDescriptor,
  list: unknown[] = [],
): Promise<unknown> {
  return await (get ? get.call(object) : value?.apply(object, list));
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null &&
    Symbol.asyncIterator in value;
}

/** The classes of the module that have a close(), without those they extend. */
function closableClasses(): string[] {
  const classes = new Map<string, object>();
  for (const [name, value] of Object.entries(ipc)) {
    if (typeof value !== "function") continue;
    const prototype: unknown = value.prototype;
    if (typeof prototype !== "object" || prototype === null) continue;
    if ("close" in prototype) classes.set(name, prototype);
  }
  const extended = new Set(
    classes.values().map((prototype) => Object.getPrototypeOf(prototype)),
  );
  return [...classes].filter(([_, prototype]) => !extended.has(prototype))
    .map(([name]) => name);
}

/** Getters and methods of a class, those that it inherits included. */
function membersOf(object: object): Map<PropertyKey, PropertyDescriptor> {
  const members = new Map<PropertyKey, PropertyDescriptor>();
  for (
    let prototype = Object.getPrototypeOf(object);
    prototype !== null && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype)
  ) {
    for (const key of Reflect.ownKeys(prototype)) {
      if (key === "constructor" || members.has(key)) continue;
      members.set(key, Object.getOwnPropertyDescriptor(prototype, key)!);
    }
  }
  return members;
}

Deno.test("every class with a close() is tested", () => {
  assertEquals(closableClasses().sort(), Object.keys(MAKERS).sort());
});

const QUIET = new Set<PropertyKey>(["close", Symbol.dispose, "ref", "unref"]);

for (const [name, make] of Object.entries(MAKERS)) {
  leakTest(`${name} says ClosedError to everything after close()`, async () => {
    using dir = scratch();
    const { object, rest } = make(dir);
    const members = membersOf(object);
    object.close();
    try {
      for (const [key, descriptor] of members) {
        const title = `${name}.${String(key)}`;
        if (QUIET.has(key)) {
          descriptor.value.call(object); // does nothing
          continue;
        }
        if (key === Symbol.for("Deno.customInspect")) {
          assert(Deno.inspect(object).startsWith(`${name} {`), title);
          continue;
        }
        const still = STILL[title];
        if (still !== undefined) {
          await still(await useMember(object, descriptor, ARGUMENTS_OF[title]));
          continue;
        }
        let isRefused = false;
        for (const list of descriptor.get ? [[]] : ARGUMENTS) {
          try {
            const result = await useMember(object, descriptor, list);
            // What comes one after another ends.
            assert(isAsyncIterable(result), `${title} works`);
            const { done } = await result[Symbol.asyncIterator]().next();
            assert(done, `${title} goes on`);
            isRefused = true;
          } catch (error) {
            if (!(error instanceof ClosedError)) {
              // It complained of the arguments.
              const isType = error instanceof TypeError;
              const isRange = error instanceof RangeError;
              if (isType || isRange) continue;
              throw error;
            }
            assert(/^Cannot use .*: it is closed$/.test(error.message), title);
            isRefused = true;
          }
        }
        assert(isRefused, `${title} does not say that it is closed`);
      }
    } finally {
      for (const other of rest) other[Symbol.dispose]();
    }
  });

  leakTest(`${name} is closed once, by close() or by its dispose`, () => {
    using dir = scratch();
    for (
      const [first, second] of [["close", "dispose"], ["dispose", "close"]]
    ) {
      const { object, rest } = make(dir);
      const before = counts();
      const end = (how: string | undefined) =>
        how === "close" ? object.close() : object[Symbol.dispose]();
      end(first);
      const closed = counts();
      const change = before.descriptors - closed.descriptors +
        Math.sign(before.mappings - closed.mappings);
      assertEquals(change, HOLDS[name] ?? 1, first);
      // Somebody else's, with the number or the place that it had.
      using ends = pipe();
      using map = MemoryMap.anonymous(64);
      end(second);
      end(first);
      ends.writer.writeSync(byte);
      assertEquals(ends.reader.readSync(byte), 1);
      assertEquals(map.bytes.length, 64);
      for (const other of rest) other[Symbol.dispose]();
    }
  });
}

leakTest("close() ends every wait with a ClosedError", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(`${dir.path}/socket`);
  using client = UnixStream.connectSync(`${dir.path}/socket`);
  using server = listener.acceptSync();
  using ends = pipe();
  using full = pipe();
  while (full.writer.tryWrite(new Uint8Array(4096)) !== undefined);
  while (client.tryWrite(new Uint8Array(4096)) !== undefined);
  const waits: [Disposable, Promise<unknown>][] = [
    [ends.reader, ends.reader.read(byte)],
    [full.writer, full.writer.write(byte)],
    [server, server.write(new Uint8Array(1 << 22))],
    [client, client.drained()],
    [listener, listener.accept()],
  ];
  for (const [object, waiting] of waits) {
    const rejected = assertRejects(() => waiting, ClosedError);
    object[Symbol.dispose]();
    await rejected;
  }
});

leakTest("fromFd() takes over what has no owner, and once", () => {
  using ends = pipe();
  using file = ipc.MemoryFile.create("file", 8);
  using queue = ipc.PosixMessageQueue.create(null, {
    maxMessages: 1,
    maxSize: 1,
  });
  ipc.PosixMessageQueue.unlink(queue.name);
  using listener = UnixListener.listen(null);
  using event = ipc.EventFd.create();
  using timer = ipc.TimerFd.create();
  using process = ipc.PidFd.open(Deno.pid);
  using streams = UnixStream.pair();
  using packets = ipc.UnixSeqpacket.pair();
  using datagrams = ipc.UnixDatagram.pair();
  const takers: [number, (fd: number) => Disposable][] = [
    [ends.reader.fd, (fd) => ipc.PipeReader.fromFd(fd)],
    [ends.writer.fd, (fd) => ipc.PipeWriter.fromFd(fd)],
    [file.fd, (fd) => ipc.MemoryFile.fromFd(fd, { seals: [] })],
    [queue.fd, (fd) => ipc.PosixMessageQueue.fromFd(fd)],
    [event.fd, (fd) => ipc.EventFd.fromFd(fd)],
    [timer.fd, (fd) => ipc.TimerFd.fromFd(fd)],
    [process.fd, (fd) => ipc.PidFd.fromFd(fd)],
    [event.fd, (fd) => ipc.File.fromFd(fd)],
    [event.fd, (fd) => ipc.adoptDescriptor(fd)],
    [listener.fd, (fd) => UnixListener.fromFd(fd)],
    [streams[0].fd, (fd) => UnixStream.fromFd(fd)],
    [packets[0].fd, (fd) => ipc.UnixSeqpacket.fromFd(fd)],
    [datagrams[0].fd, (fd) => ipc.UnixDatagram.fromFd(fd)],
  ];
  for (const [fd, take] of takers) {
    const message =
      `Argument "fd" must not be owned yet: ${fd} belongs to an object of this module`;
    assertThrows(() => take(fd), TypeError, message);
    // What was passed has an owner, until that gives it away.
    streams[0].sendSync(byte, { descriptors: [fd] });
    const received = streams[1].receiveSync({ maxDescriptors: 1 })!;
    const [passed] = received.descriptors;
    const copy = passed!.fd;
    assertThrows(() => take(copy), TypeError, "must not be owned yet");
    using taken = take(passed!.detach());
    assertThrows(() => take(copy), TypeError, "must not be owned yet");
    taken[Symbol.dispose]();
    // The number is free again, also for what is made here.
    using again = pipe();
    assertEquals(again.reader.fd, copy);
  }
});

leakTest("inherit() leaves a wait that is pending a wait", async () => {
  const read = await inChild(async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    using ends = pipe();
    const size = 300_000; // more than a pipe holds
    const writing = ends.writer.write(new Uint8Array(size));
    await new Promise((resolve) => setTimeout(resolve));
    ends.writer.inherit(() => {}); // a child gets a descriptor that blocks
    const buffer = new Uint8Array(8192);
    let count = 0;
    while (count < size) count += await ends.reader.read(buffer) ?? 0;
    return [count, await writing];
  }, { limit: 10_000 });
  assertEquals(read, [300_000, 300_000]);
});

leakTest("close() of memory ends a wait for a semaphore in it", async () => {
  const result = await inChild(async () => {
    const { MemoryMap, SysvSharedMemory } = await import(
      "../ffi/shared_memory.ts"
    );
    const { PosixSemaphore } = await import("../ffi/semaphore.ts");
    const mapped = () =>
      Deno.readTextFileSync("/proc/self/maps").split("\n")
        .filter((row) => / ...s /.test(row)).length;
    const outcomes: string[] = [];
    const before = mapped();
    for (
      const open of [
        () => MemoryMap.anonymous(4096),
        () => {
          const memory = SysvSharedMemory.create(null, 4096);
          memory.remove();
          return memory;
        },
      ]
    ) {
      const memory = open();
      const semaphore = PosixSemaphore.init(memory.bytes.subarray(0, 32), 0);
      const waiting = Array.from({ length: 8 }, () => semaphore.acquire());
      const ended = Promise.allSettled(waiting);
      await new Promise((resolve) => setTimeout(resolve));
      memory.close();
      for (const outcome of await ended) {
        outcomes.push(
          outcome.status === "rejected" ? outcome.reason.name : "acquired",
        );
      }
    }
    return { outcomes, left: mapped() - before };
  }, { limit: 10_000 });
  assertEquals(result.outcomes, Array(16).fill("ClosedError"));
  assertEquals(result.left, 0);
});

leakTest("close() of a named semaphore ends a wait for it", async () => {
  const semaphore = PosixSemaphore.create(null, 0);
  PosixSemaphore.unlink(semaphore.name!);
  const waiting = assertRejects(() => semaphore.acquire(), ClosedError);
  await new Promise((resolve) => setTimeout(resolve));
  semaphore.close();
  await waiting;
});

leakTest("a permit of a closed semaphore cannot be given back", () => {
  const semaphore = PosixSemaphore.create(null, 1);
  PosixSemaphore.unlink(semaphore.name!);
  const permit = semaphore.tryAcquire()!;
  semaphore.close();
  assertThrows(() => permit.release(), ClosedError);
});

leakTest("PosixSemaphore.close() leaves others of the same name alone", () => {
  const name = uniqueName();
  const first = PosixSemaphore.create(name, 1);
  using second = PosixSemaphore.open(name);
  PosixSemaphore.unlink(name);
  first.close(); // glibc has one mapping for both
  first.close();
  assertEquals(second.value, 1);
  using _permit = second.acquireSync();
  assertEquals(second.value, 0);
});

// --- Constructors that fail ----------------------------------------------------

/** What came of a call with too few descriptors: the error, and the free ones. */
type Shortage = Record<string, [error: string, free: number]>;

leakTest(
  "what fails for want of descriptors leaves none, and no name",
  async () => {
    using dir = scratch();
    dir.file("map", "text");
    const name = uniqueName();
    const outcomes = await inChild(
      async ({ directory, name }: { directory: string; name: string }) => {
        const ipc = await import("../mod.ts");
        const { outcome } = await import("./support/child.ts");
        const libc = Deno.dlopen("libc.so.6", {
          setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
          dup: { parameters: ["i32"], result: "i32" },
          close: { parameters: ["i32"], result: "i32" },
        }).symbols;
        const RLIMIT_NOFILE = 7;
        const limit = BigUint64Array.of(256n, 256n);
        const taken: number[] = [];
        const take = () => {
          for (let fd; (fd = libc.dup(2)) !== -1;) taken.push(fd);
        };
        /** Leaves room for so many descriptors. */
        const leave = (count: number) => {
          take();
          for (; count > 0; count--) libc.close(taken.pop()!);
        };
        /** How many there is room for. */
        const free = () => {
          const before = taken.length;
          take();
          const count = taken.length - before;
          for (let left = count; left > 0; left--) libc.close(taken.pop()!);
          return count;
        };

        // What is there before: everything has been used once.
        using fifo = ipc.Fifo.create(`${directory}/fifo`);
        using listener = ipc.UnixListener.listen(`${directory}/socket`);
        using waiting = ipc.UnixStream.connectSync(`${directory}/socket`);
        using semaphore = ipc.PosixSemaphore.create(name, 1);
        using ends = ipc.pipe();
        const byte = new Uint8Array(1);
        if (libc.setrlimit(RLIMIT_NOFILE, limit) !== 0) {
          throw new Error(
            "limit",
          );
        }

        const calls: [string, number, () => unknown][] = [
          ["pipe()", 0, () => ipc.pipe()],
          ["pipe()", 1, () => ipc.pipe()],
          ["Fifo.create()", 0, () => ipc.Fifo.create(`${directory}/new`)],
          ["Fifo.open()", 0, () => ipc.Fifo.open(fifo.path)],
          ["Fifo.openBoth()", 0, () => fifo.openBoth()],
          ["Fifo.openBoth()", 1, () => fifo.openBoth()],
          ["Fifo.openReaderSync()", 0, () => fifo.openReaderSync()],
          ["Fifo.openWriterSync()", 0, () => fifo.openWriterSync()],
          ["Fifo.tryOpenWriter()", 0, () => fifo.tryOpenWriter()],
          ["MemoryMap.open()", 0, () => ipc.MemoryMap.open(`${directory}/map`)],
          [
            "MemoryMap.create()",
            0,
            () => ipc.MemoryMap.create(`${directory}/new`, 1),
          ],
          [
            "PosixSemaphore.create()",
            0,
            () => ipc.PosixSemaphore.create(`${name}-new`, 1),
          ],
          ["PosixSemaphore.open()", 0, () => ipc.PosixSemaphore.open(name)],
          [
            "UnixListener.listen()",
            0,
            () => ipc.UnixListener.listen(`${directory}/new`),
          ],
          [
            "UnixStream.connectSync()",
            0,
            () => ipc.UnixStream.connectSync(`${directory}/socket`),
          ],
          [
            "UnixStream.connect()",
            0,
            () => ipc.UnixStream.connect(`${directory}/socket`),
          ],
          ["UnixListener.acceptSync()", 0, () => listener.acceptSync()],
          ["UnixListener.tryAccept()", 0, () => listener.tryAccept()],
          ["UnixListener.accept()", 0, () => listener.accept()],
          // The first wait of all makes an epoll and an eventfd.
          ["PipeReader.read()", 0, () => ends.reader.read(byte)],
          ["PipeReader.read()", 1, () => ends.reader.read(byte)],
        ];
        const outcomes: Shortage = {};
        for (const [title, room, call] of calls) {
          leave(room);
          outcomes[`${title} with room for ${room}`] = [
            (await outcome(call)).replace(
              /.*\((\w+)\); RLIMIT_NOFILE is 256$/s,
              "$1",
            ),
            free(),
          ];
        }

        // It has done no harm: all goes on when there is room again.
        leave(8);
        const reading = ends.reader.read(byte);
        ends.writer.writeSync(byte);
        outcomes["read() at last"] = [String(await reading), free()];
        using server = await listener.accept();
        waiting.writeSync(byte);
        outcomes["accept() at last"] = [
          String(await server.read(byte)),
          free(),
        ];
        using again = ipc.PosixSemaphore.open(name);
        again.tryAcquire();
        outcomes["semaphore at last"] = [String(semaphore.value), free()];
        ipc.PosixSemaphore.unlink(name);
        fifo.unlink();
        return outcomes;
      },
      { argument: { directory: dir.path, name } },
    );
    const { "read() at last": read, ...rest } = outcomes;
    const { "accept() at last": accept, ...others } = rest;
    const { "semaphore at last": semaphore, ...failures } = others;
    // The epoll and the eventfd stay until the pipe is closed.
    assertEquals(read, ["1", 6]);
    assertEquals(accept, ["1", 5]);
    assertEquals(semaphore, ["0", 5]);
    assertEquals(Object.keys(failures).length, 21);
    for (const [title, [error, free]] of Object.entries(failures)) {
      assertEquals([error, free], ["EMFILE", Number(title.at(-1))], title);
    }
    assertEquals(dir.list(), ["map"]);
  },
);

leakTest("what fails for want of memory leaves nothing", async () => {
  using dir = scratch();
  const outcomes = await inChild(
    async ({ directory, key }: { directory: string; key: number }) => {
      const ipc = await import("../mod.ts");
      const { outcome } = await import("./support/child.ts");
      const { sysvTable } = await import("./support/leaks.ts");
      const libc = Deno.dlopen("libc.so.6", {
        prlimit: {
          parameters: ["i32", "i32", "buffer", "buffer"],
          result: "i32",
        },
      }).symbols;
      const RLIMIT_AS = 9;
      const status = Deno.readTextFileSync("/proc/self/status");
      const kibibytes = BigInt(status.match(/^VmSize:\s*(\d+) kB$/m)![1]!);
      const before = new BigUint64Array(2);
      const some = 1n << 26n; // what the runtime may need meanwhile
      const soft = kibibytes * 1024n + some;
      const size = 1 << 28;
      if (libc.prlimit(0, RLIMIT_AS, null, before) !== 0) throw new Error();
      const limit = BigUint64Array.of(soft, before[1]!);
      if (libc.prlimit(0, RLIMIT_AS, limit, null) !== 0) throw new Error();
      const calls: Record<string, () => unknown> = {
        "MemoryMap.anonymous()": () => ipc.MemoryMap.anonymous(size),
        "MemoryMap.create()": () =>
          ipc.MemoryMap.create(`${directory}/new`, size),
        "SysvSharedMemory.create()": () =>
          ipc.SysvSharedMemory.create(key, size),
        "SysvSharedMemory.create() without a key": () =>
          ipc.SysvSharedMemory.create(null, size),
        "SysvSharedMemory.openOrCreate()": () =>
          ipc.SysvSharedMemory.openOrCreate(key, size),
      };
      const outcomes: Record<string, string> = {};
      for (const [title, call] of Object.entries(calls)) {
        const error = (await outcome(call)).replace(/.*\((\w+)\)$/s, "$1");
        const segments = sysvTable("shm").filter((row) =>
          row.cpid === Deno.pid
        ).length;
        outcomes[title] = `${error}, ${segments} left`;
      }
      libc.prlimit(0, RLIMIT_AS, before, null);
      return outcomes;
    },
    { argument: { directory: dir.path, key: uniqueKey() } },
  );
  assertEquals(outcomes, {
    "MemoryMap.anonymous()": "ENOMEM, 0 left",
    "MemoryMap.create()": "ENOMEM, 0 left",
    "SysvSharedMemory.create()": "ENOMEM, 0 left",
    "SysvSharedMemory.create() without a key": "ENOMEM, 0 left",
    "SysvSharedMemory.openOrCreate()": "ENOMEM, 0 left",
  });
  assertEquals(dir.list(), []);
});

leakTest("what is larger than the system allows leaves nothing", async () => {
  using dir = scratch();
  const key = uniqueKey();
  const outcomes = await inChild(
    async ({ directory, key }: { directory: string; key: number }) => {
      const { MemoryMap, SysvSharedMemory } = await import(
        "../ffi/shared_memory.ts"
      );
      const outcomes: string[] = [];
      for (const size of [2 ** 47, 2 ** 52, Number.MAX_SAFE_INTEGER]) {
        for (
          const call of [
            () => MemoryMap.anonymous(size),
            () => MemoryMap.create(`${directory}/new`, size),
            () => MemoryMap.create(`/dev/shm/${directory.slice(5)}`, size),
            () => SysvSharedMemory.create(null, size),
            () => SysvSharedMemory.create(key, size),
            () => SysvSharedMemory.openOrCreate(key, size),
          ]
        ) {
          try {
            call().close();
            outcomes.push(`${size}: made`);
          } catch (error) {
            outcomes.push((error as Error).name);
          }
        }
      }
      return outcomes;
    },
    { argument: { directory: dir.path, key } },
  );
  assertEquals(outcomes, Array(18).fill("IpcError"));
  assertEquals(dir.list(), []); // leakTest looks for segments
});

leakTest(
  "what fails where another user may not write leaves nothing",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o755);
    const { stdout } = await runAsNobody(callText(async (directory) => {
      const ipc = await import("@linux/ipc");
      const calls = [
        () => ipc.Fifo.create(`${directory}/new`),
        () => ipc.MemoryMap.create(`${directory}/new`, 10),
        () => ipc.UnixListener.listen(`${directory}/new`),
        () => ipc.UnixListener.listen(`${directory}/new`, { reclaim: true }),
      ];
      const open = () => Array.from(Deno.readDirSync("/proc/self/fd")).length;
      const codes = new Set<string>();
      const before = open();
      for (let cycle = 0; cycle < 50; cycle++) {
        for (const call of calls) {
          try {
            call();
          } catch (error) {
            codes.add((error as { code: string }).code);
          }
        }
      }
      console.log([...codes].join(), open() - before);
    }, dir.path));
    assertEquals(stdout, "EACCES 0\n");
    assertEquals(dir.list(), []);
  },
);

const noMount = reasonAgainst("mount", [
  ...["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"],
]);

leakTest(
  "MemoryMap.create() on a full file system fails, and does not crash later",
  { needs: [noMount] },
  async () => {
    using dir = scratch();
    const mount = `mount -t tmpfs -o size=64k none '${dir.path}' && exec "$@"`;
    const result = await inChild(async (directory: string) => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const { outcome } = await import("./support/child.ts");
      const failure = await outcome(() => {
        using map = MemoryMap.create(`${directory}/map`, 1 << 20);
        map.bytes.fill(1); // SIGBUS, if there is no room after all
      });
      return { failure, left: Array.from(Deno.readDirSync(directory)).length };
    }, {
      argument: dir.path,
      wrapper: ["unshare", "--mount", "--", "sh", "-c", mount, "sh"],
    });
    assert(result.failure.includes("(ENOSPC)"), result.failure);
    assertEquals(result.left, 0);
  },
);

leakTest(
  "MemoryMap.create() above the limit of files fails, and leaves none",
  async () => {
    using dir = scratch();
    const failure = await inChild(async (path: string) => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const { outcome } = await import("./support/child.ts");
      const libc = Deno.dlopen("libc.so.6", {
        setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
      }).symbols;
      const RLIMIT_FSIZE = 1;
      const limit = BigUint64Array.of(1n << 16n, 1n << 16n);
      if (libc.setrlimit(RLIMIT_FSIZE, limit) !== 0) throw new Error("limit");
      return await outcome(() => MemoryMap.create(path, 1 << 20)); // SIGXFSZ?
    }, { argument: `${dir.path}/map` });
    assert(failure.includes("(EFBIG)"), failure);
    assertEquals(dir.list(), []);
  },
);

// --- Memory that was given away ------------------------------------------------

for (const memory of ["anonymous", "file", "segment"] as const) {
  leakTest(
    `close() leaves memory alone that was transferred (${memory})`,
    async () => {
      using dir = scratch();
      const file = dir.file("file", new Uint8Array(8192).fill(7));
      const outcomes = await inChild(useTransferred, {
        argument: { memory, file },
      });
      assertEquals(outcomes, {
        "bytes.length": 0,
        "first close()":
          `Error: Cannot unmap ${outcomes.subject}: its ArrayBuffer was ` +
          "transferred, so the memory stays mapped until the process ends",
        "second close()": "returns",
        "dispose": "returns",
        "read": [9, 9],
        "written": 5,
        "still mapped": true,
        "view()": "ClosedError",
        "semaphore": "ClosedError",
        "subject": outcomes.subject!,
      });
    },
  );
}

/** Transfers the buffer of a memory, closes the memory, uses the buffer. */
async function useTransferred(
  { memory, file }: { memory: Memory; file: string },
): Promise<Record<string, unknown>> {
  const ipc = await import("../mod.ts");
  const { outcome } = await import("./support/child.ts");
  const open: Record<
    string,
    () => [ipc.MemoryMap | ipc.SysvSharedMemory, string]
  > = {
    anonymous: () => [ipc.MemoryMap.anonymous(8192), "anonymous memory"],
    file: () => [ipc.MemoryMap.open(file), file],
    segment: () => {
      const memory = ipc.SysvSharedMemory.create(null, 8192);
      memory.remove();
      return [memory, "private shared memory"];
    },
  };
  const mapped = () =>
    Deno.readTextFileSync("/proc/self/maps").split("\n")
      .filter((row) => / ...s /.test(row)).length;
  const none = mapped();
  const [map, subject] = open[memory]!();
  const some = mapped();
  const { bytes } = map;
  bytes.fill(9);
  const semaphore = ipc.PosixSemaphore.init(bytes.subarray(64, 96), 1);
  const moved = new Uint8Array(bytes.buffer.transfer());
  const outcomes: Record<string, unknown> = { subject };
  outcomes["bytes.length"] = bytes.length;
  outcomes["first close()"] = await outcome(() => map.close());
  outcomes["second close()"] = await outcome(() => map.close());
  outcomes["dispose"] = await outcome(() => map[Symbol.dispose]());
  outcomes["read"] = [moved[0], moved[8191]];
  moved.fill(5);
  outcomes["written"] = moved[8191];
  outcomes["still mapped"] = mapped() === some && some > none;
  const name = async (call: () => unknown) =>
    (await outcome(call)).replace(/:.*/s, "");
  outcomes["view()"] = await name(() =>
    map.view(0, ipc.struct({ x: ipc.i32 }))
  );
  outcomes["semaphore"] = await name(() => semaphore.release());
  return outcomes;
}

leakTest(
  "close() leaves memory alone that was cloned away or posted",
  async () => {
    const outcomes = await inChild(async () => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const ways: Record<
        string,
        (buffer: ArrayBuffer) => Promise<ArrayBuffer>
      > = {
        "structuredClone()": (buffer) =>
          Promise.resolve(structuredClone(buffer, { transfer: [buffer] })),
        "postMessage()": async (buffer) => {
          const { port1, port2 } = new MessageChannel();
          port1.postMessage(buffer, [buffer]);
          const moved = await new Promise<ArrayBuffer>((resolve) => {
            port2.onmessage = ({ data }) => resolve(data);
          });
          port1.close();
          port2.close();
          return moved;
        },
        "transferToFixedLength()": (buffer) =>
          Promise.resolve(buffer.transferToFixedLength()),
        // This one is a copy, which the mapping cannot know.
        "transfer(8)": (buffer) => Promise.resolve(buffer.transfer(8)),
      };
      const outcomes: Record<string, unknown> = {};
      for (const [title, way] of Object.entries(ways)) {
        const map = MemoryMap.anonymous(8192);
        map.bytes.fill(3);
        const moved = new Uint8Array(await way(map.bytes.buffer));
        let thrown = 0;
        for (let close = 0; close < 3; close++) {
          try {
            map.close();
          } catch {
            thrown++;
          }
        }
        moved[1] = 4;
        outcomes[title] = [thrown, moved[0], moved[1]];
      }
      return outcomes;
    });
    assertEquals(outcomes, {
      "structuredClone()": [1, 3, 4],
      "postMessage()": [1, 3, 4],
      "transferToFixedLength()": [1, 3, 4],
      "transfer(8)": [1, 3, 4],
    });
  },
);

// --- What was forgotten --------------------------------------------------------

const GARBAGE_COLLECTOR = ["--v8-flags=--expose-gc"];

leakTest("descriptors that were forgotten are closed", async () => {
  using dir = scratch();
  const { before, most, after } = await inChild(async (directory: string) => {
    const ipc = await import("../mod.ts");
    const { gc } = globalThis as unknown as { gc(): void };
    const open = () => Array.from(Deno.readDirSync("/proc/self/fd")).length;
    const path = `${directory}/fifo`;
    ipc.Fifo.create(path).close();
    using listener = ipc.UnixListener.listen(`${directory}/socket`);
    const byte = new Uint8Array(1);
    const use = async () => {
      const ends = ipc.pipe();
      const waiting = ends.reader.read(byte);
      ends.writer.writeSync(byte);
      await waiting;
      ipc.Fifo.open(path).openBoth();
      const client = ipc.UnixStream.connectSync(`${directory}/socket`);
      const server = await listener.accept();
      client.writeSync(byte);
      await server.read(byte);
    };
    await use(); // the costs of the first time
    const settle = async (goal: number, turns: number) => {
      for (let turn = 0; turn < turns && open() > goal; turn++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return open();
    };
    const before = await settle(0, 20);
    for (let round = 0; round < 50; round++) await use();
    const most = open();
    const after = await settle(before, 500);
    // Other files have the numbers now; nothing closes them again.
    const kept = Array.from({ length: 50 }, () => ipc.pipe());
    await settle(0, 20);
    for (const { reader, writer } of kept) {
      writer.writeSync(byte);
      reader.readSync(byte);
      reader.close();
      writer.close();
    }
    return { before, most, after };
  }, { argument: dir.path, flags: GARBAGE_COLLECTOR });
  assert(most >= before + 50, `${most} of ${before}`); // not all at once
  assertEquals(after, before);
});

leakTest(
  "a descriptor that was closed and forgotten is not closed again",
  async () => {
    const read = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      const { gc } = globalThis as unknown as { gc(): void };
      const numbers = () => {
        const { reader, writer } = pipe();
        const fds = [reader.fd, writer.fd];
        reader.close();
        writer.close();
        return fds;
      };
      const before = numbers();
      const { reader, writer } = pipe();
      const same = reader.fd === before[0] && writer.fd === before[1];
      for (let turn = 0; turn < 20; turn++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      writer.writeSync(new Uint8Array(3));
      return { same, count: reader.readSync(new Uint8Array(8)) };
    }, { flags: GARBAGE_COLLECTOR });
    assertEquals(read, { same: true, count: 3 });
  },
);

leakTest("a descriptor that something waits for is not forgotten", async () => {
  const count = await inChild(async () => {
    const { pipe, PipeWriter } = await import("../ffi/pipe.ts");
    const { gc } = globalThis as unknown as { gc(): void };
    let fd = -1;
    const wait = () => {
      const { reader, writer } = pipe();
      fd = writer.inherit((fd) => fd);
      const kept = writer;
      return { waiting: reader.read(new Uint8Array(8)), kept };
    };
    const { waiting, kept } = wait();
    for (let turn = 0; turn < 20; turn++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (kept.fd !== fd || !(kept instanceof PipeWriter)) throw new Error();
    kept.writeSync(new Uint8Array(3));
    return await waiting;
  }, { flags: GARBAGE_COLLECTOR });
  assertEquals(count, 3);
});

leakTest(
  "memory that was forgotten stays as long as a view of it is reachable",
  async () => {
    using dir = scratch();
    const file = dir.file("file", new Uint8Array(8192).fill(7));
    const result = await inChild(async (file: string) => {
      const { array, i32, struct } = await import("../ffi/struct.ts");
      const { MemoryMap, SysvSharedMemory } = await import(
        "../ffi/shared_memory.ts"
      );
      const { gc } = globalThis as unknown as { gc(): void };
      const mapped = () =>
        Deno.readTextFileSync("/proc/self/maps").split("\n")
          .filter((row) => row.includes("/SYSV") || row.endsWith(file)).length;
      const layout = struct({ list: array(i32, 4) });
      const open = () => {
        const memory = SysvSharedMemory.create(null, 8192);
        memory.remove();
        memory.bytes.fill(7);
        const map = MemoryMap.open(file);
        return [
          memory.bytes.subarray(8000),
          new Uint8Array(map.bytes.buffer, 100, 10),
          new DataView(MemoryMap.open(file).bytes.buffer),
          MemoryMap.open(file).view(0, layout).list,
        ] as const;
      };
      const none = mapped();
      const views = Array.from({ length: 20 }, open);
      const some = mapped();
      for (let turn = 0; turn < 20; turn++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const seen = views.every(([first, second, third, fourth]) =>
        first[0] === 7 && second[0] === 7 && third.getUint8(8191) === 7 &&
        fourth[0] === 0x07070707
      );
      for (const [first, second, third, fourth] of views) {
        first[0] = second[0] = 8;
        third.setUint8(0, 8);
        fourth[1] = 8;
      }
      return { seen, made: some > none, kept: mapped() === some };
    }, { argument: file, flags: GARBAGE_COLLECTOR });
    assertEquals(result, { seen: true, made: true, kept: true });
  },
);

leakTest("a process that closes nothing ends as it should", async () => {
  using dir = scratch();
  const name = uniqueName();
  await inChild(
    async ({ directory, name }: { directory: string; name: string }) => {
      const ipc = await import("../mod.ts");
      const fifo = ipc.Fifo.create(`${directory}/fifo`);
      const both = fifo.openBoth();
      const ends = ipc.pipe();
      const byte = new Uint8Array(1);
      const reading = ends.reader.read(byte);
      ends.writer.writeSync(byte);
      await reading;
      const map = ipc.MemoryMap.create(`${directory}/map`, 8192);
      const memory = ipc.SysvSharedMemory.create(null, 8192);
      memory.remove();
      const semaphore = ipc.PosixSemaphore.create(name, 1);
      ipc.PosixSemaphore.unlink(name);
      const inside = ipc.PosixSemaphore.init(map.bytes.subarray(0, 32), 1);
      const listener = ipc.UnixListener.listen(`${directory}/socket`);
      const client = ipc.UnixStream.connectSync(`${directory}/socket`);
      const server = await listener.accept();
      Object.assign(globalThis, { both, semaphore, inside, client, server });
    },
    { argument: { directory: dir.path, name } },
  );
});
