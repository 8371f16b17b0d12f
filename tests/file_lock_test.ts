/** Locks of files, against those of C and Python, and of this program itself. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { File, FileLock, type FileLockGuard } from "@linux/ipc/descriptor";
import { ClosedError } from "../ffi/errors.ts";
import { UnixStream } from "../ffi/socket.ts";
import { say, startPeer } from "./interop/peers.ts";
import { assertRefused } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { noCompiler } from "./support/c.ts";
import { inChild, spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { noPython, startPython } from "./support/python.ts";
import { rounds } from "./support/rounds.ts";
import { settled, turns } from "./support/waits.ts";

const WAIT = { timeout: 20_000 };

/** A file of the test's own, opened so many times. */
function files(count: number) {
  const dir = scratch();
  const path = dir.file("locked", "0123456789");
  const all = Array.from(
    { length: count },
    () => File.open(path, { write: true }),
  );
  return {
    path,
    all,
    locks: all.map((file) => FileLock.of(file)),
    [Symbol.dispose]() {
      for (const file of all) file.close();
      dir[Symbol.dispose]();
    },
  };
}

for (const kind of ["ofd", "posix"]) {
  leakTest(`FileLock and ${kind} locks of C exclude each other`, {
    needs: [noCompiler],
  }, async () => {
    using shared = files(1);
    const lock = shared.locks[0]!;
    await using peer = await startPeer("file_lock_peer", [shared.path]);
    assertEquals(await peer.line(), "open");

    const guard = lock.tryLock()!;
    await say(peer, `try ${kind} write 0 0`, "busy");
    await say(peer, `try ${kind} read 5 1`, "busy");
    await say(peer, "get write 3 4", "write 0 0 -1");
    await peer.send(`lock ${kind} write 0 0`); // waits
    await peer.settled();
    guard.release();
    guard.release();
    assertEquals(await peer.line(), "locked");

    assertEquals(lock.tryLock(), undefined);
    assertEquals(lock.tryLock({ shared: true }), undefined);
    assertThrows(() => lock.lockSync({ timeout: 5 }), DOMException);
    assertEquals(lock.holder(), {
      shared: false,
      start: 0,
      length: 0,
      pids: [peer.pid],
    });
    const locking = lock.lock(WAIT);
    await turns();
    await say(peer, `try ${kind} unlock 0 0`, "locked");
    (await locking).release();
    assertEquals(lock.holder(), undefined);

    // Shared ones, and ranges.
    await say(peer, `try ${kind} read 10 5`, "locked");
    assertEquals(lock.tryLock(), undefined);
    using both = lock.lockSync({ shared: true });
    assert(both.shared);
    assertEquals(lock.holder({ shared: true }), undefined);
    assertEquals(lock.holder()?.start, 10);
    await say(peer, `try ${kind} write 10 5`, "busy");
    both.release();
    const file = shared.all[0]!;
    const head = FileLock.of(file, { start: 0, length: 10 });
    const next = FileLock.of(file, { start: 15, length: 1 });
    const part = FileLock.of(file, { start: 14, length: 1 });
    using _head = head.lockSync();
    using _next = next.tryLock()!;
    assertEquals(part.tryLock(), undefined);
    await say(peer, `try ${kind} write 9 1`, "busy");
    await say(peer, `try ${kind} write 10 5`, "locked");
    await say(peer, `try ${kind} write 16 0`, "locked");

    // Its death unlocks.
    const waiting = FileLock.of(file, { start: 12 }).lock(WAIT);
    await turns();
    _next.release();
    peer.kill("SIGKILL");
    using _rest = await waiting;
  });
}

