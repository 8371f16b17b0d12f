/** Python on the other side: its System V module, and its standard library. */
import { assert, assertEquals } from "@std/assert";
import { Fifo } from "../../ffi/fifo.ts";
import { MemoryMap } from "../../ffi/memory_map.ts";
import {
  PosixMessageQueue,
  SysvMessageQueue,
} from "../../ffi/message_queue.ts";
import { pipe, PipeReader } from "../../ffi/pipe.ts";
import { PosixSemaphore, SysvSemaphoreSet } from "../../ffi/semaphore.ts";
import {
  MemoryFile,
  PosixSharedMemory,
  SysvSharedMemory,
} from "../../ffi/shared_memory.ts";
import { UnixListener, UnixStream } from "../../ffi/socket.ts";
import { cstring, i16, struct } from "../../ffi/struct.ts";
import { bytes } from "../support/bytes.ts";
import { kill } from "../support/kills.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch, uniqueKey, uniqueName } from "../support/names.ts";
import {
  noPython,
  noSysvIpc,
  pythonBytes,
  startPython,
} from "../support/python.ts";

const WAIT = { timeout: 20_000 };
const person = struct({ age: i16, name: cstring(20) });
const ghkim = { age: 80, name: "ghkim" };
/** What `struct.pack("=h20s", 80, b"ghkim")` is. */
const PERSON = `struct.pack("=h20s", 80, b"ghkim")`;

/** A test with Python's System V module. */
function sysvTest(name: string, fn: () => Promise<void>): void {
  leakTest(name, { needs: [noSysvIpc] }, fn);
}

/** A test with what every Python has. */
function posixTest(name: string, fn: () => Promise<void>): void {
  leakTest(name, { needs: [noPython] }, fn);
}

// --- System V ----------------------------------------------------------------

sysvTest("SysvMessageQueue exchanges types and bytes with Python", async () => {
  const key = uniqueKey();
  using queue = SysvMessageQueue.create(key);
  await using python = await startPython(
    "import struct, sysv_ipc",
    `queue = sysv_ipc.MessageQueue(${key})`,
  );
  for (const type of [1, 7, 2 ** 31 - 1]) {
    for (const size of [0, 1, 22, 2048]) {
      const data = crypto.getRandomValues(new Uint8Array(size));
      queue.sendSync(data, { type });
      const expression = `queue.receive() == (${pythonBytes(data)}, ${type})`;
      assertEquals(await python.ask(expression), "True");
      await python.ask(`queue.send(${pythonBytes(data)}, type=${type})`);
      assertEquals(await queue.receive(WAIT), { type, data });
    }
  }
  const large = 2n ** 63n - 1n; // which Python receives, but cannot send
  queue.sendSync(bytes(65), { type: large });
  assertEquals(await python.ask("queue.receive()"), `(b'A', ${large})`);
  for (const type of [3, 2, 5]) queue.sendSync(bytes(type), { type });
  assertEquals(await python.ask("queue.receive(type=-4)"), "(b'\\x02', 2)");
  assertEquals(await python.ask("queue.receive(type=5)"), "(b'\\x05', 5)");
  assertEquals(await python.ask("queue.current_messages"), "1");
  for (const type of [9, 8]) await python.ask(`queue.send(b"", type=${type})`);
  assertEquals(queue.receiveSync({ type: 8 }).type, 8);
  assertEquals(queue.receiveSync({ type: 3, except: true }).type, 9);
  assertEquals(queue.receiveSync().data, bytes(3));

  await python.ask(`queue.send(${PERSON})`);
  assertEquals(person.decode(queue.receiveSync().data), ghkim);
  queue.sendSync(person.encode(ghkim));
  assertEquals(await python.ask(`queue.receive()[0] == ${PERSON}`), "True");
  queue.remove();
});

