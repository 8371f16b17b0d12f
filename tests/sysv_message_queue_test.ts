import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  IpcError,
  type SysvMessage,
  SysvMessageQueue,
} from "../ffi/message_queue.ts";
import { showKey } from "../ffi/arguments.ts";
import { cstring, i16, struct } from "../ffi/struct.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { compile, noCompiler } from "./support/c.ts";
import { codeWith, TOLD } from "./support/code.ts";
import { kill, killUsersOf } from "./support/kills.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { scratch, uniqueKey } from "./support/names.ts";
import { noOwnLimits, runLimited } from "./support/namespaces.ts";
import { run, spawn } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { NOBODY, noOtherUser, spawnAsNobody } from "./support/user.ts";

const LONG_MAX = 2n ** 63n - 1n;
const MSGMAX = "/proc/sys/kernel/msgmax";
const MSGMNI = "/proc/sys/kernel/msgmni";
const msgmax = sysctl(MSGMAX);
const msgmnb = sysctl("/proc/sys/kernel/msgmnb");

function sysctl(path: string): number {
  return Number(Deno.readTextFileSync(path));
}

// --- Helpers ----------------------------------------------------------------

const { prelude, code, spawnCode, runCode, nobodys } = codeWith(
  { SysvMessageQueue: "message-queue" },
  `${TOLD}
  /** A message, or undefined, as one line. */
  function shown(message) {
    return message && message.type + ": " + message.data;
  }
`,
);

/** To who uses a queue, removed is EIDRM. */
function assertRemoved(call: () => unknown, ...also: string[]): void {
  const { code, message } = assertThrows(call, IpcError);
  assert(["EIDRM", ...also].includes(code), message);
}

/** The queue's row in the system's table, if it exists. */
function row(id: number): Record<string, number> | undefined {
  return sysvTable("msg").find(({ msqid }) => msqid === id);
}

/** A private queue, which its `using` block removes. */
function newQueue(): SysvMessageQueue & Disposable {
  const queue = SysvMessageQueue.create(null);
  const { id } = queue;
  queue[Symbol.dispose] = () => {
    if (row(id) === undefined) return queue.close();
    using again = SysvMessageQueue.fromId(id);
    again.remove();
    queue.close();
  };
  return queue;
}

function assertMessage(
  message: SysvMessage | undefined,
  type: number | bigint,
  data: Uint8Array,
): void {
  assertEquals(message, { type, data: data as Uint8Array<ArrayBuffer> });
}

/** Sends until there is no room. Returns how many messages that were. */
function fill(queue: SysvMessageQueue, size = 512): number {
  let count = 0;
  while (queue.trySend(new Uint8Array(size), { type: 1 })) count++;
  return count;
}

// --- Create, open, remove ---------------------------------------------------

leakTest("SysvMessageQueue.create() makes an empty queue", () => {
  const key = uniqueKey();
  const before = Math.floor(Date.now() / 1000) * 1000;
  using queue = SysvMessageQueue.create(key);
  const { changed, ...stat } = queue.stat();
  assertEquals(stat, {
    key,
    messages: 0,
    bytes: 0,
    maxBytes: msgmnb,
    mode: 0o600,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
    creatorUid: Deno.uid()!,
    creatorGid: Deno.gid()!,
    lastSenderPid: 0,
    lastReceiverPid: 0,
    sent: null,
    received: null,
  });
  // The kernel takes the time of its last tick.
  assert(changed.getTime() >= before - 1000, String(changed));
  assert(changed.getTime() <= Date.now(), String(changed));
  assertEquals(row(queue.id)?.key, key);
  assertEquals(queue.tryReceive(), undefined);
  queue.remove();
});

leakTest("SysvMessageQueue.create() ignores the umask", () => {
  const umask = Deno.umask(0o077);
  try {
    for (const mode of [0o666, 0o640, 0o777, 0o400]) {
      using queue = SysvMessageQueue.create(null, { mode });
      assertEquals(row(queue.id)!.perms! & 0o777, mode);
      queue.remove();
    }
    const key = uniqueKey();
    using queue = SysvMessageQueue.openOrCreate(key, { mode: 0o620 });
    assertEquals(row(queue.id)!.perms! & 0o777, 0o620);
    queue.remove();
  } finally {
    Deno.umask(umask);
  }
});

leakTest("SysvMessageQueue.create(null) makes another queue each time", () => {
  using one = SysvMessageQueue.create(null);
  using two = SysvMessageQueue.create(null);
  assertNotEquals(one.id, two.id);
  assertEquals([row(one.id)?.key, row(two.id)?.key], [0, 0]);
  one.sendSync(bytes(1));
  assertEquals(two.tryReceive(), undefined);
  one.remove();
  two.remove();
});

leakTest("SysvMessageQueue.create() fails where a queue is", () => {
  const key = uniqueKey();
  using queue = SysvMessageQueue.create(key);
  queue.sendSync(bytes(1));
  const error = assertThrows(() => SysvMessageQueue.create(key), IpcError);
  assertEquals(
    {
      message: error.message,
      code: error.code,
      errno: error.errno,
      syscall: error.syscall,
      subject: error.subject,
      limit: error.limit,
    },
    {
      message: `msgget queue key ${showKey(key)}: File exists (EEXIST)`,
      code: "EEXIST",
      errno: 17,
      syscall: "msgget",
      subject: `queue key ${showKey(key)}`,
      limit: undefined,
    },
  );
  assertEquals(queue.stat().messages, 1);
  queue.remove();
});

leakTest(
  "SysvMessageQueue.create() names the limit of queues",
  { needs: [noOwnLimits] },
  async () => {
    assertPrinted(
      await runLimited(
        { "kernel/msgmni": 2 },
        code(`SysvMessageQueue.create(null);
        SysvMessageQueue.openOrCreate(7);
        for (const f of ["create", "openOrCreate"]) {
          try {
            SysvMessageQueue[f](8);
          } catch ({ message, limit }) {
            console.log(message);
            console.log(limit.name, limit.value);
          }
        }`),
      ),
      ...Array(2).fill([
        "msgget queue key 0x8: No space left on device (ENOSPC); " +
        `${MSGMNI} is 2`,
        `${MSGMNI} 2`,
      ]).flat(),
    );
  },
);

leakTest("SysvMessageQueue shows keys as unsigned numbers", () => {
  const key = (uniqueKey() | 0x80000000) >>> 0;
  using queue = SysvMessageQueue.create(key | 0);
  using opened = SysvMessageQueue.open(key);
  assertEquals(opened.id, queue.id);
  assertEquals(queue.stat().key, key);
  const entry = SysvMessageQueue.list().find(({ id }) => id === queue.id);
  assertEquals(entry?.key, key);
  for (const form of [key, key | 0]) {
    const { message } = assertRefused(
      () => SysvMessageQueue.create(form),
      "EEXIST",
      "msgget",
    );
    assert(message.includes(`queue key 0x${key.toString(16)}:`), message);
  }
  queue.remove();
});

