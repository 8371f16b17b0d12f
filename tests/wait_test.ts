/**
 * Waiting: for any of several, for very many, with every way to end a wait, in
 * Workers and under signals; and that nothing is left of it.
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { fromFileUrl } from "@std/path";
import { Fifo } from "../ffi/fifo.ts";
import { O_RDONLY, O_RDWR } from "../ffi/libc/fcntl.ts";
import { header } from "../ffi/libc/library.ts";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  sysEventfd,
} from "../ffi/libc/sys_eventfd.ts";
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  sysSocket,
} from "../ffi/libc/sys_socket.ts";
import { POLLIN } from "../ffi/libc/poll.ts";
import { unistd } from "../ffi/libc/unistd.ts";
import { FramedStream } from "../ffi/frames.ts";
import { type Pipe, pipe, splice, tee } from "../ffi/pipe.ts";
import { UnixStream } from "../ffi/socket.ts";
import {
  ClosedError,
  IpcError,
  waitAny,
  waitReadable,
  type WaitTarget,
  waitWritable,
} from "../ffi/wait.ts";
import { attempt } from "../ffi/wait/attempt.ts";
import { NO_LIMITS } from "../ffi/wait/options.ts";
import { DescriptorSource, pendingWaits } from "../ffi/wait/reactor.ts";
import { isOverdue, yieldToEventLoop } from "../ffi/wait/yield.ts";
import { outcome } from "./support/asserts.ts";
import { utf8 } from "./support/bytes.ts";
import { compile, noCompiler } from "./support/c.ts";
import { callText, inChild, runCall } from "./support/child.ts";
import { noRoomFor, openRaw, Raw, socketPair } from "./support/descriptors.ts";
import { PosixSemaphore } from "../ffi/semaphore.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { spawn } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { SECOND, soon, turns } from "./support/waits.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const ONE = Uint8Array.of(1);

// --- Helpers ----------------------------------------------------------------

const more = header({
  // int pidfd_open(pid_t pid, unsigned int flags), as a system call: glibc 2.36
  syscall: { parameters: ["i64", "i32", "u32"], result: "i64" },
  // int dup2(int oldfd, int newfd)
  dup2: { parameters: ["i32", "i32"], result: "i32" },
});
const SYS_pidfd_open = 434n;

function eventfd(): Raw {
  return new Raw(sysEventfd().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/** Adds to an eventfd. */
function notify({ fd }: Raw): void {
  assertEquals(
    unistd().write(fd, new Uint8Array(new BigUint64Array([1n]).buffer), 8),
    8,
  );
}

function pidfd(pid: number): Raw {
  return new Raw(Number(more().syscall(SYS_pidfd_open, pid, 0)));
}

/** A listening Unix socket, made without this library's own. */
function listener(path: string): Raw {
  const { bind, listen, socket } = sysSocket();
  const raw = new Raw(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const address = new Uint8Array(110);
  new Uint16Array(address.buffer)[0] = AF_UNIX;
  address.set(utf8(path), 2);
  assertEquals(bind(raw.fd, address, address.length), 0);
  assertEquals(listen(raw.fd, 8), 0);
  return raw;
}

/** Fills a pipe to its last byte. */
function fill({ writer }: Pipe): void {
  while (writer.tryWrite(new Uint8Array(4096)) !== undefined);
}

/** Still pending after some turns of the event loop. */
async function assertWaits(promise: Promise<unknown>): Promise<void> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  await turns(5);
  assertEquals(settled, false);
}

async function assertTimesOut(
  call: () => Promise<unknown>,
  timeout: number,
): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(call, DOMException);
  const took = performance.now() - start;
  assertEquals(error.name, "TimeoutError");
  assert(took >= timeout, `${took} ms is earlier than ${timeout} ms`);
  assert(took < timeout + 10 * SECOND, `${took} ms is late`);
}

// --- waitAny(): what it takes -----------------------------------------------

leakTest("waitAny() refuses an empty list", async () => {
  await assertRejects(() => waitAny([]), TypeError, "must not be empty");
});

leakTest("waitAny() refuses what has no descriptor", async () => {
  using ends = pipe();
  const others = [
    null,
    undefined,
    "3",
    {},
    { fd: "3" },
    { writable: null },
    true,
  ];
  for (const other of others as unknown as WaitTarget[]) {
    await assertRejects(() => waitAny([ends.reader, other]), TypeError);
  }
  using semaphore = PosixSemaphore.create(null, 0);
  PosixSemaphore.unlink(semaphore.name!);
  const target = semaphore as unknown as { fd: number };
  const [one, other] = UnixStream.pair();
  const uses = [
    () => waitAny([target]),
    () => waitAny([{ writable: target }]),
    () => waitReadable(target),
    () => waitWritable(target),
    () => splice(target, ends.writer, 1),
    () => tee(ends.reader, target, 1),
    () => one.send(ONE, { descriptors: [target] }),
    () => new FramedStream(one).send(ONE, { descriptors: [target] }),
  ];
  for (const use of uses) {
    await assertRejects(
      use,
      TypeError,
      "Cannot use PosixSemaphore here: it has no descriptor; wait with its own",
    );
  }
  one.close();
  other.close();
  for (const fd of [-1, 1.5, NaN, 2 ** 31]) {
    await assertRejects(() => waitAny([ends.reader, fd]), RangeError);
    await assertRejects(() => waitAny([{ writable: fd }]), RangeError);
    await assertRejects(() => waitReadable({ fd }), RangeError);
    await assertRejects(() => waitWritable(fd), RangeError);
  }
  assertEquals(pendingWaits(), 0);
});

