/** Descriptors of every kind: what they are, files, events, timers, processes. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  adoptDescriptor,
  type DescriptorKind,
  EventFd,
  File,
  PidFd,
  TimerFd,
} from "@linux/ipc/descriptor";
import { ClosedError, IpcError } from "../ffi/errors.ts";
import { fcntl, O_PATH, O_RDWR } from "../ffi/libc/fcntl.ts";
import {
  SOCK_CLOEXEC,
  SOCK_STREAM,
  sysSocket,
} from "../ffi/libc/sys_socket.ts";
import { sysEpoll } from "../ffi/libc/sys_epoll.ts";
import { sysIoctl } from "../ffi/libc/sys_ioctl.ts";
import { PosixMessageQueue } from "../ffi/message_queue.ts";
import { MemoryMap } from "../ffi/memory_map.ts";
import { pipe } from "../ffi/pipe.ts";
import { MemoryFile } from "../ffi/shared_memory.ts";
import {
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "../ffi/socket.ts";
import { waitAny } from "../ffi/wait.ts";
import { assertRefused, failure } from "./support/asserts.ts";
import { bytes, utf8 } from "./support/bytes.ts";
import { startPeer } from "./interop/peers.ts";
import { noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import {
  descriptorCount,
  duplicate,
  flagsOf,
  isCloseOnExec,
  openRaw,
} from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { spawn } from "./support/process.ts";
import { unshareFlags } from "./support/namespaces.ts";
import { rounds } from "./support/rounds.ts";
import { raceAborts, turns } from "./support/waits.ts";

const WAIT = { timeout: 20_000 };
const AT_ONCE = { timeout: 0 };
const MAX = 2n ** 64n - 2n; // of an eventfd
const AF_INET = 2;
const EPOLL_CLOEXEC = 0x80000;

/** Functions that only these tests call. */
const libc = Deno.dlopen("libc.so.6", {
  inotify_init1: { parameters: ["i32"], result: "i32" },
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  signalfd: { parameters: ["i32", "buffer", "i32"], result: "i32" },
}).symbols;

/** A new descriptor that is a copy of an object's, which is closed. */
function copied(object: { readonly fd: number } & Disposable): number {
  using owner = object;
  return duplicate(owner.fd);
}

/** How to make a descriptor of each kind, and the class that fits. */
function makers(
  directory: string,
): [name: string, DescriptorKind, () => number, string][] {
  const path = `${directory}/file`;
  Deno.writeTextFileSync(path, "text");
  const raw = (name: string, flags: number) => {
    const bytes = utf8(`${name}\0`);
    return fcntl().open(bytes, flags, 0);
  };
  return [
    ["a file", "file", () => raw(path, O_RDWR), "File"],
    ["a directory", "directory", () => raw(directory, 0), "File"],
    ["/dev/zero", "character-device", () => raw("/dev/zero", O_RDWR), "File"],
    ["a terminal", "terminal", () => raw("/dev/ptmx", O_RDWR), "File"],
    ["memory", "memory-file", () => copied(MemoryFile.create("m", 8)), "File"],
    ["sealed memory", "memory-file", () => {
      const file = MemoryFile.create("m", 8);
      file.seal(["shrink"]);
      return copied(file);
    }, "MemoryFile"],
    ["a read end", "pipe", () => {
      using ends = pipe();
      return duplicate(ends.reader.fd);
    }, "PipeReader"],
    ["a write end", "pipe", () => {
      using ends = pipe();
      return duplicate(ends.writer.fd);
    }, "PipeWriter"],
    ["a FIFO for both", "pipe", () => {
      new Deno.Command("mkfifo", { args: [`${directory}/fifo`] }).outputSync();
      return raw(`${directory}/fifo`, O_RDWR);
    }, "File"],
    ["a stream", "unix-stream", () => {
      using pair = UnixStream.pair();
      return duplicate(pair[0].fd);
    }, "UnixStream"],
    ["a seqpacket", "unix-seqpacket", () => {
      using pair = UnixSeqpacket.pair();
      return duplicate(pair[0].fd);
    }, "UnixSeqpacket"],
    ["a datagram", "unix-datagram", () => {
      using pair = UnixDatagram.pair();
      return duplicate(pair[0].fd);
    }, "UnixDatagram"],
    [
      "a listener",
      "unix-listener",
      () => copied(UnixListener.listen(null)),
      "UnixListener",
    ],
    [
      "a listener of messages",
      "unix-listener",
      () => copied(UnixListener.listen(null, { type: "seqpacket" })),
      "UnixListener",
    ],
    [
      "TCP",
      "socket",
      () => sysSocket().socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
      "File",
    ],
    ["a queue", "message-queue", () => {
      const queue = PosixMessageQueue.create(null, { maxMessages: 1 });
      PosixMessageQueue.unlink(queue.name);
      return copied(queue);
    }, "PosixMessageQueue"],
    ["an eventfd", "eventfd", () => copied(EventFd.create()), "EventFd"],
    ["a timer", "timerfd", () => copied(TimerFd.create()), "TimerFd"],
    ["a process", "pidfd", () => copied(PidFd.open(Deno.pid)), "PidFd"],
    ["inotify", "inotify", () => libc.inotify_init1(0), "File"],
    [
      "signals",
      "signalfd",
      () => libc.signalfd(-1, new Uint8Array(128), 0),
      "File",
    ],
    ["epoll", "epoll", () => sysEpoll().epoll_create1(EPOLL_CLOEXEC), "File"],
  ];
}

