/** inspect(): against what C, Python and Deno programs made, and what other tools say. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  inspect,
  type IpcHolder,
  type IpcKind,
  type IpcObject,
  type IpcSnapshot,
} from "../ffi/inspect.ts";
import { type Removable, removeOrphan } from "../ffi/inspect/removal.ts";
import { SharedMutex, SharedRwLock } from "../ffi/lock.ts";
import { PosixMessageQueue, SysvMessageQueue } from "../ffi/message_queue.ts";
import { PthreadMutex } from "../ffi/pthread.ts";
import { SharedRing } from "../ffi/ring.ts";
import { PosixSemaphore, SysvSemaphoreSet } from "../ffi/semaphore.ts";
import {
  type Memory,
  MemoryFile,
  type MemoryMap,
  PosixSharedMemory,
  SequenceCell,
  SysvSharedMemory,
} from "../ffi/shared_memory.ts";
import { ENOENT, unless } from "../ffi/libc/errno.ts";
import { f64, struct } from "../ffi/struct.ts";
import { peerProgram } from "./interop/peers.ts";
import { noCompiler } from "./support/c.ts";
import { runCall, spawnCall } from "./support/child.ts";
import { kill } from "./support/kills.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { type InspectPeer, startInspectPeer } from "./support/inspect_peer.ts";
import { noQueueList } from "./support/queue_list.ts";
import { isInSemop } from "./support/locks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import { spawn, succeeds } from "./support/process.ts";
import { noPython, startPython } from "./support/python.ts";
import { share } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

const NAMED = { c: [noCompiler, noQueueList], python: [noPython] };

/** The object of a kind with a ref; throws without one. */
function found<K extends IpcKind>(
  { objects }: IpcSnapshot,
  kind: K,
  id: string | number,
): Extract<IpcObject, { kind: K }> {
  const object = objects.find(({ ref }) => ref === `${kind}:${id}`);
  if (object === undefined) throw new Error(`no ${kind}:${id}`);
  return object as Extract<IpcObject, { kind: K }>;
}

/** The holder with a process id. */
function holder({ holders }: IpcObject, pid: number): IpcHolder {
  const one = holders.find((holder) => holder.pid === pid);
  if (one === undefined) throw new Error(`${pid} holds nothing of that`);
  return one;
}

/** What a tool prints as JSON, or null where it is missing. */
function json(
  command: string,
  ...args: string[]
): Record<string, unknown> | null {
  if (!succeeds(command, "--version")) return null;
  const { success, stdout } = new Deno.Command(command, {
    args,
    stderr: "null",
  })
    .outputSync();
  const text = new TextDecoder().decode(stdout);
  return success && text !== "" ? JSON.parse(text) : null;
}

leakTest(
  "inspect() finds what a C program has",
  { needs: NAMED.c },
  async () => {
    await using peer = await startInspectPeer();
    const { pid } = peer.child;
    const snapshot = inspect();
    const { name, key } = peer;
    const path = (file: string) => `${peer.directory.path}/${file}`;
    const at = <K extends IpcKind>(kind: K, id: string | number) =>
      found(snapshot, kind, id);

    const queue = at("sysv-queue", peer.queue);
    assertEquals(
      [queue.key, queue.mode, queue.messages, queue.size, queue.lastSenderPid],
      [key, 0o640, 1, 5, pid],
    );
    assertEquals(queue.verdict.state, "in use");
    const set = at("sysv-semaphores", peer.set);
    assertEquals(set.semaphores?.map(({ value }) => value), [0, 4]);
    assertEquals(set.semaphores?.[1]?.lastPid, pid);
    const segment = at("sysv-memory", peer.segment);
    assertEquals([segment.size, segment.attachments, segment.creatorPid], [
      5000,
      1,
      pid,
    ]);
    assertEquals(holder(segment, pid).roles, ["maps", "reads", "writes"]);

    const messages = at("posix-queue", name);
    assertEquals(
      [
        messages.messages,
        messages.maxMessages,
        messages.maxSize,
        messages.size,
      ],
      [1, 3, 16, 4],
    );
    assertEquals(holder(messages, pid).roles, ["writes"]);
    const memory = at("posix-memory", name);
    assertEquals([memory.size, memory.mode, memory.unlinked], [
      8192,
      0o600,
      false,
    ]);
    const { descriptors, mappings, roles } = holder(memory, pid);
    assertEquals([descriptors, mappings], [1, 1]);
    assertEquals(roles, ["maps", "reads", "writes"]);
    const semaphore = at("posix-semaphore", name);
    assertEquals([semaphore.value, semaphore.waiters], [2, 0]);
    assertEquals(holder(semaphore, pid).mappings, 1);

    const file = at("memory-file", peer.memoryFile);
    assertEquals([file.name, file.size], ["memfd:inspected\x1b[31m", 123]);
    const fifo = snapshot.objects.find(({ name }) => name === path("fifo"))!;
    assertEquals(fifo.kind === "fifo" && fifo.inode, peer.fifo);
    assertEquals(holder(fifo, pid).roles, ["reads"]);
    assertEquals(holder(at("pipe", peer.pipe), pid).roles, ["reads", "writes"]);
    const event = snapshot.objects.find((object) =>
      object.kind === "eventfd" && object.holders.some((one) => one.pid === pid)
    );
    assert(event?.kind === "eventfd");
    assertEquals([event.value, event.semaphore], [7, true]);

    const listener = at("unix-socket", peer.listener);
    assertEquals(
      [
        listener.address,
        listener.state,
        listener.receiveQueue,
        listener.sendQueue,
      ],
      [path("socket"), "listening", 0, 5],
    );
    assertEquals(holder(listener, pid).roles, ["listens"]);
    const client = at("unix-socket", peer.client);
    const server = at("unix-socket", peer.server);
    assertEquals([client.peer, server.peer], [server.ref, client.ref]);
    assertEquals([server.receiveQueue, client.receiveQueue], [6, 0]);
    const locked = snapshot.objects.find(({ name }) =>
      name === path("locked")
    )!;
    assert(locked.kind === "file-lock");
    assertEquals(locked.inode, peer.locked);
    assertEquals(
      locked.locks.map(({ type, shared, pids }) => [type, shared, pids]),
      [["flock", false, [pid]]],
    );
    assert(holder(locked, pid).roles.includes("owns"));
    assertEquals(
      snapshot.processes.get(pid)?.command.split(" ").slice(1),
      [String(key), name, peer.directory.path],
    );
  },
);