leakTest("waitAny() refuses a wrong timeout", async () => {
  using ends = pipe();
  ends.writer.writeSync(ONE); // ready; the argument is checked nevertheless
  for (const timeout of [-1, -0.5, NaN, -Infinity]) {
    for (const wait of [waitReadable, waitWritable]) {
      await assertRejects(() => wait(ends.reader, { timeout }), RangeError);
    }
    await assertRejects(() => waitAny([ends.reader], { timeout }), RangeError);
  }
  const timeout = "1" as unknown as number;
  await assertRejects(() => waitAny([ends.reader], { timeout }), TypeError);
});

leakTest("waitAny() refuses what is closed", async () => {
  using open = pipe();
  const closed = pipe();
  closed[Symbol.dispose]();
  for (const target of [closed.reader, { writable: closed.writer }]) {
    await assertRejects(() => waitAny([open.reader, target]), ClosedError);
  }
  await assertRejects(() => waitReadable(closed.reader), ClosedError);
  await assertRejects(() => waitWritable(closed.writer), ClosedError);
});

leakTest("waitAny() reports EBADF", async () => {
  using ends = pipe();
  const fd = 19_999;
  for (
    const wait of [
      () => waitAny([ends.reader, fd]),
      () => waitAny([{ writable: fd }]),
      () => waitReadable(fd),
      () => waitWritable(fd),
      () => waitReadable(fd, { timeout: 0 }),
    ]
  ) {
    const error = await assertRejects(() => soon<unknown>(wait()), IpcError);
    assertEquals([error.code, error.errno, error.subject], [
      "EBADF",
      9,
      `${fd}`,
    ]);
  }
  assertEquals(pendingWaits(), 0);
});

leakTest("waitAny() returns the first in the list that is ready", async () => {
  using one = pipe();
  using two = pipe();
  using three = pipe();
  two.writer.writeSync(ONE);
  three.writer.writeSync(ONE);
  const list = [one.reader, two.reader, three.reader];
  assertStrictEquals(await waitAny(list), two.reader);
  assertStrictEquals(await waitAny(list, { timeout: 0 }), two.reader);
  assertStrictEquals(await waitAny(list.toReversed()), three.reader);
  assertStrictEquals(
    await waitAny([one.reader.fd, two.reader.fd]),
    two.reader.fd,
  );
  const target = { writable: one.writer };
  assertStrictEquals(await waitAny([one.reader, target]), target);
  assertEquals(two.reader.available, 1); // it takes nothing
});

leakTest("waitAny() waits for the one that becomes ready", async () => {
  using one = pipe();
  using two = pipe();
  for (const late of [one, two, two, one]) {
    const waiting = waitAny([one.reader, two.reader]);
    await assertWaits(waiting);
    assertEquals(pendingWaits(), 2);
    late.writer.writeSync(ONE);
    assertStrictEquals(await soon(waiting), late.reader);
    assertEquals(pendingWaits(), 0); // also of the other
    late.reader.readSync(new Uint8Array(1));
  }
});

leakTest("waitAny() takes the same object twice", async () => {
  using one = pipe();
  const waiting = waitAny([one.reader, one.reader, one.reader.fd]);
  await assertWaits(waiting);
  one.writer.writeSync(ONE);
  assertStrictEquals(await soon(waiting), one.reader);
});

leakTest("waitReadable() takes the end and an error for ready", async () => {
  const ends = pipe();
  const readable = waitReadable(ends.reader);
  fill(ends);
  await soon(readable);
  const writable = waitWritable(ends.writer);
  await assertWaits(writable);
  ends.reader.close(); // now a write says EPIPE
  await soon(writable);
  ends.writer.close();

  const more = pipe();
  const end = waitReadable(more.reader);
  await assertWaits(end);
  more.writer.close();
  await soon(end);
  assertEquals(more.reader.tryRead(new Uint8Array(1)), null);
  await soon(waitReadable(more.reader)); // and stays ready
  more.reader.close();
});

leakTest("waitWritable() waits for room", async () => {
  using ends = pipe();
  await soon(waitWritable(ends.writer));
  fill(ends);
  const waiting = waitWritable(ends.writer);
  await assertWaits(waiting);
  ends.reader.readSync(new Uint8Array(65536));
  await soon(waiting);
});

leakTest(
  "waitAny() takes a file, a directory and a device for ready",
  async () => {
    using dir = scratch();
    using file = openRaw(dir.file("file", ""), O_RDWR);
    using directory = openRaw(dir.path, O_RDONLY);
    using device = openRaw("/dev/null", O_RDWR);
    for (const { fd } of [file, directory, device]) {
      await soon(waitReadable(fd, { timeout: 0 }));
      await soon(waitWritable(fd, { timeout: 0 }));
      using ends = pipe();
      assertStrictEquals(await soon(waitAny([ends.reader, fd])), fd);
    }
  },
);