leakTest("Deno.inspect() shows what a SysvMessageQueue is", () => {
  const key = uniqueKey();
  using queue = SysvMessageQueue.create(key);
  const { id } = queue;
  using again = SysvMessageQueue.fromId(id);
  const open = `SysvMessageQueue { id: ${id}, key: ${showKey(key)}, closed: `;
  assertEquals(Deno.inspect(queue), `${open}false }`);
  assertEquals(Deno.inspect(again), `${open}false }`);
  queue.remove();
  queue.close();
  assertEquals(Deno.inspect(queue), `${open}true }`);
  assert(Deno.inspect(SysvMessageQueue.prototype).length > 0);
});

leakTest("SysvMessageQueue.open() opens what create() made", () => {
  const key = uniqueKey();
  using made = SysvMessageQueue.create(key);
  using opened = SysvMessageQueue.open(key);
  assertEquals(opened.id, made.id);
  made.sendSync(bytes(1, 2));
  assertMessage(opened.tryReceive(), 1, bytes(1, 2));
  made.remove();
});

leakTest("SysvMessageQueue.open() fails where no queue is", () => {
  const key = uniqueKey();
  const error = assertRefused(
    () => SysvMessageQueue.open(key),
    "ENOENT",
    "msgget",
  );
  assertEquals(
    error.message,
    `msgget queue key ${showKey(key)}: No such file or directory (ENOENT)`,
  );
});

leakTest("SysvMessageQueue.openOrCreate() makes one queue", () => {
  const key = uniqueKey();
  using made = SysvMessageQueue.openOrCreate(key, { mode: 0o640 });
  using opened = SysvMessageQueue.openOrCreate(key);
  assertEquals(opened.id, made.id);
  assertEquals(opened.stat().mode, 0o640);
  made.remove();
});

leakTest("SysvMessageQueue takes every 32-bit key, with either sign", () => {
  const positive = uniqueKey();
  for (const key of [-positive, 0x80000000 + positive % 1000]) {
    using queue = SysvMessageQueue.create(key);
    assertEquals(row(queue.id)!.key! | 0, key | 0);
    using other = SysvMessageQueue.open(key < 0 ? key + 2 ** 32 : key | 0);
    assertEquals(other.id, queue.id);
    queue.remove();
  }
});

leakTest("SysvMessageQueue refuses what is no key", () => {
  const open = [
    SysvMessageQueue.create,
    SysvMessageQueue.open,
    SysvMessageQueue.openOrCreate,
  ];
  for (const call of open) {
    for (const key of [0, -0, 1.5, NaN, 2 ** 32, -(2 ** 31) - 1, Infinity]) {
      const error = assertThrows(() => call(key), RangeError);
      assert(error.message.includes('"key"'), error.message);
    }
    for (const key of ["1", undefined, 5n, {}]) {
      assertThrows(() => call(key as unknown as number), TypeError);
    }
  }
  for (const call of open.slice(1)) {
    assertThrows(() => call(null as unknown as number), TypeError);
  }
});

leakTest("SysvMessageQueue refuses what is no mode", () => {
  const key = uniqueKey();
  for (const mode of [-1, 0o1000, 1.5, NaN, 2 ** 32]) {
    assertThrows(() => SysvMessageQueue.create(key, { mode }), RangeError);
    assertThrows(
      () => SysvMessageQueue.openOrCreate(key, { mode }),
      RangeError,
    );
  }
  const mode = "600" as unknown as number;
  assertThrows(() => SysvMessageQueue.create(key, { mode }), TypeError);
  assertRefused(() => SysvMessageQueue.open(key), "ENOENT", "msgget");
});

leakTest("SysvMessageQueue.fromId() finds a private queue", async () => {
  using queue = newQueue();
  queue.sendSync(bytes(7, 8));
  assertPrinted(
    await runCode(`
        using queue = SysvMessageQueue.fromId(${queue.id});
        console.log(queue.id, shown(queue.receiveSync()));`),
    `${queue.id} 1: 7,8`,
  );
});

leakTest("SysvMessageQueue.fromId() refuses what is no id", () => {
  for (const id of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => SysvMessageQueue.fromId(id), RangeError);
  }
  assertThrows(
    () => SysvMessageQueue.fromId("1" as unknown as number),
    TypeError,
  );
  const queue = SysvMessageQueue.create(null);
  queue.remove();
  assertRemoved(() => SysvMessageQueue.fromId(queue.id), "EINVAL");
  assertRemoved(() => SysvMessageQueue.fromId(0x7fffffff), "EINVAL");
});

leakTest("SysvMessageQueue.fromId() takes -0 for 0", () => {
  try {
    SysvMessageQueue.fromId(-0).close(); // it may exist
  } catch (error) {
    assertInstanceOf(error, IpcError);
  }
});

leakTest("SysvMessageQueue.remove() frees the key at once", () => {
  const key = uniqueKey();
  using first = SysvMessageQueue.create(key);
  first.sendSync(bytes(1));
  first.remove();
  assertEquals(row(first.id), undefined);
  assertRefused(() => SysvMessageQueue.open(key), "ENOENT", "msgget");
  using second = SysvMessageQueue.create(key);
  assertNotEquals(second.id, first.id);
  assertEquals(second.tryReceive(), undefined);
  assertRemoved(() => first.trySend(bytes(2)));
  assertEquals(second.stat().messages, 0);
  second.remove();
});

leakTest("SysvMessageQueue says EIDRM after the removal", () => {
  const queue = SysvMessageQueue.create(uniqueKey());
  using other = SysvMessageQueue.fromId(queue.id);
  queue.remove();
  for (const removed of [queue, other]) {
    assertRefused(() => removed.trySend(bytes(1)), "EIDRM", "msgsnd");
    assertRefused(() => removed.sendSync(bytes(1)), "EIDRM", "msgsnd");
    assertRefused(() => removed.tryReceive(), "EIDRM", "msgrcv");
    assertRefused(() => removed.receiveSync(), "EIDRM", "msgrcv");
    assertRemoved(() => removed.stat(), "EINVAL");
    assertRemoved(() => removed.remove(), "EINVAL");
  }
  const error = assertThrows(() => other.receiveSync(), IpcError);
  assertEquals(
    error.message,
    `msgrcv queue id ${queue.id}: Identifier removed (EIDRM)`,
  );
});

for (
  const [what, call] of [
    ["receiveSync()", `queue.receiveSync({ type: 2 })`],
    ["sendSync()", `queue.sendSync(new Uint8Array(512))`],
  ] as const
) {
  leakTest(
    `SysvMessageQueue.${what} says EIDRM when the queue is removed meanwhile`,
    async () => {
      using queue = newQueue();
      fill(queue);
      await using child = spawnCode(
        `using queue = SysvMessageQueue.fromId(${queue.id});
        console.log("up");
        console.log(told(() => ${call}));`,
      );
      assertEquals(await child.line(), "up");
      await child.settled();
      queue.remove();
      assertPrinted(
        await child.ended(),
        "up",
        `IpcError EIDRM ${what.startsWith("send") ? "msgsnd" : "msgrcv"}`,
      );
    },
  );

  leakTest(
    `SysvMessageQueue.${what} in a Worker says EIDRM when the queue is removed`,
    async () => {
      using queue = newQueue();
      using dir = scratch();
      fill(queue);
      const worker = dir.file(
        "worker.js",
        `${prelude}
        using queue = SysvMessageQueue.fromId(${queue.id});
        postMessage("up");
        postMessage(told(() => ${call}));
        close();`,
      );
      await using child = spawnCode(
        `const worker = new Worker("file://${worker}", { type: "module" });
        worker.onmessage = ({ data }) => console.log(data);`,
      );
      assertEquals(await child.line(), "up");
      await child.settled();
      queue.remove();
      assertPrinted(
        await child.ended(),
        "up",
        `IpcError EIDRM ${what.startsWith("send") ? "msgsnd" : "msgrcv"}`,
      );
    },
  );
}