const BASE = [
  ...["kind", "ref", "name", "uid", "gid", "mode", "size", "changed"],
  ...["holders", "library", "verdict"],
];
const SYSV = ["id", "key", "creatorUid", "creatorGid"];

/** What programs that read `ipc ls --json` rely on: the fields of each kind. */
const FIELDS: Record<IpcKind, readonly string[]> = {
  "sysv-queue": [
    ...[...SYSV, "messages", "maxBytes", "lastSenderPid", "lastReceiverPid"],
    ...["sent", "received"],
  ],
  "sysv-memory": [
    ...[
      ...SYSV,
      "attachments",
      "creatorPid",
      "lastPid",
      "attached",
      "detached",
    ],
    ...["removed", "resident", "mutexes"],
  ],
  "sysv-semaphores": [...SYSV, "count", "semaphores", "operated"],
  "posix-queue": [
    ...[
      "messages",
      "maxMessages",
      "maxSize",
      "inode",
      "notifyPid",
      "unlinked",
    ],
  ],
  "posix-memory": ["inode", "unlinked", "mutexes"],
  "posix-semaphore": ["inode", "unlinked", "value", "waiters"],
  "memory-file": ["inode", "mutexes"],
  fifo: ["inode", "unlinked"],
  pipe: ["inode"],
  "unix-socket": [
    ...["inode", "type", "state", "address", "peer", "receiveQueue"],
    "sendQueue",
  ],
  "file-lock": ["path", "device", "inode", "locks"],
  eventfd: ["value", "semaphore"],
};

leakTest("each object has the fields of its kind, and no others", {
  needs: NAMED.c,
}, async () => {
  await using _peer = await startInspectPeer();
  using unlinked = PosixSharedMemory.create(null, 1);
  using queue = PosixMessageQueue.create(null);
  using semaphore = PosixSemaphore.create(null, 1);
  PosixSharedMemory.unlink(unlinked.name);
  PosixMessageQueue.unlink(queue.name);
  PosixSemaphore.unlink(semaphore.name!);
  const { objects } = inspect();
  assertEquals(
    new Set(objects.map(({ kind }) => kind)),
    new Set(Object.keys(FIELDS)),
  );
  for (const object of objects) {
    assertEquals(
      Object.keys(object).sort(),
      [...BASE, ...FIELDS[object.kind]].sort(),
      object.ref,
    );
    assertEquals(Object.getOwnPropertySymbols(object), []);
  }
});

function isStopped(pid: number): boolean {
  return / T /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
}

/** The calls in which the C program waits when told to, and where that is shown. */
const WAITS: Record<
  string,
  [kind: IpcKind, id: keyof InspectPeer, shown: string]
> = {
  msgrcv: ["sysv-queue", "queue", "msgrcv"],
  semop: ["sysv-semaphores", "set", "semop"],
  sem_wait: ["posix-semaphore", "name", "futex"],
  read: ["pipe", "pipe", "read"],
  recv: ["unix-socket", "client", "recvfrom"],
  mq_send: ["posix-queue", "name", "mq_send"],
};

leakTest(
  "inspect() names who waits, also when it is stopped",
  { needs: NAMED.c },
  async () => {
    for (const [call, [kind, id, shown]] of Object.entries(WAITS)) {
      await using peer = await startInspectPeer();
      const { pid } = peer.child;
      await peer.child.send(call);
      await peer.child.settled();
      peer.child.kill("SIGSTOP");
      await peer.child.until(() => isStopped(pid), "stop");
      const snapshot = inspect({ kinds: [kind] });
      const object = found(snapshot, kind, peer[id] as string);
      const { roles, waitsIn } = holder(object, pid);
      assertEquals([roles.includes("waits"), waitsIn], [true, [shown]]);
      assertEquals(snapshot.processes.get(pid)?.state, "T");
    }
  },
);