leakTest("adoptDescriptor() makes an object of the class that fits", () => {
  using dir = scratch();
  for (const [name, kind, make, type] of makers(dir.path)) {
    using object = adoptDescriptor(make());
    assertEquals([name, object.constructor.name], [name, type]);
    assert(isCloseOnExec(object.fd));
    if (object instanceof File) assertEquals([name, object.kind], [name, kind]);
  }
});

leakTest(
  "a descriptor that was passed tells what it is, and is adopted",
  () => {
    using dir = scratch();
    using sockets = UnixStream.pair();
    for (const [name, kind, make, type] of makers(dir.path)) {
      using sent = File.fromFd(make());
      sockets[0].sendSync(bytes(1), { descriptors: [sent] });
      using message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
      const passed = message.descriptors[0]!;
      assertEquals([name, passed.kind], [name, kind]);
      using object = adoptDescriptor(passed);
      assertEquals([name, object.constructor.name], [name, type]);
      assertThrows(() => passed.kind, ClosedError);
      assertThrows(() => adoptDescriptor(passed), ClosedError);
    }
  },
);

leakTest(
  "adoptDescriptor() refuses what it cannot adopt, and leaves nothing",
  () => {
    for (const wrong of [undefined, null, "3", {}, 1n, [3]]) {
      assertThrows(() => adoptDescriptor(wrong as number), TypeError, "fd");
    }
    for (const wrong of [-1, 1.5, NaN, 2 ** 31]) {
      assertThrows(() => adoptDescriptor(wrong), RangeError, "fd");
    }
    assertRefused(() => adoptDescriptor(2 ** 31 - 1), "EBADF", "fcntl");
    using event = EventFd.create();
    assertThrows(() => adoptDescriptor(event.fd), TypeError, "belongs to");

    using path = openRaw("/", O_PATH);
    assertRefused(() => adoptDescriptor(path.fd), "EBADF", "fcntl");
    using sockets = UnixStream.pair();
    sockets[0].sendSync(bytes(1), { descriptors: [path] });
    const [passed] = sockets[1].receiveSync({ maxDescriptors: 1 })!.descriptors;
    assertEquals(passed!.kind, "path");
    assertRefused(() => adoptDescriptor(passed!), "EBADF", "fcntl");
    assertThrows(() => passed!.fd, ClosedError);
  },
);

leakTest(
  "fromFd() refuses descriptors of another kind, which stay open",
  () => {
    using ends = pipe();
    using event = EventFd.create();
    using timer = TimerFd.create();
    using process = PidFd.open(Deno.pid);
    const copies = [ends.reader, event, timer, process]
      .map(({ fd }) => File.fromFd(duplicate(fd)));
    for (const Type of [EventFd, TimerFd, PidFd, File]) {
      for (const wrong of [undefined, null, "3", {}, 1n]) {
        assertThrows(() => Type.fromFd(wrong as number), TypeError);
      }
      for (const wrong of [-1, 0.5, NaN, 2 ** 31]) {
        assertThrows(() => Type.fromFd(wrong), RangeError);
      }
      assertRefused(() => Type.fromFd(2 ** 31 - 1), "EBADF", "fcntl");
      assertThrows(() => Type.fromFd(event.fd), TypeError); // owned
      assertThrows(
        () => Reflect.construct(Type, []),
        TypeError,
        "Cannot construct",
      );
      const options = { name: 5 as unknown as string };
      assertThrows(() => Type.fromFd(event.fd, options), TypeError, "name");
    }
    for (const [index, Type] of [EventFd, TimerFd, PidFd].entries()) {
      for (const [other, file] of copies.entries()) {
        if (other === index + 1) continue;
        const fd = file.fd; // of the File: refused either way
        assertThrows(() => Type.fromFd(fd), TypeError);
        const raw = duplicate(fd);
        const error = assertThrows(() => Type.fromFd(raw), TypeError);
        assert(/must be of the kind \w+: \d+ is \w+/.test(error.message));
        File.fromFd(raw).close();
      }
    }
    for (const file of copies) file.close();
  },
);

const HIDE = ["-t", "tmpfs", "none", "/proc"];
const ownMounts = unshareFlags("--mount", "mount", ...HIDE);

leakTest("without /proc only an eventfd is not known", {
  needs: [ownMounts === undefined ? "no mount namespace" : null],
}, async () => {
  const told = await inChild(async (HIDE: string[]) => {
    const { adoptDescriptor, EventFd, FileLock, File, PidFd, TimerFd } =
      await import("../ffi/descriptor.ts");
    const path = Deno.makeTempFileSync();
    const file = File.open(path, { write: true });
    Deno.removeSync(path);
    new Deno.Command("mount", { args: HIDE }).outputSync();
    const makers = [
      () => EventFd.create(),
      () => TimerFd.create(),
      () => PidFd.open(Deno.pid),
      () => File.open("/"),
    ];
    const told = makers.map((make) => adoptDescriptor(make().detach()))
      .map((object) =>
        `${object.constructor.name} ${Reflect.get(object, "kind")}`
      );
    try {
      EventFd.fromFd(EventFd.create().detach());
    } catch (error) {
      told.push((error as Error).message);
    }
    using _guard = FileLock.of(file).lockSync();
    told.push(`${PidFd.open(Deno.pid).pid}`);
    return told;
  }, { argument: HIDE, wrapper: ["unshare", ...ownMounts!] });
  assertEquals([...told.slice(0, 4), told[5]], [
    "File other",
    "TimerFd undefined",
    "PidFd undefined",
    "File directory",
    "null",
  ]);
  assert(
    /^Cannot tell whether descriptor \d+ is of the kind eventfd: \/proc is not/
      .test(told[4]!),
    told[4],
  );
});

