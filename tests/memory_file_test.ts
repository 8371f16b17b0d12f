import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  ClosedError,
  IpcError,
  MemoryFile,
  MemoryMap,
  type Seal,
} from "../ffi/shared_memory.ts";
import { check } from "../ffi/libc/errno.ts";
import { statusOfFd, sysStat } from "../ffi/libc/sys_stat.ts";
import { UnixStream } from "../ffi/socket.ts";
import { compile, noCompiler } from "./support/c.ts";
import { callText, inChild, runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import { rounds } from "./support/rounds.ts";

const PAGE = 4096;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

leakTest("MemoryFile.create() makes a file of zeroes", () => {
  for (const size of [1, PAGE - 1, PAGE, PAGE + 1, 1_000_003]) {
    using file = MemoryFile.create("test", size);
    assertEquals([file.size, file.seals], [size, []]);
    using map = file.map();
    assertEquals(map.bytes, new Uint8Array(size));
    map.bytes[size - 1] = 7;
    using other = file.map({ offset: size - 1 });
    assertEquals(other.bytes, Uint8Array.of(7));
  }
});

leakTest("MemoryFile.create() takes names that say what it is", () => {
  for (const name of ["", "a b/c", "é".repeat(124), "x".repeat(249)]) {
    using file = MemoryFile.create(name, 1);
    const path = Deno.readLinkSync(`/proc/self/fd/${file.fd}`);
    assertEquals(path, `/memfd:${name} (deleted)`);
  }
  const long = () => MemoryFile.create("x".repeat(250), 1);
  assertThrows(long, RangeError, "249");
  assertThrows(() => MemoryFile.create("a\0b", 1), TypeError);
  const none = null as unknown as string;
  assertThrows(() => MemoryFile.create(none, 1), TypeError);
});

leakTest("MemoryFile refuses what is no size or range", () => {
  for (const size of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => MemoryFile.create("test", size), RangeError, '"size"');
  }
  using file = MemoryFile.create("test", 100);
  for (
    const options of [
      { offset: 100 },
      { offset: -1 },
      { length: 0 },
      { length: 101 },
      { offset: 50, length: 51 },
      { offset: 2 ** 53 },
    ]
  ) assertThrows(() => file.map(options), RangeError);
  using empty = MemoryFile.create("test", 0);
  assertThrows(
    () => empty.map(),
    RangeError,
    "Cannot map memory file test: it is empty",
  );
  // A hole may be larger than the address space.
  using hole = MemoryFile.create("test", 2 ** 52);
  assertThrows(() => hole.map(), IpcError, "ENOMEM");
  using end = hole.map({ offset: 2 ** 52 - 1 });
  assertEquals(end.bytes, Uint8Array.of(0));
});

leakTest("MemoryFile.map() outlives the file", () => {
  const file = MemoryFile.create("test", 8);
  using map = file.map();
  file.close();
  file.close();
  map.bytes[0] = 1;
  assertEquals(map.read(0, 1), Uint8Array.of(1));
  for (
    const call of [
      () => file.fd,
      () => file.size,
      () => file.seals,
      () => file.seal(["grow"]),
      () => file.resize(9),
      () => file.map(),
      () => file.inherit(() => {}),
    ]
  ) assertThrows(call, ClosedError);
});

leakTest("MemoryFile.map() can be private or read-only", () => {
  using file = MemoryFile.create("test", 8);
  using shared = file.map();
  using copy = file.map({ private: true });
  using reader = file.map({ readonly: true });
  shared.bytes[0] = 1;
  assertEquals(copy.bytes[0], 1);
  copy.bytes[0] = 2;
  assertEquals([shared.bytes[0], reader.read(0, 1)[0]], [1, 1]);
  assertThrows(() => reader.bytes, TypeError, "read-only");
  assertThrows(() => file.map({ private: true, readonly: true }), TypeError);
});