leakTest("waitAny() waits for all kinds at once", async () => {
  using dir = scratch();
  using ends = pipe();
  using full = pipe();
  fill(full);
  using fifo = Fifo.create(dir.file("fifo"));
  using both = fifo.openBoth();
  const path = dir.file("socket");
  using server = listener(path);
  const [socket, peer] = socketPair();
  using _socket = socket, _peer = peer;
  using event = eventfd();
  await using child = spawn("cat");
  using process = pidfd(child.pid);
  const targets: WaitTarget[] = [
    ends.reader,
    { writable: full.writer },
    both.reader,
    server,
    socket.fd,
    event,
    process.fd,
  ];
  const causes: (() => unknown)[] = [
    () => ends.writer.writeSync(ONE),
    () => full.reader.readSync(new Uint8Array(65536)),
    () => both.writer.writeSync(ONE),
    () =>
      Deno.connect({ transport: "unix", path }).then((client) =>
        client.close()
      ),
    () => unistd().write(peer.fd, ONE, 1),
    () => notify(event),
    () => child.kill("SIGKILL"),
  ];
  for (let index = targets.length - 1; index >= 0; index--) {
    const rest = targets.slice(0, index + 1); // none of these is ready
    const waiting = waitAny(rest);
    await assertWaits(waiting);
    assertEquals(pendingWaits(), rest.length);
    await causes[index]!();
    assertStrictEquals(await soon(waiting), targets[index]);
  }
  assertEquals(pendingWaits(), 0);
});

leakTest(
  "waitReadable() waits for a descriptor that a C parent made",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const program = await compile(
      new URL("./interop/c/eventfd_parent.c", import.meta.url),
    );
    const script = dir.file(
      "child.ts",
      `import { waitReadable } from "${import.meta.resolve("../ffi/wait.ts")}";
      const waiting = waitReadable(Number(Deno.args[0]), { timeout: 20_000 });
      console.log("waiting");
      await waiting;
      console.log("ready");`,
    );
    await using parent = spawn(program, { args: [Deno.execPath(), script] });
    assertEquals(await parent.line(), "waiting");
    await parent.settled();
    assertEquals(parent.unread, "");
    await parent.write("g");
    assertEquals(await parent.line(), "ready");
    assertEquals((await parent.ended()).code, 0);
  },
);

// --- Ends of a wait ---------------------------------------------------------

leakTest("waitAny() ends at the timeout, never before", async () => {
  using one = pipe();
  using two = pipe();
  fill(two);
  for (const timeout of [0, 0.3, 1, 7.5, 30]) {
    await assertTimesOut(
      () => waitAny([one.reader, two.writer], { timeout }),
      timeout,
    );
    await assertTimesOut(() => waitReadable(one.reader, { timeout }), timeout);
    await assertTimesOut(() => waitWritable(two.writer, { timeout }), timeout);
  }
  assertEquals(pendingWaits(), 0);
});

leakTest("waitAny() does not take a huge timeout for a short one", async () => {
  using ends = pipe();
  const huge = [2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40, 1e308, Infinity];
  const waits = huge.map((timeout) => waitReadable(ends.reader, { timeout }));
  await new Promise((resolve) => setTimeout(resolve, 30));
  assertEquals(pendingWaits(), huge.length);
  ends.writer.writeSync(ONE);
  await soon(Promise.all(waits));
});

leakTest("waitAny() ends with the reason of an abort", async () => {
  using one = pipe();
  using two = pipe();
  two.writer.writeSync(ONE);
  const reason = { any: "thing" };
  const aborted = AbortSignal.abort(reason);
  // Before: even though something is ready.
  for (
    const wait of [
      waitAny([two.reader], { signal: aborted }),
      waitReadable(two.reader, { signal: aborted }),
      waitWritable(two.writer, { signal: aborted }),
    ]
  ) assertStrictEquals(await outcome(wait), reason);
  // During.
  const controller = new AbortController();
  const { signal } = controller;
  const waits = [
    outcome(waitAny([one.reader, one.reader.fd], { signal })),
    outcome(waitReadable(one.reader, { signal, timeout: 60_000 })),
  ];
  await turns();
  controller.abort(reason);
  for (const wait of waits) assertStrictEquals(await soon(wait), reason);
  assertEquals(pendingWaits(), 0);
  // A signal that fires by itself.
  const timer = AbortSignal.timeout(5);
  const error = await outcome(waitAny([one.reader], { signal: timer }));
  assertStrictEquals(error, timer.reason);
});

leakTest("waitAny() ends when one of them is closed", async () => {
  using one = pipe();
  const two = pipe();
  const waits = [
    outcome(waitAny([one.reader, two.reader])),
    outcome(waitReadable(two.reader.fd)), // by its number
    outcome(two.reader.read(new Uint8Array(1), { timeout: 60_000 })),
  ];
  await turns();
  two.reader.close();
  for (const wait of waits) assertInstanceOf(await soon(wait), ClosedError);
  assertEquals(pendingWaits(), 0);
  two.writer.close();
});

leakTest("waitAny() ends when one is closed in the same turn", async () => {
  using one = pipe();
  const two = pipe();
  const waiting = outcome(waitAny([one.reader, two.reader]));
  two.reader.close();
  assertInstanceOf(await soon(waiting), ClosedError);
  two.writer.close();
  assertEquals(pendingWaits(), 0);
});

leakTest(
  "waitAny() ends when one is closed as another becomes ready",
  async () => {
    using one = pipe();
    const two = pipe();
    // Woken first, this takes what has come, and closes the other.
    const source = new DescriptorSource(
      { fd: one.reader.fd, subject: "one" },
      POLLIN,
    );
    const first = attempt(source, () => {
      const count = one.reader.tryRead(new Uint8Array(1));
      if (count !== undefined) two.reader.close();
      return count;
    }, NO_LIMITS);
    const waiting = outcome(waitAny([one.reader, two.reader]));
    await turns();
    one.writer.writeSync(Uint8Array.of(1));
    await first;
    assertInstanceOf(await soon(waiting), ClosedError);
    assertEquals(pendingWaits(), 0);
    two.writer.close();
  },
);

