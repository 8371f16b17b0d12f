/** Waits of all kinds at the same time, in one thread. */
import { assert, assertEquals } from "@std/assert";
import {
  FramedStream,
  MemoryMap,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  SharedMutex,
  SharedRing,
  SysvMessageQueue,
  SysvSemaphoreSet,
  UnixDatagram,
  UnixSeqpacket,
  UnixStream,
} from "../mod.ts";
import { POLLIN } from "../ffi/libc/poll.ts";
import { blockedCalls } from "../ffi/wait/pool.ts";
import type { WaitOptions } from "../ffi/wait/options.ts";
import { pendingWaits, watch } from "../ffi/wait/reactor.ts";
import { until } from "./support/process.ts";
import { leakTest } from "./support/leaks.ts";
import { settled, turns } from "./support/waits.ts";

const ONE = Uint8Array.of(1);

/** One way to wait, and what ends it for one who waits. */
interface Kind {
  wait: (options: WaitOptions) => Promise<unknown>;
  end: () => void;
}

/** Waits for a message, and for room for one: each queue takes one. */
function bothEnds(
  empty: SysvMessageQueue | PosixMessageQueue,
  full: SysvMessageQueue | PosixMessageQueue,
): Kind[] {
  full.sendSync(ONE);
  return [
    {
      wait: (options) => empty.receive(options),
      end: () => empty.sendSync(ONE),
    },
    {
      wait: (options) => full.send(ONE, options),
      end: () => full.receiveSync(),
    },
  ];
}

function sysvQueues(all: DisposableStack): Kind[] {
  const [empty, full] = [1, 2].map(() => {
    const queue = all.use(SysvMessageQueue.create(null));
    all.defer(() => queue.remove());
    return queue;
  });
  full!.change({ maxBytes: 1 });
  return bothEnds(empty!, full!);
}

function posixQueues(all: DisposableStack): Kind[] {
  const [empty, full] = [1, 2].map(() => {
    const small = { maxMessages: 1, maxSize: 1 };
    const queue = all.use(PosixMessageQueue.create(null, small));
    PosixMessageQueue.unlink(queue.name);
    return queue;
  });
  return bothEnds(empty!, full!);
}

function semaphores(all: DisposableStack): Kind[] {
  const memory = all.use(MemoryMap.anonymous(PosixSemaphore.size));
  const posix = all.use(PosixSemaphore.init(memory.bytes, 0));
  const set = all.use(SysvSemaphoreSet.create(null, [0]));
  all.defer(() => set.remove());
  const sysv = set.semaphore(0, { undo: false });
  return [
    { wait: (options) => posix.acquire(options), end: () => posix.release() },
    { wait: (options) => sysv.acquire(options), end: () => sysv.release() },
  ];
}

function mutexes(all: DisposableStack): Kind[] {
  const mutex = all.use(SharedMutex.create(null));
  all.defer(() => mutex.remove());
  const guard = mutex.lockSync();
  return [{
    wait: async (options) => (await mutex.lock(options)).release(),
    end: () => guard.release(),
  }];
}

function memories(all: DisposableStack): Kind[] {
  const memory = all.use(MemoryMap.anonymous(4));
  return [{
    wait: (options) => memory.wait(0, 0, options),
    end: () => {
      Atomics.store(memory.atomics.int32, 0, 1);
      memory.notify(0);
    },
  }];
}

function streams(all: DisposableStack): Kind[] {
  const { reader, writer } = all.use(pipe());
  const [one, other] = all.use(UnixStream.pair());
  return [
    {
      wait: (options) => reader.read(new Uint8Array(1), options),
      end: () => writer.writeSync(ONE),
    },
    {
      wait: (options) => one.read(new Uint8Array(1), options),
      end: () => other.writeSync(ONE),
    },
  ];
}

/** More than the runtime has threads. */
async function readFiles(): Promise<void> {
  const files = Array(40).fill("/proc/self/comm");
  await Promise.all(files.map((file) => Deno.readTextFile(file)));
}

leakTest("100 waits of all kinds leave file I/O alone, and end", async () => {
  using all = new DisposableStack();
  const kinds = [
    sysvQueues,
    posixQueues,
    semaphores,
    mutexes,
    memories,
    streams,
  ].flatMap((make) => make(all));
  assertEquals(kinds.length, 10);
  const controller = new AbortController();
  const { signal } = controller;
  const waits = kinds.flatMap(({ wait }) =>
    Array.from({ length: 10 }, () => wait({ signal }))
  );
  const aborted = settled(waits);
  await turns(10);
  await readFiles();
  controller.abort("enough");
  for (const { reason } of await aborted) assertEquals(reason, "enough");
  assertEquals(pendingWaits(), 0);
  await until(() => blockedCalls() === 0, "no blocked call");

  // None of them has taken anything, and all go on.
  const last = settled(kinds.map(({ wait }) => wait({ timeout: 20_000 })));
  await readFiles();
  for (const { end } of kinds) end();
  for (const { status } of await last) assertEquals(status, "fulfilled");
  assertEquals(pendingWaits(), 0);
  await until(() => blockedCalls() === 0, "no blocked call");
});

