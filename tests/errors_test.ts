/**
 * What errors say: the fields and messages of IpcError, and the numbers that the
 * kernel gives, each from a real call that fails.
 */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { showKey } from "../ffi/arguments.ts";
import {
  ClosedError,
  Fifo,
  IpcError,
  MemoryMap,
  pipe,
  PipeReader,
  PipeWriter,
  PosixSemaphore,
  SysvMessageQueue,
  SysvSharedMemory,
  UnixListener,
  UnixStream,
} from "../mod.ts";
import { noCompiler, runC } from "./support/c.ts";
import { callText, inChild, outcome, spawnCall } from "./support/child.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { scratch, uniqueKey, uniqueName } from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import { noOtherUser, runAsNobody, spawnAsNobody } from "./support/user.ts";

/** The fields of an IpcError. */
interface Fields {
  code: string;
  errno: number;
  syscall: string;
  subject?: string | undefined;
  limit?: { name: string; value: number | bigint } | undefined;
  message: string;
}

/** Asserts that a call fails with exactly this IpcError. */
async function assertIpcError(call: () => unknown, expected: Fields) {
  const error = await assertRejects(async () => await call(), IpcError);
  const { code, errno, syscall, subject, limit, message } = error;
  assertEquals({ code, errno, syscall, subject, limit, message }, {
    subject: undefined,
    limit: undefined,
    ...expected,
  });
}

// --- The classes -------------------------------------------------------------

const INIT = {
  code: "ENOENT",
  errno: 2,
  syscall: "mq_open",
  description: "No such file or directory",
};

Deno.test("IpcError is an Error with the call, its subject and errno", () => {
  const error = new IpcError({ ...INIT, subject: "/jobs" });
  assert(error instanceof Error);
  assert(!(error instanceof TypeError));
  assertEquals(error.name, "IpcError");
  assertEquals(error.code, "ENOENT");
  assertEquals(error.errno, 2);
  assertEquals(error.syscall, "mq_open");
  assertEquals(error.subject, "/jobs");
  assertEquals(error.limit, undefined);
  assertEquals(
    error.message,
    "mq_open /jobs: No such file or directory (ENOENT)",
  );
  assertEquals(String(error), `IpcError: ${error.message}`);
});

Deno.test("IpcError without a subject names the call alone", () => {
  const error = new IpcError(INIT);
  assertEquals(error.subject, undefined);
  assertEquals(error.message, "mq_open: No such file or directory (ENOENT)");
});

Deno.test("IpcError with a limit says its name and value", () => {
  const name = "/proc/sys/fs/mqueue/msg_max";
  const error = new IpcError({
    ...INIT,
    code: "EINVAL",
    errno: 22,
    description: "Invalid argument",
    subject: "/jobs",
    limit: { name, value: 10 },
  });
  assertEquals(error.limit, { name, value: 10 });
  assertEquals(
    error.message,
    `mq_open /jobs: Invalid argument (EINVAL); ${name} is 10`,
  );
  const value = 2n ** 64n - 1n;
  const large = new IpcError({ ...INIT, limit: { name, value } });
  assertStringIncludes(
    large.message,
    "; /proc/sys/fs/mqueue/msg_max is 1844674",
  );
});

Deno.test("ClosedError is a TypeError that names what is closed", () => {
  const error = new ClosedError("queue key 5");
  assert(error instanceof TypeError);
  assert(!(error instanceof IpcError));
  assertEquals(error.name, "ClosedError");
  assertEquals(error.message, "Cannot use queue key 5: it is closed");
});

Deno.test("IpcError and ClosedError are the same classes at every entry point", async () => {
  const { exports } = JSON.parse(
    Deno.readTextFileSync(new URL("../deno.json", import.meta.url)),
  ) as { exports: Record<string, string> };
  for (const [entry, file] of Object.entries(exports)) {
    if (["./struct", "./cli"].includes(entry)) continue; // export neither
    const module = await import(`../${file}`);
    assert(module.IpcError === IpcError, entry);
    assert(module.ClosedError === ClosedError, entry);
  }
});