leakTest("a verdict of each kind, with its reason", {
  needs: NAMED.c,
}, async () => {
  await using peer = await startInspectPeer();
  const { child, name } = peer;
  const verdict = (kind: IpcKind, id: string | number) =>
    found(inspect({ kinds: [kind] }), kind, id).verdict;

  assertEquals(verdict("posix-queue", name).state, "in use");
  await child.send("mq_send");
  await child.settled();
  assertEquals(verdict("posix-queue", name).state, "stuck");
  assertMatch(
    verdict("posix-queue", name).reason,
    /^it is full \(3 messages\), and no process has it open to receive/,
  );

  await kill(child);
  for (const kind of ["sysv-queue", "sysv-semaphores"] as const) {
    const id = kind === "sysv-queue" ? peer.queue : peer.set;
    assertEquals(
      [verdict(kind, id).state, verdict(kind, id).certain],
      ["orphaned", false],
    );
  }
  assertEquals(verdict("sysv-memory", peer.segment), {
    state: "orphaned",
    reason: `not attached, and its creator ${child.pid} has ended`,
    certain: true,
  });
  for (
    const kind of ["posix-memory", "posix-semaphore", "posix-queue"] as const
  ) {
    const { state, certain } = verdict(kind, name);
    assertEquals([state, certain], ["orphaned", false]);
  }
});

leakTest(
  "an object that a killed Deno made is certainly orphaned",
  async () => {
    const child = spawnCall(async () => {
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      const memory = PosixSharedMemory.create(null, 64);
      console.log(memory.name);
      setInterval(() => {}, 1000);
    });
    await using _ = child;
    const name = await child.line();
    const look = () => {
      const snapshot = inspect({ kinds: ["posix-memory"] });
      return { ...found(snapshot, "posix-memory", name), snapshot };
    };
    assertEquals(look().holders.map(({ pid }) => pid), [child.pid]);
    await kill(child);
    const { verdict: { state, certain, reason }, snapshot } = look();
    PosixSharedMemory.unlink(name);
    assertEquals(state, "orphaned");
    assert(reason.includes(`its creator ${child.pid} has ended`), reason);
    // Certain only where no process is hidden, as the first one of a container may be.
    const isHidden = snapshot.unseen.some(({ what }) =>
      what === "what processes hold"
    );
    assertEquals(certain, !isHidden);
  },
);

leakTest(
  "a deadlock of two SharedMutexes in two processes is named",
  async () => {
    using first = SharedMutex.create(null);
    using second = SharedMutex.create(null);
    using gate = PosixSemaphore.create(null, 0);
    try {
      const locker = async ([mine, other, gate]: [number, number, string]) => {
        const { SharedMutex } = await import("../ffi/lock.ts");
        const { PosixSemaphore } = await import("../ffi/semaphore.ts");
        SharedMutex.fromId(mine).lockSync();
        console.log("locked");
        PosixSemaphore.open(gate).acquireSync();
        SharedMutex.fromId(other).lockSync();
      };
      const { name } = gate;
      await using one = spawnCall(locker, {
        argument: [first.id, second.id, name],
      });
      await using two = spawnCall(locker, {
        argument: [second.id, first.id, name],
      });
      await Promise.all([one.expect("locked\n"), two.expect("locked\n")]);
      const look = () => inspect({ kinds: ["sysv-semaphores"] });
      assertEquals(look().deadlocks, []);
      const before = found(look(), "sysv-semaphores", first.id);
      assertEquals(before.library, {
        class: "SharedMutex",
        ownerPid: one.pid,
        state: "locked",
        ownerDied: false,
        problem: null,
      });
      assertEquals(holder(before, one.pid).roles, ["owns"]);

      gate.release();
      gate.release();
      await one.until(() => isInSemop(one.pid) && isInSemop(two.pid), "semop");
      await Promise.all([one.settled(), two.settled()]);
      const { deadlocks, ...snapshot } = look();
      assertEquals(deadlocks.length, 1);
      assertEquals(new Set(deadlocks[0]!.pids), new Set([one.pid, two.pid]));
      for (const { id } of [first, second]) {
        const { state, reason } = found(
          { deadlocks, ...snapshot },
          "sysv-semaphores",
          id,
        ).verdict;
        assertEquals(state, "stuck");
        assert(
          reason.startsWith("deadlock: ") && reason.includes(`${one.pid} (`) &&
            reason.includes(`${two.pid} (`),
          reason,
        );
      }

      // The death of one ends it. The other gets the lock, and is the owner of both.
      await kill(one);
      await two.ended();
      const after = look();
      assertEquals(after.deadlocks, []);
      const { verdict, library } = found(after, "sysv-semaphores", second.id);
      assertEquals(library?.ownerDied, true);
      assertEquals(verdict.state, "stuck");
      assert(verdict.reason.startsWith("its owner died"), verdict.reason);
    } finally {
      first.remove();
      second.remove();
      PosixSemaphore.unlink(gate.name!);
    }
  },
);

