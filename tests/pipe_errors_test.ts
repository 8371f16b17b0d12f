/**
 * What the man pages say under ERRORS of pipe2(2), mkfifo(3), open(2) of a FIFO, read(2),
 * write(2), fcntl(2), ioctl(2), unlink(2), chmod(2), splice(2), tee(2) and epoll(7), each
 * provoked in one table.
 *
 * Not provoked, because a file system or a kernel without faults does not have them here:
 * EDQUOT (mkfifo: a quota), EIO (read, write, open, splice), ENOMEM, ENFILE (the limit of
 * the whole system), EFAULT and EINTR (addresses and signals are not the caller's),
 * ENOTSUP and EOPNOTSUPP (file systems without FIFOs), EOVERFLOW (offsets of 32 bits).
 */
import { assertEquals } from "@std/assert";
import { O_PATH, O_RDWR } from "../ffi/libc/fcntl.ts";
import { Fifo } from "../ffi/fifo.ts";
import { pipe, PipeReader, PipeWriter, splice, tee } from "../ffi/pipe.ts";
import { waitReadable } from "../ffi/wait.ts";
import { inChild, outcome } from "./support/child.ts";
import { openRaw } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { reasonAgainst, unshareFlags } from "./support/namespaces.ts";
import { scratch } from "./support/names.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

const NO_FD = 0x7fffffff;
const LONG = "x".repeat(200);

/** What a call is refused with, as `syscall code`. */
async function refusal(call: () => unknown): Promise<string> {
  const text = await outcome(call);
  return text.replace(/^IpcError: (\w+).*\((E\w+)\).*/s, "$1 $2");
}

leakTest(
  "calls on pipes and FIFOs are refused as the man pages say",
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    const file = dir.file("file", "text");
    Deno.symlinkSync("loop", `${dir.path}/loop`);
    using ends = pipe();
    using other = pipe();
    using broken = pipe();
    broken.reader.close();
    ends.writer.writeSync(new Uint8Array(10_000));
    using bare = openRaw(path, O_PATH);
    using plain = openRaw(file, O_RDWR);
    const one = new Uint8Array(1);
    const cases: [string, () => unknown][] = [
      ["mkfifo EEXIST", () => Fifo.create(path)],
      ["mkfifo ENOENT", () => Fifo.create(`${dir.path}/none/fifo`)],
      ["mkfifo ENOTDIR", () => Fifo.create(`${file}/fifo`)],
      ["mkfifo ELOOP", () => Fifo.create(`${dir.path}/loop/fifo`)],
      ["open ENOENT", () => Fifo.open(`${dir.path}/none`)],
      ["open ENOTDIR", () => Fifo.open(`${file}/fifo`)],
      ["open ELOOP", () => Fifo.open(`${dir.path}/loop`)],
      ["fcntl EBADF", () => PipeReader.fromFd(NO_FD)],
      ["fcntl EBADF", () => PipeWriter.fromFd(NO_FD)],
      ["fcntl EBADF", () => PipeReader.fromFd(bare.fd)],
      ["fcntl EBUSY", () => ends.writer.setCapacity(4096)],
      ["write EPIPE", () => broken.writer.writeSync(one)],
      ["write EPIPE", () => broken.writer.tryWrite(one)],
      ["write EPIPE", () => broken.writer.write(one)],
      ["splice EINVAL", () => splice(plain.fd, plain.fd, 1)],
      ["splice EBADF", () => splice(NO_FD, ends.writer, 1)],
      ["splice EBADF", () => splice(ends.writer, other.writer, 1)],
      ["splice EINVAL", () => splice(ends.reader, ends.writer, 1)],
      ["splice EPIPE", () => splice(ends.reader, broken.writer, 1)],
      ["tee EBADF", () => tee(NO_FD, ends.writer, 1)],
      ["tee EBADF", () => tee(ends.writer, other.writer, 1)],
      ["tee EINVAL", () => tee(ends.reader, ends.writer, 1)],
      ["tee EPIPE", () => tee(ends.reader, broken.writer, 1)],
      ["poll EBADF", () => waitReadable(NO_FD)],
    ];
    for (const [expected, call] of cases) {
      assertEquals(await refusal(call), expected, String(call));
    }
    fifo.unlink();
    assertEquals(await refusal(() => fifo.unlink()), "statx ENOENT");
    assertEquals(
      await outcome(() => Fifo.create(`${dir.path}/${LONG}${LONG}`)),
      'RangeError: Argument "path" must have components of at most 255 bytes of UTF-8 ' +
        "(NAME_MAX): 400 bytes",
    );
  },
);