leakTest("waitReadable() calls what was closed by its name", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  using ends = fifo.openBoth();
  // A wait by number comes first: it does not know the name.
  await outcome(waitReadable(ends.reader.fd, { timeout: 0 }));
  const reading = outcome(ends.reader.read(new Uint8Array(1)));
  await turns();
  ends.reader.close();
  const error = await soon(reading) as Error;
  assertInstanceOf(error, ClosedError);
  assertEquals(error.message, `Cannot use ${path}: it is closed`);
});

// --- Two or more waits for one descriptor -----------------------------------

leakTest(
  "waitReadable() and waitWritable() wait for one descriptor",
  async () => {
    const [here, there] = socketPair();
    using _here = here, _there = there;
    const junk = new Uint8Array(65536);
    const { read, write } = unistd();
    for (const order of ["read first", "write first"]) {
      while (write(here.fd, junk, junk.length) > 0);
      const readable = waitReadable(here.fd);
      await turns(order === "read first" ? 3 : 0);
      const writable = waitWritable(here.fd);
      await assertWaits(readable);
      await assertWaits(writable);
      if (order === "read first") {
        write(there.fd, ONE, 1);
        await soon(readable);
        await assertWaits(writable); // it goes on waiting, for its own event
        while (read(there.fd, junk, junk.length) > 0);
        await soon(writable);
      } else {
        while (read(there.fd, junk, junk.length) > 0);
        await soon(writable);
        await assertWaits(readable);
        write(there.fd, ONE, 1);
        await soon(readable);
      }
      assertEquals(read(here.fd, junk, junk.length), 1);
    }
    assertEquals(pendingWaits(), 0);
  },
);

leakTest("waitReadable() wakes all who wait for one descriptor", async () => {
  using ends = pipe();
  const waits = Array.from({ length: 500 }, () => waitReadable(ends.reader));
  await turns();
  assertEquals(pendingWaits(), 500);
  ends.writer.writeSync(ONE);
  await soon(Promise.all(waits));
  assertEquals(pendingWaits(), 0);
});

leakTest("PipeReader.read() by many gives each byte to one", async () => {
  using ends = pipe();
  const buffers = Array.from({ length: 300 }, () => new Uint8Array(1));
  const reads = buffers.map((buffer) => ends.reader.read(buffer));
  for (let sent = 0; sent < 300; sent += 60) {
    await turns(1);
    ends.writer.writeSync(
      Uint8Array.from({ length: 60 }, (_, i) => (sent + i) % 251),
    );
  }
  const counts = await soon(Promise.all(reads), 5 * SECOND);
  assertEquals(counts, new Array(300).fill(1));
  const got = buffers.map(([byte]) => byte!).sort((a, b) => a - b);
  const sent = Array.from({ length: 300 }, (_, i) => i % 251);
  assertEquals(got, sent.sort((a, b) => a - b));
  assertEquals(pendingWaits(), 0);
});

leakTest("waitReadable() survives an abort of one of two waits", async () => {
  using ends = pipe();
  const controller = new AbortController();
  const { signal } = controller;
  const first = outcome(waitReadable(ends.reader, { signal }));
  const second = waitReadable(ends.reader);
  await turns();
  controller.abort("first");
  assertEquals(await first, "first");
  await assertWaits(second);
  ends.writer.writeSync(ONE);
  await soon(second);
});

leakTest(
  "waitReadable() waits again and again for one descriptor",
  async () => {
    using ends = pipe();
    const buffer = new Uint8Array(1);
    for (let round = 0; round < 300; round++) {
      const waiting = waitReadable(ends.reader);
      if (round % 3 === 0) await turns(1);
      if (round % 3 === 1) await Promise.resolve();
      ends.writer.tryWrite(ONE);
      await soon(waiting);
      assertEquals(ends.reader.tryRead(buffer), 1);
    }
  },
);

// --- Numbers that are used again --------------------------------------------