leakTest("FileLock and fcntl.lockf of Python exclude each other", {
  needs: [noPython],
}, async () => {
  using shared = files(1);
  const lock = shared.locks[0]!;
  await using python = await startPython(
    "import fcntl",
    `file = open("${shared.path}", "r+")`,
    "def attempt(how, *range):",
    "    try:",
    "        fcntl.lockf(file, how | fcntl.LOCK_NB, *range)",
    "        return True",
    "    except BlockingIOError:",
    "        return False",
  );
  const guard = await lock.lock();
  assertEquals(await python.ask("attempt(fcntl.LOCK_EX)"), "False");
  assertEquals(await python.ask("attempt(fcntl.LOCK_SH, 1, 5)"), "False");
  await python.begin("fcntl.lockf(file, fcntl.LOCK_EX)");
  guard.release();
  assertEquals(await python.child.line(), "None");

  assertEquals(lock.tryLock(), undefined);
  assertEquals(lock.holder()?.pids, [python.child.pid]);
  const locking = lock.lock(WAIT);
  await turns();
  await python.ask("fcntl.lockf(file, fcntl.LOCK_UN)");
  {
    using _guard = await locking;
    assertEquals(await python.ask("attempt(fcntl.LOCK_EX)"), "False");
  }
  assertEquals(await python.ask("attempt(fcntl.LOCK_SH, 4, 8)"), "True");
  const file = shared.all[0]!;
  using _shared = FileLock.of(file, { start: 8 }).tryLock({ shared: true })!;
  assertEquals(FileLock.of(file, { start: 11 }).tryLock(), undefined);
  using _behind = FileLock.of(file, { length: 8 }).tryLock()!;
  const waiting = FileLock.of(file, { start: 8, length: 1 }).lock(WAIT);
  _shared.release();
  await turns();
  python.child.kill("SIGKILL");
  (await waiting).release();
});

leakTest("kill -9 of a holder of this library unlocks for C and for us", {
  needs: [noCompiler],
}, async () => {
  using shared = files(1);
  await using peer = await startPeer("file_lock_peer", [shared.path]);
  assertEquals(await peer.line(), "open");
  for (const next of ["C", "this process"]) {
    await using child = spawnCall(async (path: string) => {
      const { File, FileLock } = await import("../ffi/descriptor.ts");
      const file = File.open(path, { write: true });
      FileLock.of(file).lockSync();
      console.log("locked");
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    }, { argument: shared.path });
    await child.expect("locked\n");
    const lock = shared.locks[0]!;
    assertEquals(lock.tryLock(), undefined);
    assertEquals(lock.holder(), {
      shared: false,
      start: 0,
      length: 0,
      pids: [child.pid],
    });
    if (next === "C") {
      await peer.send("lock ofd write 0 0");
      await peer.settled();
      child.kill("SIGKILL");
      assertEquals(await peer.line(), "locked");
      await say(peer, "try ofd unlock 0 0", "locked");
    } else {
      const waiting = lock.lock(WAIT);
      await turns();
      child.kill("SIGKILL");
      (await waiting).release();
    }
  }
});

leakTest("FileLock does not see flock, which is Deno.FsFile.lock", () => {
  using shared = files(1);
  using file = Deno.openSync(shared.path, { write: true });
  using _guard = shared.locks[0]!.lockSync();
  file.lockSync(true); // would block for ever
  file.unlockSync();
});

leakTest(
  "guards of one file exclude each other as those of two do",
  async () => {
    using shared = files(2);
    const [file, other] = shared.all as [File, File];
    const [lock] = shared.locks as [FileLock];
    const guard = lock.lockSync();
    assertEquals(
      [lock.tryLock(), FileLock.of(file, { start: 3 }).tryLock()],
      [undefined, undefined],
    );
    assertRefused(() => lock.lockSync(), "EDEADLK", "fcntl");
    assertRefused(() => lock.lockSync({ timeout: 5 }), "EDEADLK", "fcntl");
    await assertRejects(() => lock.lock({ timeout: 5 }), DOMException);
    const order: number[] = [];
    const waits = [0, 1, 2].map(async (index) => {
      using _guard = await lock.lock(WAIT);
      order.push(index);
      await turns();
      assertEquals(order.at(-1), index, "alone");
    });
    guard.release();
    await Promise.all(waits);
    assertEquals(order, [0, 1, 2]);

    // Two shared guards overlap: the first to unlock leaves what the other covers.
    const low = FileLock.of(file, { start: 0, length: 10 });
    const high = FileLock.of(file, { start: 5, length: 10 });
    const byte = (start: number) => FileLock.of(other, { start, length: 1 });
    const one = low.tryLock({ shared: true })!;
    using two = high.tryLock({ shared: true })!;
    assertEquals(high.tryLock(), undefined);
    one.release();
    byte(4).tryLock()!.release();
    assertEquals([byte(5).tryLock(), byte(14).tryLock()], [
      undefined,
      undefined,
    ]);
    byte(15).tryLock()!.release();
    two.release();
    FileLock.of(other).tryLock()!.release();
  },
);