// --- File --------------------------------------------------------------------

leakTest("File reads and writes a file whose offset others share", async () => {
  using dir = scratch();
  const path = dir.file("file", "0123456789");
  using file = File.open(path, { write: true });
  using same = File.fromFd(duplicate(file.fd), { name: "the same" });
  const buffer = new Uint8Array(4);
  assertEquals(file.readSync(buffer), 4);
  assertEquals(await same.read(buffer), 4);
  assertEquals(buffer, utf8("4567"));
  assertEquals(file.tryRead(buffer), 2);
  assertEquals([file.tryRead(buffer), await same.read(buffer, AT_ONCE)], [
    null,
    null,
  ]);
  assertEquals(same.readSync(buffer), null);
  assertEquals(same.seek(0, "current"), 10);

  assertEquals(await same.write(utf8("ab")), 2);
  assertEquals(file.writeSync(utf8("cd"), AT_ONCE), 2);
  assertEquals(file.tryWrite(utf8("ef")), 2);
  assertEquals([file.size, same.seek(-6, "end")], [16, 10]);
  assertEquals(file.readSync(new Uint8Array(16)), 6);

  assertEquals(file.pread(buffer, 8), 4);
  assertEquals(buffer, utf8("89ab"));
  assertEquals(file.pread(buffer, 16), null);
  assertEquals(file.pread(new Uint8Array(0), 0), 0);
  assertEquals(file.pwrite(utf8("XY"), 20), 2);
  assertEquals(file.pwrite(new Uint8Array(0), 99), 0);
  assertEquals([file.size, file.seek(0, "current")], [22, 16]);
  file.truncate(12);
  file.truncate(14);
  file.sync();
  file.syncData();
  assertEquals(Deno.readTextFileSync(path), "0123456789ab\0\0");

  assertEquals(file.kind, "file");
  assertEquals(
    Deno.inspect(file),
    `File { name: "${path}", kind: "file", fd: ${file.fd}, closed: false }`,
  );
});

leakTest("File refuses bad arguments before any call", () => {
  using dir = scratch();
  using file = File.open(dir.file("file", "text"), { write: true });
  const before = flagsOf(file.fd);
  const none = undefined as unknown;
  const typeErrors: [string, () => unknown][] = [
    ["pread without an offset", () => file.pread(bytes(1), none as number)],
    ["pread of a text", () => file.pread("x" as never, 0)],
    ["pwrite with a bigint", () => file.pwrite(bytes(1), 1n as never)],
    ["pwrite of a DataView", () => {
      file.pwrite(new DataView(new ArrayBuffer(1)) as never, 0);
    }],
    ["truncate without a size", () => file.truncate(none as number)],
    ["seek without an offset", () => file.seek(none as number)],
    ["seek from elsewhere", () => file.seek(0, "middle" as "end")],
    ["seek from a symbol", () => file.seek(0, Symbol() as never)],
    ["readSync of nothing", () => file.readSync(none as never)],
    ["writeSync of nothing", () => file.writeSync(none as never)],
    ["tryRead of nothing", () => file.tryRead(none as never)],
    ["open of a number", () => File.open(3 as never)],
    ["open of NUL", () => File.open("a\0b")],
    ["create of no path", () => File.create("")],
    [
      "a mode of text",
      () => File.create(dir.file("x"), { mode: "6" as never }),
    ],
  ];
  for (const [name, call] of typeErrors) {
    assertThrows(call, TypeError, "", name);
  }
  for (const wrong of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => file.pread(bytes(1), wrong), RangeError, "offset");
    assertThrows(() => file.pwrite(bytes(1), wrong), RangeError, "offset");
    assertThrows(() => file.truncate(wrong), RangeError, "size");
    if (wrong !== -1) {
      assertThrows(() => file.seek(wrong), RangeError, "offset");
    }
  }
  assertThrows(() => File.create(dir.file("x"), { mode: 0o1000 }), RangeError);
  assertThrows(() => File.openOrCreate("x".repeat(300)), RangeError);
  assertRefused(() => file.seek(-1), "EINVAL", "lseek");
  assertEquals([flagsOf(file.fd), dir.list()], [before, ["file"]]);

  file.close();
  file.close();
  const calls = [
    () => file.readSync(bytes(1)),
    () => file.tryRead(bytes(1)),
    () => file.writeSync(bytes(1)),
    () => file.tryWrite(bytes(1)),
    () => file.pread(bytes(1), 0),
    () => file.pwrite(bytes(1), 0),
    () => file.size,
    () => file.truncate(0),
    () => file.sync(),
    () => file.syncData(),
    () => file.seek(0),
    () => file.fd,
  ];
  for (const call of calls) assertThrows(call, ClosedError);
});

