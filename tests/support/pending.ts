/**
 * One wait of each kind, for tests of how waits end. Imported by children, so it may
 * use nothing but the module.
 */
import {
  BufferedReader,
  EventFd,
  Fifo,
  File,
  FileLock,
  FramedStream,
  MemoryMap,
  PidFd,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  PthreadBarrier,
  PthreadCondition,
  type PthreadGuard,
  PthreadMutex,
  type PthreadMutexOptions,
  PthreadRwLock,
  SequenceBytes,
  SharedBroadcast,
  SharedCondition,
  SharedMutex,
  SharedRing,
  SharedRwLock,
  splice,
  SysvMessageQueue,
  SysvSemaphoreSet,
  tee,
  TimerFd,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
  waitAny,
  type WaitOptions,
  waitReadable,
  waitWritable,
} from "../../mod.ts";

const ONE = Uint8Array.of(1);
const buffer = new Uint8Array(64);

/** What has `ref` and `unref`. */
interface Living {
  ref(): void;
  unref(): void;
}

/** A wait that nothing ends but its options and `close`. */
export interface Pending {
  /** Waits. */
  wait(options?: WaitOptions): Promise<unknown>;
  /** Does once what `wait` waits for, at once, where that is possible. */
  quick(): Promise<unknown>;
  /** Closes the object that is waited for. */
  close(): void;
  /** The objects whose pending waits keep the program alive. */
  readonly waits: readonly Living[];
  /** Removes what is left. */
  dispose(): void;
}

/** The name of what a wait ended with. */
export async function endOf(wait: Promise<unknown>): Promise<string> {
  try {
    await wait;
    return "no error";
  } catch (error) {
    return (error as Error).name;
  }
}

/** Fills a pipe or a socket. */
function fill(write: () => unknown): void {
  while (write()) { /* there was room */ }
}

const KILOBYTE = new Uint8Array(1024);
const PAGE = new Uint8Array(4096); // a pipe has room by the page