leakTest("random ranges are locked as a model says", { soak: "also" }, () => {
  using shared = files(2);
  const [file, other] = shared.all as [File, File];
  const BYTES = 12;
  const held = new Set<[FileLockGuard, number, number]>();
  const model = (at: number) => {
    const over = [...held].filter(([, start, end]) => start <= at && at < end);
    return over.length === 0 ? "free" : over[0]![0].shared ? "read" : "write";
  };
  const truth = (at: number) => {
    const byte = FileLock.of(other, { start: at, length: 1 });
    const mine = byte.tryLock();
    const shared = mine ?? byte.tryLock({ shared: true });
    shared?.release();
    return mine ? "free" : shared ? "read" : "write";
  };
  let seed = 12345;
  const random = (limit: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return (seed >> 8) % limit;
  };
  for (let round = 0; round < rounds(40, 600); round++) {
    if (random(3) > 0) {
      const start = random(BYTES);
      const length = 1 + random(BYTES - start);
      const end = start + length;
      const mode = { shared: random(3) > 0 };
      const guard = FileLock.of(file, { start, length }).tryLock(mode);
      const free = [...held].every(([other, from, to]) =>
        to <= start || end <= from || (mode.shared && other.shared)
      );
      assertEquals(guard !== undefined, free);
      if (guard !== undefined) held.add([guard, start, end]);
    } else if (held.size > 0) {
      const one = [...held][random(held.size)]!;
      held.delete(one);
      one[0].release();
    }
    const all = Array.from({ length: BYTES }, (_, at) => at);
    assertEquals(all.map(truth), all.map(model));
  }
  for (const [guard] of held) guard.release();
  assertEquals(FileLock.of(other).holder(), undefined);
});

leakTest(
  "waits for a FileLock end by timeout, signal, close() and detach()",
  async () => {
    using shared = files(3);
    const [holder, lock, third] = shared.locks as [
      FileLock,
      FileLock,
      FileLock,
    ];
    using guard = holder.lockSync();
    await assertRejects(() => lock.lock({ timeout: 0 }), DOMException);
    const controller = new AbortController();
    const { signal } = controller;
    const waits = [lock.lock({ signal }), lock.lock(), third.lock()];
    const ends = settled(waits);
    await turns();
    controller.abort("enough");
    await turns();
    shared.all[1]!.close();
    const fd = shared.all[2]!.detach();
    const [aborted, closed, detached] = await ends;
    assertEquals(aborted!.reason, "enough");
    assert(closed!.reason instanceof ClosedError);
    assert(detached!.reason instanceof ClosedError);
    assertThrows(() => lock.tryLock(), ClosedError);
    assertThrows(() => lock.lockSync(), ClosedError);
    assertThrows(() => lock.holder(), ClosedError);
    assertThrows(() => FileLock.of(shared.all[1]!), ClosedError);
    using again = File.fromFd(fd);
    guard.release();
    const other = FileLock.of(again);
    const late = other.tryLock()!;
    again.close();
    late.release(); // of a number that may be another file's by now
    holder.tryLock()!.release(); // close() has unlocked
  },
);