leakTest(
  "File.create(), open() and openOrCreate() are as their names say",
  () => {
    using dir = scratch();
    const path = dir.file("file");
    assertRefused(() => File.open(path), "ENOENT", "open", path);
    {
      using file = File.openOrCreate(path, { mode: 0o666 });
      file.writeSync(utf8("one"));
    }
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o666); // whatever the umask
    assertRefused(() => File.create(path), "EEXIST", "open", path);
    {
      using file = File.openOrCreate(path, { mode: 0o600, append: true });
      file.writeSync(utf8("two"));
      assertEquals(file.pread(new Uint8Array(9), 0), 6);
    }
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o666);
    {
      using file = File.open(path);
      assertRefused(() => file.writeSync(bytes(1)), "EBADF", "write");
      assertRefused(() => file.pwrite(bytes(1), 0), "EBADF", "pwrite");
      assertRefused(() => file.truncate(0), "EINVAL", "ftruncate");
      assert(isCloseOnExec(file.fd));
    }
    {
      using file = File.open(path, { append: true });
      file.writeSync(utf8("three"));
    }
    assertEquals(Deno.readTextFileSync(path), "onetwothree");
    Deno.symlinkSync(dir.file("missing"), dir.file("link"));
    assertRefused(() => File.create(dir.file("link")), "EEXIST", "open");
    assertRefused(() => File.openOrCreate(dir.file("link")), "ENOENT", "open");
    assertRefused(() => File.open(dir.path, { write: true }), "EISDIR", "open");
    using directory = File.open(dir.path);
    assertRefused(() => directory.readSync(bytes(1)), "EISDIR", "read");
  },
);

leakTest("File says what is wrong with a path", async () => {
  using dir = scratch();
  const program = dir.file("program");
  Deno.copyFileSync("/bin/cat", program);
  await using _running = spawn(program);
  const file = dir.file("file", "");
  Deno.symlinkSync("loop", dir.file("loop"));
  using _ = UnixListener.listen(dir.file("socket"));
  const write = (path: string) => File.open(path, { write: true });
  for (
    const [code, path, ...calls] of [
      ["ENOTDIR", `${file}/x`, File.open, File.create, File.openOrCreate],
      ["ELOOP", dir.file("loop/x"), File.open, File.create, File.openOrCreate],
      ["ENOENT", dir.file("no/x"), File.open, File.create, File.openOrCreate],
      ["EISDIR", dir.file("new/"), File.create, File.openOrCreate],
      ["EISDIR", dir.path, write, File.openOrCreate],
      ["ENXIO", dir.file("socket"), File.open, File.openOrCreate],
      ["ETXTBSY", program, write, File.openOrCreate],
    ] as const
  ) {
    for (const call of calls) {
      assertRefused(() => call.call(File, path), code, "open", path);
    }
  }
});

leakTest("File.truncate() takes no memory away under what is mapped", () => {
  using dir = scratch();
  const path = dir.file("file", new Uint8Array(10_000));
  using map = MemoryMap.open(path);
  using file = File.open(path, { write: true });
  assertThrows(() => file.truncate(100), TypeError, "mapped memory");
  file.truncate(20_000);
  assertEquals(map.bytes[9999], 0);
  map.close();
  file.truncate(0);
  assertEquals(file.size, 0);
});

leakTest("a write beyond RLIMIT_FSIZE is EFBIG, and no SIGXFSZ", async () => {
  using dir = scratch();
  const codes = await inChild(async (path: string) => {
    const { File } = await import("../ffi/descriptor.ts");
    const libc = Deno.dlopen("libc.so.6", {
      setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    });
    const RLIMIT_FSIZE = 1;
    libc.symbols.setrlimit(RLIMIT_FSIZE, BigUint64Array.of(10n, 10n));
    const codes: unknown[] = [];
    const attempt = (call: () => unknown) => {
      try {
        codes.push(call());
      } catch (error) {
        codes.push((error as { code: string }).code);
      }
    };
    using file = File.create(path);
    attempt(() => file.writeSync(new Uint8Array(8)));
    attempt(() => file.tryWrite(new Uint8Array(8)));
    attempt(() => file.tryWrite(new Uint8Array(8)));
    attempt(() => file.pwrite(new Uint8Array(8), 0));
    attempt(() => file.pwrite(new Uint8Array(8), 9));
    attempt(() => file.truncate(11));
    using end = File.open(path, { append: true });
    attempt(() => end.writeSync(new Uint8Array(1)));
    return [...codes, file.size];
    // Deno may write to its code cache after setrlimit, and get SIGXFSZ.
  }, { argument: dir.file("file"), flags: ["--no-code-cache"] });
  assertEquals(codes, [8, 2, "EFBIG", 8, "EFBIG", "EFBIG", "EFBIG", 10]);
});

leakTest("File streams a file, and is closed with the stream", async () => {
  using dir = scratch();
  const path = dir.file("file");
  const data = crypto.getRandomValues(
    new Uint8Array(200_000).subarray(0, 65536),
  );
  const target = File.create(path);
  await new Blob([data, data, data]).stream().pipeTo(target.writable);
  assertThrows(() => target.fd, ClosedError);
  const source = File.open(path);
  const copy = await new Response(source.readable).bytes();
  assertEquals([copy.length, copy.subarray(131072)], [196608, data]);
  assertThrows(() => source.fd, ClosedError);
  const cancelled = File.open(path);
  await cancelled.readable.cancel();
  assertThrows(() => cancelled.fd, ClosedError);
});

/** Both sides of a pseudoterminal. */
function terminal(): [File, File] {
  const TIOCGPTN = 0x80045430;
  const TIOCSPTLCK = 0x40045431;
  const master = File.open("/dev/ptmx", { write: true });
  const number = new Int32Array(1);
  sysIoctl().ioctl(master.fd, TIOCSPTLCK, number);
  sysIoctl().ioctl(master.fd, TIOCGPTN, number);
  return [master, File.open(`/dev/pts/${number[0]}`, { write: true })];
}