leakTest("MemoryFile.resize() grows, and shrinks on purpose only", () => {
  using file = MemoryFile.create("test", PAGE);
  {
    using map = file.map();
    map.bytes.fill(7);
    file.resize(3 * PAGE + 5);
    assertEquals([file.size, map.byteLength], [3 * PAGE + 5, PAGE]);
    using larger = file.map({ offset: PAGE - 1 });
    assertEquals(larger.read(0, 2), Uint8Array.of(7, 0));
    assertThrows(() => file.resize(PAGE), RangeError, '"size"');
    const shrink = () => file.resize(PAGE, { shrink: true });
    assertThrows(shrink, TypeError, "mapped");
    larger.close();
    shrink();
    assertEquals(map.bytes[PAGE - 1], 7);
    assertThrows(() => file.resize(0, { shrink: true }), TypeError);
  }
  file.resize(0, { shrink: true });
  file.resize(2);
  using map = file.map();
  assertEquals(map.bytes, new Uint8Array(2));
});

// --- Seals -------------------------------------------------------------------

leakTest("MemoryFile.seal() forbids what it says", () => {
  using file = MemoryFile.create("test", PAGE);
  using before = file.map();
  const refused = (call: () => unknown, code = "EPERM") => {
    assertThrows(call, IpcError, code);
  };
  file.seal([]);
  assertEquals(file.seals, []);
  file.seal(["shrink"]);
  file.resize(2 * PAGE);
  refused(() => file.resize(PAGE, { shrink: true }));
  file.seal(["grow", "shrink"]);
  refused(() => file.resize(3 * PAGE));
  refused(() => file.seal(["write"]), "EBUSY"); // it is mapped
  file.seal(["future-write"]);
  refused(() => file.map());
  before.bytes[0] = 1;
  using reader = file.map({ readonly: true });
  assertEquals(reader.read(0, 1), Uint8Array.of(1));
  before.close();
  file.seal(["write", "seal"]);
  refused(() => file.seal(["write"]));
  assertEquals(file.seals, ["seal", "shrink", "grow", "write", "future-write"]);
  using last = file.map({ readonly: true });
  using copy = file.map({ private: true });
  copy.bytes[1] = 2;
  assertEquals(last.read(0, 2), Uint8Array.of(1, 0));
});

leakTest("MemoryFile.seal() refuses what is no seal", () => {
  using file = MemoryFile.create("test", 1);
  for (const seal of ["Shrink", "", "toString", 2, null]) {
    const seals: Seal[] = ["grow", seal as Seal];
    assertThrows(() => file.seal(seals), TypeError, '"seals"');
    assertThrows(() => MemoryFile.fromFd(file.fd, { seals }), TypeError);
  }
  assertEquals(file.seals, []);
});

leakTest("MemoryFile.fromFd() takes over what is sealed as asked only", () => {
  using file = MemoryFile.create("test", 5);
  const copy = (): number => {
    using map = file.map({ readonly: true });
    assert(map.byteLength > 0);
    const fd = Deno.openSync(`/proc/self/fd/${file.fd}`, { write: true });
    fd.close();
    return file.fd;
  };
  for (
    const [seals, missing] of [
      [undefined, "shrink"],
      [["shrink", "grow"], "shrink, grow"],
      [["write"], "write"],
      [["seal", "exec"], "seal"],
    ] as [Seal[] | undefined, string][]
  ) {
    const open = () => MemoryFile.fromFd(copy(), { seals });
    assertThrows(open, TypeError, `not sealed against ${missing}`);
  }
  assertEquals(file.size, 5); // it is still there, and this one's
});

leakTest("MemoryFile.fromFd() refuses what is no memory file", () => {
  using dir = scratch();
  using file = Deno.openSync(dir.file("data", "hello"));
  const sockets = UnixStream.pair();
  for (const { fd } of sockets) {
    assertThrows(() => MemoryFile.fromFd(fd), TypeError, "memory file");
  }
  for (const socket of sockets) socket.close();
  assert(file.statSync().isFile);
  for (const fd of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => MemoryFile.fromFd(fd), RangeError, '"fd"');
  }
  const closed = MemoryFile.create("test", 1);
  const { fd } = closed;
  closed.close();
  assertThrows(() => MemoryFile.fromFd(fd), IpcError, "EBADF");
});

// --- To another process ------------------------------------------------------