leakTest(
  "waitReadable() takes no event of a descriptor that was closed",
  async () => {
    for (let round = 0; round < 50; round++) {
      const old = pipe();
      const fd = old.reader.fd;
      const waiting = outcome(old.reader.read(new Uint8Array(1)));
      await turns(1);
      old.writer.tryWrite(ONE); // an event is on its way
      old.reader.close(); // this is first
      using next = pipe();
      assertEquals(next.reader.fd, fd); // the same number
      const buffer = new Uint8Array(1);
      const reading = next.reader.read(buffer);
      const error = await soon(waiting);
      assert(error === 1 || error instanceof ClosedError, String(error));
      await assertWaits(reading); // the event is not for this one
      next.writer.tryWrite(Uint8Array.of(7));
      assertEquals(await soon(reading), 1);
      assertEquals(buffer[0], 7);
      old.writer.close();
    }
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  "waitReadable() finds the new file under a number that another closed",
  async () => {
    const first = eventfd();
    const { fd } = first;
    const old = outcome(waitReadable(fd, { timeout: 20 }));
    await turns();
    first[Symbol.dispose](); // not through this library, which cannot know of it
    using second = eventfd();
    assertEquals(second.fd, fd);
    const waiting = waitReadable(fd);
    await assertWaits(waiting);
    await old;
    notify(second);
    await soon(waiting);
  },
);

leakTest(
  "waitReadable() finds the new file though the old one lives on",
  async () => {
    using first = eventfd();
    using spare = eventfd();
    const { fd } = spare;
    assertEquals(more().dup2(first.fd, fd), fd); // two numbers for one file
    await outcome(waitReadable(fd, { timeout: 5 }));
    using second = eventfd();
    assertEquals(more().dup2(second.fd, fd), fd); // the number is another's now
    const waiting = waitReadable(fd);
    await turns();
    notify(first); // the old file has an event under that number
    await assertWaits(waiting);
    notify(second);
    await soon(waiting);
  },
);

// --- Very many --------------------------------------------------------------

leakTest(
  "waitReadable() 100 times leaves the runtime's threads free",
  async () => {
    using dir = scratch();
    const file = dir.file("file", "content");
    using fifo = Fifo.create(dir.file("fifo"));
    using event = eventfd();
    const server = listener(dir.file("socket"));
    using _server = server;
    const opened: Pipe[] = [];
    const controller = new AbortController();
    const { signal } = controller;
    const waits: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      const kind = i % 5;
      if (kind < 3) {
        const ends = kind === 0
          ? pipe()
          : kind === 1
          ? fifo.openBoth()
          : pipe();
        opened.push(ends);
        if (kind < 2) {
          waits.push(
            ends.reader.read(new Uint8Array(1), { signal }),
          );
        } else {
          fill(ends);
          waits.push(ends.writer.write(ONE, { signal }));
        }
      } else waits.push(waitReadable(kind === 3 ? event : server, { signal }));
    }
    const outcomes = waits.map(outcome);
    await turns();
    assertEquals(pendingWaits(), 100);
    assertEquals(await soon(Deno.readTextFile(file)), "content");
    controller.abort("enough");
    assertEquals(
      await soon(Promise.all(outcomes)),
      new Array(100).fill("enough"),
    );
    for (const ends of opened) ends[Symbol.dispose]();
    assertEquals(pendingWaits(), 0);
  },
);

leakTest("waitReadable() 1,000 times wakes exactly who is meant", {
  needs: [noRoomFor(2_100)],
}, async () => {
  const all = Array.from({ length: 1000 }, () => pipe());
  const woken: number[] = [];
  const waits = all.map(({ reader }, index) =>
    reader.read(new Uint8Array(1)).then((count) => {
      assertEquals(count, 1);
      woken.push(index);
    })
  );
  await turns();
  assertEquals(pendingWaits(), 1000);
  for (const index of [999, 0, 500]) {
    all[index]!.writer.writeSync(ONE);
    await soon(waits[index]!);
    assertEquals(woken.splice(0), [index]);
  }
  for (const { writer } of all) writer.tryWrite(ONE);
  await soon(Promise.all(waits), 5 * SECOND);
  assertEquals(pendingWaits(), 0);
  assertEquals(new Set(woken).size, 997);
  for (const ends of all) ends[Symbol.dispose]();
});

const MANY = rounds(1_000, 10_000);

leakTest("PipeReader.read() resolves 2,000 reads in their order", async () => {
  using ends = pipe();
  const order: number[] = [];
  const reads = Array.from({ length: 2000 }, async (_, index) => {
    const buffer = new Uint8Array(1);
    const { signal } = new AbortController();
    const limits = [undefined, { timeout: 60 * SECOND }, { signal }];
    await ends.reader.read(buffer, limits[index % 3]);
    order.push(index);
    assertEquals(buffer[0], index & 255);
  });
  await ends.writer.write(Uint8Array.from(reads, (_, index) => index & 255));
  await Promise.all(reads);
  assertEquals(order, [...reads.keys()]);
  assertEquals(pendingWaits(), 0);
});

leakTest(
  "PipeReader.read() times out in the order of the deadlines",
  async () => {
    using all = new DisposableStack();
    const order: number[] = [];
    const read = async (timeout: number) => {
      const { reader } = all.use(pipe());
      const reading = outcome(reader.read(new Uint8Array(1), { timeout }));
      assertEquals(((await reading) as Error).name, "TimeoutError");
      order.push(timeout);
    };
    const { reader, writer } = all.use(pipe());
    const first = reader.read(new Uint8Array(1), { timeout: 10 });
    const late = [90, 30, 60, 120].map(read);
    writer.writeSync(Uint8Array.of(1));
    assertEquals(await first, 1); // and the timer that was started for it is of no use
    await Promise.all(late);
    assertEquals(order, [30, 60, 90, 120]);
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  `PipeReader.read() leaves nothing of ${MANY} aborts`,
  { soak: "also" },
  async () => {
    using ends = pipe();
    const shared = new AbortController();
    const reads = Array.from({ length: MANY }, (_, index) => {
      const controller = index % 2 === 0 ? shared : new AbortController();
      const reading = outcome(
        ends.reader.read(new Uint8Array(1), { signal: controller.signal }),
      );
      if (index % 4 === 1) controller.abort("own");
      if (index % 4 === 3) queueMicrotask(() => controller.abort("own"));
      return reading;
    });
    await turns();
    shared.abort("shared");
    const reasons = await soon(Promise.all(reads), 10 * SECOND);
    assertEquals(reasons.filter((reason) => reason === "own").length, MANY / 2);
    assertEquals(
      reasons.filter((reason) => reason === "shared").length,
      MANY / 2,
    );
    assertEquals(pendingWaits(), 0);
    ends.writer.writeSync(ONE);
    assertEquals(await soon(ends.reader.read(new Uint8Array(1))), 1);
  },
);

leakTest(`PipeReader.read() leaves nothing of ${MANY} timeouts`, {
  soak: "also",
}, async () => {
  using ends = pipe();
  const reads = Array.from(
    { length: MANY },
    (_, index) =>
      outcome(ends.reader.read(new Uint8Array(1), { timeout: index % 20 })),
  );
  for (const error of await soon(Promise.all(reads), 10 * SECOND)) {
    assertEquals((error as Error).name, "TimeoutError");
  }
  assertEquals(pendingWaits(), 0);
  ends.writer.writeSync(ONE);
  assertEquals(await soon(ends.reader.read(new Uint8Array(1))), 1);
});

leakTest("PipeReader.read() loses nothing to timeouts and aborts", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const count = 2000;
  let sent = 0;
  const sending = (async () => {
    while (sent < count) {
      await writer.write(Uint8Array.of(sent++ & 0xff));
      if (sent % 7 === 0) await turns(1);
    }
  })();
  const buffer = new Uint8Array(1);
  let given = 0;
  for (let got = 0; got < count;) {
    const controller = new AbortController();
    const timeout = got % 3 === 0 ? 0 : 1000;
    if (got % 5 === 0) setTimeout(() => controller.abort(), 0);
    try {
      const { signal } = controller;
      assertEquals(await reader.read(buffer, { timeout, signal }), 1);
      assertEquals(buffer[0], got & 0xff);
      got++;
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      if (++given > 100_000) throw error;
    }
  }
  await sending;
  assertEquals(reader.tryRead(buffer), undefined);
});