leakTest("File waits for a terminal", { soak: "also" }, async () => {
  const [master, slave] = terminal();
  using _both = new DisposableStack();
  _both.use(master);
  _both.use(slave);
  assertEquals([master.kind, slave.kind], ["terminal", "terminal"]);
  const buffer = new Uint8Array(64);
  assertEquals(slave.tryRead(buffer), undefined);
  await assertRejects(() => slave.read(buffer, { timeout: 1 }), DOMException);
  assertThrows(() => slave.readSync(buffer, { timeout: 1 }), DOMException);
  const reading = slave.read(buffer, WAIT);
  await turns();
  await master.write(utf8("line\n"));
  assertEquals([await reading, buffer.subarray(0, 5)], [5, utf8("line\n")]);
  assertEquals(await waitAny([slave, master], WAIT), master); // its echo
  assertEquals(master.readSync(buffer), 6);
  await slave.write(utf8("answer"));
  assertEquals(await master.read(buffer, WAIT), 6);
  for (const call of [() => slave.seek(0), () => slave.pread(buffer, 0)]) {
    assertEquals(assertThrows(call, IpcError).code, "ESPIPE");
  }
  assertEquals(flagsOf(slave.fd) & 0o4000, 0); // blocking, for the others
  // The lines that raced aborts, each once.
  let sent = 0;
  let got = 0;
  await raceAborts(rounds(20, 2000), {
    wait: async (options) => {
      const count = await slave.read(buffer, options);
      return new TextDecoder().decode(buffer.subarray(0, count!));
    },
    bring: () => {
      master.writeSync(utf8(`${sent++}\n`));
      master.readSync(buffer);
    },
    check: (text) => assertEquals(text, `${got++}\n`),
  });
  assertEquals(got, sent);
});

leakTest("File reads what is always ready, while others wait", async () => {
  // A reader is served once in a pass of the reactor while others wait, and what is
  // always ready is in no pass.
  using ends = pipe();
  const waiting = failure(ends.reader.read(bytes(0)));
  using zero = File.open("/dev/zero", { write: true });
  using file = File.open(import.meta.filename!);
  const buffer = new Uint8Array(16);
  let timers = 0;
  const timer = setInterval(() => timers++, 0);
  while (timers < 3) {
    for (const from of [zero, file]) {
      assertEquals(await from.read(buffer, WAIT), 16);
      assertEquals(await from.read(buffer, WAIT), 16);
      assertEquals([await from.read(buffer), await from.read(buffer)], [
        16,
        16,
      ]);
      from === file ? file.seek(0) : await zero.write(buffer, WAIT);
    }
  }
  clearInterval(timer);
  ends.reader.close();
  assert(await waiting instanceof ClosedError);
});

leakTest("File waits for inotify", async () => {
  using dir = scratch();
  const IN_CREATE = 0x100;
  using watch = File.fromFd(libc.inotify_init1(0));
  libc.inotify_add_watch(watch.fd, utf8(`${dir.path}\0`), IN_CREATE);
  const buffer = new Uint8Array(4096);
  assertEquals(watch.tryRead(buffer), undefined);
  const reading = watch.read(buffer, WAIT);
  await turns();
  dir.file("new", "");
  const count = (await reading)!;
  assertEquals(new TextDecoder().decode(buffer.subarray(16, 19)), "new");
  assertEquals(count % 16, 0);
  dir.file("other", "");
  assertRefused(() => watch.readSync(bytes(1)), "EINVAL", "read");
  assertStrictEquals(await waitAny([watch], WAIT), watch);
});

leakTest("File reads and writes a socket of another family", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr as Deno.NetAddr;
  const { socket } = sysSocket();
  using file = File.fromFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  view.setUint32(4, 0x7f000001);
  assertEquals(sysSocket().connect(file.fd, address, 16), 0);
  const peer = await listener.accept();
  assertEquals(file.kind, "socket");
  assertEquals(file.tryRead(bytes(0)), undefined);
  const large = crypto.getRandomValues(new Uint8Array(65536));
  const writing = Promise.all(
    Array.from({ length: 64 }, () => file.write(large, WAIT)),
  );
  let total = 0;
  const buffer = new Uint8Array(65536);
  while (total < 64 * 65536) total += (await peer.read(buffer))!;
  await writing;
  await peer.write(utf8("answer"));
  assertEquals(await file.read(buffer, WAIT), 6);
  peer.close();
  assertEquals(await file.read(buffer, WAIT), null);
  const error = await failure((async () => {
    for (;;) await file.write(large, WAIT);
  })());
  assert(["EPIPE", "ECONNRESET"].includes((error as IpcError).code));
});

leakTest(
  "--allow-ffi alone is enough to read a file that was passed",
  async () => {
    using dir = scratch();
    const path = dir.file("secret", "what is in it");
    using listener = UnixListener.listen(dir.file("socket"));
    using file = File.open(path);
    const [found] = await Promise.all([
      inChild(async ([socket, path]: string[]) => {
        const { adoptDescriptor, File } = await import("../ffi/descriptor.ts");
        const { UnixStream } = await import("../ffi/socket.ts");
        let own;
        try {
          own = Deno.readTextFileSync(path!);
        } catch (error) {
          own = (error as Error).name;
        }
        using stream = await UnixStream.connect(socket!);
        using message = (await stream.receive({ maxDescriptors: 1 }))!;
        const [passed] = message.descriptors;
        const { kind } = passed!;
        using file = adoptDescriptor(passed!);
        if (!(file instanceof File)) throw new Error("no File");
        return [own, kind, file.size, await new Response(file.readable).text()];
      }, {
        argument: [dir.file("socket"), path],
        permissions: ["--allow-ffi"],
      }),
      (async () => {
        using connection = await listener.accept(WAIT);
        await connection.send(bytes(1), { descriptors: [file], ...WAIT });
      })(),
    ]);
    assertEquals(found, ["NotCapable", "file", 13, "what is in it"]);
  },
);

