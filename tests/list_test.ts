/** list() of the classes whose objects have no directory: against what a C program has. */
import { assertEquals } from "@std/assert";
import { EventFd, File, FileLock } from "../ffi/descriptor.ts";
import { Fifo } from "../ffi/fifo.ts";
import { MemoryFile } from "../ffi/shared_memory.ts";
import { UnixDatagram, UnixListener } from "../ffi/socket.ts";
import { noCompiler } from "./support/c.ts";
import { spawnCall } from "./support/child.ts";
import { startInspectPeer } from "./support/inspect_peer.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";

leakTest("list() finds what a C program has", {
  needs: [noCompiler],
}, async () => {
  await using peer = await startInspectPeer();
  const { pid } = peer.child;
  const path = (file: string) => `${peer.directory.path}/${file}`;
  const isOwn = ({ holders }: { holders: readonly { pid: number }[] }) =>
    holders.some((holder) => holder.pid === pid);

  const [file, ...files] = MemoryFile.list().filter(isOwn);
  assertEquals(files, []);
  assertEquals(
    [file?.name, file?.size, file?.inode, file?.uid],
    ["inspected\x1b[31m", 123, peer.memoryFile, Deno.uid()],
  );
  const [fifo, ...fifos] = Fifo.list().filter(isOwn);
  assertEquals(fifos, []);
  assertEquals(
    [fifo?.path, fifo?.inode, fifo?.mode, fifo?.unlinked],
    [path("fifo"), peer.fifo, 0o600, false],
  );
  assertEquals(fifo?.holders[0]?.roles, ["reads"]);
  const events = EventFd.list().filter(isOwn);
  assertEquals(
    events.map(({ value, semaphore }) => [value, semaphore]),
    [[7n, true]],
  );
  const listeners = UnixListener.list().filter(isOwn);
  assertEquals(
    listeners.map(({ holders: _, ...entry }) => entry),
    [{
      address: path("socket"),
      type: "stream",
      inode: peer.listener,
      uid: Deno.uid(),
      waiting: 0,
      backlog: 5,
    }],
  );
  const locks = FileLock.list().filter(({ inode }) => inode === peer.locked);
  assertEquals(
    locks.map(({ device: _, ...lock }) => lock),
    [{
      path: path("locked"),
      inode: peer.locked,
      type: "flock",
      shared: false,
      start: 0,
      length: 0,
      pids: [pid],
      waits: false,
    }],
  );
});

leakTest("an address of any form is listed as localAddress has it", () => {
  using directory = scratch();
  const binary = Uint8Array.of(
    ...new TextEncoder().encode(`${directory.path}/`),
    0xff,
  );
  const addresses = [
    { abstract: Uint8Array.of(0xff, 0, 1) },
    `@abstract-${crypto.randomUUID()}`,
    { path: binary },
  ];
  for (const address of addresses) {
    using socket = UnixDatagram.create(address);
    using listener = UnixListener.listen(null, { type: "seqpacket" });
    const own = ({ fd }: { fd: number }) =>
    (
      { holders }: {
        holders: readonly { pid: number; fds: readonly number[] }[];
      },
    ) => holders.some(({ pid, fds }) => pid === Deno.pid && fds.includes(fd));
    const found = UnixDatagram.list().find(own(socket));
    assertEquals(found?.address, socket.localAddress!);
    assertEquals(found?.nextSize, 0);
    const other = UnixListener.list().find(own(listener));
    assertEquals(other?.address, listener.localAddress!);
    assertEquals(other?.type, "seqpacket");
  }
});

leakTest("a lock of an open file is of all that have it", async () => {
  using directory = scratch();
  const path = directory.file("shared", "");
  using file = File.open(path, { write: true });
  using _head = FileLock.of(file, { start: 0, length: 2 }).tryLock({
    shared: true,
  })!;
  using _tail = FileLock.of(file, { start: 4 }).tryLock()!;
  const child = spawnCall(async (path: string) => {
    const { File, FileLock } = await import("../ffi/descriptor.ts");
    const file = File.open(path, { write: true });
    FileLock.of(file, { start: 0, length: 2 }).tryLock({ shared: true });
    console.log("locked");
    setInterval(() => file.fd, 1000);
  }, { argument: path });
  await using _ = child;
  await child.expect("locked\n");
  const locks = FileLock.list().filter((lock) => lock.path === path)
    .map(({ start, length, shared, pids }) => ({
      start,
      length,
      shared,
      pids,
    }));
  const both = [Deno.pid, child.pid].sort((a, b) => a - b);
  for (const lock of locks) lock.pids = lock.pids.toSorted((a, b) => a - b);
  locks.sort((a, b) => a.start - b.start);
  // Two locks that look the same to the kernel's lists.
  const head = { start: 0, length: 2, shared: true, pids: both };
  const tail = { start: 4, length: 0, shared: false, pids: [Deno.pid] };
  assertEquals(locks, [head, head, tail]);
});

leakTest("what is unlinked is listed while a process has it", () => {
  using directory = scratch();
  const path = `${directory.path}/fifo`;
  using fifo = Fifo.create(path);
  using _ends = fifo.openBoth();
  fifo.unlink();
  const found = Fifo.list().find((entry) => entry.path === path);
  assertEquals(found?.unlinked, true);
  assertEquals(found?.holders[0]?.roles, ["reads", "writes"]);
});