leakTest("FileLock refuses bad arguments", async () => {
  using shared = files(1);
  const [file] = shared.all as [File];
  const [lock] = shared.locks as [FileLock];
  for (const wrong of [undefined, null, 3, {}, { fd: 3 }]) {
    assertThrows(() => FileLock.of(wrong as never), TypeError, "file");
  }
  assertThrows(() => Reflect.construct(FileLock, []), TypeError, "construct");
  for (const wrong of [-1, 0.5, NaN, 2 ** 53, Infinity]) {
    assertThrows(
      () => FileLock.of(file, { start: wrong }),
      RangeError,
      "start",
    );
    assertThrows(() => FileLock.of(file, { length: wrong }), RangeError);
  }
  const range = { start: 2 ** 53 - 2, length: 2 };
  assertThrows(() => FileLock.of(file, range), RangeError, "length");
  assertThrows(() => FileLock.of(file, { start: "1" as never }), TypeError);
  const last = FileLock.of(file, { start: 2 ** 53 - 2, length: 1 });
  assertEquals([last.start, last.length], [2 ** 53 - 2, 1]);
  last.tryLock()!.release();
  for (const timeout of [-1, NaN]) {
    assertThrows(() => lock.lockSync({ timeout }), RangeError);
    await assertRejects(() => lock.lock({ timeout }), RangeError);
  }
  const signal = {} as AbortSignal;
  await assertRejects(() => lock.lock({ signal }), TypeError);
  assertEquals(lock.holder(), undefined);
  using readonly = File.open(shared.path);
  assertRefused(() => FileLock.of(readonly).tryLock(), "EBADF", "fcntl");
  assertRefused(() => FileLock.of(readonly).lockSync(), "EBADF", "fcntl");
  FileLock.of(readonly).tryLock({ shared: true })!.release();
  assertEquals(
    Deno.inspect(lock),
    `FileLock { name: "${shared.path}", start: 0, length: 0, closed: false }`,
  );
});

leakTest("a lock goes with the open file that is passed", async () => {
  using shared = files(1);
  const lock = shared.locks[0]!;
  {
    await using child = spawnCall(async (path: string) => {
      const { UnixStream } = await import("../ffi/socket.ts");
      const { File, FileLock } = await import("../ffi/descriptor.ts");
      const { pid } = Deno;
      using sockets = UnixStream.pair();
      {
        using file = File.open(path, { write: true });
        FileLock.of(file).lockSync(); // its guard is never released
        sockets[0].sendSync(Uint8Array.of(1), { descriptors: [file] });
      } // the lock is on its way
      const own = File.open(path, { write: true });
      console.log(FileLock.of(own).holder(), pid > 0);
      using message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
      console.log(FileLock.of(message.descriptors[0]!).tryLock()?.shared);
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    }, { argument: shared.path });
    // In a message no process has it.
    await child.expect(
      "{ shared: false, start: 0, length: 0, pids: [] } true\nfalse\n",
    );
    assertEquals(lock.holder()?.pids, [child.pid]);
    assertEquals(lock.tryLock(), undefined);
  }
  using _guard = lock.lockSync(WAIT);
  using sockets = UnixStream.pair();
  const [file] = shared.all as [File];
  sockets[0].sendSync(bytes(1), { descriptors: [file] });
  using message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
  // It is the same lock, but another object does not know the guard of the first.
  using same = FileLock.of(message.descriptors[0]!).tryLock()!;
  assertStrictEquals(same.shared, false);
});

leakTest("no increment is lost among processes that lock a file", {
  soak: "also",
  needs: [noPython],
}, async () => {
  using shared = files(1);
  Deno.writeTextFileSync(shared.path, "0");
  const count = rounds(40, 1000);
  const increments = (argument: { path: string; count: number; how: string }) =>
    inChild(async ({ path, count, how }: typeof argument) => {
      const { File, FileLock } = await import("../ffi/descriptor.ts");
      using file = File.open(path, { write: true });
      const lock = FileLock.of(file);
      const buffer = new Uint8Array(16);
      for (let round = 0; round < count; round++) {
        using _guard = how === "lockSync"
          ? lock.lockSync()
          : await lock.lock({ timeout: 60_000 });
        const length = file.pread(buffer, 0)!;
        const text = new TextDecoder().decode(buffer.subarray(0, length));
        file.pwrite(new TextEncoder().encode(`${Number(text) + 1}`), 0);
      }
    }, { argument, limit: 100_000 });
  await using python = await startPython(
    "import fcntl",
    `file = open("${shared.path}", "r+")`,
    "def increment():",
    `    for _ in range(${count}):`,
    "        fcntl.lockf(file, fcntl.LOCK_EX)",
    "        file.seek(0)",
    "        value = int(file.read())",
    "        file.seek(0)",
    "        file.write(str(value + 1))",
    "        file.flush()",
    "        fcntl.lockf(file, fcntl.LOCK_UN)",
  );
  await python.child.send("increment()");
  await Promise.all(
    ["lockSync", "lock"].map((how) =>
      increments({ path: shared.path, count, how })
    ),
  );
  assertEquals(await python.child.line(), "None");
  assertEquals(Deno.readTextFileSync(shared.path), `${3 * count}`);
});