leakTest("MemoryFile goes through a socket", () => {
  using file = MemoryFile.create("test", 5);
  const [ours, theirs] = UnixStream.pair();
  using _ours = ours;
  using _theirs = theirs;
  {
    using map = file.map();
    map.bytes.set(encoder.encode("hello"));
  }
  file.seal(["shrink", "grow", "write"]);
  ours.sendSync(Uint8Array.of(1), { descriptors: [file] });
  const { descriptors } = theirs.receiveSync({ maxDescriptors: 1 })!;
  using passed = MemoryFile.fromFd(descriptors[0]!.detach(), {
    seals: ["shrink", "write"],
  });
  assertEquals(passed.seals, ["shrink", "grow", "write"]);
  using map = passed.map({ readonly: true });
  assertEquals(decoder.decode(map.read(0, 5)), "hello");
});

/** The child maps what it was started with, and counts in it. */
async function count(fd: number) {
  const { MemoryFile } = await import("../ffi/shared_memory.ts");
  using file = MemoryFile.fromFd(fd);
  using map = file.map();
  const { int32 } = map.atomics;
  for (let i = 0; i < 100_000; i++) Atomics.add(int32, 0, 1);
  console.log(file.seals.join());
}

leakTest("MemoryFile.inherit() gives it to a child", async () => {
  using file = MemoryFile.create("test", PAGE);
  file.seal(["shrink", "grow"]);
  using map = file.map();
  const child = file.inherit((fd) =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "-"],
      cwd: fromFileUrl(new URL(".", import.meta.url)),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { FD: `${fd}` },
    }).spawn()
  );
  const writer = child.stdin.getWriter();
  await writer.write(encoder.encode(callText(count, file.fd)));
  await writer.close();
  const { int32 } = map.atomics;
  for (let i = 0; i < 100_000; i++) Atomics.add(int32, 0, 1);
  const { code, stdout, stderr } = await child.output();
  assertEquals([code, decoder.decode(stderr)], [0, ""]);
  assertEquals(decoder.decode(stdout), "shrink,grow\n");
  assertEquals(Atomics.load(int32, 0), 200_000);
});

const READER = new URL("./interop/c/memory_file_reader.c", import.meta.url);

leakTest(
  "MemoryFile is sealed against C, too",
  { needs: [noCompiler] },
  async () => {
    using file = MemoryFile.create("test", 5);
    {
      using map = file.map();
      map.write(0, encoder.encode("hello"));
    }
    file.seal(["shrink", "write"]);
    const program = await compile(READER);
    const { code, stdout } = await file.inherit((fd) =>
      new Deno.Command(program, { args: [`${fd}`] }).output()
    );
    assertEquals([code, decoder.decode(stdout)], [0, "hello 1 1 1\n"]);
  },
);

leakTest("MemoryFile.seal() with exec adds no other seal", () => {
  using file = MemoryFile.create("test", 5);
  const { stx_mode } = statusOfFd(file.fd, "test");
  assertEquals(stx_mode & 0o777, 0o600);
  try {
    file.seal(["exec"]);
  } catch (error) {
    if ((error as IpcError).code === "EINVAL") return; // before Linux 6.3
    throw error;
  }
  assertEquals(file.seals, ["exec"]);
  using map = file.map();
  map.write(0, Uint8Array.of(1));
});

leakTest(
  "MemoryFile.seal() with exec refuses a file that may be executed",
  () => {
    using file = MemoryFile.create("test", 5);
    check(sysStat().fchmod(file.fd, 0o700), "fchmod");
    const error = assertThrows(() => file.seal(["exec", "grow"]), TypeError);
    assertEquals(
      error.message,
      "Cannot seal memory file test with exec: it may be executed, so the kernel " +
        "would add shrink, write, future-write; add them, or clear its execute " +
        "permission before",
    );
    assertEquals(file.seals, []);
    file.seal(["shrink", "write"]);
    try {
      file.seal(["exec", "grow", "future-write"]);
    } catch (error) {
      if ((error as IpcError).code === "EINVAL") return; // before Linux 6.3
      throw error;
    }
    assertEquals(file.seals.includes("exec"), true);
    assertThrows(() => file.map(), IpcError, "EPERM");
  },
);