leakTest(
  "waitAny() with one signal for ever does not grow",
  { soak: true },
  async () => {
    const grown = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      const { waitAny } = await import("../ffi/wait.ts");
      using ends = pipe();
      const { signal } = new AbortController();
      const sizes: number[] = [];
      for (let round = 0; round < 4; round++) {
        for (let i = 0; i < 5000; i++) {
          const waiting = waitAny([ends.reader], { signal });
          ends.writer.tryWrite(new Uint8Array(1));
          await waiting;
          ends.reader.tryRead(new Uint8Array(1));
        }
        (globalThis as unknown as { gc(): void }).gc();
        sizes.push(Deno.memoryUsage().heapUsed);
      }
      return sizes[3]! - sizes[1]!;
    }, { flags: ["--v8-flags=--expose-gc"] });
    assert(grown < 2 ** 20, `the heap has grown by ${grown} bytes`);
  },
);

// --- Fairness ---------------------------------------------------------------

/** Timers of 10 ms fire, though the loop is never idle. */
async function assertTimersFire(
  loop: () => Promise<unknown>,
  name = "loop",
): Promise<void> {
  let fired = 0;
  const timer = setInterval(() => fired++, 10);
  // So many rounds take several seconds.
  for (let round = 0; fired < 3 && round < 1_000_000; round++) await loop();
  clearInterval(timer);
  assert(fired >= 3, `${name}: timers starve`);
}

leakTest(
  "PipeReader.read() of what is always there lets timers fire",
  async () => {
    using zero = openRaw("/dev/zero", O_RDONLY);
    using ends = pipe();
    const buffer = new Uint8Array(8);
    const loops: Record<string, () => Promise<unknown>> = {
      read: async () => {
        ends.writer.writeSync(buffer);
        await ends.reader.read(buffer);
      },
      write: async () => {
        await ends.writer.write(buffer);
        ends.reader.readSync(buffer);
      },
      waitAny: () => waitAny([zero.fd]),
    };
    for (const [name, loop] of Object.entries(loops)) {
      await assertTimersFire(loop, name);
    }
  },
);

Deno.test("a thread is overdue until the event loop has run", async () => {
  await yieldToEventLoop();
  assert(!isOverdue());
  // A writer of many parts and the loop of the reactor both ask.
  while (!isOverdue());
  assert(isOverdue());
  await yieldToEventLoop();
  assert(!isOverdue());
});

leakTest("PipeReader.read() with quick answers lets timers fire", async () => {
  const question = pipe();
  const answer = pipe();
  const answering = (async () => {
    const buffer = new Uint8Array(8);
    while (await question.reader.read(buffer) !== null) {
      await answer.writer.write(buffer);
    }
  })();
  const buffer = new Uint8Array(8);
  await assertTimersFire(async () => {
    await question.writer.write(buffer);
    await answer.reader.read(buffer);
  });
  question.writer.close();
  await answering;
  for (const ends of [question, answer]) ends[Symbol.dispose]();
});

leakTest("PipeReader.read() with a quick child lets timers fire", {
  needs: [noCompiler],
}, async () => {
  const program = await compile(
    new URL("./interop/c/echo_bytes.c", import.meta.url),
  );
  const question = pipe();
  const answer = pipe();
  await using child = question.reader.inherit((from) =>
    answer.writer.inherit((to) =>
      spawn(program, { args: [`${from}`, `${to}`] })
    )
  );
  question.reader.close();
  answer.writer.close();
  const buffer = new Uint8Array(1);
  await assertTimersFire(async () => {
    await question.writer.write(buffer);
    assertEquals(await answer.reader.read(buffer), 1);
  });
  question.writer.close();
  answer.reader.close();
  assertEquals((await child.ended()).code, 0);
});

// --- The end of the program -------------------------------------------------

