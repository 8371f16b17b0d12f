/**
 * What the man pages say of open(2), mmap(2), mremap(2), mlock(2), posix_fallocate(3),
 * shmget(2), shmctl(2) and memfd_create(2) under ERRORS, where the tests of one class do
 * not provoke it.
 *
 * Not provoked: EIO and EDQUOT (no device that fails, and no quota), EFBIG of files below
 * RLIMIT_FSIZE (its limit differs by file system), ENFILE (a limit of the whole system),
 * EPERM of fchmod (a file system without modes), EAGAIN and EIO of madvise, ENODEV of
 * huge pages (a kernel without them).
 */
import { assertEquals } from "@std/assert";
import { fcntl, O_RDONLY, O_WRONLY } from "../ffi/libc/fcntl.ts";
import { unistd } from "../ffi/libc/unistd.ts";
import { MemoryMap } from "../ffi/memory_map.ts";
import { MemoryFile } from "../ffi/shared_memory.ts";
import { assertRefused } from "./support/asserts.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { unshareFlags } from "./support/namespaces.ts";
import { exists, succeeds } from "./support/process.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

/** A regular file of 4096 bytes that cannot be mapped. */
const UNMAPPABLE = "/sys/kernel/uevent_seqnum";

/** Runs a function with a raw descriptor. */
function withFd(path: string, flags: number, use: (fd: number) => void): void {
  const fd = fcntl().open(new TextEncoder().encode(`${path}\0`), flags, 0);
  try {
    use(fd);
  } finally {
    unistd().close(fd);
  }
}

leakTest("mmap: EACCES if the descriptor is not open for that", () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  const ways = [{}, { private: true }, { readonly: true }];
  withFd(path, O_WRONLY, (fd) => {
    for (const how of ways) {
      assertRefused(() => MemoryMap.fromFd(fd, how), "EACCES", "mmap");
    }
  });
  withFd(path, O_RDONLY, (fd) => {
    assertRefused(() => MemoryMap.fromFd(fd), "EACCES", "mmap");
    for (const how of ways.slice(1)) MemoryMap.fromFd(fd, how).close();
  });
});

leakTest("mmap: EBADF if there is no such descriptor", () => {
  const none = 0x7fffffff;
  assertRefused(() => MemoryMap.fromFd(none), "EBADF", "statx");
  assertRefused(() => MemoryFile.fromFd(none), "EBADF", "fcntl");
});

leakTest("mmap: EPERM if the file is sealed against writes", () => {
  using file = MemoryFile.create("test", 1);
  file.seal(["write"]);
  assertRefused(() => file.map(), "EPERM", "mmap", "memory file test");
  file.seal(["seal"]);
  assertRefused(() => file.seal(["grow"]), "EPERM", "fcntl");
});

leakTest("mmap: ENODEV if there is nothing behind the file", {
  needs: [exists(UNMAPPABLE) ? null : `there is no ${UNMAPPABLE}`],
}, () => {
  const open = () => MemoryMap.open(UNMAPPABLE, { readonly: true });
  assertRefused(open, "ENODEV", "mmap", UNMAPPABLE);
});