leakTest(
  "a deadlock of file locks is named",
  { needs: NAMED.python },
  async () => {
    using dir = scratch();
    const files = [dir.file("one", ""), dir.file("two", "")];
    for (const call of ["flock", "fcntl"]) {
      const start = async ([mine, other]: string[]) => {
        const python = await startPython(
          "import fcntl, struct",
          `mine, other = open("${mine}", "r+"), open("${other}", "r+")`,
          // F_OFD_SETLKW, struct flock: the whole file
          'whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)',
          call === "flock"
            ? "lock = lambda file: fcntl.flock(file, fcntl.LOCK_EX)"
            : "lock = lambda file: fcntl.fcntl(file, 38, whole) and None",
        );
        await python.ask("lock(mine)");
        return python;
      };
      await using one = await start(files);
      await using two = await start(files.toReversed());
      await one.begin("lock(other)");
      const look = () => inspect({ kinds: ["file-lock"] });
      assertEquals(look().deadlocks, []);
      await two.begin("lock(other)");
      const { deadlocks, objects } = look();
      assertEquals(deadlocks.length, 1, call);
      assertEquals(
        new Set(deadlocks[0]!.pids),
        new Set([one.child.pid, two.child.pid]),
      );
      const object = objects.find(({ name }) => name === files[1])!;
      assertEquals(object.verdict.state, "stuck");
      assertEquals(holder(object, one.child.pid).waitsIn, [call]);
    }
  },
);

leakTest("mutexes of C name their owners, and deadlocks", {
  soak: "also",
}, async () => {
  using memory = PosixSharedMemory.create(null, 4096);
  using gate = PosixSemaphore.create(null, 0);
  // Of those that inherit priorities the kernel refuses a deadlock: EDEADLK.
  const kinds = share([{ robust: false }, { robust: true }], 1);
  try {
    for (const options of kinds) {
      PthreadMutex.init(memory, 64, options);
      PthreadMutex.init(memory, 256, options);
      const locker = async (args: [string, number, number, string]) => {
        const [name, mine, other, gate] = args;
        const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
        const { PthreadMutex } = await import("../ffi/pthread.ts");
        const { PosixSemaphore } = await import("../ffi/semaphore.ts");
        const memory = PosixSharedMemory.open(name);
        PthreadMutex.at(memory, mine).lockSync();
        console.log("locked");
        PosixSemaphore.open(gate).acquireSync();
        PthreadMutex.at(memory, other).lockSync();
      };
      const start = (mine: number, other: number) =>
        spawnCall(locker, { argument: [memory.name, mine, other, gate.name] });
      await using one = start(64, 256);
      await using two = start(256, 64);
      await Promise.all([one.expect("locked\n"), two.expect("locked\n")]);
      const look = () => {
        const snapshot = inspect({ kinds: ["posix-memory"] });
        const { deadlocks } = snapshot;
        return { ...found(snapshot, "posix-memory", memory.name), deadlocks };
      };
      assertEquals(look().mutexes, []); // nothing waits
      gate.release();
      gate.release();
      await one.until(() => look().mutexes.length === 2, "wait of both");
      const { mutexes, verdict, deadlocks } = look();
      const mutex = (offset: number, owner: number, waiter: number) => ({
        offset,
        ownerPid: owner,
        ownerEnded: false,
        waiters: [waiter],
      });
      assertEquals(mutexes, [
        mutex(64, one.pid, two.pid),
        mutex(256, two.pid, one.pid),
      ]);
      assertEquals(verdict.state, "stuck");
      assertEquals(
        deadlocks.map(({ pids }) => new Set(pids)),
        [new Set([one.pid, two.pid])],
      );

      // The kernel gives a robust one to the waiter. The other one stays locked.
      await kill(one);
      if (options.robust) {
        await two.ended();
        assertEquals(look().mutexes, []);
      } else {
        assertMatch(
          look().verdict.reason,
          RegExp(`^the owner ${one.pid} of the mutex at byte 64 has ended; `),
        );
      }
    }
  } finally {
    PosixSharedMemory.unlink(memory.name);
    PosixSemaphore.unlink(gate.name!);
  }
});

leakTest(
  "a deadlock of three processes, each with a lock of another kind",
  async () => {
    using directory = scratch();
    using mutex = SharedMutex.create(null);
    using memory = PosixSharedMemory.create(null, 4096);
    using gate = PosixSemaphore.create(null, 0);
    const path = directory.file("locked", "");
    PthreadMutex.init(memory, 0);
    try {
      const locker = async (
        [turn, id, name, gate, path]: [number, number, string, string, string],
      ) => {
        const { SharedMutex } = await import("../ffi/lock.ts");
        const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
        const { PthreadMutex } = await import("../ffi/pthread.ts");
        const { PosixSemaphore } = await import("../ffi/semaphore.ts");
        const { File, FileLock } = await import("../ffi/descriptor.ts");
        const memory = PosixSharedMemory.open(name);
        const file = File.open(path, { write: true });
        const locks = [
          SharedMutex.fromId(id),
          PthreadMutex.at(memory, 0),
          FileLock.of(file),
        ];
        locks[turn]!.lockSync();
        console.log("locked");
        PosixSemaphore.open(gate).acquireSync();
        locks[(turn + 1) % 3]!.lockSync();
      };
      const start = (turn: number) =>
        spawnCall(locker, {
          argument: [turn, mutex.id, memory.name, gate.name, path],
        });
      await using one = start(0);
      await using two = start(1);
      await using three = start(2);
      const all = [one, two, three];
      await Promise.all(all.map((child) => child.expect("locked\n")));
      const look = () =>
        inspect({ kinds: ["sysv-semaphores", "posix-memory", "file-lock"] });
      assertEquals(look().deadlocks, []);
      for (const _ of all) gate.release();
      await one.until(() => look().deadlocks.length > 0, "deadlock");
      const { deadlocks: [deadlock], objects } = look();
      assertEquals(new Set(deadlock!.pids), new Set(all.map(({ pid }) => pid)));
      // Each waits for the lock of the next one.
      const first = deadlock!.pids.indexOf(one.pid);
      const refs = [0, 1, 2].map((step) => deadlock!.refs[(first + step) % 3]!);
      assertEquals(refs[0], `posix-memory:${memory.name}`);
      assertEquals(objects.find(({ ref }) => ref === refs[1])?.name, path);
      assertEquals(refs[2], `sysv-semaphores:${mutex.id}`);
      for (const ref of refs) {
        const { state } = objects.find((object) => object.ref === ref)!.verdict;
        assertEquals(state, "stuck");
      }
    } finally {
      mutex.remove();
      PosixSharedMemory.unlink(memory.name);
      PosixSemaphore.unlink(gate.name!);
    }
  },
);

