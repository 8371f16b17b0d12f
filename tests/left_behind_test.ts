/**
 * What fails half-way leaves nothing behind, and says what has failed: system calls
 * that the kernel refuses, descriptors that are used up, a /proc that is missing.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { IpcError, UnixListener } from "../mod.ts";
import { O_CREAT, O_RDONLY } from "../ffi/libc/fcntl.ts";
import { LOCK_EX, LOCK_NB, sysFile } from "../ffi/libc/sys_file.ts";
import { noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import { openRaw, stale } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { reasonAgainst, WITHOUT_PROC } from "./support/namespaces.ts";
import { type Refusal, refusing } from "./support/seccomp.ts";

const needs = [noCompiler];

// --- Calls that are refused --------------------------------------------------

/** Makes whatever has a name in the file system; tells how each fails. */
async function createAll(directory: string): Promise<Record<string, string>> {
  const { Fifo, UnixDatagram, UnixListener } = await import("../mod.ts");
  const { outcome } = await import("./support/child.ts");
  using receiver = UnixDatagram.create(null);
  const to = receiver.localAddress!;
  const path = (name: string) => `${directory}/${name}`;
  const passCredentials = true;
  const calls: Record<string, () => Disposable> = {
    fifo: () => {
      const fifo = Fifo.create(path("fifo"));
      fifo.unlink();
      return fifo;
    },
    listener: () => UnixListener.listen(path("listener"), { passCredentials }),
    reclaimed: () => UnixListener.listen(path("dead"), { reclaim: true }),
    datagram: () => UnixDatagram.create(path("datagram"), { passCredentials }),
    connected: () =>
      UnixDatagram.connectSync(to, {
        from: path("connected"),
        passCredentials,
      }),
  };
  const outcomes: Record<string, string> = {};
  for (const [name, call] of Object.entries(calls)) {
    outcomes[name] = await outcome(() => call()[Symbol.dispose]());
  }
  return outcomes;
}

/** What each call is refused with, and for whom that counts. */
const REFUSALS: [Refusal, string[]][] = [
  // The mask is this library's alone: Deno asks for more.
  [
    { call: "statx", argument: 3, value: 0x7ff, error: "EIO" },
    ["fifo", "listener", "reclaimed", "datagram", "connected"],
  ],
  [
    { call: "setsockopt", argument: 2, value: 16, error: "EIO" }, // SO_PASSCRED
    ["listener", "datagram", "connected"],
  ],
  [
    { call: "listen", argument: 1, value: 4096, error: "EIO" },
    ["listener", "reclaimed"],
  ],
  [
    { call: "flock", argument: 1, value: LOCK_EX | LOCK_NB, error: "EIO" },
    ["reclaimed"],
  ],
  [{ call: "connect", argument: 2, value: 8, error: "EIO" }, ["connected"]],
];

for (const [refusal, refused] of REFUSALS) {
  leakTest(
    `what ${refusal.call} refuses leaves no name behind`,
    { needs },
    async () => {
      using dir = scratch();
      stale(dir.file("dead"));
      const outcomes = await inChild(createAll, {
        argument: dir.path,
        wrapper: await refusing(refusal),
      });
      const failed = Object.entries(outcomes)
        .filter(([, outcome]) => outcome !== "returns");
      assertEquals(failed.map(([name]) => name), refused);
      for (const [name, outcome] of failed) {
        assertEquals(
          outcome.match(/^IpcError: (\w+) .*\((\w+)\)$/)?.slice(1),
          [refusal.call, refusal.error],
          `${name}: ${outcome}`,
        );
      }
      // What was bound in place of the dead file goes with its socket.
      const left = dir.list().filter((name) => name !== "dead");
      assertEquals(left, []);
    },
  );
}

// --- No descriptor is free ---------------------------------------------------