leakTest("open: the errors of a path", {
  needs: [unshareFlags("--mount", "true") ? null : "nothing may be mounted"],
}, async () => {
  using dir = scratch();
  const file = dir.file("data", "hello");
  const program = dir.file("program", Deno.readFileSync("/bin/sleep"));
  Deno.chmodSync(program, 0o755);
  Deno.symlinkSync("loop", dir.file("loop"));
  Deno.mkdirSync(dir.file("fixed"));
  const told = await inChild(
    async ({ dir, file, program }) => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const { outcome } = await import("./support/child.ts");
      const running = new Deno.Command(program, { args: ["60"] }).spawn();
      const paths: Record<string, string> = {
        ENOENT: `${dir}/none`,
        ENOTDIR: `${file}/none`,
        ELOOP: `${dir}/loop`,
        EROFS: `${dir}/fixed/data`,
        ETXTBSY: program,
        "ELOOP of a directory": `${dir}/loop/data`,
        "EROFS of a directory": `${dir}/fixed/none`,
      };
      const told: Record<string, string[]> = {};
      for (const [code, path] of Object.entries(paths)) {
        const codes = [];
        for (
          const call of [
            () => MemoryMap.open(path),
            () => MemoryMap.open(path, { readonly: true }),
            () => MemoryMap.open(path, { private: true }),
            () => MemoryMap.create(path, 1),
            () => MemoryMap.create(`${path}/`, 1),
          ]
        ) {
          const text = await outcome(call);
          codes.push(text.match(/\((E\w+)\)$/)?.[1] ?? text);
        }
        told[code] = codes;
      }
      running.kill();
      await running.status;
      return told;
    },
    {
      argument: { dir: dir.path, file, program },
      wrapper: [
        "unshare",
        ...unshareFlags("--mount", "true")!,
        "/bin/sh",
        "-c",
        `mount -t tmpfs t ${dir.file("fixed")} && ` +
        `echo hello > ${dir.file("fixed/data")} && ` +
        `mount -o remount,bind,ro ${dir.file("fixed")} && exec "$0" "$@"`,
      ],
    },
  );
  // To map, to map for reading, to map privately, to create, to create with a slash.
  assertEquals(told, {
    ENOENT: ["ENOENT", "ENOENT", "ENOENT", "returns", "EISDIR"],
    ENOTDIR: ["ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
    ELOOP: ["ELOOP", "ELOOP", "ELOOP", "EEXIST", "EISDIR"],
    "ELOOP of a directory": ["ELOOP", "ELOOP", "ELOOP", "ELOOP", "ELOOP"],
    EROFS: ["EROFS", "returns", "returns", "EEXIST", "EISDIR"],
    "EROFS of a directory": ["ENOENT", "ENOENT", "ENOENT", "EROFS", "EISDIR"],
    ETXTBSY: ["ETXTBSY", "returns", "returns", "EEXIST", "EISDIR"],
  });
});

leakTest("mremap: EINVAL above the addresses of a process", () => {
  using map = MemoryMap.anonymous(8, { private: true });
  map.bytes[7] = 80;
  for (const size of [2 ** 48, 2 ** 53 - 1]) {
    assertRefused(() => map.resize(size), "EINVAL", "mremap");
  }
  assertEquals(map.bytes[7], 80);
});

leakTest("mremap: ENOMEM if there are not as many addresses", () => {
  using map = MemoryMap.anonymous(8, { private: true });
  map.bytes[7] = 80;
  assertRefused(() => map.resize(2 ** 46), "ENOMEM", "mremap");
  assertEquals(map.bytes[7], 80);
});

leakTest("memfd_create: EMFILE, and nothing is left", async () => {
  const told = await inChild(async () => {
    const { MemoryFile } = await import("../ffi/shared_memory.ts");
    const { outcome } = await import("./support/child.ts");
    MemoryFile.create("before", 1).close();
    const files = [];
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch {
      // No descriptor is left.
    }
    const error = await outcome(() => MemoryFile.create("test", 1));
    files.pop()!.close();
    const file = MemoryFile.create("test", 1);
    const own = await outcome(() => file.map().close());
    const kept = await outcome(() => file.map({ readonly: true }).close());
    for (const file of files) file.close();
    return [error, own, kept];
  }, { wrapper: ["/bin/sh", "-c", 'ulimit -n 60; exec "$0" "$@"'] });
  assertEquals(told, [
    "IpcError: memfd_create memory file test: Too many open files (EMFILE); RLIMIT_NOFILE is 60",
    "returns",
    "returns",
  ]);
});

leakTest("mremap, mlock, shmctl, shmget: what others may not lock", {
  needs: [noOtherUser],
}, async () => {
  const { stdout } = await runAsNobody(`
    import { MemoryMap } from "@linux/ipc/memory-map";
    import { SysvSharedMemory } from "@linux/ipc/shared-memory";
    const RLIMIT_MEMLOCK = 8;
    const { setrlimit } = Deno.dlopen("libc.so.6", {
      setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    }).symbols;
    function limit(bytes) {
      setrlimit(RLIMIT_MEMLOCK, new BigUint64Array([bytes, bytes]));
    }
    function tell(call) {
      try {
        console.log(call());
      } catch ({ syscall, code }) {
        console.log(syscall, code);
      }
    }
    using map = MemoryMap.anonymous(65536, { private: true });
    using segment = SysvSharedMemory.create(null, 1 << 20);
    segment.remove();
    limit(65536n);
    tell(() => map.lock());
    tell(() => map.resize(1 << 20));
    tell(() => segment.lockSegment());
    map.unlock();
    limit(0n);
    tell(() => map.lock());
    tell(() => segment.lockSegment());
    tell(() => SysvSharedMemory.create(null, 1 << 21, { hugePages: true }));
  `);
  assertEquals(stdout.trimEnd().split("\n"), [
    "undefined",
    "mremap EAGAIN",
    "shmctl ENOMEM",
    "mlock EPERM",
    "shmctl EPERM",
    "shmget EPERM",
  ]);
});