leakTest("a lock that is recognised by its content tells its state", () => {
  using lock = SharedRwLock.create(null);
  try {
    const state = () =>
      found(inspect({ kinds: ["sysv-semaphores"] }), "sysv-semaphores", lock.id)
        .library;
    assertEquals(state()?.state, "unlocked");
    {
      using _one = lock.lockReadSync();
      using _two = lock.lockReadSync();
      assertEquals(state()?.state, "read by 2");
    }
    using _guard = lock.lockWriteSync();
    assertEquals([state()?.class, state()?.ownerPid], [
      "SharedRwLock",
      Deno.pid,
    ]);
  } finally {
    lock.remove();
  }
});

/** Memory of each kind, with what finds it in a snapshot. */
function memories(size: number): [
  memory: PosixSharedMemory | SysvSharedMemory | MemoryMap,
  kind: "posix-memory" | "sysv-memory" | "memory-file",
  matches: (object: IpcObject) => boolean,
][] {
  const posix = PosixSharedMemory.create(null, size);
  const unlinked = PosixSharedMemory.create(null, size);
  PosixSharedMemory.unlink(unlinked.name);
  const sysv = SysvSharedMemory.create(null, size);
  sysv.remove();
  const [open, mapped] = [uniqueName(), uniqueName()];
  const file = MemoryFile.create(open, size);
  const other = MemoryFile.create(mapped, size);
  const map = other.map();
  other.close();
  const fileMap = file.map();
  OPEN.push(file);
  const isNamed = (name: string) => (object: IpcObject) => object.name === name;
  return [
    [posix, "posix-memory", isNamed(posix.name)],
    [unlinked, "posix-memory", isNamed(unlinked.name)],
    [sysv, "sysv-memory", ({ ref }) => ref === `sysv-memory:${sysv.id}`],
    [fileMap, "memory-file", isNamed(`memfd:${open}`)],
    [map, "memory-file", isNamed(`memfd:${mapped}`)],
  ];
}

/** The files of which {@linkcode memories} has given out mappings. */
const OPEN: MemoryFile[] = [];

/** Calls `use` with memory of each kind. */
async function forMemories(
  size: number,
  use: (
    memory: Memory,
    look: () => IpcObject,
  ) => void | Promise<void>,
): Promise<void> {
  for (const [memory, kind, matches] of memories(size)) {
    try {
      await use(
        memory,
        () => inspect({ kinds: [kind] }).objects.find(matches)!,
      );
    } finally {
      if (memory instanceof PosixSharedMemory) {
        unless(ENOENT, () => PosixSharedMemory.unlink(memory.name));
      }
      memory.close();
    }
  }
  for (const file of OPEN.splice(0)) file.close();
}

leakTest(
  "a ring in memory of any kind tells how full it is, and who uses it",
  async () => {
    await forMemories(SharedRing.size(1024), (memory, look) => {
      assertEquals(look().library, null);
      const ring = SharedRing.create(memory);
      assertEquals(look().library?.state, "0 of 1024 bytes to be consumed");
      using producer = ring.producer();
      producer.writeSync(new Uint8Array(16));
      using _consumer = ring.consumer();
      const state = "24 of 1024 bytes to be consumed, " +
        `consumer ${Deno.pid}, producer ${Deno.pid}`;
      const expected = {
        class: "SharedRing",
        ownerPid: null,
        state,
        ownerDied: false,
        problem: null,
      };
      assertEquals(look().library, expected);
      memory.bytes.fill(0xff, 16, 24); // a capacity that cannot be
      assertEquals(look().library, null);
    });
  },
);

leakTest(
  "a ring whose consumer was killed is stuck while others have it",
  async () => {
    using memory = PosixSharedMemory.create(null, SharedRing.size(1024));
    try {
      const ring = SharedRing.create(memory);
      using producer = ring.producer();
      producer.writeSync(new Uint8Array(16));
      const child = spawnCall(async (name: string) => {
        const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
        const { SharedRing } = await import("../ffi/ring.ts");
        const memory = PosixSharedMemory.open(name);
        const consumer = SharedRing.open(memory).consumer();
        console.log("consumer");
        setInterval(() => consumer, 1000);
      }, { argument: memory.name });
      await using _ = child;
      await child.expect("consumer\n");
      const look = () =>
        found(inspect({ kinds: ["posix-memory"] }), "posix-memory", memory.name)
          .verdict;
      assertEquals(look().state, "in use");
      await kill(child);
      assertEquals(look().state, "stuck");
      assertMatch(
        look().reason,
        RegExp(`^24 bytes wait, and its consumer ${child.pid} has ended`),
      );
    } finally {
      PosixSharedMemory.unlink(memory.name);
    }
  },
);