leakTest("IpcError prints with its name where it is not caught", async () => {
  await using child = spawnCall(async () => {
    const { Fifo } = await import("../ffi/fifo.ts");
    Fifo.open("/nowhere/fifo");
  });
  const { code, stderr } = await child.ended();
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "IpcError: open /nowhere/fifo: No such file or directory (ENOENT)",
  );
});

// --- The numbers -------------------------------------------------------------

const MISSING = "No such file or directory (ENOENT)";
const EXISTS = "File exists (EEXIST)";
const INVALID = "Invalid argument (EINVAL)";
const REMOVED = "Identifier removed (EIDRM)";

leakTest("Fifo fails with the kernel's numbers", async () => {
  using dir = scratch();
  const path = `${dir.path}/fifo`;
  const away = `${dir.path}/away/fifo`;
  const file = dir.file("file", "text");
  Deno.symlinkSync("loop", `${dir.path}/loop`);
  using fifo = Fifo.create(path);
  await assertIpcError(() => Fifo.create(path), {
    code: "EEXIST",
    errno: 17,
    syscall: "mkfifo",
    subject: path,
    message: `mkfifo ${path}: ${EXISTS}`,
  });
  await assertIpcError(() => Fifo.create(away), {
    code: "ENOENT",
    errno: 2,
    syscall: "mkfifo",
    subject: away,
    message: `mkfifo ${away}: ${MISSING}`,
  });
  await assertIpcError(() => Fifo.open(away), {
    code: "ENOENT",
    errno: 2,
    syscall: "open",
    subject: away,
    message: `open ${away}: ${MISSING}`,
  });
  await assertIpcError(() => Fifo.open(`${file}/fifo`), {
    code: "ENOTDIR",
    errno: 20,
    syscall: "open",
    subject: `${file}/fifo`,
    message: `open ${file}/fifo: Not a directory (ENOTDIR)`,
  });
  await assertIpcError(() => Fifo.open(`${dir.path}/loop`), {
    code: "ELOOP",
    errno: 40,
    syscall: "open",
    subject: `${dir.path}/loop`,
    message: `open ${dir.path}/loop: Too many levels of symbolic links (ELOOP)`,
  });
  const message = `Cannot use ${file} as a FIFO: it is a file of another type`;
  assertEquals(
    assertThrows(() => Fifo.open(file), TypeError).message,
    message,
  );

  Deno.renameSync(path, `${path}2`);
  const gone = assertThrows(() => fifo.unlink(), IpcError);
  assertEquals([gone.code, gone.subject], ["ENOENT", path]);
  dir.file("fifo", "another file of this name");
  await assertIpcError(() => fifo.unlink(), {
    code: "ENOENT",
    errno: 2,
    syscall: "unlink",
    subject: path,
    message: `unlink ${path}: ${MISSING}`,
  });
  assertEquals(dir.list(), ["fifo", "fifo2", "file", "loop"]);
});

leakTest("pipe() and its ends fail with the kernel's numbers", async () => {
  const { reader, writer } = pipe();
  reader.close();
  const broken = {
    code: "EPIPE",
    errno: 32,
    syscall: "write",
    subject: "pipe",
    message: "write pipe: Broken pipe (EPIPE)",
  };
  await assertIpcError(() => writer.writeSync(new Uint8Array(1)), broken);
  await assertIpcError(() => writer.write(new Uint8Array(1)), broken);
  await assertIpcError(() => writer.tryWrite(new Uint8Array(1)), broken);
  writer.close();
  for (const end of [PipeReader, PipeWriter]) {
    await assertIpcError(() => end.fromFd(0x7fffffff), {
      code: "EBADF",
      errno: 9,
      syscall: "fcntl",
      subject: "descriptor 2147483647",
      message: "fcntl descriptor 2147483647: Bad file descriptor (EBADF)",
    });
  }
  await assertIpcError(() => PipeReader.fromFd(0x7fffffff, { name: "jobs" }), {
    code: "EBADF",
    errno: 9,
    syscall: "fcntl",
    subject: "jobs",
    message: "fcntl jobs: Bad file descriptor (EBADF)",
  });
});