// --- EventFd -----------------------------------------------------------------

for (const how of ["of its own", "that is shared"]) {
  leakTest(`EventFd counts, with a descriptor ${how}`, async () => {
    using event = EventFd.create(3);
    if (how === "that is shared") assert(event.fd > 2); // blocking from now on
    assertEquals([event.tryRead(), event.tryRead()], [3n, undefined]);
    event.writeSync();
    event.writeSync(4n);
    await event.write(5);
    assertEquals(event.readSync(), 10n);
    const reading = event.read(WAIT);
    await turns();
    assertEquals(event.tryWrite(7), true);
    assertEquals(await reading, 7n);

    assertEquals(event.tryWrite(MAX), true);
    assertEquals([event.tryWrite(1), event.tryWrite(0)], [false, true]);
    assertThrows(() => event.writeSync(1, { timeout: 5 }), DOMException);
    await assertRejects(() => event.write(1, { timeout: 5 }), DOMException);
    const writes = [event.write(2, WAIT), event.write(3, WAIT)];
    await turns();
    assertEquals(event.readSync(), MAX);
    await Promise.all(writes);
    assertEquals(event.readSync(), 5n);
    // Room for 1, but not for more: poll(2) says ready.
    event.writeSync(MAX - 1n);
    assertEquals([event.tryWrite(2), event.tryWrite(1)], [false, true]);
    assertEquals(event.tryRead(), MAX);
  });
}

leakTest("EventFd is a semaphore", async () => {
  using permits = EventFd.create(2, { semaphore: true });
  assertEquals([permits.readSync(), permits.tryRead()], [1n, 1n]);
  assertEquals(permits.tryRead(), undefined);
  const order: number[] = [];
  const waits = [0, 1, 2].map((index) =>
    permits.read(WAIT).then((value) => (order.push(index), value))
  );
  await turns();
  permits.writeSync(3);
  assertEquals([await Promise.all(waits), order], [[1n, 1n, 1n], [0, 1, 2]]);
});

leakTest("EventFd refuses bad arguments", async () => {
  for (const wrong of [-1, 0.5, NaN, 2 ** 32]) {
    assertThrows(() => EventFd.create(wrong), RangeError, "initial");
  }
  assertThrows(() => EventFd.create("1" as never), TypeError, "initial");
  using event = EventFd.create();
  for (const wrong of [-1, 0.5, 2 ** 53, -1n, MAX + 1n, 2n ** 64n]) {
    assertThrows(() => event.tryWrite(wrong), RangeError, "value");
    assertThrows(() => event.writeSync(wrong), RangeError, "value");
    await assertRejects(() => event.write(wrong), RangeError, "value");
  }
  for (const wrong of ["1", null, {}]) {
    assertThrows(() => event.tryWrite(wrong as never), TypeError, "value");
  }
  assertEquals(event.tryRead(), undefined);
  event.close();
  assertThrows(() => event.tryRead(), ClosedError);
  assertThrows(() => event.tryWrite(), ClosedError);
  assertThrows(() => event.writeSync(), ClosedError);
  await assertRejects(() => event.read(), ClosedError);
  await assertRejects(() => event.write(), ClosedError);
});

leakTest("an abort loses no event", { soak: "also" }, async () => {
  using event = EventFd.create();
  let sum = 0n;
  const count = rounds(50, 5000);
  await raceAborts(count, {
    wait: (options) => event.read(options),
    bring: () => event.writeSync(),
    check: (value) => sum += value,
  });
  assertEquals(sum, BigInt(count));
});

// --- TimerFd -----------------------------------------------------------------

leakTest("TimerFd expires once, again and again, or at a moment", async () => {
  using timer = TimerFd.create();
  assertEquals(timer.status, { remaining: 0, interval: 0 });
  assertEquals(timer.tryRead(), undefined);
  const start = timer.now();
  timer.arm({ after: 5 });
  assertEquals(await timer.read(WAIT), 1);
  assert(timer.now() - start >= 5, "early");
  assertEquals(timer.tryRead(), undefined);

  timer.arm({ interval: 2 });
  assertEquals(timer.status.interval, 2);
  const { remaining } = timer.status;
  assert(remaining > 0 && remaining <= 2, `${remaining}`);
  let expired = 0;
  while (expired < 5) expired += timer.readSync(WAIT);
  timer.disarm();
  assertEquals(timer.status, { remaining: 0, interval: 0 });
  assertEquals(timer.tryRead(), undefined);
  assertThrows(() => timer.readSync({ timeout: 1 }), DOMException);

  const moment = timer.now() + 5;
  timer.arm({ at: moment });
  assertEquals(timer.readSync(), 1);
  assert(timer.now() >= moment, "early");
  for (const past of [{ at: 0 }, { at: moment }, { after: 0 }]) {
    timer.arm(past);
    assertEquals(timer.readSync(WAIT), 1);
  }
  timer.arm({ after: 0.25, interval: 0.5 });
  assert(await timer.read(WAIT) >= 1);
});