leakTest("a cell in memory of any kind is recognised by its mark", async () => {
  const layout = struct({ value: f64 });
  await forMemories(SequenceCell.size(layout), (memory, look) => {
    const cell = new SequenceCell(memory, 0, layout);
    assertEquals(look().library, null);
    cell.write({ value: 1 });
    cell.write({ value: 2 });
    assertEquals(look().library, {
      class: "SequenceCell or SequenceBytes",
      ownerPid: null,
      state: "sequence 4",
      ownerDied: false,
      problem: null,
    });
    // As C peers see it.
    assertEquals(memory.bytes.slice(4, 8), new TextEncoder().encode("CELL"));
    Atomics.add(memory.atomics.int32, 0, 1);
    assertEquals(look().library?.state, "sequence 5, a write has begun");
    assertEquals(look().verdict.state, "in use"); // this process could end it
  });
});

leakTest("a cell whose writer is gone during a write is stuck", () => {
  const name = uniqueName();
  const layout = struct({ value: f64 });
  {
    using memory = PosixSharedMemory.create(name, SequenceCell.size(layout));
    new SequenceCell(memory, 0, layout).write({ value: 1 });
    Atomics.add(memory.atomics.int32, 0, 1); // a writer that stops here
  }
  try {
    using _reader = PosixSharedMemory.open(name, { readonly: true });
    const { verdict } = found(
      inspect({ kinds: ["posix-memory"] }),
      "posix-memory",
      name,
    );
    assertEquals(verdict.state, "stuck");
    assertMatch(
      verdict.reason,
      /^a write has begun, and no process that could end it/,
    );
  } finally {
    PosixSharedMemory.unlink(name);
  }
});

leakTest("a name that is unlinked is found by its holders", () => {
  using memory = PosixSharedMemory.create(null, 100);
  using queue = PosixMessageQueue.create(null);
  PosixSharedMemory.unlink(memory.name);
  PosixMessageQueue.unlink(queue.name);
  const { objects } = inspect({ kinds: ["posix-memory", "posix-queue"] });
  for (const name of [memory.name, queue.name]) {
    const one = objects.find((object) => object.name === name);
    assert(one?.kind === "posix-memory" || one?.kind === "posix-queue");
    assert(one.unlinked);
    assertEquals(holder(one, Deno.pid).descriptors, 1);
  }
});

leakTest("a name that is not UTF-8 is found, and shown escaped", () => {
  const name = uniqueName().slice(1);
  // A byte order mark is a part of a name, too.
  for (
    const [bytes, text] of [["\\377a", "\udcffa"], [
      "\\357\\273\\277",
      "\ufeff",
    ]]
  ) {
    const touch = (path: string) =>
      new Deno.Command("sh", {
        args: ["-c", `> "$(printf '${path}${bytes}')"`],
      }).outputSync();
    for (const path of [`/dev/shm/${name}`, `/dev/shm/sem.${name}`]) {
      touch(path);
    }
    const { objects } = inspect({ kinds: ["posix-memory", "posix-semaphore"] });
    const found = objects.filter((object) => object.name === `/${name}${text}`);
    assertEquals(found.map(({ kind, size }) => [kind, size]), [
      ["posix-memory", 0],
      ["posix-semaphore", 0],
    ]);
    const isListed = PosixSharedMemory.list().some((entry) =>
      entry.name === `/${name}${text}`
    );
    assert(isListed);
    for (const object of found) {
      // Another inspector may have it open in this instant.
      while (/in use now/.test(removeOrphan(object as Removable) ?? ""));
    }
    const isThere = PosixSharedMemory.list().some((entry) =>
      entry.name === `/${name}${text}`
    );
    assertEquals(isThere, false);
  }
});

leakTest("inspect() agrees with lsipc", {
  needs: [noPython, json("lsipc", "-q", "-J") === null ? "no lsipc" : null],
}, async () => {
  const name = uniqueName().slice(1);
  await using python = await startPython(
    "from multiprocessing import shared_memory",
    `memory = shared_memory.SharedMemory("${name}", create=True, size=300)`,
  );
  using queue = SysvMessageQueue.create(null);
  using memory = SysvSharedMemory.create(null, 4000);
  using set = SysvSemaphoreSet.create(null, [1, 2, 3]);
  try {
    queue.sendSync(new Uint8Array(9));
    const snapshot = inspect();
    type Rows = Record<string, string>[];
    const rows = (flag: string, list: string) =>
      (json("lsipc", flag, "-J", "-b", "-P") as Record<string, Rows>)[list]!;
    const row = (all: Rows, id: number) => all.find((row) => +row.id! === id)!;
    const numbers = (...cells: (string | undefined)[]) => cells.map(Number);
    const one = found(snapshot, "sysv-queue", queue.id);
    const { usedbytes, msgs, lspid } = row(rows("-q", "messages"), queue.id);
    assertEquals(
      numbers(usedbytes, msgs, lspid),
      [one.size, one.messages, one.lastSenderPid],
    );
    const { size, nattch, cpid, lpid } = row(
      rows("-m", "sharedmemory"),
      memory.id,
    );
    // Now: a child that a runtime forks has attached and detached it.
    const two = found(
      inspect({ kinds: ["sysv-memory"] }),
      "sysv-memory",
      memory.id,
    );
    assertEquals(
      numbers(size, nattch, cpid, lpid),
      [two.size, two.attachments, two.creatorPid, two.lastPid],
    );
    const three = found(snapshot, "sysv-semaphores", set.id);
    const { nsems } = row(rows("-s", "semaphores"), set.id);
    assertEquals(Number(nsems), three.count);
    // And Python's memory, which lsipc of this version does not show.
    const four = found(snapshot, "posix-memory", `/${name}`);
    assertEquals(four.size, 300);
    assert(holder(four, python.child.pid).mappings > 0);
    await python.ask("memory.close(), memory.unlink()");
  } finally {
    queue.remove();
    memory.remove();
    set.remove();
  }
});