leakTest("SysvMessageQueue.remove() tells all who wait", async () => {
  using queue = newQueue();
  await using waiting = new AsyncDisposableStack();
  const children = [1, 2, 3, 4].map((type) =>
    waiting.use(spawnCode(
      `using queue = SysvMessageQueue.fromId(${queue.id});
      console.log("up");
      console.log(told(() => queue.receiveSync({ type: ${type} })));`,
    ))
  );
  for (const child of children) assertEquals(await child.line(), "up");
  await Promise.all(children.map((child) => child.settled()));
  queue.remove();
  for (const child of children) {
    assertPrinted(await child.ended(), "up", "IpcError EIDRM msgrcv");
  }
});

leakTest("SysvMessageQueue.close() ends the object, not the queue", () => {
  const queue = SysvMessageQueue.create(null);
  const { id } = queue;
  queue.sendSync(bytes(5));
  queue.close();
  queue.close();
  for (
    const call of [
      () => queue.sendSync(bytes(1)),
      () => queue.trySend(bytes(1)),
      () => queue.receiveSync(),
      () => queue.tryReceive(),
      () => queue.stat(),
      () => queue.remove(),
    ]
  ) {
    const error = assertThrows(call, ClosedError);
    assertEquals(error.name, "ClosedError");
    assertInstanceOf(error, TypeError);
  }
  assertEquals(queue.id, id);
  using other = SysvMessageQueue.fromId(id);
  assertMessage(other.tryReceive(), 1, bytes(5));
  other.remove();
});

leakTest("SysvMessageQueue is closed at the end of its block", () => {
  let kept: SysvMessageQueue;
  {
    using queue = SysvMessageQueue.create(null);
    kept = queue;
  }
  assertThrows(() => kept.stat(), ClosedError);
  using again = SysvMessageQueue.fromId(kept.id);
  again.remove();
});

leakTest("SysvMessageQueue leaves nothing behind in many rounds", {
  soak: "also",
}, () => {
  const key = uniqueKey();
  const ROUNDS = rounds(100, 1_000);
  for (let round = 0; round < ROUNDS; round++) {
    using queue = SysvMessageQueue.create(round % 2 === 0 ? key : null);
    queue.sendSync(bytes(round & 0xff));
    assertThrows(() => SysvMessageQueue.create(key, { mode: -1 }), RangeError);
    assertMessage(queue.receiveSync(), 1, bytes(round & 0xff));
    queue.remove();
  }
});

// --- Messages ---------------------------------------------------------------

leakTest("SysvMessageQueue keeps messages in order", () => {
  using queue = newQueue();
  for (let i = 0; i < 100; i++) queue.sendSync(bytes(i, i + 1));
  const { messages, bytes: used } = queue.stat();
  assertEquals([messages, used], [100, 200]);
  for (let i = 0; i < 100; i++) {
    assertMessage(queue.receiveSync(), 1, bytes(i, i + 1));
  }
  assertEquals(queue.tryReceive(), undefined);
});

leakTest("SysvMessageQueue.sendSync() sends the view's bytes only", () => {
  using queue = newQueue();
  const memory = bytes(0, 1, 2, 3, 4, 5, 6, 7);
  queue.sendSync(memory.subarray(3, 6));
  assert(queue.trySend(memory.subarray(7)));
  memory.fill(9); // the queue has copies
  assertMessage(queue.receiveSync(), 1, bytes(3, 4, 5));
  assertMessage(queue.receiveSync(), 1, bytes(7));
});

leakTest("SysvMessageQueue.receiveSync() gives bytes of one's own", () => {
  using queue = newQueue();
  queue.sendSync(bytes(1, 2, 3));
  queue.sendSync(bytes(4, 5, 6));
  const one = queue.receiveSync().data;
  const two = queue.receiveSync().data;
  assertEquals(one, bytes(1, 2, 3));
  one.fill(0);
  queue.sendSync(bytes(7, 8, 9));
  assertEquals(two, bytes(4, 5, 6));
  assertEquals(one.buffer.byteLength, 3);
  assertMessage(queue.tryReceive(), 1, bytes(7, 8, 9));
});

leakTest("SysvMessageQueue.sendSync() refuses what is no Uint8Array", () => {
  using queue = newQueue();
  for (
    const data of [
      "text",
      [1],
      new ArrayBuffer(3),
      new DataView(
        new ArrayBuffer(3),
      ),
      new Uint16Array(2),
      null,
      undefined,
    ]
  ) {
    const wrong = data as unknown as Uint8Array<ArrayBuffer>;
    assertThrows(() => queue.sendSync(wrong), TypeError, '"data"');
    assertThrows(() => queue.trySend(wrong), TypeError, '"data"');
  }
  assertEquals(queue.stat().messages, 0);
});