/** Makes calls while no descriptor is free; tells how each fails. */
async function callWithout(
  directory: string,
): Promise<{ outcomes: Record<string, string>; after: string }> {
  const ipc = await import("../mod.ts");
  const { fcntl } = await import("../ffi/libc/fcntl.ts");
  const { unistd } = await import("../ffi/libc/unistd.ts");
  const { outcome } = await import("./support/child.ts");
  using fifo = ipc.Fifo.create(`${directory}/fifo`);
  using map = ipc.MemoryMap.anonymous(4096);
  using queue = ipc.SysvMessageQueue.create(null);
  const handle = map.share();
  const calls: Record<string, () => unknown> = {
    "Fifo.create()": () => ipc.Fifo.create(`${directory}/new`),
    "Fifo.open()": () => ipc.Fifo.open(`${directory}/fifo`),
    "fifo.openBoth()": () => fifo.openBoth(),
    "fifo.tryOpenWriter()": () => fifo.tryOpenWriter(),
    "listen()": () => ipc.UnixListener.listen(`${directory}/new`),
    "PosixMessageQueue.list()": () => ipc.PosixMessageQueue.list(),
    "SysvMessageQueue.list()": () => ipc.SysvMessageQueue.list(),
    "SysvSharedMemory.list()": () => ipc.SysvSharedMemory.list(),
    "SysvSemaphoreSet.list()": () => ipc.SysvSemaphoreSet.list(),
    "MemoryFile.list()": () => ipc.MemoryFile.list(),
    "Fifo.list()": () => ipc.Fifo.list(),
    "EventFd.list()": () => ipc.EventFd.list(),
    "FileLock.list()": () => ipc.FileLock.list(),
    "UnixListener.list()": () => ipc.UnixListener.list(),
    "UnixDatagram.list()": () => ipc.UnixDatagram.list(),
    "inspect()": () => ipc.inspect(),
    "MemoryMap.adopt()": () => ipc.MemoryMap.adopt(handle),
  };
  // The runtime opens descriptors for signals when it likes, and panics without.
  Deno.addSignalListener("SIGUSR1", () => {});
  const path = new TextEncoder().encode("/dev/null\0");
  const O_CLOEXEC = 0x80000;
  const taken: number[] = [];
  const outcomes: Record<string, string> = {};
  let timed = "";
  try {
    for (let fd; (fd = fcntl().open(path, O_CLOEXEC, 0)) !== -1;) {
      taken.push(fd);
    }
    for (const [name, call] of Object.entries(calls)) {
      outcomes[name] = await outcome(call);
    }
    timed = await outcome(() => queue.receive({ timeout: 10 }));
  } finally {
    for (const fd of taken) unistd().close(fd);
    queue.remove();
  }
  outcomes["a wait for a System V queue"] = timed.match(/^\w+/)![0];
  const after = await outcome(() => ipc.MemoryMap.adopt(handle).close());
  fifo.unlink();
  return { outcomes, after };
}

leakTest("what finds no free descriptor says EMFILE", async () => {
  using dir = scratch();
  const { outcomes, after } = await inChild(callWithout, {
    argument: dir.path,
    wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"],
  });
  const codes = Object.entries(outcomes).map((
    [name, outcome],
  ) => [
    name,
    outcome.match(/\((\w+)\); RLIMIT_NOFILE is 64$/)?.[1] ?? outcome,
  ]);
  const expected = Object.keys(outcomes).map((name) => [name, "EMFILE"]);
  expected.at(-1)![1] = "TimeoutError";
  assertEquals(codes, expected);
  assertEquals(after, "returns", "the handle was used up");
  assertEquals(dir.list(), []);
});

leakTest("reclaim out of descriptors leaves all as it was", async () => {
  using dir = scratch();
  stale(dir.file("dead"));
  const found = await inChild(async (directory: string) => {
    const { UnixListener } = await import("../ffi/socket.ts");
    const { fcntl } = await import("../ffi/libc/fcntl.ts");
    const { unistd } = await import("../ffi/libc/unistd.ts");
    const { outcome } = await import("./support/child.ts");
    Deno.addSignalListener("SIGUSR1", () => {}); // as above
    const path = new TextEncoder().encode("/dev/null\0");
    const O_CLOEXEC = 0x80000;
    const taken: number[] = [];
    for (let fd; (fd = fcntl().open(path, O_CLOEXEC, 0)) !== -1;) {
      taken.push(fd);
    }
    const dead = `${directory}/dead`;
    const failures: string[] = [];
    const locks: string[] = [];
    for (let ended = ""; ended !== "returns";) {
      ended = await outcome(() =>
        UnixListener.listen(dead, { reclaim: true }).close()
      );
      failures.push(ended.match(/\((\w+)\)/)?.[1] ?? ended);
      locks.push(await outcome(() => Deno.lstatSync(`${dead}.reclaim`)));
      unistd().close(taken.pop()!);
    }
    for (const fd of taken) unistd().close(fd);
    const left = Array.from(Deno.readDirSync(directory), ({ name }) => name);
    return { failures, locks, left };
  }, {
    argument: dir.path,
    wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"],
  });
  // The socket, a probe, and the lock beside the probe: the last one has all.
  assertEquals(found.failures, ["EMFILE", "EMFILE", "EMFILE", "returns"]);
  for (const lock of found.locks) assertStringIncludes(lock, "NotFound");
  assertEquals(found.left, []);
});