leakTest("TimerFd has a clock", async () => {
  for (const clock of ["realtime", "boottime", "monotonic"] as const) {
    using timer = TimerFd.create({ clock });
    const moment = timer.now() + 2;
    timer.arm({ at: moment });
    const first = await waitAny([timer], WAIT);
    assertEquals([first.tryRead(), timer.now() >= moment], [1, true]);
  }
  using timer = TimerFd.create({ clock: "realtime" });
  assert(Math.abs(timer.now() - Date.now()) < 60_000);
  timer.arm({ at: new Date(Date.now() + 2) });
  assertEquals(await timer.read(WAIT), 1);
  timer.arm({ at: new Date(8.64e15) }); // the last of all
  assertEquals(timer.tryRead(), undefined);
  using same = TimerFd.fromFd(duplicate(timer.fd));
  same.arm({ after: 1 });
  assertEquals(await timer.read(WAIT), 1);
  assertThrows(() => same.now(), TypeError, "taken over");
});

leakTest("TimerFd refuses bad arguments", async () => {
  assertThrows(() => TimerFd.create({ clock: "sun" as never }), TypeError);
  assertThrows(() => TimerFd.create({ clock: 1 as never }), TypeError);
  using timer = TimerFd.create();
  const wrong: [object | null | undefined, ErrorConstructor][] = [
    [undefined, TypeError],
    [null, TypeError],
    [{}, TypeError],
    [{ interval: 0 }, TypeError],
    [{ after: 1, at: 1 }, TypeError],
    [{ after: "1" }, TypeError],
    [{ after: 1n }, TypeError],
    [{ at: new Date() }, TypeError], // not of this clock
    [{ after: -1 }, RangeError],
    [{ after: NaN }, RangeError],
    [{ after: Infinity }, RangeError],
    [{ at: -1 }, RangeError],
    [{ interval: -0.1 }, RangeError],
    [{ after: 1, interval: 2 ** 60 }, RangeError],
  ];
  for (const [setting, type] of wrong) {
    assertThrows(() => timer.arm(setting as never), type);
  }
  using day = TimerFd.create({ clock: "realtime" });
  assertThrows(() => day.arm({ at: new Date(NaN) }), RangeError);
  assertEquals(timer.status, { remaining: 0, interval: 0 });
  timer.close();
  assertThrows(() => timer.arm({ after: 1 }), ClosedError);
  assertThrows(() => timer.status, ClosedError);
  assertThrows(() => timer.disarm(), ClosedError);
  await assertRejects(() => timer.read(), ClosedError);
});

// --- PidFd -------------------------------------------------------------------

leakTest("PidFd tells how a child has ended", async () => {
  for (
    const [script, status] of [
      ["exit 0", { code: 0, signal: null }],
      ["exit 7", { code: 7, signal: null }],
      ["kill -9 $$", { code: null, signal: 9 }],
    ] as const
  ) {
    const child = new Deno.Command("sh", { args: ["-c", script] }).spawn();
    using process = PidFd.open(child.pid);
    // This thread blocks, so the runtime does not reap it yet.
    assertEquals(process.exitedSync(WAIT), status);
    assertEquals(process.tryExited(), status);
    const { code, signal } = await child.status; // it was not reaped here
    assertEquals([code, signal], [
      status.code ?? 128 + status.signal!,
      status.signal === null ? null : "SIGKILL",
    ]);
    const later = await process.exited(WAIT);
    // Since Linux 6.15 the kernel tells it of what was reaped, too.
    assert(later.code === status.code || later.code === null);
    assertEquals(process.pid, null);
    assertRefused(() => process.signal(0), "ESRCH", "pidfd_send_signal");
  }
});

leakTest("PidFd signals a process, and waits for its end", async () => {
  const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
  using process = PidFd.open(child.pid);
  assertEquals([process.pid, process.tryExited()], [child.pid, undefined]);
  process.signal(0);
  await assertRejects(() => process.exited({ timeout: 1 }), DOMException);
  assertThrows(() => process.exitedSync({ timeout: 1 }), DOMException);
  const controller = new AbortController();
  const aborted = process.exited({ signal: controller.signal });
  const both = [process.exited(WAIT), process.exited(WAIT)];
  await turns();
  controller.abort("enough");
  assertEquals(await failure(aborted), "enough");
  process.signal(15);
  using event = EventFd.create();
  assertStrictEquals(await waitAny([event, process], WAIT), process);
  for (const { code } of await Promise.all(both)) assertEquals(code, null);
  await child.status;
});

leakTest("PidFd refuses bad arguments", async () => {
  for (const wrong of [0, -1, 0.5, NaN, 2 ** 31]) {
    assertThrows(() => PidFd.open(wrong), RangeError, "pid");
  }
  assertThrows(() => PidFd.open("1" as never), TypeError, "pid");
  assertRefused(() => PidFd.open(2 ** 31 - 1), "ESRCH", "pidfd_open");
  using process = PidFd.open(Deno.pid);
  for (const wrong of [-1, 65, 0.5, NaN]) {
    assertThrows(() => process.signal(wrong), RangeError, "signal");
  }
  assertThrows(() => process.signal("SIGTERM" as never), TypeError, "signal");
  process.close();
  assertThrows(() => process.pid, ClosedError);
  assertThrows(() => process.signal(0), ClosedError);
  assertThrows(() => process.tryExited(), ClosedError);
  await assertRejects(() => process.exited(), ClosedError);
});

leakTest("UnixConnection.peerPidfd() is a PidFd", () => {
  using sockets = UnixStream.pair();
  using peer = sockets[0].peerPidfd();
  assert(peer instanceof PidFd);
  assertEquals(peer.pid, Deno.pid);
});

