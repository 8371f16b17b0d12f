/** The checks of the smoke test, by name: each tries one thing, and throws if it fails. */
import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  throws,
} from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { execPath, pid, versions } from "node:process";
import { fileURLToPath } from "node:url";
import * as ipc from "../../mod.ts";

const WAIT = { timeout: 60_000 }; // an emulator starts a process in half a minute
const SOON = { timeout: 20 };
const directory = mkdtempSync(`${tmpdir()}/smoke-`);
const peers = new Set<ChildProcess>();
let names = 0;

/** Ends the peers, and removes the files. */
export function cleanUp(): void {
  for (const peer of peers) peer.kill("SIGKILL");
  rmSync(directory, { recursive: true });
}

function nameOf(): string {
  return `/smoke-${pid}-${++names}`;
}

function pathOf(): string {
  return `${directory}/${++names}`;
}

function keyOf(): number {
  return 0x5000_0000 | (crypto.getRandomValues(new Uint32Array(1))[0]! >>> 4);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Fails unless the values are the same. */
function equal<T>(actual: T, expected: T): void {
  deepStrictEqual(actual, expected);
}

/** Fails unless the call ends with a TimeoutError. */
function timesOut(call: () => unknown): void {
  throws(call, { name: "TimeoutError" });
}

/** Fails unless the wait ends with a TimeoutError. */
async function expires(wait: Promise<unknown>): Promise<void> {
  await rejects(wait, { name: "TimeoutError" });
}

/** Begins to wait, then acts, and returns what the wait was for. */
async function woken<T>(wait: Promise<T>, act: () => unknown): Promise<T> {
  wait.catch(() => {}); // if `act` fails, nothing awaits it
  await new Promise((resolve) => setTimeout(resolve, 5));
  await act();
  return await wait;
}

function startPeer(...args: string[]): ChildProcess {
  const flags = versions.deno === undefined
    ? []
    : ["run", "-A", "--quiet", "--no-check"];
  const peer = spawn(execPath, [
    ...flags,
    fileURLToPath(new URL("peer.ts", import.meta.url)),
    ...args,
  ], { stdio: ["ignore", "inherit", "inherit"] });
  peers.add(peer);
  return peer;
}

const PAGE = 65_536; // a whole number of pages, whatever their size is
const HELLO = bytesOf("hello");

function readFrom(reader: { readSync(buffer: Uint8Array): number | null }) {
  const buffer = new Uint8Array(64);
  return textOf(buffer.subarray(0, reader.readSync(buffer) ?? 0));
}

const pair = ipc.struct({ age: ipc.i16, name: ipc.cstring(20) });

const pipes = {
  "pipe: bytes": () => {
    using ends = ipc.pipe();
    ends.writer.writeSync(HELLO);
    equal(readFrom(ends.reader), "hello");
    ends.writer.close();
    equal(ends.reader.readSync(new Uint8Array(1)), null);
  },
  "pipe: a read that waits": async () => {
    using ends = ipc.pipe();
    const read = ends.reader.read(new Uint8Array(8), WAIT);
    equal(await woken(read, () => ends.writer.write(HELLO)), 5);
  },
  "pipe: timeouts": async () => {
    using ends = ipc.pipe();
    timesOut(() => ends.reader.readSync(new Uint8Array(8), SOON));
    await expires(ends.reader.read(new Uint8Array(8), SOON));
    equal(ends.reader.tryRead(new Uint8Array(8)), undefined);
  },
  "pipe: abort": async () => {
    using ends = ipc.pipe();
    const signal = AbortSignal.abort(new Error("aborted"));
    await rejects(ends.reader.read(new Uint8Array(8), { signal }), /aborted/);
  },
  "pipe: a full pipe": async () => {
    using ends = ipc.pipe();
    const all = new Uint8Array(200_000);
    const written = ends.writer.write(all, WAIT);
    let count = 0;
    while (count < all.length) {
      count += await ends.reader.read(new Uint8Array(50_000), WAIT) ?? NaN;
    }
    await written;
  },
  "pipe: packets": () => {
    using ends = ipc.pipe({ packets: true });
    ends.writer.writeSync(HELLO);
    ends.writer.writeSync(bytesOf("again"));
    equal(readFrom(ends.reader), "hello");
  },
  "pipe: capacity": () => {
    using ends = ipc.pipe();
    ends.writer.setCapacity(2 * PAGE);
    equal(ends.reader.capacity, 2 * PAGE);
    ends.writer.writeSync(HELLO);
    equal(ends.reader.available, 5);
  },
  "pipe: both ways": async () => {
    const [one, other] = ipc.duplexPipe();
    using _one = one;
    using _other = other;
    await one.writer.write(HELLO);
    equal(readFrom(other.reader), "hello");
  },
  "pipe: splice and tee": async () => {
    using source = ipc.pipe();
    using copy = ipc.pipe();
    using target = ipc.pipe();
    source.writer.writeSync(HELLO);
    equal(await ipc.tee(source.reader, copy.writer, 5, WAIT), 5);
    equal(await ipc.splice(source.reader, target.writer, 5, WAIT), 5);
    equal(readFrom(copy.reader) + readFrom(target.reader), "hellohello");
  },
  "pipe: streams": async () => {
    const ends = ipc.pipe();
    const writer = ends.writer.writable.getWriter();
    await writer.write(HELLO);
    await writer.close();
    let text = "";
    for await (const chunk of ends.reader.readable) text += textOf(chunk);
    equal(text, "hello");
  },
  "fifo: bytes": async () => {
    using fifo = ipc.Fifo.create(pathOf());
    const opened = [fifo.openReader(WAIT), fifo.openWriter(WAIT)] as const;
    const [reader, writer] = await Promise.all(opened);
    using _reader = reader;
    using _writer = writer;
    writer.writeSync(HELLO);
    equal(readFrom(reader), "hello");
    fifo.unlink();
  },
  "fifo: waiting for a writer": async () => {
    using fifo = ipc.Fifo.create(pathOf());
    timesOut(() => fifo.openWriterSync(SOON));
    await expires(fifo.openWriter(SOON));
    equal(fifo.tryOpenWriter(), undefined);
    fifo.chmod(0o640);
    fifo.unlink();
  },
};

const queues = {
  "sysv queue: messages": () => {
    using queue = ipc.SysvMessageQueue.create(null);
    try {
      queue.sendSync(pair.encode({ age: 80, name: "ghkim" }), { type: 7 });
      const { type, data } = queue.receiveSync({ type: 7 });
      equal(type, 7);
      equal(pair.decode(data), { age: 80, name: "ghkim" });
    } finally {
      queue.remove();
    }
  },
  "sysv queue: a receive that waits": async () => {
    using queue = ipc.SysvMessageQueue.create(null);
    try {
      const wait = queue.receive({ ...WAIT, type: 2 });
      const { data } = await woken(wait, () => queue.send(HELLO, { type: 2 }));
      equal(textOf(data), "hello");
    } finally {
      queue.remove();
    }
  },
  "sysv queue: timeouts": async () => {
    using queue = ipc.SysvMessageQueue.create(null);
    try {
      timesOut(() => queue.receiveSync(SOON));
      await expires(queue.receive(SOON));
      equal(queue.tryReceive(), undefined);
    } finally {
      queue.remove();
    }
  },
  "sysv queue: status and list": () => {
    const key = keyOf();
    using queue = ipc.SysvMessageQueue.create(key, { mode: 0o640 });
    try {
      queue.sendSync(HELLO);
      const { messages, bytes, mode } = queue.stat();
      equal({ messages, bytes, mode }, { messages: 1, bytes: 5, mode: 0o640 });
      ok(ipc.SysvMessageQueue.list().some((entry) => entry.key === key));
      queue.change({ mode: 0o600 });
      equal(ipc.SysvMessageQueue.stat({ key }).mode, 0o600);
    } finally {
      queue.remove();
    }
  },
  "sysv queue: a request and its reply": async () => {
    using queue = ipc.SysvMessageQueue.create(null);
    try {
      const reply = queue.request(HELLO, WAIT);
      for await (const request of queue.requests(WAIT)) {
        await request.reply(request.data);
        break;
      }
      equal(textOf(await reply), "hello");
    } finally {
      queue.remove();
    }
  },
  "sysv queue: removed while in use": async () => {
    using queue = ipc.SysvMessageQueue.create(null);
    const wait = queue.receive(WAIT);
    await rejects(woken(wait, () => queue.remove()), { code: "EIDRM" });
  },
  "posix queue: priorities": () => {
    const name = nameOf();
    using queue = ipc.PosixMessageQueue.create(name, { maxSize: 64 });
    ipc.PosixMessageQueue.unlink(name);
    queue.sendSync(bytesOf("low"), { priority: 1 });
    queue.sendSync(HELLO, { priority: 9 });
    equal(queue.stat().messages, 2);
    const { priority, data } = queue.receiveSync();
    equal([priority, textOf(data)], [9, "hello"]);
  },
  "posix queue: a receive that waits": async () => {
    using queue = ipc.PosixMessageQueue.create(null);
    const { data } = await woken(queue.receive(WAIT), () => queue.send(HELLO));
    equal(textOf(data), "hello");
    ipc.PosixMessageQueue.unlink(queue.name!);
  },
  "posix queue: timeouts": async () => {
    using queue = ipc.PosixMessageQueue.create(null);
    ipc.PosixMessageQueue.unlink(queue.name!);
    timesOut(() => queue.receiveSync(SOON));
    await expires(queue.receive(SOON));
    equal(queue.tryReceive(), undefined);
  },
  "posix queue: notification": async () => {
    using queue = ipc.PosixMessageQueue.create(null);
    ipc.PosixMessageQueue.unlink(queue.name!);
    await woken(queue.notified(WAIT), () => queue.sendSync(HELLO));
  },
};

const memories = {
  "sysv memory: two attachments": () => {
    const key = keyOf();
    using memory = ipc.SysvSharedMemory.create(key, 4096);
    try {
      using other = ipc.SysvSharedMemory.open(key, { readonly: true });
      memory.write(100, HELLO);
      equal(textOf(other.read(100, new Uint8Array(5))), "hello");
      const { attachments, size } = memory.stat();
      equal({ attachments, size }, { attachments: 2, size: 4096 });
      ok(ipc.SysvSharedMemory.list().some((entry) => entry.key === key));
    } finally {
      memory.remove();
    }
  },
  "posix memory: two mappings": () => {
    const name = nameOf();
    using memory = ipc.PosixSharedMemory.create(name, 4096);
    using other = ipc.PosixSharedMemory.open(name);
    const counter = memory.view(0, ipc.struct({ value: ipc.i32 }));
    counter.value++;
    equal(other.atomics.int32[0], 1);
    equal(other.stat().size, 4096);
    ok(ipc.PosixSharedMemory.list().some((entry) => entry.name === name));
    memory.resize(8192);
    ipc.PosixSharedMemory.unlink(name);
  },
  "memory: close() detaches": () => {
    const memory = ipc.MemoryMap.anonymous(4096);
    const { bytes } = memory;
    memory.close();
    equal(bytes.length, 0);
    throws(() => memory.read(0, new Uint8Array(1)), { name: "ClosedError" });
  },
  "memory: indexOf, advice, residency": () => {
    using memory = ipc.MemoryMap.anonymous(2 * PAGE);
    memory.write(PAGE, HELLO);
    equal(memory.indexOf(HELLO), PAGE);
    memory.advise("sequential");
    memory.populate();
    memory.lock();
    memory.unlock();
    ok(memory.residency().length >= 2);
  },
  "memory: a wait for a word": async () => {
    using memory = ipc.MemoryMap.anonymous(4096);
    const words = memory.atomics.int32;
    await woken(memory.wait(0, 0, WAIT), () => {
      Atomics.store(words, 0, 1);
      memory.notify(0);
    });
    await expires(memory.wait(4, 0, SOON));
    timesOut(() => memory.waitSync(4, 0, SOON));
  },
  "memory: waits for many words": async () => {
    using memory = ipc.MemoryMap.anonymous(4096);
    const waits = Array.from(
      { length: 100 },
      (_, index) => memory.wait(index * 4, 0, WAIT),
    );
    await woken(Promise.all(waits), () => {
      for (let index = 0; index < 100; index++) {
        Atomics.store(memory.atomics.int32, index, 1);
        memory.notify(index * 4);
      }
    });
  },
  "memory map: a file": async () => {
    const path = pathOf();
    writeFileSync(path, "hello\n");
    using map = ipc.MemoryMap.open(path);
    map.bytes[0] = 72; // H
    map.flushSync();
    await map.flush();
    using other = ipc.MemoryMap.open(path, { readonly: true });
    equal(textOf(other.read(0, new Uint8Array(5))), "Hello");
  },
  "memory map: another size": () => {
    using map = ipc.MemoryMap.create(pathOf(), 4096, { resizable: true });
    map.resize(16_384);
    map.append(HELLO);
    equal(map.size, 16_389);
    map.resize(4096, { shrink: true });
  },
  "memory file: seals": () => {
    using file = ipc.MemoryFile.create("smoke", 4096);
    file.seal(["shrink", "grow"]);
    using map = file.map();
    map.write(0, HELLO);
    equal(file.seals, ["shrink", "grow"]);
    throws(() => file.resize(8192), { code: "EPERM" });
  },
  "sequence cell": async () => {
    const layout = ipc.struct({ x: ipc.f64, y: ipc.f64 });
    using memory = ipc.MemoryMap.anonymous(ipc.SequenceCell.size(layout));
    const cell = new ipc.SequenceCell(memory, 0, layout);
    const change = cell.changed(cell.sequence, WAIT);
    await woken(change, () => cell.write({ x: 1, y: 2 }));
    equal(cell.readSync(), { x: 1, y: 2 });
  },
};

const semaphores = {
  "posix semaphore: permits": () => {
    const name = nameOf();
    using semaphore = ipc.PosixSemaphore.create(name, 1);
    using other = ipc.PosixSemaphore.openOrCreate(name, 5);
    {
      using _permit = semaphore.acquireSync(WAIT);
      equal(other.tryAcquire(), undefined);
    }
    equal(other.value, 1);
    ok(ipc.PosixSemaphore.list().some((entry) => entry.name === name));
    ipc.PosixSemaphore.unlink(name);
  },
  "posix semaphore: an acquisition that waits": async () => {
    using semaphore = ipc.PosixSemaphore.create(null, 0);
    ipc.PosixSemaphore.unlink(semaphore.name!);
    await woken(semaphore.acquire(WAIT), () => semaphore.release());
  },
  "posix semaphore: timeouts": async () => {
    using semaphore = ipc.PosixSemaphore.create(null, 0);
    ipc.PosixSemaphore.unlink(semaphore.name!);
    timesOut(() => semaphore.acquireSync(SOON));
    await expires(semaphore.acquire(SOON));
  },
  "posix semaphore: in memory": async () => {
    using memory = ipc.MemoryMap.anonymous(4096);
    using semaphore = ipc.PosixSemaphore.init(memory.bytes.subarray(0, 32), 0);
    await woken(semaphore.acquire(WAIT), () => semaphore.release());
    timesOut(() => semaphore.acquireSync(SOON));
  },
  "sysv semaphores: operations": async () => {
    using set = ipc.SysvSemaphoreSet.create(null, [1, 0]);
    try {
      set.operateSync([{ index: 0, delta: -1 }, { index: 1, delta: 2 }]);
      equal(Array.from(set.getAll()), [0, 2]);
      equal(set.tryOperate([{ index: 0, delta: -1 }]), false);
      timesOut(() => set.operateSync([{ index: 0, delta: -1 }], SOON));
      await expires(set.operate([{ index: 0, delta: -1 }], SOON));
      equal([set.lastPid(0), set.stat().size], [pid, 2]);
    } finally {
      set.remove();
    }
  },
  "sysv semaphores: an operation that waits": async () => {
    using set = ipc.SysvSemaphoreSet.create(null, [0]);
    try {
      const wait = set.operate([{ index: 0, delta: -1 }], WAIT);
      await woken(wait, () => set.setValue(0, 1));
      set.setAll([3]);
      using _permit = set.semaphore(0, { undo: true }).acquireSync();
      equal(set.getValue(0), 2);
    } finally {
      set.remove();
    }
  },
};

const locks = {
  "ring: messages": async () => {
    for (const producers of ["one", "many"] as const) {
      using memory = ipc.MemoryMap.anonymous(ipc.SharedRing.size(1024));
      const ring = ipc.SharedRing.create(memory, { producers });
      using consumer = ring.consumer();
      const producer = ring.producer();
      producer.writeSync(bytesOf("one"));
      equal(producer.tryWriteAll([bytesOf("two"), bytesOf("three")]), 2);
      const claim = producer.claimSync(4);
      claim.bytes.set(bytesOf("four"));
      claim.commit();
      const texts: string[] = [];
      equal(consumer.tryRead(({ bytes }) => texts.push(textOf(bytes))), 4);
      equal(texts, ["one", "two", "three", "four"]);
      timesOut(() => consumer.readSync(SOON));
      await expires(consumer.read(SOON));
      await woken(consumer.read(WAIT), () => producer.tryWrite(bytesOf("5")));
      while (producer.tryWrite(new Uint8Array(128)));
      timesOut(() => producer.writeSync(new Uint8Array(128), SOON));
      await woken(
        producer.write(new Uint8Array(128), WAIT),
        () => consumer.tryRead(() => {}),
      );
      consumer.tryRead(() => {});
      producer.close();
      equal(await consumer.read(WAIT), null);
    }
  },
  "ring: broadcast": async () => {
    using memory = ipc.MemoryMap.anonymous(ipc.SharedBroadcast.size(1024));
    const broadcast = ipc.SharedBroadcast.create(memory);
    using producer = broadcast.producer();
    using receiver = broadcast.receiver();
    await woken(receiver.read(WAIT), () => producer.write(bytesOf("one")));
    for (let i = 0; i < 1000; i++) producer.write(new Uint8Array(10));
    equal(receiver.readSync()?.missed, 999);
  },
  "lock: mutex": async () => {
    using mutex = ipc.SharedMutex.create(null);
    try {
      const guard = mutex.lockSync(WAIT);
      equal(mutex.ownerPid, pid);
      await expires(mutex.lock(SOON));
      const next = mutex.lock(WAIT);
      (await woken(next, () => guard[Symbol.dispose]()))[Symbol.dispose]();
    } finally {
      mutex.remove();
    }
  },
  "lock: readers and writer": async () => {
    using lock = ipc.SharedRwLock.create(null);
    try {
      const guard = lock.lockReadSync(WAIT);
      equal(lock.readers, 1);
      const write = lock.lockWrite(WAIT);
      (await woken(write, () => guard[Symbol.dispose]()))[Symbol.dispose]();
    } finally {
      lock.remove();
    }
  },
  "lock: condition": async () => {
    using mutex = ipc.SharedMutex.create(null);
    using condition = ipc.SharedCondition.create(null);
    try {
      let isReady = false;
      const locked = condition.lockWhen(mutex, () => isReady, WAIT);
      const guard = await woken(locked, async () => {
        using _guard = await mutex.lock(WAIT);
        using _change = condition.changing();
        isReady = true;
      });
      guard[Symbol.dispose]();
    } finally {
      mutex.remove();
      condition.remove();
    }
  },
};

const sockets = {
  "socket: stream": async () => {
    const path = pathOf();
    using listener = ipc.UnixListener.listen(path, { mode: 0o600 });
    using client = ipc.UnixStream.connectSync(path, WAIT);
    using server = await listener.accept(WAIT);
    await client.write(HELLO, WAIT);
    equal(await server.read(new Uint8Array(8), WAIT), 5);
    equal(server.peerCredentials.pid, pid);
    client.closeWrite();
    equal(await server.read(new Uint8Array(8), WAIT), null);
  },
  "socket: an accept that waits": async () => {
    const path = pathOf();
    using listener = ipc.UnixListener.listen(path);
    const wait = listener.accept(WAIT);
    using _client = await ipc.UnixStream.connect(path, WAIT);
    using _server = await wait;
    timesOut(() => listener.acceptSync(SOON));
    await expires(listener.accept(SOON));
  },
  "socket: abstract address": async () => {
    const address = { abstract: `smoke-${pid}-${++names}` };
    using listener = ipc.UnixListener.listen(address);
    using client = await ipc.UnixStream.connect(address, WAIT);
    using _server = listener.acceptSync(WAIT);
    equal(client.remoteAddress, address);
  },
  "socket: long path": async () => {
    const path = `${directory}/${"long".repeat(40)}`;
    using listener = ipc.UnixListener.listen(path);
    using _client = await ipc.UnixStream.connect(path, WAIT);
    using _server = listener.acceptSync(WAIT);
  },
  "socket: stale path": () => {
    const path = pathOf();
    ipc.UnixListener.listen(path).detach();
    throws(() => ipc.UnixListener.listen(path), { code: "EADDRINUSE" });
  },
  "socket: seqpacket": async () => {
    const [one, other] = ipc.UnixSeqpacket.pair();
    using _one = one;
    using _other = other;
    const message = other.receive(WAIT);
    await woken(message, () => one.send(HELLO, WAIT));
    equal(textOf((await message)!.data), "hello");
    timesOut(() => other.receiveSync(SOON));
  },
  "socket: datagram": async () => {
    const [from, to] = [pathOf(), pathOf()];
    using receiver = ipc.UnixDatagram.create(to);
    using sender = ipc.UnixDatagram.create(from);
    await sender.send(HELLO, { ...WAIT, to });
    const message = receiver.receiveSync(WAIT);
    equal([textOf(message.data), message.from], ["hello", from]);
  },
  "socket: descriptors": () => {
    const [one, other] = ipc.UnixSeqpacket.pair();
    using _one = one;
    using _other = other;
    using ends = ipc.pipe();
    one.sendSync(HELLO, { descriptors: [ends.writer] });
    const { descriptors } = other.receiveSync({ ...WAIT, maxDescriptors: 1 })!;
    using writer = ipc.PipeWriter.fromFd(descriptors[0]!.detach());
    writer.writeSync(HELLO);
    equal(readFrom(ends.reader), "hello");
  },
  "socket: credentials": () => {
    const [one, other] = ipc.UnixSeqpacket.pair();
    using _one = one;
    using _other = other;
    other.passCredentials = true;
    one.sendSync(HELLO);
    equal(other.receiveSync(WAIT)!.credentials?.pid, pid);
  },
  "socket: drained": async () => {
    const [one, other] = ipc.UnixStream.pair();
    using _one = one;
    using _other = other;
    one.writeSync(HELLO);
    equal([one.isDrained(), other.available], [false, 5]);
    const drained = one.drained(WAIT);
    await woken(drained, () => other.readSync(new Uint8Array(8)));
  },
  "socket: buffers": () => {
    const [one, other] = ipc.UnixStream.pair();
    using _one = one;
    using _other = other;
    one.bufferSizes = { send: 32_768 };
    ok(one.bufferSizes.send >= 32_768);
  },
  "frames": async () => {
    const [one, other] = ipc.UnixStream.pair();
    using sender = new ipc.FramedStream(one);
    using receiver = new ipc.FramedStream(other);
    const message = receiver.receive(WAIT);
    await woken(message, () => sender.send(HELLO, WAIT));
    equal(textOf((await message)!), "hello");
  },
};

const others = {
  "wait: any of several": async () => {
    using one = ipc.pipe();
    using two = ipc.pipe();
    const first = ipc.waitAny([one.reader, two.reader], WAIT);
    await woken(first, () => two.writer.writeSync(HELLO));
    equal(await first === two.reader, true);
    await ipc.waitReadable(two.reader, WAIT);
    await ipc.waitWritable(two.writer, WAIT);
  },
  "wait: a hundred at once": async () => {
    const pipes = Array.from({ length: 100 }, () => ipc.pipe());
    const reads = pipes.map(({ reader }) =>
      reader.read(new Uint8Array(8), WAIT)
    );
    await woken(Promise.all(reads), () => {
      for (const { writer } of pipes) writer.writeSync(HELLO);
    });
    for (const ends of pipes) ends[Symbol.dispose]();
  },
  "limits": () => {
    const { pageSize, sysvMessageQueues } = ipc.ipcLimits();
    ok(pageSize >= 4096 && sysvMessageQueues.maxSize > 0);
  },
  "ftok": () => {
    equal(ipc.ftok("/", 1), ipc.ftok("/", 1));
  },
  "errors": () => {
    const path = `${directory}/missing`;
    throws(() => ipc.Fifo.open(path), (error: ipc.IpcError) => {
      equal([error.code, error.errno], ["ENOENT", 2]);
      match(error.message, /No such file or directory \(ENOENT\)$/);
      return true;
    });
    throws(() => ipc.SysvMessageQueue.open(keyOf()), { code: "ENOENT" });
    throws(() => ipc.pipe().reader.setCapacity(-1), { name: "RangeError" });
  },
  "peer process": async () => {
    const [key, name, path] = [keyOf(), nameOf(), pathOf()];
    using memory = ipc.PosixSharedMemory.create(name, 4096);
    using sysv = ipc.SysvMessageQueue.create(key);
    using posix = ipc.PosixMessageQueue.create(name);
    using mutex = ipc.SharedMutex.create(key);
    using listener = ipc.UnixListener.listen(path);
    try {
      const peer = startPeer(String(key), name, path);
      await memory.wait(0, 0, WAIT);
      equal(memory.atomics.int32[0], 42);
      await sysv.send(HELLO, { type: 1 });
      equal(textOf((await sysv.receive({ ...WAIT, type: 2 })).data), "hello");
      posix.sendSync(HELLO);
      using stream = await listener.accept(WAIT);
      equal(await stream.read(new Uint8Array(5), WAIT), 5);
      equal(await stream.read(new Uint8Array(1), WAIT), 1);
      equal(mutex.ownerPid, peer.pid);
      peer.kill("SIGKILL");
      using guard = await mutex.lock(WAIT);
      equal(guard.ownerDied, true);
      guard.markConsistent();
    } finally {
      ipc.PosixSharedMemory.unlink(name);
      ipc.PosixMessageQueue.unlink(name);
      sysv.remove();
      mutex.remove();
    }
  },
};

/** All checks, in the order of the mechanisms. */
export const checks: Record<string, () => unknown> = {
  ...pipes,
  ...queues,
  ...memories,
  ...semaphores,
  ...locks,
  ...sockets,
  ...others,
};
