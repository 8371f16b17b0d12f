/** What is passed over a socket arrives blocking, whatever was done with it before. */
import { assertEquals } from "@std/assert";
import { Fifo } from "@linux/ipc/fifo";
import { PosixMessageQueue } from "@linux/ipc/message-queue";
import { pipe } from "@linux/ipc/pipe";
import { MemoryFile, PosixSharedMemory } from "@linux/ipc/shared-memory";
import {
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { F_GETFL, F_SETFL, fcntl, O_NONBLOCK } from "../../ffi/libc/fcntl.ts";
import { noCompiler } from "../support/c.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { noPython, startPython } from "../support/python.ts";
import { startPeer } from "./peers.ts";

const WAIT = { timeout: 20_000 };
const AT_ONCE = { timeout: 0 };
const LARGE = 300_000;

/** An object of each class that can be passed, after it was used without blocking. */
async function used(directory: string) {
  const stack = new DisposableStack();
  const ends = stack.use(pipe());
  const fifo = stack.use(Fifo.create(`${directory}/fifo`));
  const [fifoReader, fifoWriter] = await Promise.all([
    fifo.openReader(WAIT),
    fifo.openWriter(WAIT),
  ]);
  stack.use(fifoReader);
  stack.use(fifoWriter);
  const queue = stack.use(PosixMessageQueue.create(null, { maxMessages: 1 }));
  PosixMessageQueue.unlink(queue.name);
  const listener = stack.use(UnixListener.listen(null));
  const [stream] = stack.use(UnixStream.pair());
  const [seqpacket] = stack.use(UnixSeqpacket.pair());
  const [datagram] = stack.use(UnixDatagram.pair());
  const file = stack.use(MemoryFile.create("passed", 4096));
  const memory = stack.use(PosixSharedMemory.create(null, 4096));
  PosixSharedMemory.unlink(memory.name);
  const buffer = new Uint8Array(16);
  const large = new Uint8Array(LARGE);
  // Each form that does not block, and a blocking one with a timeout.
  const waits: (() => unknown)[] = [
    () => ends.reader.tryRead(buffer),
    () => ends.reader.read(buffer, AT_ONCE),
    () => ends.reader.readSync(buffer, AT_ONCE),
    () => queue.receive(AT_ONCE),
    () => queue.receiveSync(AT_ONCE),
    () => listener.accept(AT_ONCE),
    () => listener.acceptSync(AT_ONCE),
    () => fifoReader.read(buffer, AT_ONCE),
    () => stream.read(buffer, AT_ONCE),
    () => stream.write(large, AT_ONCE),
    () => seqpacket.receive(AT_ONCE),
    () => datagram.receiveSync(AT_ONCE),
  ];
  for (const wait of waits) {
    try {
      await wait();
    } catch {
      // TimeoutError
    }
  }
  const objects = {
    writer: ends.writer,
    reader: ends.reader,
    fifoReader,
    fifoWriter,
    queue,
    listener,
    stream,
    seqpacket,
    datagram,
    file,
    memory,
  };
  // What another program did to it does not travel, either.
  const { fcntl: call } = fcntl();
  for (const { fd } of Object.values(objects)) {
    call(fd, F_SETFL, call(fd, F_GETFL, 0) | O_NONBLOCK);
  }
  return {
    objects,
    reader: ends.reader,
    [Symbol.dispose]: () => stack.dispose(),
  };
}

leakTest("what a C program is passed is blocking", {
  needs: [noCompiler],
}, async () => {
  using dir = scratch();
  using them = await used(dir.path);
  using listener = UnixListener.listen(dir.file("socket"));
  await using child = await startPeer("passed_peer", [dir.file("socket")]);
  using socket = await listener.accept(WAIT);
  const descriptors = Object.values(them.objects);
  await socket.send(Uint8Array.of(1), { descriptors });
  for (const name of Object.keys(them.objects)) {
    assertEquals([name, await child.line()], [name, "blocking"]);
  }
  const buffer = new Uint8Array(LARGE);
  for (let total = 0; total < LARGE;) {
    total += (await them.reader.read(buffer, WAIT))!;
  }
  assertEquals(await child.line(), `${LARGE}`); // one write(2)
  assertEquals((await child.ended()).code, 0);
});

for (const form of ["objects", "numbers"]) {
  leakTest(`what Python is passed blocks it: ${form}`, {
    needs: [noPython],
  }, async () => {
    using dir = scratch();
    using them = await used(dir.path);
    using listening = UnixListener.listen(dir.file("socket"));
    await using python = await startPython(
      "import os, socket, threading",
      "its = socket.socket(socket.AF_UNIX)",
      `its.connect("${dir.file("socket")}")`,
      "def receive():",
      "    global writer, reader, server",
      "    writer, reader, server = socket.recv_fds(its, 1, 8)[1]",
      "    return [os.get_blocking(fd) for fd in (writer, reader, server)]",
    );
    using socket = await listening.accept(WAIT);
    const { writer, reader, listener } = them.objects;
    const objects = [writer, reader, listener];
    await socket.send(Uint8Array.of(1), {
      descriptors: form === "objects" ? objects : objects.map(({ fd }) => fd),
    });
    assertEquals(await python.ask("receive()"), "[True, True, True]");

    await python.begin(`os.write(writer, bytes(${LARGE}))`);
    const buffer = new Uint8Array(LARGE);
    for (let total = 0; total < LARGE;) {
      total += (await reader.read(buffer, WAIT))!;
    }
    assertEquals(await python.child.line(), `${LARGE}`);

    await python.begin("os.read(reader, 8)"); // no BlockingIOError
    await writer.write(Uint8Array.of(65));
    assertEquals(await python.child.line(), "b'A'");

    await python.begin("bool(socket.socket(fileno=server).accept())");
    using _client = await UnixStream.connect(listener.localAddress!, WAIT);
    assertEquals(await python.child.line(), "True");
  });
}