leakTest("SysvMessageQueue keeps the type, up to LONG_MAX", () => {
  using queue = newQueue();
  for (
    const [sent, received] of [
      [undefined, 1],
      [1, 1],
      [7n, 7],
      [2 ** 31, 2 ** 31],
      [2 ** 32 + 1, 2 ** 32 + 1],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
      [BigInt(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER],
      [2n ** 53n, 2n ** 53n],
      [2n ** 53n + 1n, 2n ** 53n + 1n],
      [LONG_MAX, LONG_MAX],
    ] as const
  ) {
    queue.sendSync(bytes(1), { type: sent });
    assertMessage(queue.tryReceive({ type: received }), received, bytes(1));
    queue.sendSync(bytes(2), { type: sent });
    assertMessage(queue.receiveSync(), received, bytes(2));
  }
});

leakTest("SysvMessageQueue refuses what is no type of a message", () => {
  using queue = newQueue();
  for (
    const type of [
      0,
      -1,
      1.5,
      NaN,
      Infinity,
      2 ** 53,
      0n,
      -1n,
      LONG_MAX + 1n,
      2n ** 64n + 7n,
    ]
  ) {
    assertThrows(() => queue.sendSync(bytes(1), { type }), RangeError);
    const error = assertThrows(
      () => queue.trySend(bytes(1), { type }),
      RangeError,
    );
    assert(error.message.includes('"type"'), error.message);
  }
  for (const type of ["1", true, {}]) {
    const wrong = { type: type as unknown as number };
    assertThrows(() => queue.sendSync(bytes(1), wrong), TypeError);
  }
  assertEquals(queue.stat().messages, 0);
});

leakTest("SysvMessageQueue refuses what is no type to receive", () => {
  using queue = newQueue();
  queue.sendSync(bytes(1));
  for (
    const type of [
      1.5,
      NaN,
      -Infinity,
      2 ** 53,
      -(2 ** 53),
      LONG_MAX + 1n,
      -LONG_MAX - 1n,
      -(2n ** 64n),
    ]
  ) {
    assertThrows(() => queue.tryReceive({ type }), RangeError, '"type"');
    assertThrows(() => queue.receiveSync({ type }), RangeError, '"type"');
  }
  for (const type of ["1", false, {}]) {
    const wrong = { type: type as unknown as number };
    assertThrows(() => queue.tryReceive(wrong), TypeError);
  }
  assertEquals(queue.stat().messages, 1);
});

leakTest("SysvMessageQueue.receiveSync() selects by type", () => {
  using queue = newQueue();
  const types = [5, 3, 7, 3, LONG_MAX, 1, 5];
  types.forEach((type, i) => queue.sendSync(bytes(i), { type }));
  const take = (type: number | bigint) => {
    const message = queue.tryReceive({ type });
    return message && message.data[0];
  };
  assertEquals(take(2), undefined);
  assertEquals(take(-0), 0); // the first of all
  assertEquals(take(3), 1); // the first 3
  assertEquals(take(-2), 5); // the lowest type up to 2: the 1
  assertEquals(take(-2), undefined);
  assertEquals(take(-7), 3); // the lowest up to 7: the second 3
  assertEquals(take(-6), 6); // not the 7 before it
  assertEquals(take(-LONG_MAX), 2); // the 7
  assertEquals(take(LONG_MAX), 4);
  assertEquals(queue.stat().messages, 0);
});

leakTest("SysvMessageQueue carries empty messages", () => {
  using queue = newQueue();
  queue.sendSync(bytes());
  assert(queue.trySend(bytes(), { type: 9 }));
  queue.sendSync(bytes(1));
  const { messages, bytes: used } = queue.stat();
  assertEquals([messages, used], [3, 1]);
  assertMessage(queue.tryReceive({ type: 9 }), 9, bytes());
  assertMessage(queue.receiveSync(), 1, bytes());
  assertMessage(queue.receiveSync(), 1, bytes(1));
});

leakTest("SysvMessageQueue.stat() tells who used the queue last", async () => {
  using queue = newQueue();
  await using child = spawnCode(
    `using queue = SysvMessageQueue.fromId(${queue.id});
    queue.sendSync(new Uint8Array(3));
    queue.sendSync(new Uint8Array(4));
    queue.receiveSync();`,
  );
  assertEquals((await child.ended()).code, 0);
  const { messages, bytes: used, lastSenderPid, lastReceiverPid } = queue
    .stat();
  assertEquals([messages, used], [1, 4], "they outlive their sender");
  assertEquals([lastSenderPid, lastReceiverPid], [child.pid, child.pid]);
  queue.receiveSync();
  const { lastReceiverPid: now, sent, received, changed } = queue.stat();
  assertEquals([now, queue.stat().lastSenderPid], [Deno.pid, child.pid]);
  assert(changed <= sent! && sent! <= received!);
});

leakTest("SysvMessageQueue.receiveSync() waits for a message", async () => {
  using queue = newQueue();
  await using child = spawnCode(
    `using queue = SysvMessageQueue.fromId(${queue.id});
    console.log("up");
    console.log(shown(queue.receiveSync({ type: 5 })));
    console.log(shown(queue.receiveSync({ type: -4 })));
    console.log(shown(queue.receiveSync()));`,
  );
  assertEquals(await child.line(), "up");
  await child.settled();
  queue.sendSync(bytes(1), { type: 6 });
  await child.settled();
  assertEquals(child.unread, "");
  queue.sendSync(bytes(2), { type: 5 });
  assertEquals(await child.line(), "5: 2");
  await child.settled();
  queue.sendSync(bytes(3), { type: 4 });
  assertPrinted(await child.ended(), "up", "5: 2", "4: 3", "6: 1");
});

leakTest("SysvMessageQueue.trySend() says when the queue is full", () => {
  using queue = newQueue();
  const size = Math.min(1024, msgmax);
  const count = fill(queue, size);
  assertEquals(count, Math.floor(msgmnb / size));
  assertEquals(queue.stat().messages, count);
  assert(!queue.trySend(new Uint8Array(size)));
  assertEquals(queue.stat().bytes, count * size);
  queue.receiveSync();
  assert(queue.trySend(new Uint8Array(size)));
  assert(!queue.trySend(new Uint8Array(size)));
});

leakTest(
  "SysvMessageQueue.trySend() says when there are too many empty messages",
  () => {
    using queue = newQueue();
    queue.change({ maxBytes: 3 });
    assertEquals(fill(queue, 0), 3);
    const { messages, bytes: used } = queue.stat();
    assertEquals([messages, used], [3, 0]);
  },
);

leakTest("SysvMessageQueue.sendSync() waits for room", async () => {
  using queue = newQueue();
  const count = fill(queue);
  await using child = spawnCode(
    `using queue = SysvMessageQueue.fromId(${queue.id});
    console.log(queue.trySend(new Uint8Array(512)));
    queue.sendSync(new Uint8Array(512).fill(7), { type: 2 });
    console.log("sent");`,
  );
  assertEquals(await child.line(), "false");
  await child.settled();
  assertEquals(child.unread, "");
  assertEquals(queue.stat().messages, count);
  assertMessage(queue.receiveSync(), 1, new Uint8Array(512));
  assertPrinted(await child.ended(), "false", "sent");
  assertMessage(
    queue.receiveSync({ type: 2 }),
    2,
    new Uint8Array(512).fill(7),
  );
});

leakTest("SysvMessageQueue names the limit of a message", () => {
  using queue = newQueue();
  const data = new Uint8Array(msgmax + 1);
  for (const method of ["trySend", "sendSync"] as const) {
    const { limit, message } = assertRefused(
      () => queue[method](data),
      "EINVAL",
      "msgsnd",
    );
    assertEquals(limit, { name: MSGMAX, value: msgmax });
    assert(message.endsWith(`(EINVAL); ${MSGMAX} is ${msgmax}`), message);
  }
  assertEquals(queue.stat().messages, 0);
  if (msgmax > msgmnb) return;
  queue.sendSync(data.subarray(1));
  assertMessage(queue.receiveSync(), 1, data.subarray(1));
});

leakTest(
  "SysvMessageQueue.sendSync() refuses what the whole queue cannot hold",
  async () => {
    using queue = newQueue();
    queue.change({ maxBytes: 100 });
    queue.sendSync(bytes(1));
    await using child = spawnCode(
      `using queue = SysvMessageQueue.fromId(${queue.id});
      console.log(queue.trySend(new Uint8Array(101)));
      for (const method of ["sendSync", "send"]) {
        try {
          await queue[method](new Uint8Array(101));
        } catch ({ code, syscall, limit }) {
          console.log(code, syscall, limit.name, limit.value);
        }
      }`,
    );
    assertPrinted(
      await child.ended(),
      "false",
      "EINVAL msgsnd msg_qbytes 100",
      "EINVAL msgsnd msg_qbytes 100",
    );
    assertMessage(queue.receiveSync(), 1, bytes(1));
    queue.sendSync(new Uint8Array(100));
    assertEquals(queue.receiveSync().data.length, 100);
  },
);

leakTest(
  "SysvMessageQueue receives messages larger than its first buffer",
  { needs: [noOwnLimits] },
  async () => {
    assertPrinted(
      await runLimited(
        { "kernel/msgmax": 300_000, "kernel/msgmnb": 1_000_000 },
        code(`using queue = SysvMessageQueue.create(null);
        const large = (size) => Uint8Array.from({ length: size }, (_, i) => i % 251);
        const same = ({ data }, size) => data.length === size &&
          data.every((byte, i) => byte === i % 251);
        // The sender's buffer has grown, so another object receives.
        for (const size of [8192, 8193, 16384, 16385, 100000, 300000]) {
          using receiver = SysvMessageQueue.fromId(queue.id);
          queue.sendSync(large(size));
          console.log(size, same(receiver.tryReceive(), size));
          queue.sendSync(large(size));
          queue.sendSync(large(size));
          console.log(size, same(receiver.receiveSync(), size));
          console.log(size, same(receiver.receiveSync(), size));
          queue.sendSync(large(3));
          console.log(shown(receiver.receiveSync()));
        }
        // One large message among many small ones.
        using receiver = SysvMessageQueue.fromId(queue.id);
        for (let i = 0; i < 500; i++) queue.sendSync(large(1000));
        queue.sendSync(large(9000), { type: 2 });
        console.log(same(receiver.receiveSync({ type: 2 }), 9000));
        console.log(told(() => queue.sendSync(large(300001))));`),
      ),
      ...[8192, 8193, 16384, 16385, 100_000, 300_000].flatMap((size) => [
        `${size} true`,
        `${size} true`,
        `${size} true`,
        "1: 0,1,2",
      ]),
      "true",
      "IpcError EINVAL msgsnd",
    );
  },
);

leakTest(
  "SysvMessageQueue.receiveSync() grows its buffer while it waits",
  { needs: [noOwnLimits] },
  async () => {
    // The receiver is a child of this code, in the namespace of its own.
    const receiver = code(
      `using queue = SysvMessageQueue.open(5);
      console.log("up");
      for (const size of [10, 70000, 10]) {
        const { type, data } = queue.receiveSync();
        console.log(type, data.length, data.every((byte) => byte === 7));
      }`,
    );
    assertPrinted(
      await runLimited(
        { "kernel/msgmax": 100_000, "kernel/msgmnb": 200_000 },
        code(`using queue = SysvMessageQueue.create(5);
        const child = new Deno.Command(Deno.execPath(), {
          args: ${JSON.stringify(receiver)},
          stdout: "piped",
        }).spawn();
        const lines = child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
        async function line() {
          const { value } = await lines.next();
          console.log(value.trim());
        }
        // In the system call: it has written all that it had to write.
        async function asleep() {
          for (let quiet = 0; quiet < 10; quiet++) {
            const stat = Deno.readTextFileSync("/proc/" + child.pid + "/stat");
            if (!stat.includes(") S ")) quiet = 0;
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        }
        await line();
        for (const [size, type] of [[10, 2], [70000, 3], [10, 4]]) {
          await asleep();
          queue.sendSync(new Uint8Array(size).fill(7), { type });
          await line();
        }
        console.log((await child.status).code);`),
      ),
      "up",
      "2 10 true",
      "3 70000 true",
      "4 10 true",
      "0",
    );
  },
);

leakTest("SysvMessageQueue.receiveSync() takes all types but one", () => {
  using queue = newQueue();
  [2, 2, LONG_MAX, 3, 2].forEach((type, i) =>
    queue.sendSync(bytes(i), { type })
  );
  const take = (type: number | bigint) =>
    queue.tryReceive({ type, except: true })?.data[0];
  assertEquals([take(2), take(2n), take(2)], [2, 3, undefined]);
  assertEquals(queue.receiveSync({ type: 1, except: true }).data, bytes(0));
  assertEquals(queue.receiveSync({ type: 2, except: false }).data, bytes(1));
  for (const type of [undefined, 0, -1, -1n]) {
    const options = { type, except: true };
    assertThrows(() => queue.tryReceive(options), RangeError, '"type"');
    assertThrows(() => queue.receiveSync(options), RangeError, '"type"');
  }
  assertEquals(queue.stat().messages, 1);
});

leakTest("SysvMessageQueue.receiveSync() cuts off when it is told to", () => {
  using queue = newQueue();
  const data = Uint8Array.from({ length: 100 }, (_, i) => i);
  for (const truncate of [0, 1, 99, 100, 101, 9_000, 2 ** 31 - 1]) {
    queue.sendSync(data);
    queue.sendSync(data);
    const expected = data.subarray(0, truncate);
    assertMessage(queue.tryReceive({ truncate }), 1, expected);
    assertMessage(queue.receiveSync({ truncate }), 1, expected);
  }
  queue.sendSync(data);
  for (const truncate of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => queue.tryReceive({ truncate }), RangeError);
  }
  assertMessage(queue.tryReceive(), 1, data);
});