// --- signals and space -------------------------------------------------------

/** A wrapper that interrupts calls of fallocate. */
function interrupting(when: string): string[] {
  const inject = `inject=fallocate:error=EINTR:when=${when}`;
  const quiet = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fallocate"];
  return ["strace", ...quiet, "-e", inject];
}

const noStrace = succeeds("strace", ...interrupting("1").slice(1), "true")
  ? null
  : "no strace(1), or no right to trace";

for (
  const { title, when, expected } of [
    {
      title: "that never ends is an error, and nothing is left",
      when: "1+",
      expected: ["EINTR", "EINTR", "EINTR", 5, 0],
    },
    {
      title: "for a while takes smaller steps",
      when: "1..40",
      expected: ["returns", "returns", "returns", 300_000, 2],
    },
  ]
) {
  leakTest(`posix_fallocate: a row of signals ${title}`, {
    needs: [noStrace],
  }, async () => {
    using dir = scratch();
    const name = uniqueName();
    const path = dir.file("data", "hello");
    const told = await inChild(async ({ path, name }) => {
      const { MemoryMap, PosixSharedMemory } = await import(
        "../ffi/shared_memory.ts"
      );
      const { outcome } = await import("./support/child.ts");
      using map = MemoryMap.open(path, { resizable: true });
      const told = [];
      for (
        const call of [
          () => map.resize(300_000),
          () => MemoryMap.create(`${path}.new`, 300_000).close(),
          () => PosixSharedMemory.create(name, 300_000).close(),
        ]
      ) {
        const text = await outcome(call);
        told.push(text.match(/\((E\w+)\)/)?.[1] ?? text);
      }
      const left = [`${path}.new`, `/dev/shm${name}`].filter((path) => {
        try {
          const { size } = Deno.statSync(path);
          Deno.removeSync(path);
          return size === 300_000;
        } catch {
          return false;
        }
      });
      return [...told, map.size, left.length];
    }, { argument: { path, name }, wrapper: interrupting(when) });
    assertEquals(told, expected);
  });
}

const mounts = unshareFlags("--mount", "mount", "-t", "tmpfs", "t", "/dev/shm");

/** A wrapper with a /dev/shm of its own. */
function withShm(options: string): string[] {
  const script = `mount -t tmpfs -o ${options} t /dev/shm && exec "$0" "$@"`;
  return ["unshare", ...mounts!, "/bin/sh", "-c", script];
}

for (
  const { options, expected } of [
    {
      options: "size=64k",
      expected:
        "size of the file system (mount option size; for /dev/shm in a " +
        "container, docker run --shm-size) is 65536",
    },
    {
      options: "nr_inodes=2",
      expected: "most files of the file system (mount option nr_inodes) is 2",
    },
  ]
) {
  leakTest(`ENOSPC: the limit of /dev/shm with ${options}`, {
    needs: [mounts === undefined ? "nothing may be mounted" : null],
  }, async () => {
    const told = await inChild(async () => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      const { outcome } = await import("./support/child.ts");
      const told = [
        await outcome(() => {
          for (let i = 0;; i++) PosixSharedMemory.create(`/${i}`, 4096);
        }),
        await outcome(() => {
          for (let i = 0;; i++) PosixSemaphore.create(`/${i}`, 0);
        }),
      ];
      return told.map((text) => text.split("(ENOSPC); ")[1] ?? text);
    }, { wrapper: withShm(options) });
    assertEquals(told, [expected, expected]);
  });
}

leakTest("ENOSPC: where a hole cannot be filled, methods say EFAULT", {
  needs: [mounts === undefined ? "nothing may be mounted" : null],
}, async () => {
  const told = await inChild(async () => {
    const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
    const { outcome } = await import("./support/child.ts");
    const size = 1 << 20;
    using memory = PosixSharedMemory.create("/a", size, { reserve: false });
    const told = [];
    for (
      const call of [
        () => memory.write(0, new Uint8Array(size)),
        () => memory.read(0, size),
        () => memory.indexOf(1),
        () => memory.notify(size - 4),
        () => memory.waitSync(size - 4, 1),
      ]
    ) told.push((await outcome(call)).match(/\((E\w+)\)/)?.[1]);
    return told;
  }, { wrapper: withShm("size=64k") });
  assertEquals(told, Array(5).fill("EFAULT"));
});