// --- No /proc ----------------------------------------------------------------

const noMounts = reasonAgainst("mount", ["unshare", "-m", "true"]);

leakTest(
  "what needs /proc says so, and how it is mounted",
  { needs: [noMounts] },
  async () => {
    using dir = scratch();
    const found = await inChild(async (path: string) => {
      const ipc = await import("../mod.ts");
      const { outcome } = await import("./support/child.ts");
      using fifo = ipc.Fifo.create(path);
      const found = [
        await outcome(() => fifo.openBoth()),
        await outcome(() => fifo.openReaderSync()),
        await outcome(() => fifo.chmod(0o600)),
        await outcome(() => ipc.PosixMessageQueue.list()),
        await outcome(() => ipc.SysvMessageQueue.list()),
        await outcome(() => ipc.SysvSharedMemory.list()),
        await outcome(() => ipc.SysvSemaphoreSet.list()),
        await outcome(() => ipc.MemoryFile.list()),
        await outcome(() => ipc.Fifo.list()),
        await outcome(() => ipc.EventFd.list()),
        await outcome(() => ipc.FileLock.list()),
        await outcome(() => ipc.UnixListener.list()),
        await outcome(() => ipc.UnixDatagram.list()),
        await outcome(() => ipc.inspect()),
      ];
      fifo.unlink();
      return found;
    }, { argument: dir.file("fifo"), wrapper: [...WITHOUT_PROC] });
    const mount = "/proc is not mounted; root mounts it with: " +
      "mkdir -p /proc && mount -t proc none /proc";
    assertEquals(
      found,
      [
        `open ${dir.file("fifo")}`,
        `open ${dir.file("fifo")}`,
        `chmod ${dir.file("fifo")}`,
        "list message queues",
        "list message queues",
        "list shared memory",
        "list semaphore sets",
        "list memory files",
        "list FIFOs",
        "list eventfds",
        "list locks of files",
        "list listeners",
        "list datagram sockets",
        "inspect",
      ].map((action) => `NotSupported: Cannot ${action}: ${mount}`),
    );
  },
);

leakTest(
  "what needs /dev/shm says so, and how it is mounted",
  { needs: [noMounts] },
  async () => {
    const found = await inChild(async () => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      const { outcome } = await import("./support/child.ts");
      return [
        await outcome(() => PosixSharedMemory.create("/none", 1)),
        await outcome(() => PosixSemaphore.create("/none", 1)),
        await outcome(() => PosixSharedMemory.list()),
        await outcome(() => PosixSemaphore.list()),
        await outcome(() => PosixSharedMemory.open("/none")),
        await outcome(() => PosixSemaphore.open("/none")),
      ];
    }, {
      wrapper: [
        ...["unshare", "-m", "sh", "-c"],
        'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec "$@"',
        "sh",
      ],
    });
    const mount = "/dev/shm is not mounted; root mounts it with: " +
      "mkdir -p /dev/shm && mount -t tmpfs none /dev/shm";
    assertEquals(found, [
      `NotSupported: Cannot create /none: ${mount}`,
      `NotSupported: Cannot create /none: ${mount}`,
      `NotSupported: Cannot list shared memory: ${mount}`,
      `NotSupported: Cannot list semaphores: ${mount}`,
      "IpcError: shm_open /none: No such file or directory (ENOENT)",
      "IpcError: sem_open /none: No such file or directory (ENOENT)",
    ]);
  },
);

// --- Locks of others ---------------------------------------------------------

leakTest("reclaim minds no lock on the directory", () => {
  using dir = scratch();
  const path = dir.file("socket");
  stale(path);
  using directory = openRaw(dir.path, O_RDONLY);
  assertEquals(sysFile().flock(directory.fd, LOCK_EX), 0);
  using listener = UnixListener.listen(path, { reclaim: true });
  assertEquals(listener.localAddress, path);
  assertEquals(dir.list(), ["socket"]);
});

leakTest("reclaim while another reclaims says EADDRINUSE at once", () => {
  using dir = scratch();
  const path = dir.file("socket");
  stale(path);
  {
    using other = openRaw(`${path}.reclaim`, O_RDONLY | O_CREAT);
    assertEquals(sysFile().flock(other.fd, LOCK_EX), 0);
    const error = assertThrows(
      () => UnixListener.listen(path, { reclaim: true }),
      IpcError,
    );
    assertEquals(error.code, "EADDRINUSE");
    assertEquals(dir.list(), ["socket", "socket.reclaim"]);
  }
  // One that was killed has left its file, and no lock.
  UnixListener.listen(path, { reclaim: true }).close();
  assertEquals(dir.list(), []);
});