/** Why no message can be copied here, or null. */
const noCopies: string | null = findNoCopies();

function findNoCopies(): string | null {
  using queue = SysvMessageQueue.create(null);
  try {
    queue.tryPeek(0);
    return null;
  } catch (error) {
    return String(error);
  } finally {
    queue.remove();
  }
}

leakTest("SysvMessageQueue.tryPeek() leaves the message", {
  needs: [noCopies],
}, () => {
  using queue = newQueue();
  assertEquals(queue.tryPeek(0), undefined);
  queue.sendSync(bytes(1, 2), { type: LONG_MAX });
  queue.sendSync(bytes(), { type: 3 });
  for (let round = 0; round < 2; round++) {
    assertMessage(queue.tryPeek(0), LONG_MAX, bytes(1, 2));
    assertMessage(queue.tryPeek(1), 3, bytes());
    assertEquals([queue.tryPeek(2), queue.tryPeek(2 ** 31 - 1)], [
      undefined,
      undefined,
    ]);
  }
  for (const index of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => queue.tryPeek(index), RangeError, '"index"');
  }
  assertEquals(queue.stat().messages, 2);
  queue.remove();
  assertRefused(() => queue.tryPeek(0), "EIDRM", "msgrcv");
});

leakTest("SysvMessageQueue.change() changes what it is told to", () => {
  using queue = newQueue();
  const before = queue.stat();
  queue.change({});
  assertEquals({ ...queue.stat(), changed: null }, {
    ...before,
    changed: null,
  });
  queue.change({ mode: 0o640 });
  queue.change({ maxBytes: msgmnb - 1 });
  const { mode, maxBytes, uid, gid } = queue.stat();
  assertEquals([mode, maxBytes], [0o640, msgmnb - 1]);
  assertEquals([uid, gid], [before.uid, before.gid]);
  for (const wrong of [-1, 1.5, NaN, 2 ** 32]) {
    for (const name of ["uid", "gid", "mode", "maxBytes"]) {
      assertThrows(() => queue.change({ [name]: wrong }), RangeError, name);
    }
  }
  queue.remove();
  assertRefused(() => queue.change({ mode: 0o600 }), "EIDRM", "msgctl");
});