/** A step of a loop that never waits: what it takes is there already. */
type Step = (all: DisposableStack) => () => Promise<unknown>;

const MESSAGE = new Uint8Array(8);

/** Of a descriptor: it is served once in a pass, while others wait. */
const OF_DESCRIPTORS: Record<string, Step> = {
  "a pipe": (all) => {
    const { reader, writer } = all.use(pipe());
    const buffer = new Uint8Array(8);
    return () => (writer.writeSync(MESSAGE), reader.read(buffer));
  },
  "a stream": (all) => {
    const [here, there] = all.use(UnixStream.pair());
    const buffer = new Uint8Array(8);
    return () => (there.writeSync(MESSAGE), here.read(buffer));
  },
  "frames": (all) => {
    const [one, two] = UnixStream.pair();
    const here = all.use(new FramedStream(one));
    const there = all.use(new FramedStream(two));
    return () => (there.sendSync(MESSAGE), here.receive());
  },
  "seqpackets": (all) => {
    const [here, there] = all.use(UnixSeqpacket.pair());
    return () => (there.sendSync(MESSAGE), here.receive());
  },
  "datagrams": (all) => {
    const [here, there] = all.use(UnixDatagram.pair());
    return () => (there.sendSync(MESSAGE), here.receive());
  },
  "a POSIX queue": (all) => {
    const queue = all.use(
      PosixMessageQueue.create(null, { maxMessages: 1, maxSize: 8 }),
    );
    PosixMessageQueue.unlink(queue.name);
    return () => (queue.sendSync(MESSAGE), queue.receive());
  },
};

/** Of what has no descriptor: the reactor looks between some tens of them. */
const OF_OTHERS: Record<string, Step> = {
  "a System V queue": (all) => {
    const queue = all.use(SysvMessageQueue.create(null));
    all.defer(() => queue.remove());
    return () => (queue.sendSync(MESSAGE), queue.receive());
  },
  "a System V semaphore": (all) => {
    const set = all.use(SysvSemaphoreSet.create(null, [0]));
    all.defer(() => set.remove());
    const one = set.semaphore(0, { undo: false });
    return () => (one.release(), one.acquire());
  },
  "a POSIX semaphore": (all) => {
    const memory = all.use(MemoryMap.anonymous(PosixSemaphore.size));
    const one = all.use(PosixSemaphore.init(memory.bytes, 0));
    return () => (one.release(), one.acquire());
  },
  "a ring": (all) => {
    const memory = all.use(MemoryMap.anonymous(SharedRing.size(4096)));
    const ring = SharedRing.create(memory, { capacity: 4096 });
    const [reader, writer] = [
      all.use(ring.consumer()),
      all.use(ring.producer()),
    ];
    return () => (writer.tryWrite(MESSAGE), reader.read());
  },
  "writes": (all) => {
    const [here, there] = all.use(UnixStream.pair());
    const buffer = new Uint8Array(8);
    return () => (there.tryRead(buffer), here.write(MESSAGE));
  },
};

for (const [steps, most] of [[OF_DESCRIPTORS, 4], [OF_OTHERS, 200]] as const) {
  for (const [name, stepOf] of Object.entries(steps)) {
    leakTest(
      `a loop over ${name} that never waits lets others be served`,
      async () => {
        using all = new DisposableStack();
        const step = stepOf(all);
        const { reader, writer } = all.use(pipe());
        let isServed = false;
        const waiting = reader.read(new Uint8Array(1)).then(() =>
          isServed = true
        );
        await turns(3); // it is pending
        writer.writeSync(ONE);
        let count = 0;
        for (; !isServed && count < 100_000; count++) await step();
        await waiting;
        assert(count <= most, `after ${count}`);
      },
    );
  }
}

leakTest(
  "a wait is told nothing before it has begun, after any number of deliveries",
  async () => {
    for (let before = 0; before < 130; before++) {
      using ready = pipe();
      ready.writer.writeSync(ONE);
      using other = pipe();
      const buffer = new Uint8Array(8);
      await turns(1);
      for (let i = 0; i < before; i++) {
        other.writer.writeSync(ONE);
        await other.reader.read(buffer);
      }
      let hasBegun = false;
      const told = new Promise<boolean>((resolve, reject) => {
        const settle = { resolve: () => resolve(hasBegun), reject };
        watch({ fd: ready.reader.fd, subject: "pipe" }, POLLIN, settle);
      });
      hasBegun = true;
      assert(await told, `after ${before}`);
    }
  },
);