const WAYS: Record<string, () => Promise<unknown>> = {
  "that timed out": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const { reader, writer } = pipe();
    await reader.read(new Uint8Array(1), { timeout: 30 }).catch(() => writer);
  },
  "that was aborted": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const { reader } = pipe();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 30);
    await reader.read(new Uint8Array(1), { signal: controller.signal })
      .catch(() => 0);
  },
  "whose object was closed": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const { reader } = pipe();
    setTimeout(() => reader.close(), 30);
    await reader.read(new Uint8Array(1)).catch(() => 0);
  },
  "that got its data": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const { reader, writer } = pipe();
    setTimeout(() => writer.tryWrite(new Uint8Array(1)), 30);
    await reader.read(new Uint8Array(1));
  },
  "of several": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const { waitAny } = await import("../ffi/wait.ts");
    const all = [pipe(), pipe(), pipe()];
    setTimeout(() => all[1]!.writer.tryWrite(new Uint8Array(1)), 30);
    await waitAny(all.map(({ reader }) => reader));
  },
  "that was aborted while another was answered at once": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const [one, two] = [pipe(), pipe()];
    const buffer = new Uint8Array(1);
    const turn = () => new Promise((resolve) => setTimeout(resolve, 20));
    const controller = new AbortController();
    const { signal } = controller;
    const first = one.reader.read(buffer, { signal }).catch(() => 0);
    await turn(); // epoll waits for it
    const between = two.reader.read(buffer);
    await turn();
    two.writer.tryWrite(buffer);
    await between;
    // All in one turn: the new wait is over before epoll learns of it.
    const second = two.reader.read(buffer);
    controller.abort();
    two.writer.tryWrite(buffer);
    await Promise.all([first, second]);
  },
  "of two for one pipe": async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const [one, two] = [pipe(), pipe()];
    const buffer = new Uint8Array(1);
    const turn = () => new Promise((resolve) => setTimeout(resolve, 20));
    const first = one.reader.read(buffer);
    await turn();
    const between = two.reader.read(buffer);
    await turn();
    two.writer.tryWrite(buffer);
    await between;
    const second = one.reader.read(buffer);
    one.writer.tryWrite(new Uint8Array(2)); // both are answered at once
    await Promise.all([first, second]);
  },
};

/** The child ends by itself, long before the engine's slice of ten seconds. */
async function assertEndsByItself(
  // deno-lint-ignore no-explicit-any
  body: (argument: any) => unknown,
  argument?: unknown,
): Promise<string> {
  const OVER = "over\n";
  await using child = spawn(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "-"],
    cwd: fromFileUrl(new URL(".", import.meta.url)),
    stdin: `${callText(body, argument)} console.log("over");`,
  });
  await child.expect(OVER);
  const ended = await soon(child.ended());
  assertEquals([ended.code, ended.stderr], [0, ""], ended.transcript);
  return ended.stdout.replace(OVER, "");
}

for (const [name, body] of Object.entries(WAYS)) {
  leakTest(
    `PipeReader.read() lets a program end after a wait ${name}`,
    async () => {
      await assertEndsByItself(body);
    },
  );
}

// --- Workers ----------------------------------------------------------------

/** What the children below start Workers with. */
interface Modules {
  pipe: string;
  wait: string;
}

const MODULES: Modules = {
  pipe: import.meta.resolve("../ffi/pipe.ts"),
  wait: import.meta.resolve("../ffi/wait.ts"),
};

leakTest(
  "PipeReader.read() lets a program end whose Workers have waited",
  async () => {
    const stdout = await assertEndsByItself(async ({ pipe }: Modules) => {
      const code = `
        import { pipe } from "${pipe}";
        const ends = pipe();
        const buffer = new Uint8Array(1);
        const controller = new AbortController();
        const { signal } = controller;
        setTimeout(() => controller.abort(), 10);
        await ends.reader.read(buffer, { signal }).catch(() => 0);
        await ends.reader.read(buffer, { timeout: 10 }).catch(() => 0);
        setTimeout(() => ends.writer.tryWrite(buffer), 10);
        await ends.reader.read(buffer);
        setTimeout(() => ends.reader.close(), 10);
        await ends.reader.read(buffer).catch(() => 0);
        postMessage("waited");
        self.close();
      `;
      const url = `data:text/javascript,${encodeURIComponent(code)}`;
      const all = [1, 2, 3].map(() => {
        const worker = new Worker(url, { type: "module" });
        return new Promise((resolve) => {
          worker.onmessage = ({ data }) => resolve(data);
        });
      });
      console.log((await Promise.all(all)).join());
    }, MODULES);
    assertEquals(stdout, "waited,waited,waited\n");
  },
);

leakTest(
  "PipeReader.read() in terminated Workers keeps neither process nor threads",
  { soak: true },
  async () => {
    const stdout = await assertEndsByItself(async ({ pipe }: Modules) => {
      const { soon } = await import("./support/waits.ts");
      const code = `
        import { pipe } from "${pipe}";
        const ends = pipe();
        ends.reader.read(new Uint8Array(1));
        setTimeout(() => postMessage("waiting"), 5); // epoll waits by now
      `;
      const url = `data:text/javascript,${encodeURIComponent(code)}`;
      const workers = Array.from(
        { length: 33 },
        () => new Worker(url, { type: "module" }),
      );
      await Promise.all(workers.map((worker) =>
        new Promise((resolve) => {
          worker.onmessage = resolve;
        })
      ));
      for (const worker of workers) worker.terminate();
      await soon(Deno.readTextFile("/proc/self/comm"));
    }, MODULES);
    assertEquals(stdout, "");
  },
);