leakTest("SysvMessageQueue.list() finds the queues", () => {
  const key = uniqueKey();
  using named = SysvMessageQueue.create(key, { mode: 0o640 });
  using other = newQueue();
  named.sendSync(bytes(1, 2, 3));
  const find = (id: number) =>
    SysvMessageQueue.list().find((entry) => entry.id === id);
  assertEquals(find(named.id), {
    key,
    id: named.id,
    mode: 0o640,
    bytes: 3,
    messages: 1,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
  });
  assertEquals(find(other.id)?.key, 0);
  named.remove();
  assertEquals(find(named.id), undefined);
});

// --- Waiting without blocking the thread ------------------------------------

/** How a promise ends, as one line. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "done";
  } catch (error) {
    if (error instanceof IpcError) return `${error.code} ${error.syscall}`;
    return error instanceof Error ? error.name : String(error);
  }
}

leakTest("SysvMessageQueue.receive() takes what is there", async () => {
  using queue = newQueue();
  for (const timeout of [undefined, 0, 1e15, Infinity]) {
    queue.sendSync(bytes(1, 2), { type: LONG_MAX });
    assertMessage(await queue.receive({ timeout }), LONG_MAX, bytes(1, 2));
  }
});

leakTest("SysvMessageQueue.receive() waits for another process", async () => {
  using queue = newQueue();
  await using child = spawnCode(
    `using queue = SysvMessageQueue.fromId(${queue.id});
    // More than have a thread to wait on.
    for (let type = 1; type <= 12; type++) {
      queue.receive({ type }).then((message) => console.log(shown(message)));
    }
    console.log((await Deno.readTextFile("/proc/self/comm")) !== "");
    await queue.receive({ type: 99 });`,
  );
  assertEquals(await child.line(), "true");
  for (const type of [12, 1, 5, 11, 2, 3, 4, 6, 10, 9, 8, 7]) {
    assertEquals(child.unread, "");
    queue.sendSync(bytes(type), { type });
    assertEquals(await child.line(), `${type}: ${type}`);
  }
  queue.sendSync(bytes(), { type: 99 });
  assertEquals((await child.ended()).code, 0); // by itself
});

leakTest("SysvMessageQueue.send() waits for room", async () => {
  using queue = newQueue();
  const count = fill(queue, 512);
  const sends = Array.from(
    { length: 6 },
    (_, i) => queue.send(new Uint8Array(512).fill(i), { type: 2 }),
  );
  sends.push(queue.send(bytes(7), { type: 3 }));
  await using child = spawnCode(
    `using queue = SysvMessageQueue.fromId(${queue.id});
    for (let i = 0; i < ${count}; i++) queue.receiveSync({ type: 1 });
    for (let i = 0; i < 6; i++) {
      console.log(queue.receiveSync({ type: 2 }).data[511]);
    }`,
  );
  await Promise.all(sends);
  assertPrinted(await child.ended(), ...[0, 1, 2, 3, 4, 5].map(String));
  assertMessage(queue.receiveSync(), 3, bytes(7));
});

leakTest("SysvMessageQueue never gives up early", async () => {
  using queue = newQueue();
  fill(queue);
  const calls = [
    (timeout: number) => queue.receive({ type: 9, timeout }),
    (timeout: number) => queue.send(new Uint8Array(512), { timeout }),
  ];
  const { messages } = queue.stat();
  for (const call of calls) {
    for (const timeout of [0, 0.5, 1, 10, 33.3, 100]) {
      const start = performance.now();
      assertEquals(await outcome(call(timeout)), "TimeoutError");
      const passed = performance.now() - start;
      assert(passed >= timeout, `${passed} of ${timeout} ms`);
    }
    for (const timeout of [-1, NaN]) {
      assertEquals(await outcome(call(timeout)), "RangeError");
    }
    assertEquals(await outcome(call("5" as unknown as number)), "TypeError");
  }
  assertEquals(queue.stat().messages, messages);
});

leakTest("SysvMessageQueue ends a wait with the signal's reason", async () => {
  using queue = newQueue();
  fill(queue);
  const { messages } = queue.stat();
  const aborted = { signal: AbortSignal.abort("before") };
  assertEquals(await outcome(queue.receive(aborted)), "before");
  assertEquals(await outcome(queue.send(bytes(1), aborted)), "before");
  const controllers = Array.from({ length: 12 }, () => new AbortController());
  const waits = controllers.map(({ signal }, i) =>
    outcome(
      i % 2 === 0
        ? queue.receive({ type: 9, signal })
        : queue.send(new Uint8Array(512), { signal, timeout: 30_000 }),
    )
  );
  controllers.forEach((controller, i) => controller.abort(`reason ${i}`));
  assertEquals(
    await Promise.all(waits),
    controllers.map((_, i) => `reason ${i}`),
  );
  assertEquals(queue.stat().messages, messages);
});

leakTest(
  "SysvMessageQueue.receive() loses no message that it took",
  async () => {
    using queue = newQueue();
    const seen: number[] = [];
    let sent = 0;
    for (let round = 0; round < 60; round++) {
      const controllers = Array.from(
        { length: 6 },
        () => new AbortController(),
      );
      const waits = controllers.map(({ signal }) =>
        queue.receive({ signal }).then(
          ({ data }) => void seen.push(data[0]! + 256 * data[1]!),
          (reason) => assertEquals(reason, "aborted"),
        )
      );
      if (round % 3 === 0) {
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      for (let i = 0; i < 3; i++) {
        queue.sendSync(bytes(sent & 0xff, sent >> 8));
        sent++;
        controllers[i]!.abort("aborted");
        if (round % 2 === 0) await null;
        controllers[5 - i]!.abort("aborted");
      }
      await Promise.all(waits);
      for (let left; (left = queue.tryReceive()) !== undefined;) {
        seen.push(left.data[0]! + 256 * left.data[1]!);
      }
    }
    seen.sort((a, b) => a - b);
    assertEquals(seen, Array.from({ length: sent }, (_, i) => i));
  },
);

leakTest("SysvMessageQueue.remove() ends what waits", async () => {
  using queue = newQueue();
  fill(queue);
  const waits = [
    ...Array.from({ length: 6 }, () => queue.receive({ type: 9 })),
    ...Array.from({ length: 3 }, () => queue.send(new Uint8Array(512))),
  ].map(outcome);
  queue.remove();
  assertEquals(await Promise.all(waits), [
    ...Array(6).fill("EIDRM msgrcv"),
    ...Array(3).fill("EIDRM msgsnd"),
  ]);
  assertEquals(await outcome(queue.receive()), "EIDRM msgrcv");
  assertEquals(await outcome(queue.send(bytes(1))), "EIDRM msgsnd");
});

leakTest("SysvMessageQueue.close() ends what waits", async () => {
  using queue = newQueue();
  using other = SysvMessageQueue.fromId(queue.id);
  fill(queue);
  const { messages } = queue.stat();
  const waits = [
    ...Array.from({ length: 6 }, () => queue.receive({ type: 9 })),
    ...Array.from({ length: 3 }, () => queue.send(new Uint8Array(512))),
  ].map(outcome);
  queue.close();
  assertEquals(await Promise.all(waits), Array(9).fill("ClosedError"));
  assertEquals(await outcome(queue.receive()), "ClosedError");
  assertEquals(await outcome(queue.send(bytes(1))), "ClosedError");
  other.sendSync(bytes(), { type: 9 });
  assertEquals(other.stat().messages, messages + 1);
});

leakTest("SysvMessageQueue is iterated until it is closed", async () => {
  using queue = newQueue();
  using sender = SysvMessageQueue.fromId(queue.id);
  const data = [1, 2, 3];
  for (const value of data) sender.sendSync(bytes(value));
  const got: number[] = [];
  for await (const message of queue) {
    got.push(message.data[0]!);
    if (got.length === 3) setTimeout(() => sender.trySend(bytes(4)), 0);
    if (got.length === 4) setTimeout(() => queue.close(), 0);
  }
  assertEquals(got, [1, 2, 3, 4]);
});

// --- Two processes, and C ---------------------------------------------------

leakTest(
  "SysvMessageQueue carries 10,000 messages between processes, in order",
  async () => {
    using queue = newQueue();
    await using receiver = spawnCode(
      `using queue = SysvMessageQueue.fromId(${queue.id});
      for (let i = 0; i < 10_000; i++) {
        const { type, data } = queue.receiveSync();
        const right = type === i % 7 + 1 && data.length === i % 100 &&
          data.every((byte) => byte === i % 256);
        if (!right) throw new Error(i + ": " + type + ": " + data);
      }
      console.log("all in order");`,
    );
    await using sender = spawnCode(
      `using queue = SysvMessageQueue.fromId(${queue.id});
      for (let i = 0; i < 10_000; i++) {
        const data = new Uint8Array(i % 100).fill(i % 256);
        queue.sendSync(data, { type: i % 7 + 1 });
      }
      console.log("sent");`,
    );
    assertPrinted(await sender.ended(), "sent");
    assertPrinted(await receiver.ended(), "all in order");
    assertEquals(queue.stat().messages, 0);
  },
);

leakTest(
  "SysvMessageQueue gives every message to one receiver only",
  async () => {
    using queue = newQueue();
    await using all = new AsyncDisposableStack();
    const receivers = [0, 1, 2].map(() =>
      all.use(spawnCode(
        `using queue = SysvMessageQueue.fromId(${queue.id});
        let count = 0;
        let sum = 0;
        for (;;) {
          const { data } = queue.receiveSync();
          if (data.length === 0) break;
          count++;
          sum += new Uint32Array(data.buffer)[0];
        }
        console.log(count, sum);`,
      ))
    );
    const senders = [0, 1].map((sender) =>
      all.use(spawnCode(
        `using queue = SysvMessageQueue.fromId(${queue.id});
        for (let i = 0; i < 2_000; i++) {
          queue.sendSync(new Uint8Array(Uint32Array.of(${sender} * 2_000 + i).buffer));
        }
        console.log("sent");`,
      ))
    );
    for (const sender of senders) assertPrinted(await sender.ended(), "sent");
    for (const _ of receivers) queue.sendSync(bytes());
    let count = 0;
    let sum = 0;
    for (const receiver of receivers) {
      const { code, stdout, transcript } = await receiver.ended();
      assertEquals(code, 0, transcript);
      const [received, total] = stdout.trim().split(" ").map(Number);
      count += received!;
      sum += total!;
    }
    assertEquals([count, sum], [4_000, 4_000 * 3_999 / 2]);
  },
);

leakTest(
  "SysvMessageQueue keeps waiting when a signal arrives",
  async () => {
    using queue = newQueue();
    const waiting = (text: string) =>
      spawnCode(
        `Deno.addSignalListener("SIGUSR1", () => {});
        using queue = SysvMessageQueue.fromId(${queue.id});
        console.log("up");
        console.log(${text});
        Deno.exit();`,
      );
    {
      await using receiver = waiting("shown(queue.receiveSync())");
      assertEquals(await receiver.line(), "up");
      for (let i = 0; i < 5; i++) {
        await receiver.settled();
        assert(receiver.kill("SIGUSR1"));
      }
      await receiver.settled();
      queue.sendSync(bytes(1));
      assertPrinted(await receiver.ended(), "up", "1: 1");
    }
    fill(queue);
    await using sender = waiting("queue.sendSync(new Uint8Array(512))");
    assertEquals(await sender.line(), "up");
    for (let i = 0; i < 5; i++) {
      await sender.settled();
      assert(sender.kill("SIGUSR1"));
    }
    await sender.settled();
    queue.receiveSync();
    assertPrinted(await sender.ended(), "up", "undefined");
    assert(!queue.trySend(new Uint8Array(512)), "it has sent one");
  },
);

leakTest(
  "SysvMessageQueue is not harmed by a receiver that is killed",
  async () => {
    using queue = newQueue();
    await using receiver = spawnCode(
      `using queue = SysvMessageQueue.fromId(${queue.id});
      console.log("up");
      queue.receiveSync();`,
    );
    assertEquals(await receiver.line(), "up");
    await receiver.settled();
    await kill(receiver);
    queue.sendSync(bytes(1));
    assertMessage(queue.tryReceive(), 1, bytes(1));
  },
);

leakTest(
  "SysvMessageQueue outlives those who are killed with it in hand",
  { soak: "also", limit: 240_000 },
  async () => {
    using queue = newQueue();
    queue.change({ maxBytes: 64 }); // so that senders wait, too
    await killUsersOf(queue, rounds(4, 100));
  },
);

/** struct human { short age; char name[20]; } */
const human = struct({ age: i16, name: cstring(20) });