const ALLOWED = [
  "unshare",
  "--pid",
  "--fork",
  "--mount-proc",
  "sh",
  "-c",
  'echo 2 > /proc/sys/vm/memfd_noexec && exec "$@"',
  "sh",
];

leakTest("MemoryFile.create() works where only sealed files are allowed", {
  needs: [reasonAgainst("set vm.memfd_noexec", [...ALLOWED, "true"])],
}, async () => {
  const told = await inChild(async () => {
    const { MemoryFile } = await import("../ffi/shared_memory.ts");
    using file = MemoryFile.create("test", 5);
    using map = file.map();
    map.write(0, Uint8Array.of(7));
    return [file.seals, map.read(0, 1)[0]];
  }, { wrapper: ALLOWED });
  assertEquals(told, [["exec"], 7]);
});

leakTest("MemoryFile has close-on-exec, but for inherit()", async () => {
  using file = MemoryFile.create("test", 5);
  const script = `test -e /proc/self/fd/${file.fd}`;
  const command = () => new Deno.Command("/bin/sh", { args: ["-c", script] });
  assertEquals((await command().output()).code, 1);
  assertEquals((await file.inherit(() => command().output())).code, 0);
  assertEquals((await command().output()).code, 1);
});

// --- Never a crash -----------------------------------------------------------

leakTest("MemoryFile takes no memory away under what is mapped", async () => {
  const { code, stdout, transcript } = await runCall(async () => {
    const { MemoryFile } = await import("../ffi/shared_memory.ts");
    const file = MemoryFile.create("test", 100_000);
    const maps = [
      file.map(),
      file.map({ private: true }),
      file.map({ readonly: true }),
      file.map({ offset: 99_999 }),
    ];
    const taken = new Uint8Array(file.map().bytes.buffer.transfer());
    let refused = 0;
    for (const map of maps) {
      try {
        file.resize(0, { shrink: true });
      } catch (error) {
        refused += Number(error instanceof TypeError);
      }
      map.read(map.byteLength - 1, 1);
      map.close();
    }
    try {
      file.resize(0, { shrink: true });
    } catch (error) {
      refused += Number(error instanceof TypeError);
    }
    console.log(refused, taken[99_999]);
  });
  assertEquals([code, stdout], [0, "5 0\n"], transcript);
});

leakTest(
  "MemoryFile leaves nothing behind in many rounds",
  { soak: "also" },
  () => {
    const ROUNDS = rounds(100, 1_000);
    for (let round = 0; round < ROUNDS; round++) {
      using file = MemoryFile.create("test", round);
      file.resize(round + 1);
      using map = file.map();
      using reader = file.map({ readonly: true });
      map.bytes[round] = 1;
      file.seal(["shrink"]);
      assertThrows(() => file.resize(0, { shrink: true }), Error);
      assertThrows(() => MemoryFile.fromFd(file.fd, { seals: ["write"] }));
      assertEquals(reader.read(round, 1), Uint8Array.of(1));
    }
  },
);

/** The number of free huge pages. */
const freeHugePages = Number(
  Deno.readTextFileSync("/proc/meminfo").match(/^HugePages_Free: *(\d+)/m)?.[1],
);

leakTest(
  "MemoryFile and MemoryMap.anonymous() take huge pages, and give them back",
  { needs: [freeHugePages >= 4 ? null : "fewer than 4 huge pages are free"] },
  () => {
    for (let round = 0; round <= freeHugePages; round++) {
      using file = MemoryFile.create("huge", 2 ** 21, { hugePages: true });
      using map = file.map({ length: 5 });
      using anonymous = MemoryMap.anonymous(5_000, { hugePages: true });
      map.bytes[4] = 1;
      anonymous.bytes[4_999] = 1;
    }
  },
);

leakTest("MemoryMap.fromFd() leaves the descriptor to its owner", () => {
  using file = MemoryFile.create("test", 5);
  {
    using map = MemoryMap.fromFd(file.fd, { resizable: true });
    map.resize(10);
    map.bytes[9] = 1;
  }
  assertEquals(file.size, 10);
  for (const fd of [-1, 1.5, 2 ** 31]) {
    assertThrows(() => MemoryMap.fromFd(fd), RangeError, '"fd"');
  }
});
