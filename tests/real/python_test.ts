/** Python's multiprocessing: connections, and the descriptors that it passes over them. */
import { assert, assertEquals } from "@std/assert";
import { adoptDescriptor, EventFd, File } from "@linux/ipc/descriptor";
import { FramedStream } from "@linux/ipc/frames";
import { PosixSemaphore } from "@linux/ipc/semaphore";
import { UnixStream } from "@linux/ipc/socket";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { noPython, startPython } from "../support/python.ts";

const WAIT = { timeout: 20_000 };

leakTest("multiprocessing.connection exchanges bytes and handles", {
  needs: [noPython],
}, async () => {
  using dir = scratch();
  const path = dir.file("listener");
  await using python = await startPython(
    "import os",
    "from multiprocessing import reduction",
    "from multiprocessing.connection import Listener",
    `listener = Listener("${path}", family="AF_UNIX")`,
    "def accept():",
    "    global connection",
    "    connection = listener.accept()",
    "    return True",
  );
  const connecting = UnixStream.connect(path, WAIT);
  assertEquals(await python.ask("accept()"), "True");
  const stream = await connecting;
  // It does not read ahead, so that what comes between two messages can be read, too.
  using frames = new FramedStream(stream, { maxDescriptors: 1 });
  await frames.send(utf8("hello"), WAIT);
  assertEquals(await python.ask("connection.recv_bytes()"), "b'hello'");
  await python.ask("connection.send_bytes(bytes(100000))");
  using message = (await frames.receiveMessage(WAIT))!;
  assertEquals(message.data.length, 100_000);

  // send_handle: a byte with the descriptor, without a length.
  const file = dir.file("file", "what is in it");
  await python.ask(`globals().update(file=open("${file}"))`);
  await python.ask("reduction.send_handle(connection, file.fileno(), None)");
  using passed = (await stream.receive({ maxDescriptors: 1, ...WAIT }))!;
  using object = adoptDescriptor(passed.descriptors[0]!);
  assert(object instanceof File);
  assertEquals(await new Response(object.readable).text(), "what is in it");

  using event = EventFd.create();
  const handle = { descriptors: [event], ...WAIT };
  await stream.send(Uint8Array.of(1), handle);
  await python.ask("globals().update(event=reduction.recv_handle(connection))");
  await python.ask("os.write(event, (7).to_bytes(8, 'little'))");
  assertEquals(await event.read(WAIT), 7n);
  await frames.send(utf8("bye"), WAIT);
  assertEquals(await python.ask("connection.recv_bytes()"), "b'bye'");
});

leakTest("a semaphore of multiprocessing's spawn context is a PosixSemaphore", {
  needs: [noPython],
}, async () => {
  await using python = await startPython(
    "import multiprocessing",
    'semaphore = multiprocessing.get_context("spawn").Semaphore(2)',
  );
  const name = await python.ask("semaphore._semlock.name");
  using same = PosixSemaphore.open(name.slice(1, -1));
  assertEquals(same.value, 2);
  {
    using _permit = same.acquireSync(WAIT);
    assertEquals(await python.ask("semaphore.get_value()"), "1");
    assertEquals(await python.ask("semaphore.acquire()"), "True");
    assertEquals(same.tryAcquire(), undefined);
    assertEquals(await python.ask("semaphore.acquire(timeout=0.01)"), "False");
  }
  assertEquals(await python.ask("semaphore.acquire()"), "True");
  const waiting = same.acquire(WAIT);
  await python.ask("semaphore.release()");
  using _permit = await waiting;
  // Python removes the name when it ends.
  await python.child.closeStdin();
  assertEquals((await python.child.ended()).code, 0);
});