const SEND = new URL("interop/c/sysv_queue_send.c", import.meta.url);
const RECEIVE = new URL("interop/c/sysv_queue_receive.c", import.meta.url);

leakTest(
  "SysvMessageQueue.sendSync() sends the bytes that C receives",
  { needs: [noCompiler] },
  async () => {
    using queue = newQueue();
    const program = await compile(RECEIVE);
    for (
      const [age, name] of [[80, "ghkim"], [-2, ""], [1, "김함지"]] as const
    ) {
      const data = human.encode({ age, name });
      const type = LONG_MAX - 1n;
      assertEquals(data.length, 22);
      queue.sendSync(data, { type });
      const hex = Array.from(
        data,
        (byte) => byte.toString(16).padStart(2, "0"),
      );
      assertPrinted(
        await run(program, { args: [`${queue.id}`, `${type}`] }),
        `${type} 22 ${age} ${name} ${hex.join(" ")}`,
      );
    }
  },
);

leakTest(
  "SysvMessageQueue.receiveSync() receives the bytes that C sends",
  { needs: [noCompiler] },
  async () => {
    using queue = newQueue();
    const program = await compile(SEND);
    const id = `${queue.id}`;
    for (
      const [age, name] of [[80, "ghkim"], [-2, ""], [1, "김함지"]] as const
    ) {
      const { code } = await run(program, { args: [id, "3", `${age}`, name] });
      assertEquals(code, 0);
      const message = queue.receiveSync();
      assertMessage(message, 3, human.encode({ age, name }));
      assertEquals(human.decode(message.data), { age, name });
    }
    await run(program, { args: [id, `${LONG_MAX}`, "1", "x"] });
    assertStrictEquals(queue.receiveSync().type, LONG_MAX);
  },
);