sysvTest("SysvMessageQueue wakes Python, and is woken by it", async () => {
  const key = uniqueKey();
  await using python = await startPython(
    "import sysv_ipc",
    `queue = sysv_ipc.MessageQueue(${key}, sysv_ipc.IPC_CREX)`,
  );
  using queue = SysvMessageQueue.open(key);
  await python.begin("queue.receive(type=2)");
  queue.sendSync(bytes(1), { type: 1 });
  await queue.send(bytes(65), { type: 2 });
  assertEquals(await python.child.line(), "(b'A', 2)");

  const waiting = queue.receive({ type: 3, ...WAIT });
  await python.ask(`queue.send(b"B", type=3)`);
  assertEquals((await waiting).data, bytes(66));
  const { lastSenderPid, lastReceiverPid } = queue.stat();
  assertEquals(lastSenderPid, python.child.pid);
  // Who waited is told by the thread in which it did.
  const threads = Array.from(Deno.readDirSync("/proc/self/task"));
  assert(threads.some(({ name }) => name === `${lastReceiverPid}`));
  await python.ask("queue.remove()");
  assertEquals(
    SysvMessageQueue.list().some(({ id }) => id === queue.id),
    false,
  );
});

sysvTest("SysvSemaphoreSet takes turns with Python", async () => {
  const key = uniqueKey();
  using set = SysvSemaphoreSet.create(key, [1]);
  const semaphore = set.semaphore(0);
  await using python = await startPython(
    "import sysv_ipc",
    `semaphore = sysv_ipc.Semaphore(${key})`,
  );
  assertEquals(await python.ask("semaphore.value"), "1");
  const permit = semaphore.acquireSync();
  await python.begin("semaphore.acquire()");
  assertEquals(set.waiters(0), { increase: 1, zero: 0 });
  permit.release();
  assertEquals(await python.child.line(), "None");
  assertEquals([semaphore.value, set.lastPid(0)], [0, python.child.pid]);

  const waiting = semaphore.acquire(WAIT);
  assertEquals(await python.ask("semaphore.release()"), "None");
  (await waiting).release();
  await python.begin("semaphore.Z()"); // waits for zero
  assertEquals(set.waiters(0), { increase: 0, zero: 1 });
  semaphore.acquireSync();
  assertEquals(await python.child.line(), "None");
  set.remove();
});

sysvTest("SysvSemaphoreSet opens the semaphore of Python", async () => {
  const key = uniqueKey();
  await using python = await startPython(
    "import sysv_ipc",
    `semaphore = sysv_ipc.Semaphore(${key}, sysv_ipc.IPC_CREX, 0o640, 3)`,
  );
  // Python gives it its value, but does not operate on it.
  using set = SysvSemaphoreSet.open(key, { untouched: true });
  assertEquals([set.getAll(), set.stat().mode], [[3], 0o640]);
  set.operateSync([{ index: 0, delta: -2 }]);
  assertEquals(await python.ask("semaphore.value"), "1");
  await python.ask("setattr(semaphore, 'undo', True)");
  await python.ask("semaphore.acquire()");
  const waiting = set.operate([{ index: 0, delta: -1 }], WAIT);
  await kill(python.child); // which gives back what it had
  await waiting;
  assertEquals(set.getAll(), [0]);
  set.remove();
});

sysvTest("SysvSharedMemory is the same memory in Python", async () => {
  const [key, its] = [uniqueKey(), uniqueKey()];
  using memory = SysvSharedMemory.create(key, 5_000);
  await using python = await startPython(
    "import struct, sysv_ipc",
    `memory = sysv_ipc.SharedMemory(${key})`,
    `other = sysv_ipc.SharedMemory(${its}, sysv_ipc.IPC_CREX, size=100)`,
  );
  person.write(memory.bytes, ghkim, 4_000);
  const read = `memory.read(22, 4000) == ${PERSON}`;
  assertEquals(await python.ask(read), "True");
  assertEquals(
    await python.ask("memory.size, memory.number_attached"),
    "(5000, 2)",
  );
  await python.ask(`memory.write(b"ABC", 4997)`);
  assertEquals(memory.bytes.subarray(4_996), bytes(0, 65, 66, 67));

  using other = SysvSharedMemory.open(its);
  await python.ask(`other.write(${PERSON}, 10)`);
  assertEquals(person.decode(other.bytes, 10), ghkim);
  assertEquals([other.byteLength, other.stat().creatorPid], [
    100,
    python.child.pid,
  ]);
  await python.ask("other.remove()");
  memory.remove();
});

// --- POSIX -------------------------------------------------------------------