/** How to make each kind of wait, by its name. */
export const KINDS: Record<string, () => Pending> = {
  "PipeReader.read"() {
    const { reader, writer } = pipe();
    return {
      wait: (options) => reader.read(buffer, options),
      quick: () => (writer.tryWrite(ONE), reader.read(buffer)),
      close: () => reader.close(),
      waits: [reader],
      dispose: () => (reader.close(), writer.close()),
    };
  },
  "PipeWriter.write"() {
    const { reader, writer } = pipe();
    fill(() => writer.tryWrite(PAGE));
    return {
      wait: (options) => writer.write(PAGE, options),
      quick: () => (reader.tryRead(PAGE), writer.write(PAGE)),
      close: () => writer.close(),
      waits: [writer],
      dispose: () => (reader.close(), writer.close()),
    };
  },
  "splice"() {
    const from = pipe(), to = pipe();
    return {
      wait: (options) => splice(from.reader, to.writer, 1, options),
      quick:
        () => (from.writer.tryWrite(ONE),
          to.reader.tryRead(buffer),
          splice(from.reader, to.writer, 1)),
      close: () => from.reader.close(),
      waits: [from.reader, to.writer],
      dispose: () => (from[Symbol.dispose](), to[Symbol.dispose]()),
    };
  },
  "splice to a full pipe"() {
    const from = pipe(), to = pipe();
    from.writer.tryWrite(ONE);
    fill(() => to.writer.tryWrite(PAGE));
    return {
      wait: (options) => splice(from.reader, to.writer, 1, options),
      quick: () => waitReadable(from.reader),
      close: () => to.writer.close(),
      waits: [from.reader, to.writer],
      dispose: () => (from[Symbol.dispose](), to[Symbol.dispose]()),
    };
  },
  "tee"() {
    const from = pipe(), to = pipe();
    return {
      wait: (options) => tee(from.reader, to.writer, 1, options),
      quick: () => (from.writer.tryWrite(ONE),
        waitReadable(from.reader)
          .then(() => from.reader.tryRead(buffer))),
      close: () => from.reader.close(),
      waits: [from.reader, to.writer],
      dispose: () => (from[Symbol.dispose](), to[Symbol.dispose]()),
    };
  },
  "waitAny"() {
    const one = pipe(), two = pipe();
    return {
      wait: (options) => waitAny([one.reader, two.reader], options),
      quick: () => waitAny([one.reader, { writable: two.writer }]),
      close: () => two.reader.close(),
      waits: [one.reader, two.reader],
      dispose: () => (one[Symbol.dispose](), two[Symbol.dispose]()),
    };
  },
  "waitWritable"() {
    const { reader, writer } = pipe();
    fill(() => writer.tryWrite(KILOBYTE));
    return {
      wait: (options) => waitWritable(writer, options),
      quick: () => waitReadable(reader),
      close: () => writer.close(),
      waits: [writer],
      dispose: () => (reader.close(), writer.close()),
    };
  },
  "Fifo.openWriter"() {
    const path = Deno.makeTempDirSync() + "/fifo";
    const fifo = Fifo.create(path);
    const both = fifo.openBoth();
    return {
      wait: (options) => (both[Symbol.dispose](), fifo.openWriter(options)),
      quick: async () => (await fifo.openWriter()).close(),
      close: () => fifo.close(),
      waits: [fifo],
      dispose() {
        fifo.close();
        both[Symbol.dispose]();
        Deno.removeSync(path.slice(0, -5), { recursive: true });
      },
    };
  },
  "Fifo.openReader"() {
    const path = Deno.makeTempDirSync() + "/fifo";
    const fifo = Fifo.create(path);
    const both = fifo.openBoth();
    return {
      wait: (options) => (both[Symbol.dispose](), fifo.openReader(options)),
      quick: async () => (await fifo.openReader()).close(),
      close: () => fifo.close(),
      waits: [fifo],
      dispose() {
        fifo.close();
        both[Symbol.dispose]();
        Deno.removeSync(path.slice(0, -5), { recursive: true });
      },
    };
  },
  "SysvMessageQueue.receive"() {
    const queue = SysvMessageQueue.create(null);
    return {
      wait: (options) => queue.receive({ type: 2, ...options }),
      quick: () => (queue.trySend(ONE), queue.receive()),
      close: () => queue.close(),
      waits: [queue],
      dispose: () => removeQueue(queue),
    };
  },
  "SysvMessageQueue.send"() {
    const queue = SysvMessageQueue.create(null);
    fill(() => queue.trySend(KILOBYTE));
    return {
      wait: (options) => queue.send(KILOBYTE, options),
      quick: () => (queue.tryReceive(), queue.send(KILOBYTE)),
      close: () => queue.close(),
      waits: [queue],
      dispose: () => removeQueue(queue),
    };
  },
  "SysvMessageQueue.request"() {
    const queue = SysvMessageQueue.create(null);
    return {
      wait: (options) => queue.request(ONE, options),
      quick: () => (queue.trySend(ONE), queue.receive()),
      close: () => queue.close(),
      waits: [queue],
      dispose: () => removeQueue(queue),
    };
  },
  "PosixMessageQueue.receive"() {
    const queue = PosixMessageQueue.create(null, { maxSize: 8 });
    PosixMessageQueue.unlink(queue.name);
    return {
      wait: (options) => queue.receive(options),
      quick: () => (queue.trySend(ONE), queue.receive()),
      close: () => queue.close(),
      waits: [queue],
      dispose: () => queue.close(),
    };
  },
  "PosixMessageQueue.send"() {
    const queue = PosixMessageQueue.create(null, { maxSize: 8 });
    PosixMessageQueue.unlink(queue.name);
    fill(() => queue.trySend(ONE));
    return {
      wait: (options) => queue.send(ONE, options),
      quick: () => (queue.tryReceive(), queue.send(ONE)),
      close: () => queue.close(),
      waits: [queue],
      dispose: () => queue.close(),
    };
  },
  "PosixMessageQueue.notified"() {
    const queue = PosixMessageQueue.create(null, { maxSize: 8 });
    PosixMessageQueue.unlink(queue.name);
    return {
      wait: (options) => queue.notified(options),
      quick: () => (queue.trySend(ONE), queue.receive()),
      close: () => queue.close(),
      waits: [queue],
      dispose: () => queue.close(),
    };
  },
  "Memory.wait"() {
    const map = MemoryMap.anonymous(64);
    return {
      wait: (options) => map.wait(0, 0, options),
      quick: () => map.wait(4, 1),
      close: () => map.close(),
      waits: [map],
      dispose: () => map.close(),
    };
  },
  "PosixSemaphore.acquire"() {
    const semaphore = PosixSemaphore.create(null, 0);
    PosixSemaphore.unlink(semaphore.name!);
    return {
      wait: (options) => semaphore.acquire(options),
      quick: () => (semaphore.release(), semaphore.acquire()),
      close: () => semaphore.close(),
      waits: [semaphore],
      dispose: () => semaphore.close(),
    };
  },
  "PosixSemaphore.acquire in memory"() {
    const map = MemoryMap.anonymous(64);
    const semaphore = PosixSemaphore.init(map.bytes, 0);
    return {
      wait: (options) => semaphore.acquire(options),
      quick: () => (semaphore.release(), semaphore.acquire()),
      close: () => map.close(),
      waits: [semaphore],
      dispose: () => map.close(),
    };
  },
  "SysvSemaphore.acquire"() {
    const set = SysvSemaphoreSet.create(null, [0]);
    const semaphore = set.semaphore(0, { undo: false });
    return {
      wait: (options) => semaphore.acquire(options),
      quick: () => (semaphore.release(), semaphore.acquire()),
      close: () => set.close(),
      waits: [set],
      dispose: () => removeSet(set),
    };
  },
  "SysvSemaphoreSet.operate"() {
    const set = SysvSemaphoreSet.create(null, [0]);
    return {
      wait: (options) => set.operate([{ index: 0, delta: -1 }], options),
      quick: () => set.operate([{ index: 0, delta: 0 }]),
      close: () => set.close(),
      waits: [set],
      dispose: () => removeSet(set),
    };
  },
  "SharedMutex.lock"() {
    const mutex = SharedMutex.create(null);
    return {
      async wait(options) {
        const guard = mutex.tryLock();
        try {
          return await mutex.lock(options);
        } finally {
          guard?.release();
        }
      },
      quick: async () => (await mutex.lock()).release(),
      close: () => mutex.close(),
      waits: [mutex],
      dispose: () => removeLock(mutex, SharedMutex.fromId),
    };
  },
  "SharedRwLock.lockWrite"() {
    const lock = SharedRwLock.create(null);
    return {
      async wait(options) {
        const guard = lock.tryLockRead();
        try {
          return await lock.lockWrite(options);
        } finally {
          guard?.release();
        }
      },
      quick: async () => (await lock.lockWrite()).release(),
      close: () => lock.close(),
      waits: [lock],
      dispose: () => removeLock(lock, SharedRwLock.fromId),
    };
  },
  "SharedCondition.lockWhen"() {
    const condition = SharedCondition.create(null);
    const mutex = SharedMutex.create(null);
    return {
      wait: (options) => condition.lockWhen(mutex, () => false, options),
      quick: async () =>
        (await condition.lockWhen(mutex, () => true)).release(),
      close: () => condition.close(),
      waits: [condition, mutex],
      dispose() {
        removeLock(condition, SharedCondition.fromId);
        removeLock(mutex, SharedMutex.fromId);
      },
    };
  },
  "SharedCondition.lockWhen, of the mutex"() {
    const condition = SharedCondition.create(null);
    const mutex = SharedMutex.create(null);
    return {
      wait: (options) => condition.lockWhen(mutex, () => false, options),
      quick: async () =>
        (await condition.lockWhen(mutex, () => true)).release(),
      close: () => mutex.close(),
      waits: [condition, mutex],
      dispose() {
        removeLock(condition, SharedCondition.fromId);
        removeLock(mutex, SharedMutex.fromId);
      },
    };
  },
  "UnixStream.read"() {
    const [one, two] = UnixStream.pair();
    return {
      wait: (options) => one.read(buffer, options),
      quick: () => (two.tryWrite(ONE), one.read(buffer)),
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "UnixStream.write"() {
    const [one, two] = UnixStream.pair();
    fill(() => one.tryWrite(KILOBYTE));
    return {
      wait: (options) => one.write(KILOBYTE, options),
      quick: () => (two.tryRead(KILOBYTE), one.write(KILOBYTE)),
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "UnixSeqpacket.receive"() {
    const [one, two] = UnixSeqpacket.pair();
    return {
      wait: (options) => one.receive(options),
      quick: () => (two.trySend(ONE), one.receive()),
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "UnixSeqpacket.send"() {
    const [one, two] = UnixSeqpacket.pair();
    fill(() => one.trySend(KILOBYTE));
    return {
      wait: (options) => one.send(KILOBYTE, options),
      quick: () => (two.tryReceive(), one.send(KILOBYTE)),
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "UnixDatagram.receive"() {
    const [one, two] = UnixDatagram.pair();
    return {
      wait: (options) => one.receive(options),
      quick: () => (two.trySend(ONE), one.receive()),
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "UnixDatagram.send"() {
    const receiver = UnixDatagram.create(null);
    const sender = UnixDatagram.create(null);
    const to = receiver.localAddress!;
    fill(() => sender.trySend(ONE, { to }));
    return {
      wait: (options) => sender.send(ONE, { to, ...options }),
      quick: () => (receiver.tryReceive(), sender.send(ONE, { to })),
      close: () => sender.close(),
      waits: [sender],
      dispose: () => (sender.close(), receiver.close()),
    };
  },
  "UnixListener.accept"() {
    const listener = UnixListener.listen(null);
    return {
      wait: (options) => listener.accept(options),
      async quick() {
        const client = await UnixStream.connect(listener.localAddress!);
        (await listener.accept()).close();
        client.close();
      },
      close: () => listener.close(),
      waits: [listener],
      dispose: () => listener.close(),
    };
  },
  "UnixStream.peek"() {
    const [one, two] = UnixStream.pair();
    return {
      wait: (options) => one.peek(options),
      quick: async () => {
        two.writeSync(ONE);
        await one.peek();
        one.readSync(new Uint8Array(1));
      },
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "UnixStream.drained"() {
    const [one, two] = UnixStream.pair();
    one.tryWrite(ONE);
    return {
      wait: (options) => one.drained(options),
      quick: () => two.drained(),
      close: () => one.close(),
      waits: [one],
      dispose: () => (one.close(), two.close()),
    };
  },
  "FramedStream.send"() {
    const [one, two] = UnixStream.pair();
    fill(() => one.tryWrite(KILOBYTE));
    const frames = new FramedStream(one);
    const message = KILOBYTE.subarray(4); // with its prefix a kilobyte
    return {
      wait: (options) => frames.send(message, options),
      quick: () => (two.tryRead(KILOBYTE), frames.send(message)),
      close: () => frames.close(),
      waits: [frames],
      dispose: () => (frames.close(), two.close()),
    };
  },
  "FramedStream.receive"() {
    const [one, two] = UnixStream.pair();
    const frames = new FramedStream(one), others = new FramedStream(two);
    return {
      wait: (options) => frames.receive(options),
      quick: async () => (await others.send(ONE), await frames.receive()),
      close: () => frames.close(),
      waits: [frames],
      dispose: () => (frames.close(), others.close()),
    };
  },
  "File.read"() {
    const { reader, writer } = pipe();
    const file = File.fromFd(reader.detach());
    return {
      wait: (options) => file.read(buffer, options),
      quick: () => (writer.tryWrite(ONE), file.read(buffer)),
      close: () => file.close(),
      waits: [file],
      dispose: () => (file.close(), writer.close()),
    };
  },
  "EventFd.read"() {
    const event = EventFd.create();
    return {
      wait: (options) => event.read(options),
      quick: () => (event.tryWrite(), event.read()),
      close: () => event.close(),
      waits: [event],
      dispose: () => event.close(),
    };
  },
  "EventFd.write"() {
    const event = EventFd.create();
    event.tryWrite(2n ** 64n - 2n);
    return {
      wait: (options) => event.write(1, options),
      quick: async () => {
        event.readSync();
        await event.write(2n ** 64n - 2n);
      },
      close: () => event.close(),
      waits: [event],
      dispose: () => event.close(),
    };
  },
  "TimerFd.read"() {
    const timer = TimerFd.create();
    return {
      wait: (options) => timer.read(options),
      quick: async () => {
        timer.arm({ after: 0 });
        timer.readSync();
        await timer.read({ timeout: 0 }).catch(() => {});
      },
      close: () => timer.close(),
      waits: [timer],
      dispose: () => timer.close(),
    };
  },
  "PidFd.exited"() {
    const process = PidFd.open(Deno.pid);
    return {
      wait: (options) => process.exited(options),
      quick: () => process.exited({ timeout: 0 }).catch(() => {}),
      close: () => process.close(),
      waits: [process],
      dispose: () => process.close(),
    };
  },
  "FileLock.lock"() {
    const path = Deno.makeTempFileSync();
    const file = File.open(path, { write: true });
    const other = File.open(path, { write: true });
    Deno.removeSync(path);
    FileLock.of(file, { length: 1 }).lockSync();
    const rest = FileLock.of(other, { start: 1 });
    return {
      wait: (options) => FileLock.of(other).lock(options),
      quick: async () => (await rest.lock()).release(),
      close: () => other.close(),
      waits: [other],
      dispose: () => (file.close(), other.close()),
    };
  },
  "BufferedReader.readExactly"() {
    const [one, two] = UnixStream.pair();
    const reader = new BufferedReader(one);
    return {
      wait: (options) => reader.readExactly(1, options),
      quick: () => (two.writeSync(ONE), reader.readExactly(1)),
      close: () => reader.close(),
      waits: [reader],
      dispose: () => (reader.close(), two.close()),
    };
  },
  "RingConsumer.read"() {
    const { memory, producer, consumer } = newRing();
    return {
      wait: (options) => consumer.read(options),
      quick: () => (producer.tryWrite(ONE), consumer.read()),
      close: () => consumer.close(),
      waits: [consumer],
      dispose: () => memory.close(),
    };
  },
  "RingConsumer.wait"() {
    const { memory, producer, consumer } = newRing();
    return {
      wait: (options) => consumer.wait(options),
      quick: async () => {
        producer.tryWrite(ONE);
        await consumer.wait();
        consumer.tryRead(() => {});
      },
      close: () => memory.close(),
      waits: [consumer],
      dispose: () => memory.close(),
    };
  },
  "RingProducer.write"() {
    const { memory, producer, consumer } = newRing();
    fill(() => producer.tryWrite(ONE));
    return {
      wait: (options) => producer.write(ONE, options),
      quick: () => (consumer.tryRead(() => {}, 1), producer.write(ONE)),
      close: () => producer.close(),
      waits: [producer],
      dispose: () => memory.close(),
    };
  },
  "RingProducer.writeAll"() {
    const { memory, producer, consumer } = newRing();
    fill(() => producer.tryWrite(ONE));
    return {
      wait: (options) => producer.writeAll([ONE, ONE], options),
      quick: () => (consumer.tryRead(() => {}, 1), producer.writeAll([ONE])),
      close: () => memory.close(),
      waits: [producer],
      dispose: () => memory.close(),
    };
  },
  "RingProducer.claim"() {
    const { memory, producer, consumer } = newRing();
    fill(() => producer.tryWrite(ONE));
    return {
      wait: (options) => producer.claim(1, options),
      quick: async () => {
        consumer.tryRead(() => {}, 1);
        (await producer.claim(1)).commit();
      },
      close: () => producer.close(),
      waits: [producer],
      dispose: () => memory.close(),
    };
  },
  "BroadcastReceiver.read"() {
    const memory = MemoryMap.anonymous(SharedBroadcast.size(1024));
    const broadcast = SharedBroadcast.create(memory, { capacity: 1024 });
    const producer = broadcast.producer();
    const receiver = broadcast.receiver();
    return {
      wait: (options) => receiver.read(options),
      quick: () => (producer.write(ONE), receiver.read()),
      close: () => receiver.close(),
      waits: [receiver],
      dispose: () => memory.close(),
    };
  },
  "SequenceBytes.read"() {
    const memory = MemoryMap.anonymous(64);
    const cell = new SequenceBytes(memory, 0, 8);
    const stuck = new SequenceBytes(memory, 16, 8);
    memory.atomics.int32[4] = 1; // its writer has died
    return {
      wait: (options) => stuck.read(options),
      quick: () => cell.read(),
      close: () => memory.close(),
      waits: [memory],
      dispose: () => memory.close(),
    };
  },
  "SequenceBytes.changed"() {
    const memory = MemoryMap.anonymous(64);
    const cell = new SequenceBytes(memory, 0, 8);
    return {
      wait: (options) => cell.changed(cell.sequence, options),
      quick: async () => {
        const { sequence } = cell;
        cell.write(new Uint8Array(8));
        await cell.changed(sequence);
      },
      close: () => memory.close(),
      waits: [memory],
      dispose: () => memory.close(),
    };
  },
  "PthreadMutex.lock": () => ofMutex({}),
  "PthreadMutex.lock, not robust": () => ofMutex({ robust: false }),
  "PthreadMutex.lock, of priorities": () => ofMutex({ inheritPriority: true }),
  "PthreadRwLock.lockRead"() {
    const memory = MemoryMap.anonymous(256);
    const lock = PthreadRwLock.init(memory, 0);
    const free = PthreadRwLock.init(memory, 128);
    const guard = lock.lockWriteSync();
    return {
      wait: (options) => lock.lockRead(options),
      quick: async () => (await free.lockRead()).release(),
      close: () => memory.close(),
      waits: [lock],
      dispose: () => (guard.release(), memory.close()),
    };
  },
  "PthreadRwLock.lockWrite"() {
    const memory = MemoryMap.anonymous(256);
    const lock = PthreadRwLock.init(memory, 0);
    const free = PthreadRwLock.init(memory, 128);
    const guard = lock.lockReadSync();
    return {
      wait: (options) => lock.lockWrite(options),
      quick: async () => (await free.lockWrite()).release(),
      close: () => memory.close(),
      waits: [lock],
      dispose: () => (guard.release(), memory.close()),
    };
  },
  "PthreadCondition.wait"() {
    const memory = MemoryMap.anonymous(256);
    const mutex = PthreadMutex.init(memory, 0);
    const condition = PthreadCondition.init(memory, 128);
    let guard: PthreadGuard | undefined;
    return {
      wait: async (options) => {
        guard = mutex.lockSync();
        await condition.wait(guard, () => false, options);
      },
      quick: async () => {
        using guard = mutex.lockSync();
        await condition.wait(guard, () => true);
      },
      close: () => memory.close(),
      waits: [condition],
      dispose: () => (guard?.release(), memory.close()),
    };
  },
  "PthreadBarrier.wait"() {
    const memory = MemoryMap.anonymous(256);
    const barrier = PthreadBarrier.init(memory, 0, { count: 2 });
    const open = PthreadBarrier.init(memory, 128, { count: 1 });
    return {
      wait: (options) => barrier.wait(options),
      quick: () => open.wait(),
      close: () => memory.close(),
      waits: [barrier],
      dispose: () => memory.close(),
    };
  },
};

/** A ring, with one who writes and one who reads. */
function newRing() {
  const memory = MemoryMap.anonymous(SharedRing.size(1024));
  const ring = SharedRing.create(memory, { capacity: 1024 });
  return { memory, producer: ring.producer(), consumer: ring.consumer() };
}

/** A wait for a mutex that this thread holds. */
function ofMutex(options: PthreadMutexOptions): Pending {
  const memory = MemoryMap.anonymous(256);
  const mutex = PthreadMutex.init(memory, 0, options);
  const free = PthreadMutex.init(memory, 128, options);
  const guard = mutex.lockSync();
  return {
    wait: (options) => mutex.lock(options),
    quick: async () => (await free.lock()).release(),
    close: () => memory.close(),
    waits: [mutex],
    dispose: () => (guard.release(), memory.close()),
  };
}

function removeQueue(queue: SysvMessageQueue): void {
  queue.close();
  using again = SysvMessageQueue.fromId(queue.id);
  again.remove();
}

function removeSet(set: SysvSemaphoreSet): void {
  set.close();
  using again = SysvSemaphoreSet.fromId(set.id);
  again.remove();
}

function removeLock(
  lock: Disposable & { readonly id: number },
  fromId: (id: number) => Disposable & { remove(): void },
): void {
  lock[Symbol.dispose]();
  using again = fromId(lock.id);
  again.remove();
}