leakTest("FIFOs, pipes and waits say EMFILE, and leave nothing", async () => {
  using dir = scratch();
  const told = await inChild(async (path: string) => {
    const { pipe, duplexPipe } = await import("../ffi/pipe.ts");
    const { Fifo } = await import("../ffi/fifo.ts");
    const { outcome } = await import("./support/child.ts");
    using fifo = Fifo.create(path);
    using ends = pipe();
    const files: Deno.FsFile[] = [];
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch {
      // No descriptor is left.
    }
    const first = [
      await outcome(() => Fifo.create(`${path}2`)),
      await outcome(() => Fifo.open(path)),
      await outcome(() => fifo.openBoth()),
      await outcome(() => fifo.openReader({ timeout: 100 })),
      await outcome(() => fifo.tryOpenWriter()),
      await outcome(() => pipe()),
      await outcome(() =>
        ends.reader.read(new Uint8Array(1), { timeout: 9000 })
      ),
    ];
    files.pop()!.close(); // one descriptor is left
    const second = [
      await outcome(() => fifo.openBoth()),
      await outcome(() => fifo.openReader({ timeout: 100 })),
      await outcome(() => pipe()),
    ];
    files.pop()!.close();
    files.pop()!.close(); // three
    const third = [
      await outcome(() => duplexPipe()),
      await outcome(() => fifo.openBoth().close()),
      await outcome(() => pipe().close()),
    ];
    for (const file of files) file.close();
    fifo.unlink();
    return [...first, ...second, ...third].map((text) =>
      text.replace(/^IpcError: (\w+).*\((E\w+)\); (.*)$/, "$1 $2 $3")
    );
  }, {
    argument: dir.file("fifo"),
    wrapper: ["/bin/sh", "-c", 'ulimit -n 60; exec "$0" "$@"'],
  });
  const emfile = (call: string) => `${call} EMFILE RLIMIT_NOFILE is 60`;
  assertEquals(told, [
    ...["open", "open", "open", "open", "open", "pipe2"].map(emfile),
    emfile("epoll_create1"),
    ...["open", "pipe2", "pipe2"].map(emfile),
    emfile("pipe2"),
    "returns",
    "returns",
  ]);
  assertEquals(dir.list(), []);
});

leakTest("others may not do what the permissions do not allow", {
  needs: [noOtherUser],
}, async () => {
  using dir = scratch();
  Deno.chmodSync(dir.path, 0o755);
  const path = dir.file("fifo");
  using fifo = Fifo.create(path, { mode: 0 });
  Deno.mkdirSync(`${dir.path}/locked`, { mode: 0o700 });
  const { stdout } = await runAsNobody(`
    import { Fifo } from "@linux/ipc/fifo";
    import { pipe } from "@linux/ipc/pipe";
    const tell = async (call) => {
      try {
        console.log(await call());
      } catch ({ syscall, code, limit }) {
        console.log(syscall, code, limit?.name ?? "");
      }
    };
    const path = ${JSON.stringify(path)};
    using fifo = Fifo.open(path);
    using ends = pipe();
    await tell(() => Fifo.create(path + "2"));
    await tell(() => Fifo.open(${JSON.stringify(`${dir.path}/locked/x`)}));
    await tell(() => fifo.openBoth());
    await tell(() => fifo.openReader());
    await tell(() => fifo.openWriterSync());
    await tell(() => fifo.tryOpenWriter());
    await tell(() => fifo.unlink());
    await tell(() => fifo.chmod(0o666));
    await tell(() => ends.writer.setCapacity(2 ** 30));
  `);
  assertEquals(stdout.trimEnd().split("\n").map((line) => line.trim()), [
    "mkfifo EACCES",
    "open EACCES",
    "open EACCES",
    "open EACCES",
    "open EACCES",
    "open EACCES",
    "unlink EACCES",
    "chmod EPERM",
    "fcntl EPERM /proc/sys/fs/pipe-max-size",
  ]);
  fifo.unlink();
});

leakTest("a FIFO on a file system that is read-only, or full", {
  needs: [
    reasonAgainst("mount", ["unshare", "-m", "true"]),
    unshareFlags("--mount", "true") === undefined ? "no mount namespace" : null,
  ],
}, async () => {
  using dir = scratch();
  const told = await inChild(async (path: string) => {
    const { Fifo } = await import("../ffi/fifo.ts");
    const { outcome } = await import("./support/child.ts");
    return [
      await outcome(() => Fifo.create(`${path}/full/fifo`)),
      await outcome(() => Fifo.create(`${path}/readonly/fifo`)),
      await outcome(() => Fifo.open(`${path}/readonly/old`).unlink()),
      await outcome(() => Fifo.open(`${path}/readonly/old`).chmod(0o600)),
    ].map((text) => text.replace(/^IpcError: (\w+).*\((E\w+)\).*$/, "$1 $2"));
  }, {
    argument: dir.path,
    wrapper: [
      ...["unshare", "-m", "sh", "-c"],
      `mkdir ${dir.path}/full ${dir.path}/readonly &&
       mount -t tmpfs -o nr_inodes=1 none ${dir.path}/full &&
       mount -t tmpfs none ${dir.path}/readonly &&
       mkfifo ${dir.path}/readonly/old &&
       mount -o remount,bind,ro ${dir.path}/readonly && exec "$@"`,
      "sh",
    ],
  });
  assertEquals(told, [
    "mkfifo ENOSPC",
    "mkfifo EROFS",
    "unlink EROFS",
    "chmod EROFS",
  ]);
});