leakTest(
  "SysvMessageQueue.receiveSync() is woken by a C program, and wakes one",
  { needs: [noCompiler] },
  async () => {
    using queue = newQueue();
    const id = `${queue.id}`;
    await using child = spawnCode(
      `using queue = SysvMessageQueue.fromId(${id});
      console.log("up");
      console.log(queue.receiveSync({ type: 2 }).data.length);`,
    );
    assertEquals(await child.line(), "up");
    await child.settled();
    await run(await compile(SEND), { args: [id, "2", "1", "x"] });
    assertPrinted(await child.ended(), "up", "22");

    await using peer = spawn(await compile(RECEIVE), { args: [id, "4"] });
    await peer.settled();
    queue.sendSync(bytes(5, 0), { type: 4 });
    const { code, stdout } = await peer.ended();
    assertEquals(code, 0);
    assert(stdout.startsWith("4 2 5 "), stdout);
  },
);

// --- Permissions ------------------------------------------------------------

leakTest(
  "SysvMessageQueue says EACCES and EPERM to another user",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    using queue = SysvMessageQueue.create(key);
    queue.sendSync(bytes(1));
    assertPrinted(
      await nobodys(
        `const [key, id] = Deno.args.map(Number);
        console.log(told(() => SysvMessageQueue.fromId(id).id === id));
        console.log(told(() => SysvMessageQueue.openOrCreate(key)));
        console.log(told(() => SysvMessageQueue.create(key)));
        using queue = SysvMessageQueue.open(key);
        console.log(queue.id);
        console.log(told(() => queue.trySend(new Uint8Array(1))));
        console.log(told(() => queue.sendSync(new Uint8Array(1))));
        console.log(told(() => queue.tryReceive()));
        console.log(told(() => queue.receiveSync()));
        console.log(told(() => queue.stat()));
        console.log(told(() => queue.change({ mode: 0o666 })));
        console.log(told(() => queue.remove()));
        for (const wait of [queue.receive(), queue.send(new Uint8Array(1))]) {
          console.log(await wait.catch((error) => error.code));
        }`,
        key,
        queue.id,
      ),
      "true",
      "IpcError EACCES msgget",
      "IpcError EEXIST msgget",
      `${queue.id}`,
      "IpcError EACCES msgsnd",
      "IpcError EACCES msgsnd",
      "IpcError EACCES msgrcv",
      "IpcError EACCES msgrcv",
      "IpcError EACCES msgctl",
      "IpcError EACCES msgctl",
      "IpcError EPERM msgctl",
      "EACCES",
      "EACCES",
    );
    assertEquals(queue.stat().messages, 1);
    queue.remove();
  },
);

leakTest(
  "SysvMessageQueue.change() names a limit only where that was hit",
  { needs: [noOtherUser] },
  async () => {
    const [own, others] = [uniqueKey(), uniqueKey()];
    using queue = SysvMessageQueue.create(others, { mode: 0o666 });
    const limit = "/proc/sys/kernel/msgmnb";
    assertPrinted(
      await nobodys(
        `const [own, others, most] = Deno.args.map(Number);
        function refused(queue, change) {
          try {
            queue.change(change);
          } catch ({ code, limit }) {
            console.log(code, limit?.name, limit?.value);
          }
        }
        using queue = SysvMessageQueue.create(own);
        refused(queue, { maxBytes: most + 1 });
        using foreign = SysvMessageQueue.open(others);
        refused(foreign, { mode: 0o600 });
        refused(foreign, { maxBytes: 100 });
        queue.remove();`,
        own,
        others,
        msgmnb,
      ),
      `EPERM ${limit} ${msgmnb}`,
      "EPERM undefined undefined",
      "EPERM undefined undefined",
    );
    queue.remove();
  },
);

leakTest(
  "SysvMessageQueue.tryPeek() says EACCES to another user",
  { needs: [noOtherUser, noCopies] },
  async () => {
    const key = uniqueKey();
    using queue = SysvMessageQueue.create(key, { mode: 0o622 });
    assertPrinted(
      await nobodys(
        `using queue = SysvMessageQueue.open(Number(Deno.args[0]));
        console.log(told(() => queue.tryPeek(0)));`,
        key,
      ),
      "IpcError EACCES msgrcv",
    );
    queue.remove();
  },
);

leakTest(
  "SysvMessageQueue lets read permission receive, write permission send",
  { needs: [noOtherUser] },
  async () => {
    const [writeOnly, readOnly] = [uniqueKey(), uniqueKey()];
    using inbox = SysvMessageQueue.create(writeOnly, { mode: 0o622 });
    using outbox = SysvMessageQueue.create(readOnly, { mode: 0o644 });
    outbox.sendSync(bytes(3));
    assertPrinted(
      await nobodys(
        `const [writeOnly, readOnly] = Deno.args.map(Number);
        using inbox = SysvMessageQueue.open(writeOnly);
        console.log(inbox.trySend(Uint8Array.of(1)));
        console.log(told(() => inbox.sendSync(Uint8Array.of(2))));
        console.log(told(() => inbox.tryReceive()));
        using outbox = SysvMessageQueue.open(readOnly);
        console.log(told(() => outbox.trySend(Uint8Array.of(1))));
        console.log(shown(outbox.receiveSync()), outbox.stat().messages);
        console.log(told(() => SysvMessageQueue.openOrCreate(readOnly)));
        console.log(SysvMessageQueue.openOrCreate(readOnly, { mode: 0o400 }).id);`,
        writeOnly,
        readOnly,
      ),
      "true",
      "undefined",
      "IpcError EACCES msgrcv",
      "IpcError EACCES msgsnd",
      "1: 3 0",
      "IpcError EACCES msgget",
      `${outbox.id}`,
    );
    assertMessage(inbox.receiveSync(), 1, bytes(1));
    assertMessage(inbox.receiveSync(), 1, bytes(2));
    inbox.remove();
    outbox.remove();
  },
);

leakTest(
  "SysvMessageQueue.sendSync() waits for room without read permission",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    using queue = SysvMessageQueue.create(key, { mode: 0o622 });
    fill(queue);
    await using child = spawnAsNobody(
      `import { SysvMessageQueue } from "@linux/ipc/message-queue";
      using queue = SysvMessageQueue.open(${key});
      console.log("up");
      queue.sendSync(Uint8Array.of(1, 2), { type: 2 });
      console.log("sent");`,
    );
    assertEquals(await child.line(), "up");
    await child.settled();
    queue.receiveSync();
    assertPrinted(await child.ended(), "up", "sent");
    assertMessage(queue.tryReceive({ type: 2 }), 2, bytes(1, 2));
    queue.remove();
  },
);

leakTest(
  "SysvMessageQueue.stat() tells the owner",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    await nobodys(
      `SysvMessageQueue.create(Number(Deno.args[0]), { mode: 0o664 });`,
      key,
    );
    using queue = SysvMessageQueue.open(key);
    const { uid, gid, mode } = queue.stat();
    assertEquals([uid, gid, mode], [NOBODY, NOBODY, 0o664]);
    queue.remove();
  },
);