leakTest("PipeReader.fromFd() leaves what it refuses as it was", () => {
  using dir = scratch();
  using file = Deno.openSync(dir.file("file", "text"));
  const fd = Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => name)
    .find((fd) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${fd}`).endsWith("/file");
      } catch {
        return false;
      }
    });
  const error = assertThrows(() => PipeReader.fromFd(Number(fd)), TypeError);
  assertEquals(
    error.message,
    `Argument "fd" must be a pipe or FIFO: ${fd} is not`,
  );
  assertEquals(file.readSync(new Uint8Array(8)), 4);
  using ends = pipe();
  assertEquals(
    assertThrows(() => PipeReader.fromFd(ends.writer.fd), TypeError).message,
    `Argument "fd" must be open for reading: ${ends.writer.fd} is the other end`,
  );
  assertEquals(
    assertThrows(() => PipeWriter.fromFd(ends.reader.fd), TypeError).message,
    `Argument "fd" must be open for writing: ${ends.reader.fd} is the other end`,
  );
  assertEquals(ends.writer.writeSync(new Uint8Array(2)), 2);
});

leakTest("SysvMessageQueue fails with the kernel's numbers", async () => {
  const key = uniqueKey();
  const subject = `queue key ${showKey(key)}`;
  await assertIpcError(() => SysvMessageQueue.open(key), {
    code: "ENOENT",
    errno: 2,
    syscall: "msgget",
    subject,
    message: `msgget ${subject}: ${MISSING}`,
  });
  await assertIpcError(() => SysvMessageQueue.fromId(0x7fffffff), {
    code: "EIDRM",
    errno: 43,
    syscall: "msgctl",
    subject: "queue id 2147483647",
    message: `msgctl queue id 2147483647: ${REMOVED}`,
  });
  const queue = SysvMessageQueue.create(key);
  try {
    await assertIpcError(() => SysvMessageQueue.create(key), {
      code: "EEXIST",
      errno: 17,
      syscall: "msgget",
      subject,
      message: `msgget ${subject}: ${EXISTS}`,
    });
    const name = "/proc/sys/kernel/msgmax";
    const value = Number(Deno.readTextFileSync(name));
    for (const send of ["sendSync", "trySend"] as const) {
      await assertIpcError(() => queue[send](new Uint8Array(value + 1)), {
        code: "EINVAL",
        errno: 22,
        syscall: "msgsnd",
        subject,
        limit: { name, value },
        message: `msgsnd ${subject}: ${INVALID}; ${name} is ${value}`,
      });
    }
    assertEquals(queue.stat().messages, 0);
  } finally {
    queue.remove();
  }
  const removed = (syscall: string) => ({
    code: "EIDRM",
    errno: 43,
    syscall,
    subject,
    message: `${syscall} ${subject}: ${REMOVED}`,
  });
  const data = new Uint8Array(1);
  await assertIpcError(() => queue.sendSync(data), removed("msgsnd"));
  await assertIpcError(() => queue.trySend(data), removed("msgsnd"));
  await assertIpcError(() => queue.receiveSync(), removed("msgrcv"));
  await assertIpcError(() => queue.tryReceive(), removed("msgrcv"));
  for (const call of [() => queue.stat(), () => queue.remove()]) {
    const { code, syscall } = assertThrows(call, IpcError);
    assert(["EIDRM", "EINVAL"].includes(code), code);
    assertEquals(syscall, "msgctl");
  }
});

leakTest(
  "SysvMessageQueue.sendSync() refuses what the queue can never hold",
  { needs: [noCompiler] },
  async () => {
    using queue = SysvMessageQueue.create(null);
    try {
      await runC(`
        #include <sys/msg.h>
        int main(void) {
          struct msqid_ds ds;
          if (msgctl(${queue.id}, IPC_STAT, &ds) != 0) return 1;
          ds.msg_qbytes = 10;
          return msgctl(${queue.id}, IPC_SET, &ds) != 0;
        }`);
      await assertIpcError(() => queue.sendSync(new Uint8Array(11)), {
        code: "EINVAL",
        errno: 22,
        syscall: "msgsnd",
        subject: "private queue",
        limit: { name: "msg_qbytes", value: 10 },
        message: `msgsnd private queue: ${INVALID}; msg_qbytes is 10`,
      });
    } finally {
      queue.remove();
    }
  },
);

leakTest("SysvSharedMemory fails with the kernel's numbers", async () => {
  const key = uniqueKey();
  const subject = `shared memory key ${showKey(key)}`;
  await assertIpcError(() => SysvSharedMemory.open(key), {
    code: "ENOENT",
    errno: 2,
    syscall: "shmget",
    subject,
    message: `shmget ${subject}: ${MISSING}`,
  });
  await assertIpcError(() => SysvSharedMemory.fromId(0x7fffffff), {
    code: "EIDRM",
    errno: 43,
    syscall: "shmat",
    subject: "shared memory id 2147483647",
    message: "shmat shared memory id 2147483647: Identifier removed (EIDRM)",
  });
  using memory = SysvSharedMemory.create(key, 100);
  try {
    await assertIpcError(() => SysvSharedMemory.create(key, 100), {
      code: "EEXIST",
      errno: 17,
      syscall: "shmget",
      subject,
      message: `shmget ${subject}: ${EXISTS}`,
    });
    const message =
      `Argument "size" must be at most 100 (the size of ${subject}): 101`;
    for (
      const call of [
        () => SysvSharedMemory.open(key, { size: 101 }),
        () => SysvSharedMemory.openOrCreate(key, 101),
      ]
    ) {
      assertEquals(assertThrows(call, RangeError).message, message);
    }
    assertEquals(memory.stat().attachments, 1);
  } finally {
    memory.remove();
  }
  // Nobody finds it any more; who has it goes on using it.
  const { code } = assertThrows(() => SysvSharedMemory.open(key), IpcError);
  assertEquals(code, "ENOENT");
  assertEquals(memory.stat().size, 100);
});

leakTest("MemoryMap fails with the kernel's numbers", async () => {
  using dir = scratch();
  const path = dir.file("file", "text");
  const away = `${dir.path}/away/file`;
  await assertIpcError(() => MemoryMap.open(away), {
    code: "ENOENT",
    errno: 2,
    syscall: "open",
    subject: away,
    message: `open ${away}: ${MISSING}`,
  });
  await assertIpcError(() => MemoryMap.create(path, 4), {
    code: "EEXIST",
    errno: 17,
    syscall: "open",
    subject: path,
    message: `open ${path}: ${EXISTS}`,
  });
  assertEquals(Deno.readTextFileSync(path), "text");
  using fifo = Fifo.create(`${dir.path}/fifo`);
  for (const other of [fifo.path, dir.path, "/dev/zero"]) {
    assertEquals(
      assertThrows(() => MemoryMap.open(other), TypeError).message,
      `Cannot map ${other}: it is not a regular file`,
    );
  }
});

leakTest("PosixSemaphore fails with the kernel's numbers", async () => {
  const name = uniqueName();
  const missing = {
    code: "ENOENT",
    errno: 2,
    syscall: "sem_open",
    subject: name,
    message: `sem_open ${name}: ${MISSING}`,
  };
  await assertIpcError(() => PosixSemaphore.open(name), missing);
  await assertIpcError(() => PosixSemaphore.unlink(name), {
    ...missing,
    syscall: "sem_unlink",
    message: `sem_unlink ${name}: ${MISSING}`,
  });
  using semaphore = PosixSemaphore.create(name, 0x7fffffff);
  try {
    await assertIpcError(() => PosixSemaphore.create(name, 1), {
      code: "EEXIST",
      errno: 17,
      syscall: "sem_open",
      subject: name,
      message: `sem_open ${name}: ${EXISTS}`,
    });
    await assertIpcError(() => semaphore.release(), {
      code: "EOVERFLOW",
      errno: 75,
      syscall: "sem_post",
      subject: `semaphore ${name}`,
      message:
        `sem_post semaphore ${name}: Value too large for defined data type (EOVERFLOW)`,
    });
  } finally {
    PosixSemaphore.unlink(name);
  }
});

leakTest(
  "UnixListener and UnixStream fail with the kernel's numbers",
  async () => {
    using dir = scratch();
    const path = `${dir.path}/socket`;
    const file = dir.file("file", "text");
    const missing = {
      code: "ENOENT",
      errno: 2,
      syscall: "connect",
      subject: path,
      message: `connect ${path}: ${MISSING}`,
    };
    await assertIpcError(() => UnixStream.connectSync(path), missing);
    await assertIpcError(() => UnixStream.connect(path), missing);
    const refused = {
      code: "ECONNREFUSED",
      errno: 111,
      syscall: "connect",
      subject: file,
      message: `connect ${file}: Connection refused (ECONNREFUSED)`,
    };
    await assertIpcError(() => UnixStream.connectSync(file), refused);
    await assertIpcError(() => UnixStream.connect(file), refused);
    const inUse = (path: string) => ({
      code: "EADDRINUSE",
      errno: 98,
      syscall: "bind",
      subject: path,
      message: `bind ${path}: Address already in use (EADDRINUSE)`,
    });
    await assertIpcError(() => UnixListener.listen(file), inUse(file));
    await assertIpcError(
      () => UnixListener.listen(file, { reclaim: true }),
      inUse(file),
    );
    using _listener = UnixListener.listen(path);
    await assertIpcError(() => UnixListener.listen(path), inUse(path));
    await assertIpcError(
      () => UnixListener.listen(path, { reclaim: true }),
      inUse(path),
    );
    await assertIpcError(() => UnixListener.listen(`${dir.path}/away/s`), {
      code: "ENOENT",
      errno: 2,
      syscall: "bind",
      subject: `${dir.path}/away/s`,
      message: `bind ${dir.path}/away/s: ${MISSING}`,
    });
    assertEquals(dir.list(), ["file", "socket"]);
    assertEquals(Deno.readTextFileSync(file), "text");
  },
);

// --- Permissions -------------------------------------------------------------

leakTest(
  "another user's objects are refused with EACCES and EPERM",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o755); // to search, not to write
    const key = uniqueKey();
    const name = uniqueName();
    using fifo = Fifo.create(`${dir.path}/fifo`);
    using queue = SysvMessageQueue.create(key);
    using memory = SysvSharedMemory.create(key, 10);
    using _semaphore = PosixSemaphore.create(name, 1);
    using _listener = UnixListener.listen(`${dir.path}/socket`);
    dir.file("file", "text");
    Deno.chmodSync(`${dir.path}/file`, 0o600);
    try {
      const { stdout } = await runAsNobody(callText(
        async ({ path, key, name }) => {
          const ipc = await import("@linux/ipc");
          const fifo = ipc.Fifo.open(`${path}/fifo`);
          const queue = ipc.SysvMessageQueue.open(key);
          const calls: Record<string, () => unknown> = {
            "mkfifo": () => ipc.Fifo.create(`${path}/new`),
            "FIFO for both": () => fifo.openBoth(),
            "FIFO for reading": () => fifo.openReaderSync(),
            "FIFO for writing": () => fifo.tryOpenWriter(),
            "FIFO's name": () => fifo.unlink(),
            "queue, send": () => queue.trySend(new Uint8Array(1)),
            "queue, wait to send": () => queue.sendSync(new Uint8Array(1)),
            "queue, receive": () => queue.tryReceive(),
            "queue, stat": () => queue.stat(),
            "queue, open or create": () =>
              ipc.SysvMessageQueue.openOrCreate(key),
            "queue, remove": () => queue.remove(),
            "memory, open": () => ipc.SysvSharedMemory.open(key),
            "memory, create": () => ipc.SysvSharedMemory.openOrCreate(key, 10),
            "map, open": () => ipc.MemoryMap.open(`${path}/file`),
            "map, private": () =>
              ipc.MemoryMap.open(`${path}/file`, { private: true }),
            "map, create": () => ipc.MemoryMap.create(`${path}/new`, 10),
            "semaphore": () => ipc.PosixSemaphore.open(name),
            "semaphore, create": () => ipc.PosixSemaphore.openOrCreate(name, 1),
            "semaphore's name": () => ipc.PosixSemaphore.unlink(name),
            "connect": () => ipc.UnixStream.connectSync(`${path}/socket`),
            "connect asynchronously": () =>
              ipc.UnixStream.connect(`${path}/socket`),
            "listen": () => ipc.UnixListener.listen(`${path}/new`),
          };
          const codes: Record<string, string> = {};
          for (const [title, call] of Object.entries(calls)) {
            try {
              await call();
              codes[title] = "allowed";
            } catch (error) {
              const { syscall, code } = error as IpcError;
              codes[title] = `${syscall} ${code}`;
            }
          }
          console.log(JSON.stringify(codes));
        },
        { path: dir.path, key, name },
      ));
      assertEquals(JSON.parse(stdout), {
        "mkfifo": "mkfifo EACCES",
        "FIFO for both": "open EACCES",
        "FIFO for reading": "open EACCES",
        "FIFO for writing": "open EACCES",
        "FIFO's name": "unlink EACCES",
        "queue, send": "msgsnd EACCES",
        "queue, wait to send": "msgsnd EACCES",
        "queue, receive": "msgrcv EACCES",
        "queue, stat": "msgctl EACCES",
        "queue, open or create": "msgget EACCES",
        "queue, remove": "msgctl EPERM",
        "memory, open": "shmat EACCES",
        "memory, create": "shmget EACCES",
        "map, open": "open EACCES",
        "map, private": "open EACCES",
        "map, create": "open EACCES",
        "semaphore": "sem_open EACCES",
        "semaphore, create": "sem_open EACCES",
        // /dev/shm is sticky, and glibc makes no difference.
        "semaphore's name": "sem_unlink EACCES",
        "connect": "connect EACCES",
        "connect asynchronously": "connect EACCES",
        "listen": "bind EACCES",
      });
      assertEquals(dir.list(), ["fifo", "file", "socket"]);
    } finally {
      fifo.unlink();
      queue.remove();
      memory.remove();
      PosixSemaphore.unlink(name);
    }
  },
);

leakTest(
  "SysvMessageQueue.sendSync() waits for room where it may only write",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    using queue = SysvMessageQueue.create(key, { mode: 0o622 });
    try {
      const full = new Uint8Array(8000);
      while (queue.trySend(full));
      await using child = spawnAsNobody(callText(
        async (key) => {
          const { SysvMessageQueue } = await import("@linux/ipc/message-queue");
          const queue = SysvMessageQueue.open(key);
          console.log(queue.trySend(new Uint8Array(8000)) ? "room" : "full");
          queue.sendSync(new Uint8Array(8000));
        },
        key,
      ));
      await child.expect("full\n");
      await child.settled().catch(() => {}); // it waits, or has failed already
      queue.receiveSync();
      const { code, stderr } = await child.ended();
      assertEquals(stderr, "");
      assertEquals(code, 0);
    } finally {
      queue.remove();
    }
  },
);

// --- The system's limits -----------------------------------------------------

const noNamespace = reasonAgainst("make an IPC namespace", [
  ...["unshare", "--ipc", "sh", "-c", "echo 2 >/proc/sys/kernel/msgmni"],
]);

/** Runs a command where a limit of the kernel is set, for it alone. */
function withLimit(name: string, value: number): string[] {
  const script = `echo ${value} >/proc/sys/kernel/${name} && exec "$@"`;
  return ["unshare", "--ipc", "--", "sh", "-c", script, "sh"];
}

/** The second of two objects is one too many. */
async function createTwo(kind: "queue" | "memory") {
  const { IpcError, SysvMessageQueue } = await import(
    "../ffi/message_queue.ts"
  );
  const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
  const create = () =>
    kind === "queue"
      ? SysvMessageQueue.create(null)
      : SysvSharedMemory.create(null, 4096);
  using first = create();
  try {
    create().remove();
    return null;
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    const { code, limit, message } = error;
    return { code, limit, message };
  } finally {
    first.remove();
  }
}

leakTest(
  "SysvMessageQueue.create() names the limit of queues",
  { needs: [noNamespace] },
  async () => {
    const name = "/proc/sys/kernel/msgmni";
    assertEquals(
      await inChild(createTwo, {
        argument: "queue",
        wrapper: withLimit("msgmni", 1),
      }),
      {
        code: "ENOSPC",
        limit: { name, value: 1 },
        message:
          `msgget private queue: No space left on device (ENOSPC); ${name} is 1`,
      },
    );
  },
);

leakTest(
  "SysvSharedMemory.create() names the limit of segments",
  { needs: [noNamespace] },
  async () => {
    const name = "/proc/sys/kernel/shmmni";
    assertEquals(
      await inChild(createTwo, {
        argument: "memory",
        wrapper: withLimit("shmmni", 1),
      }),
      {
        code: "ENOSPC",
        limit: { name, value: 1 },
        message:
          `shmget private shared memory: No space left on device (ENOSPC); ${name} is 1`,
      },
    );
  },
);

leakTest(
  "SysvSharedMemory.create() names the limit of all segments together",
  { needs: [noNamespace] },
  async () => {
    const name = "/proc/sys/kernel/shmall"; // in pages
    assertEquals(
      await inChild(createTwo, {
        argument: "memory",
        wrapper: withLimit("shmall", 1),
      }),
      {
        code: "ENOSPC",
        limit: { name, value: 1 },
        message:
          `shmget private shared memory: No space left on device (ENOSPC); ${name} is 1`,
      },
    );
  },
);

leakTest(
  "SysvSharedMemory.create() names the limit of one segment",
  { needs: [noNamespace] },
  async () => {
    const name = "/proc/sys/kernel/shmmax";
    assertEquals(
      await inChild(createTwo, {
        argument: "memory",
        wrapper: withLimit("shmmax", 4095),
      }).catch((error: Error) => error.message.match(/IpcError: (.*)/)?.[1]),
      `shmget private shared memory: ${INVALID}; ${name} is 4095`,
    );
  },
);

leakTest(
  "SysvSharedMemory.create() beyond all memory leaves no segment",
  async () => {
    const key = uniqueKey();
    const { code } = assertThrows(
      () => SysvSharedMemory.create(key, Number.MAX_SAFE_INTEGER),
      IpcError,
    );
    assert(["ENOMEM", "ENOSPC", "EINVAL"].includes(code), code);
    assert(!sysvTable("shm").some((row) => row.key === key));
    const message = await outcome(() =>
      MemoryMap.anonymous(Number.MAX_SAFE_INTEGER)
    );
    assertEquals(
      message,
      "IpcError: mmap anonymous memory: Cannot allocate memory (ENOMEM)",
    );
  },
);