/** Functions of libc that Python's standard library does not have. */
const LIBC = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    function = getattr(libc, name)
    function.restype = ctypes.c_ssize_t if name == "mq_receive" else ctypes.c_int
    result = function(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
`;

posixTest("PosixMessageQueue exchanges messages with Python", async () => {
  const name = uniqueName();
  using queue = PosixMessageQueue.create(name, { maxMessages: 4, maxSize: 64 });
  await using python = await startPython(
    LIBC,
    `queue = call("mq_open", b"${name}", os.O_RDWR)`,
    `def send(data, priority):
    call("mq_send", queue, data, ctypes.c_size_t(len(data)), priority)`,
    `def receive():
    buffer, priority = ctypes.create_string_buffer(64), ctypes.c_uint()
    size = call("mq_receive", queue, buffer, ctypes.c_size_t(64),
        ctypes.byref(priority))
    return buffer.raw[:size], priority.value`,
  );
  PosixMessageQueue.unlink(name);
  for (const priority of [0, 5, 32767]) {
    for (const size of [0, 1, 64]) {
      const data = crypto.getRandomValues(new Uint8Array(size));
      queue.sendSync(data, { priority });
      const expression = `receive() == (${pythonBytes(data)}, ${priority})`;
      assertEquals(await python.ask(expression), "True");
      await python.ask(`send(${pythonBytes(data)}, ${priority})`);
      assertEquals(await queue.receive(WAIT), { priority, data });
    }
  }
  queue.sendSync(bytes(65));
  await python.ask(`send(b"B", 3)`);
  queue.sendSync(bytes(67), { priority: 9 });
  assertEquals(await python.ask("receive()"), "(b'C', 9)");
  assertEquals(queue.receiveSync(), { priority: 3, data: bytes(66) });
  assertEquals(await python.ask("receive()"), "(b'A', 0)");
  await python.begin("receive()");
  await queue.send(bytes(68));
  assertEquals(await python.child.line(), "(b'D', 0)");
});

posixTest("PosixSemaphore takes turns with Python", async () => {
  const name = uniqueName();
  using semaphore = PosixSemaphore.create(name, 1);
  await using python = await startPython(
    LIBC,
    `libc.sem_open.restype = ctypes.c_void_p`,
    `semaphore = ctypes.c_void_p(libc.sem_open(b"${name}", 0))`,
  );
  PosixSemaphore.unlink(name);
  assertEquals(await python.ask(`call("sem_wait", semaphore)`), "0");
  assertEquals(semaphore.tryAcquire(), undefined);
  const waiting = semaphore.acquire(WAIT);
  assertEquals(await python.ask(`call("sem_post", semaphore)`), "0");
  const permit = await waiting;
  await python.begin(`call("sem_wait", semaphore)`);
  permit.release();
  assertEquals(await python.child.line(), "0");
  assertEquals(semaphore.value, 0);
});

posixTest("PosixSharedMemory is that of Python's multiprocessing", async () => {
  using mine = PosixSharedMemory.create(null, 5_000);
  const name = uniqueName();
  await using python = await startPython(
    "import struct",
    "from multiprocessing import resource_tracker",
    "from multiprocessing.shared_memory import SharedMemory",
    `mine = SharedMemory("${mine.name.slice(1)}")`,
    // Else Python removes the name that is not its own.
    `resource_tracker.unregister(mine._name, "shared_memory")`,
    `its = SharedMemory("${name.slice(1)}", create=True, size=100)`,
  );
  PosixSharedMemory.unlink(mine.name);
  person.write(mine.bytes, ghkim, 4_000);
  const expression = `bytes(mine.buf[4000:4022]) == ${PERSON}, mine.size`;
  assertEquals(await python.ask(expression), "(True, 5000)");
  using its = PosixSharedMemory.open(name);
  assertEquals(its.byteLength, 100);
  await python.ask(`struct.pack_into("=h20s", its.buf, 10, 80, b"ghkim")`);
  assertEquals(person.decode(its.bytes, 10), ghkim);
  await python.ask("its.unlink()");
  await python.child.closeStdin();
  const { code, stderr } = await python.child.ended();
  assertEquals([code, stderr], [0, ""]);
});

posixTest("MemoryMap is the same file in Python's mmap", async () => {
  using dir = scratch();
  const path = dir.file("map");
  using map = MemoryMap.create(path, 5_000);
  await using python = await startPython(
    "import mmap, struct",
    `file = open("${path}", "r+b")`,
    "map = mmap.mmap(file.fileno(), 0)",
  );
  person.write(map.bytes, ghkim, 4_000);
  assertEquals(await python.ask(`map[4000:4022] == ${PERSON}`), "True");
  assertEquals(
    await python.ask(`map.seek(4997), map.write(b"ABC")`),
    "(None, 3)",
  );
  assertEquals(map.bytes.subarray(4_996), bytes(0, 65, 66, 67));
});

posixTest("Fifo carries bytes to Python, and from it", async () => {
  using dir = scratch();
  const [ours, its] = [dir.file("ours"), dir.file("its")];
  using to = Fifo.create(ours);
  await using python = await startPython(
    "import os",
    `os.mkfifo("${its}")`,
    `def read():
    with open("${ours}", "rb") as file: return file.read()`,
    `def write():
    with open("${its}", "wb") as file: return file.write(b"ABC")`,
  );
  await python.begin("read()"); // waits for a writer
  {
    using writer = await to.openWriter(WAIT);
    await writer.write(bytes(65, 66));
  }
  assertEquals(await python.child.line(), "b'AB'");
  using from = Fifo.open(its);
  await python.begin("write()"); // waits for a reader
  using reader = await from.openReader(WAIT);
  const buffer = new Uint8Array(8);
  assertEquals(await reader.read(buffer, WAIT), 3);
  assertEquals(buffer.subarray(0, 3), bytes(65, 66, 67));
  assertEquals(await reader.read(buffer, WAIT), null);
  assertEquals(await python.child.line(), "3");
});

posixTest(
  "UnixStream passes descriptors to Python, and gets some",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    using listener = UnixListener.listen(path);
    await using python = await startPython(
      "import mmap, os, socket",
      "its = socket.socket(socket.AF_UNIX)",
      `its.connect("${path}")`,
      "reader, writer = os.pipe()",
      `def receive():
    global fds
    data, fds, flags, address = socket.recv_fds(its, 100, 8)
    return data, len(fds)`,
    );
    using socket = await listener.accept(WAIT);
    assertEquals(socket.peerCredentials.pid, python.child.pid);
    using ends = pipe();
    using file = MemoryFile.create("shared", 4096);
    using memory = file.map();
    await socket.send(bytes(65), { descriptors: [ends.writer, file.fd] });
    assertEquals(await python.ask("receive()"), "(b'A', 2)");
    await python.ask(`os.write(fds[0], b"over a pipe")`);
    const buffer = new Uint8Array(100);
    assertEquals(await ends.reader.read(buffer, WAIT), 11);
    await python.ask(
      "mmap.mmap(fds[1], 4096).write(b'ABC')",
    );
    assertEquals(memory.bytes.subarray(0, 4), bytes(65, 66, 67, 0));

    assertEquals(
      await python.ask("socket.send_fds(its, [b'BC'], [reader])"),
      "2",
    );
    const message = await socket.receive({ maxDescriptors: 1, ...WAIT });
    assertEquals(message?.data, bytes(66, 67));
    using reader = PipeReader.fromFd(message!.descriptors[0]!.detach());
    await python.ask("os.write(writer, b'DE')");
    assertEquals(await reader.read(buffer, WAIT), 2);
    assertEquals(buffer.subarray(0, 2), bytes(68, 69));
  },
);

posixTest("UnixStream connects to Python's server", async () => {
  using dir = scratch();
  const path = dir.file("socket");
  await using python = await startPython(
    "import socket",
    "server = socket.socket(socket.AF_UNIX)",
    `server.bind("${path}")`,
    "server.listen()",
  );
  using socket = await UnixStream.connect(path, WAIT);
  await python.ask("globals().update(its=server.accept()[0])");
  for (const size of [1, 1000, 60_000]) {
    const data = crypto.getRandomValues(new Uint8Array(size));
    await socket.write(data, WAIT);
    const receive = `its.recv(${size}, socket.MSG_WAITALL)`;
    assertEquals(await python.ask(`its.sendall(${receive})`), "None");
    const echo = new Uint8Array(size);
    let count = 0;
    while (count < size) {
      count += (await socket.read(echo.subarray(count), WAIT))!;
    }
    assertEquals(echo, data);
  }
  await python.ask("its.close()");
  assert(await socket.read(new Uint8Array(1), WAIT) === null);
});