leakTest("no System V object is missing, and none is invented", () => {
  using queue = SysvMessageQueue.create(null);
  const ids = (kind: IpcKind) =>
    inspect({ kinds: [kind] }).objects.map(({ ref }) => ref);
  try {
    // Other programs make and remove objects meanwhile: what is there before and after,
    // and of what lives for less than a round only one round can know.
    for (
      const [kind, table, id] of [
        ["sysv-queue", "msg", "msqid"],
        ["sysv-memory", "shm", "shmid"],
        ["sysv-semaphores", "sem", "semid"],
      ] as const
    ) {
      const refs = () =>
        new Set(sysvTable(table).map((row) => `${kind}:${row[id]}`));
      let invented: Set<string> | undefined;
      for (let round = 0; round < 3; round++) {
        const before = refs();
        const now = new Set(ids(kind));
        const after = refs();
        const stayed = before.intersection(after);
        assertEquals(stayed.difference(now), new Set(), "missing");
        const others = now.difference(before.union(after));
        invented = invented?.intersection(others) ?? others;
      }
      assertEquals(invented, new Set(), "invented");
    }
  } finally {
    queue.remove();
  }
});

leakTest("inspect() agrees with ss on Unix sockets", {
  needs: [noCompiler, succeeds("ss", "-V") ? null : "no ss (iproute2)"],
}, async () => {
  await using peer = await startInspectPeer();
  const { pid } = peer.child;
  const { stdout } = new Deno.Command("ss", { args: ["-xanpH"] }).outputSync();
  // u_str ESTAB 6 0 /path 123 * 124 users:(("inspect_peer",pid=5,fd=9))
  const lines = new TextDecoder().decode(stdout).split("\n");
  const snapshot = inspect({ kinds: ["unix-socket"] });
  const line = (inode: number) =>
    lines.map((line) => line.split(/\s+/)).find((cells) =>
      cells[5] === String(inode)
    )!;
  for (const inode of [peer.listener, peer.client, peer.server]) {
    const socket = found(snapshot, "unix-socket", inode);
    const cells = line(inode);
    assertEquals(
      [socket.receiveQueue, socket.sendQueue],
      [Number(cells[2]), Number(cells[3])],
    );
    assertEquals(socket.address ?? "*", cells[4]);
    assertEquals(Number(socket.peer?.split(":")[1] ?? 0), Number(cells[7]));
    const [, fd] = cells.join(" ").match(`pid=${pid},fd=(\\d+)`)!;
    assertEquals(holder(socket, pid).fds, [Number(fd)]);
  }
});