leakTest("EventFd, TimerFd and PidFd go to C and come from C", {
  soak: "also",
  needs: [noCompiler],
}, async () => {
  using dir = scratch();
  const count = rounds(2000, 100_000);
  using event = EventFd.create();
  using listener = UnixListener.listen(dir.file("socket"));
  await using peer = await startPeer("event_peer", [
    dir.file("socket"),
    `${count}`,
  ]);
  using socket = await listener.accept(WAIT);
  await socket.send(bytes(1), { descriptors: [event] });
  for (let index = 0; index < count; index++) {
    if (index % 3 === 0) event.writeSync();
    else if (index % 3 === 1) assert(event.tryWrite());
    else await event.write();
  }
  assertEquals(await peer.line(), `${count}`);
  assertEquals(await event.read(WAIT), 5n);

  using message = (await socket.receive({ maxDescriptors: 3, ...WAIT }))!;
  const own = message.descriptors.map(adoptDescriptor);
  using _own = new DisposableStack();
  for (const object of own) _own.use(object);
  const [semaphore, timer, process] = own;
  assert(semaphore instanceof EventFd && timer instanceof TimerFd);
  assert(process instanceof PidFd);
  assertEquals(process.pid, peer.pid);
  assertEquals(await timer.read(WAIT), 1);
  assertEquals(process.tryExited(), undefined);
  semaphore.writeSync(2);
  assertEquals(await peer.line(), "1");
  const { code } = await process.exited(WAIT);
  assert(code === 3 || code === null, `${code}`); // see ExitStatus
  assertEquals(semaphore.tryRead(), 1n);
  assertEquals((await peer.ended()).code, 3);
});

// --- All of them -------------------------------------------------------------

leakTest("waitAny() takes all that are events", async () => {
  const [master, slave] = terminal();
  using _both = new DisposableStack();
  _both.use(master);
  _both.use(slave);
  using event = EventFd.create();
  using timer = TimerFd.create();
  const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
  using process = PidFd.open(child.pid);
  const all = [slave, event, timer, process];
  await assertRejects(() => waitAny(all, { timeout: 1 }), DOMException);
  timer.arm({ after: 1 });
  assertStrictEquals(await waitAny(all, WAIT), timer);
  timer.readSync();
  event.writeSync();
  assertStrictEquals(await waitAny(all, WAIT), event);
  event.readSync();
  master.writeSync(utf8("\n"));
  assertStrictEquals(await waitAny(all, WAIT), slave);
  slave.readSync(bytes(0));
  process.signal(9);
  assertStrictEquals(await waitAny(all, WAIT), process);
  assertStrictEquals(
    (await waitAny([{ writable: event }], WAIT)).writable,
    event,
  );
  await child.status;
});

leakTest("many passes leave nothing, with EMFILE in the middle", {
  soak: "also",
}, async () => {
  const passes = rounds(300, 10_000);
  const [before, after, counts] = await inChild(async (passes: number) => {
    const { adoptDescriptor, EventFd, File, TimerFd } = await import(
      "../ffi/descriptor.ts"
    );
    const { MemoryFile } = await import("../ffi/shared_memory.ts");
    const { pipe } = await import("../ffi/pipe.ts");
    const { UnixStream } = await import("../ffi/socket.ts");
    const libc = Deno.dlopen("libc.so.6", {
      setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
      dup: { parameters: ["i32"], result: "i32" },
    });
    const RLIMIT_NOFILE = 7;
    libc.symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(100n, 256n));
    const count = () => [...Deno.readDirSync("/proc/self/fd")].length;
    const sockets = UnixStream.pair();
    const ends = pipe();
    const file = File.open("/etc/passwd");
    const event = EventFd.create(1);
    const timer = TimerFd.create();
    const memory = MemoryFile.create("memory", 8);
    memory.seal(["shrink"]);
    const objects = [ends.reader, file, event, timer, memory, sockets[0]];
    const options = { maxDescriptors: 2 };
    const counts = { adopted: 0, truncated: 0, recovered: 0 };
    function pass(index: number): number {
      const descriptors = [
        objects[index % objects.length]!,
        objects[(index + 1) % objects.length]!,
      ];
      sockets[0].sendSync(Uint8Array.of(1), { descriptors });
      using message = sockets[1].receiveSync(options)!;
      if (message.descriptorsTruncated) counts.truncated++;
      // One of two is adopted, the other is closed with the message.
      const [passed] = message.descriptors;
      if (passed !== undefined) {
        using object = adoptDescriptor(passed);
        if (object.fd > 2) counts.adopted++;
      }
      return message.descriptors.length;
    }
    pass(0);
    const before = count();
    for (let index = 0; index < passes; index++) {
      if (index !== passes >> 1) {
        pass(index);
        continue;
      }
      const taken: { close(): void }[] = [];
      for (let fd; (fd = libc.symbols.dup(0)) !== -1;) {
        taken.push(File.fromFd(fd));
      }
      for (let room = 0; room < 3; room++) {
        if (pass(index) === room) counts.recovered++;
        taken.pop()!.close();
      }
      for (const one of taken) one.close();
    }
    return [before, count(), counts];
  }, { argument: passes, limit: 100_000 });
  assertEquals(after, before);
  assertEquals(counts, { adopted: passes + 2, truncated: 2, recovered: 3 });
});

leakTest(
  "objects that are made and closed leave nothing",
  { soak: "also" },
  () => {
    const before = descriptorCount();
    for (let round = 0; round < rounds(200, 5000); round++) {
      using event = EventFd.create();
      using timer = TimerFd.create();
      using process = PidFd.open(Deno.pid);
      event.tryWrite();
      timer.arm({ after: 1000 });
      process.tryExited();
      using _given = EventFd.fromFd(event.detach());
    }
    assertEquals(descriptorCount(), before);
  },
);