leakTest(
  "PipeReader.read() works in several Workers at once",
  async () => {
    const sums = await inChild(async ({ pipe: module }: Modules) => {
      const { duplexPipe } = await import("../ffi/pipe.ts");
      const { fcntl } = await import("../ffi/libc/fcntl.ts");
      const code = `
        import { PipeReader, PipeWriter } from "${module}";
        self.onmessage = async ({ data: [from, to] }) => {
          {
            using reader = PipeReader.fromFd(from);
            using writer = PipeWriter.fromFd(to);
            const buffer = new Uint8Array(1);
            while (await reader.read(buffer) !== null) {
              buffer[0]++;
              await writer.write(buffer);
            }
          }
          self.close();
        };
      `;
      const url = `data:text/javascript,${encodeURIComponent(code)}`;
      return await Promise.all([1, 2, 3, 4, 5].map(async (step) => {
        const worker = new Worker(url, { type: "module" });
        const [here, there] = duplexPipe();
        const { fcntl: call } = fcntl();
        const F_DUPFD_CLOEXEC = 1030;
        worker.postMessage([
          call(there.reader.fd, F_DUPFD_CLOEXEC, 0),
          call(there.writer.fd, F_DUPFD_CLOEXEC, 0),
        ]);
        there[Symbol.dispose]();
        const buffer = new Uint8Array(1);
        let sum = 0;
        for (let i = 0; i < 200; i++) {
          buffer[0] = i % 100 + step;
          await here.writer.write(buffer);
          await here.reader.read(buffer, { timeout: 10_000 });
          sum += buffer[0] - (i % 100);
        }
        here.writer.close();
        const end = await here.reader.read(buffer);
        here.reader.close();
        return [sum, end];
      }));
    }, { argument: MODULES });
    assertEquals(sums, [1, 2, 3, 4, 5].map((step) => [200 * (step + 1), null]));
  },
);

// --- Signals ----------------------------------------------------------------

leakTest("PipeReader reads everything in a storm of signals", async () => {
  using dir = scratch();
  const script = dir.file(
    "child.ts",
    `import { PipeReader } from "${MODULES.pipe}";
    import { waitAny } from "${MODULES.wait}";
    let signals = 0;
    Deno.addSignalListener("SIGUSR1", () => signals++);
    const reader = PipeReader.fromFd(Number(Deno.args[0]));
    const buffer = new Uint8Array(1);
    console.log("ready");
    let next = 0;
    for (;; next++) {
      const timeout = 20_000;
      let count;
      if (next % 4 === 0) count = reader.readSync(buffer);
      else if (next % 4 === 1) count = reader.readSync(buffer, { timeout });
      else if (next % 4 === 2) count = await reader.read(buffer, { timeout });
      else {
        await waitAny([reader], { timeout });
        count = reader.tryRead(buffer);
      }
      if (count === null) break;
      if (count !== 1 || buffer[0] !== next % 256) throw [next, count, buffer[0]];
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    console.log(next, signals > 0);
    Deno.exit();`,
  );
  const ends = pipe();
  using _writer = ends.writer;
  await using child = ends.reader.inherit((fd) =>
    spawn(Deno.execPath(), { args: ["run", "-A", "--quiet", script, `${fd}`] })
  );
  ends.reader.close();
  await child.expect("ready\n");
  const count = 1000;
  for (let sent = 0; sent < count; sent++) {
    for (let i = 0; i < 3; i++) Deno.kill(child.pid, "SIGUSR1");
    if (sent % 10 === 0) await turns(1); // it waits, under signals
    await ends.writer.write(Uint8Array.of(sent % 256));
  }
  ends.writer.close();
  assertEquals(await child.line(), `${count} true`);
  assertEquals((await child.ended()).code, 0);
});

leakTest(
  "PipeReader.readSync() is not late, nor early, for signals",
  {},
  async () => {
    const ended = await runCall(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      Deno.addSignalListener("SIGUSR1", () => {});
      using ends = pipe();
      const { stormOfSignals } = await import("./support/storm.ts");
      const storm = stormOfSignals();
      for (const timeout of [50, 100]) {
        const start = performance.now();
        try {
          ends.reader.readSync(new Uint8Array(1), { timeout });
        } catch (error) {
          const took = performance.now() - start;
          const fine = took >= timeout && took < timeout + 10_000;
          console.log((error as Error).name, fine ? "in time" : took);
        }
      }
      storm.kill("SIGKILL");
      await storm.status;
      Deno.exit();
    });
    assertEquals(
      ended.stdout,
      "TimeoutError in time\n".repeat(2),
      ended.transcript,
    );
    assertEquals(ended.code, 0);
  },
);

// --- Few descriptors --------------------------------------------------------

leakTest(
  "PipeReader.read() reports EMFILE when it cannot wait, and waits later",
  async () => {
    const result = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      using ends = pipe();
      const buffer = new Uint8Array(1);
      ends.reader.tryRead(buffer); // the libraries are open by now
      const spare: Deno.FsFile[] = [];
      try {
        for (;;) spare.push(Deno.openSync("/dev/null"));
      } catch {
        // No more.
      }
      const told: unknown[] = [];
      for (const free of [0, 1]) {
        if (free === 1) spare.pop()!.close();
        const fail = (
          error: Error & { code: string; syscall: string },
        ) => [error.name, error.code, error.syscall];
        told.push(await ends.reader.read(buffer).catch(fail));
      }
      for (const file of spare) file.close();
      const reading = ends.reader.read(buffer);
      setTimeout(() => ends.writer.tryWrite(buffer), 5);
      told.push(await reading);
      return told;
    }, { wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"] });
    assertEquals(result, [
      ["IpcError", "EMFILE", "epoll_create1"],
      ["IpcError", "EMFILE", "eventfd"],
      1,
    ]);
  },
);