leakTest("inspect() opens no FIFO, and follows no link of /proc to a path", {
  needs: [noCompiler, succeeds("strace", "-V") ? null : "no strace"],
  soak: true,
}, async () => {
  await using peer = await startInspectPeer();
  const module = import.meta.resolve("../ffi/inspect.ts");
  const log = peer.directory.file("strace");
  await using child = spawn("strace", {
    args: [
      "-f",
      "-qq",
      ...["-e", "trace=open,openat,stat,newfstatat,statx,execve"],
      ...["-o", log],
      Deno.execPath(),
      "eval",
      `import { inspect } from "${module}";` +
      `try { Deno.statSync("/begin"); } catch { inspect(); }`,
    ],
    limit: 60_000,
  });
  assertEquals((await child.ended()).code, 0);
  const calls = Deno.readTextFileSync(log).split('"/begin"')[1]!.split("\n");
  const isFifo = (line: string) => line.includes(`${peer.directory.path}/fifo`);
  const touched = calls.filter(isFifo);
  assert(touched.length > 0, "the FIFO was not found");
  assertEquals(touched.filter((line) => / open(at)?\(/.test(line)), []);
  assertEquals(touched.filter((line) => !line.includes("NOFOLLOW")), []);
  // Of /proc everything is opened with O_NOFOLLOW, and relative to an open directory.
  const followed = calls.filter((line) =>
    /statx\(\d+, "\d+"/.test(line) && !line.includes("NOFOLLOW")
  );
  // Memory files only: they have no path.
  assert(followed.every((line) => line.includes("AT_STATX_DONT_SYNC")));
  // But for memory files, which are opened with O_PATH first: that has no effect.
  const opened = calls.filter((line) =>
    / openat\(\d+,/.test(line) && !/O_NOFOLLOW|O_PATH/.test(line)
  );
  assertEquals(opened, []);
});

leakTest("without privileges the snapshot says what it lacks", {
  needs: [noOtherUser],
}, async () => {
  using semaphore = PosixSemaphore.create(null, 1);
  try {
    const { stdout } = await runAsNobody(`
      import { inspect } from "@linux/ipc/inspect";
      const { objects, unseen } = inspect();
      const semaphore = objects.find(({ name }) => name === "${semaphore.name}");
      console.log(JSON.stringify([semaphore, unseen]));
    `);
    const [seen, unseen] = JSON.parse(stdout);
    assertEquals([seen.value, seen.holders, seen.uid], [null, [], 0]);
    assert(seen.verdict.reason.includes("cannot be seen"));
    assertEquals(seen.verdict.certain, false);
    const what = unseen.map(({ what }: { what: string }) => what);
    for (const missing of ["what processes hold", "values of semaphores"]) {
      assert(what.includes(missing), stdout);
    }
    assert(
      what.some((text: string) => text.startsWith("POSIX message queues")),
    );
  } finally {
    PosixSemaphore.unlink(semaphore.name!);
  }
});

/** Wrappers in which root sees no processes but its own, or only some of them. */
const HIDING = ["invisible", "noaccess", "ptraceable"].map((hidepid) => [
  ...["unshare", "--mount", "sh", "-c"],
  `mount -t proc -o hidepid=${hidepid} proc /proc && exec "$0" "$@"`,
  ...["setpriv", "--regid", "65534", "--clear-groups"],
  ...["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"],
]);
const INSIDE = ["unshare", "--pid", "--fork", "--mount-proc"];

leakTest("a process that /proc hides is not taken for ended", {
  needs: [
    reasonAgainst("hide processes", [...HIDING[0]!, "true"]),
    reasonAgainst("make a PID namespace", [...INSIDE, "true"]),
  ],
  soak: "also",
}, async () => {
  using mutex = SharedMutex.create(null);
  using segment = SysvSharedMemory.create(null, 8);
  const memory = PosixSharedMemory.create(null, 8);
  memory.close();
  try {
    using _guard = mutex.lockSync();
    for (const wrapper of share([HIDING[0]!, INSIDE, ...HIDING.slice(1)], 2)) {
      const { stdout } = await runCall(async () => {
        const { inspect } = await import("../ffi/inspect.ts");
        const { objects, unseen } = inspect();
        console.log(JSON.stringify({
          objects: objects.map(({ ref, verdict }) => ({ ref, ...verdict })),
          unseen: unseen.map(({ what, reason }) => `${what}: ${reason}`),
        }));
      }, { wrapper });
      const { objects, unseen } = JSON.parse(stdout) as {
        objects: { ref: string; state: string; certain: boolean }[];
        unseen: string[];
      };
      const verdict = (ref: string) => {
        const { state, certain } = objects.find((one) => one.ref === ref)!;
        return [state, certain];
      };
      const isInside = wrapper === INSIDE;
      const why = isInside ? "PID namespace" : "hidepid=";
      assert(
        unseen.some((text) =>
          text.startsWith("what processes hold: ") && text.includes(why)
        ),
        stdout,
      );
      // From inside the process id in a name says nothing.
      const state = isInside ? "orphaned" : "idle";
      assertEquals(verdict(`posix-memory:${memory.name}`), [state, false]);
      assertEquals(verdict(`sysv-semaphores:${mutex.id}`)[0], "in use");
      assertEquals(verdict(`sysv-memory:${segment.id}`)[0], "in use");
    }
  } finally {
    mutex.remove();
    segment.remove();
    PosixSharedMemory.unlink(memory.name);
  }
});

leakTest("a process whose first thread has ended is alive", {
  needs: NAMED.c,
}, async () => {
  await using child = spawn(await peerProgram("dead_leader"));
  await child.expect("ready\n");
  const { pid } = child;
  await child.until(
    () => / Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`)),
    "end of its first thread",
  );
  const { objects, processes, unseen } = inspect({ kinds: ["eventfd"] });
  const own = objects.filter(({ holders }) =>
    holders.some((holder) => holder.pid === pid)
  );
  assertEquals(own.length, 1);
  assertEquals(holder(own[0]!, pid).waitsIn, ["read"]);
  assertEquals(processes.get(pid)?.state, "Z");
  assert(unseen.every(({ pids }) => !pids.includes(pid)));
});

leakTest("a process in another namespace is counted as unseen", {
  needs: [
    succeeds("unshare", "--ipc", "true") ? null : "no new IPC namespace here",
  ],
}, async () => {
  await using _child = await (async () => {
    const child = spawn("unshare", {
      args: ["--ipc", "sh", "-c", "ipcmk -Q >&2; echo up; read line"],
    });
    await child.expect("up\n");
    return child;
  })();
  const { unseen } = inspect({ kinds: ["sysv-queue"] });
  const reasons = unseen.map(({ reason }) => reason);
  assert(reasons.some((reason) => reason.includes("another IPC namespace")));
  // Of sockets that process sees the same as this one.
  const { unseen: others } = inspect({ kinds: ["unix-socket"] });
  assert(others.every(({ reason }) => !reason.includes("IPC namespace")));
});

Deno.test("inspect() rejects kinds that do not exist", () => {
  for (const kinds of [["pipes"], ["pipe", 1], "pipe", [null], 5]) {
    assertThrows(
      () => inspect({ kinds: kinds as IpcKind[] }),
      TypeError,
      "kinds",
    );
  }
  assertEquals(inspect({ kinds: [] }).objects, []);
});
