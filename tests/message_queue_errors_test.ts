/**
 * Every documented error of the message queues that can be provoked here, call by call.
 * The errors of limits are in limits_test.ts.
 *
 * Not provoked: ENOMEM of all calls; ENFILE, which needs as many open files as the whole
 * system may have; ENOSYS of peek(), which needs another kernel; EACCES of
 * PosixMessageQueue.create(), which needs an mqueue file system whose mode was changed.
 */
import { assertEquals } from "@std/assert";
import { pipe } from "../ffi/pipe.ts";
import { PosixMessageQueue, SysvMessageQueue } from "../ffi/message_queue.ts";
import { runCode } from "./support/limit_code.ts";
import { assertPrinted } from "./support/asserts.ts";
import { leakTest } from "./support/leaks.ts";
import { uniqueKey, uniqueName } from "./support/names.ts";
import { noPrlimit, unshareFlags } from "./support/namespaces.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

/** What a call throws, as "IpcError EACCES msgsnd"; else "returns". */
async function told(call: () => unknown): Promise<string> {
  try {
    await call();
    return "returns";
  } catch (error) {
    const { name, code, syscall } = error as Record<string, unknown>;
    return [name, ...typeof code === "string" ? [code, syscall] : []].join(" ");
  }
}

/** A call, and what it throws. */
type Row = readonly [name: string, call: () => unknown, says: string];

/** The rows of a wait in its three forms. `sync` says what the form that blocks does. */
function forms<Options>(
  name: string,
  says: string,
  wait: (options: Options) => Promise<unknown>,
  sync: (options: Options) => unknown,
  once: (options: Options) => unknown,
  options: Options,
): Row[] {
  return [
    [`${name}()`, () => wait(options), says],
    [`${name}Sync()`, () => sync(options), says],
    [`try ${name}()`, () => once(options), says],
  ];
}

async function assertTold(rows: Row[]): Promise<void> {
  const got: string[] = [];
  for (const [name, call] of rows) got.push(`${name}: ${await told(call)}`);
  assertEquals(got, rows.map(([name, , says]) => `${name}: ${says}`));
}

type Queue = SysvMessageQueue | PosixMessageQueue;

function sends(
  queue: Queue,
  says: string,
  data: Uint8Array,
  options = {},
) {
  return forms(
    "send",
    says,
    (options) => queue.send(data, options),
    (options) => queue.sendSync(data, options),
    (options) => queue.trySend(data, options),
    options,
  );
}

function receives(queue: Queue, says: string, options = {}) {
  return forms(
    "receive",
    says,
    (options) => queue.receive(options),
    (options) => queue.receiveSync(options),
    (options) => queue.tryReceive(options),
    options,
  );
}

// --- System V -------------------------------------------------------------------

/** The calls that fail in the same way where the queue is gone. */
function sysvRest(
  queue: SysvMessageQueue,
  error: (syscall: string) => string,
): Row[] {
  return [
    ["tryPeek()", () => queue.tryPeek(0), error("msgrcv")],
    ["request()", () => queue.request(new Uint8Array(1)), error("msgctl")],
    ["stat()", () => queue.stat(), error("msgctl")],
    ["change()", () => queue.change({ mode: 0o600 }), error("msgctl")],
    ["remove()", () => queue.remove(), error("msgctl")],
  ];
}

leakTest("SysvMessageQueue: errors of keys and ids", async () => {
  const key = uniqueKey();
  using queue = SysvMessageQueue.create(key);
  const { id } = queue;
  await assertTold([
    ["create()", () => SysvMessageQueue.create(key), "IpcError EEXIST msgget"],
    ["create(0)", () => SysvMessageQueue.create(0), "RangeError"],
    ["create(text)", () => SysvMessageQueue.create("1" as never), "TypeError"],
    [
      "create(mode)",
      () => SysvMessageQueue.create(key, { mode: 0o1000 }),
      "RangeError",
    ],
    ["open(null)", () => SysvMessageQueue.open(null as never), "TypeError"],
    ["fromId(-1)", () => SysvMessageQueue.fromId(-1), "RangeError"],
    ["fromId(text)", () => SysvMessageQueue.fromId("1" as never), "TypeError"],
  ]);
  queue.remove();
  await assertTold([
    ["open()", () => SysvMessageQueue.open(key), "IpcError ENOENT msgget"],
    ["fromId()", () => SysvMessageQueue.fromId(id), "IpcError EIDRM msgctl"],
  ]);
});

leakTest("SysvMessageQueue: errors of messages, in all forms", async () => {
  using queue = SysvMessageQueue.create(null);
  const data = new Uint8Array(10);
  const buffer = new Uint8Array(9);
  const large = new Uint8Array(8193);
  queue.sendSync(data);
  await assertTold([
    ...receives(queue, "IpcError E2BIG msgrcv", { buffer }),
    ...receives(queue, "TypeError", { buffer: [] }),
    ...receives(queue, "TypeError", { type: "1" }),
    ...receives(queue, "RangeError", { type: 0.5 }),
    ...receives(queue, "RangeError", { type: 2n ** 63n }),
    ...receives(queue, "RangeError", { type: 0, except: true }),
    ...receives(queue, "RangeError", { truncate: -1 }),
    ...receives(queue, "RangeError", { type: 9, timeout: -1 }).slice(0, 2),
    ...receives(queue, "TimeoutError", { type: 9, timeout: 1 }).slice(0, 2),
    ...sends(queue, "TypeError", [] as never),
    ...sends(queue, "RangeError", data, { type: 0 }),
    ...sends(queue, "RangeError", data, { type: 2n ** 63n }),
    ...sends(queue, "TypeError", data, { type: "1" }),
    ["tryPeek(-1)", () => queue.tryPeek(-1), "RangeError"],
    ["tryPeek(text)", () => queue.tryPeek("0" as never), "TypeError"],
    ["change(mode)", () => queue.change({ mode: -1 }), "RangeError"],
    ["change(maxBytes)", () => queue.change({ maxBytes: -1 }), "RangeError"],
  ]);
  assertEquals(queue.stat().messages, 1); // none was taken
  queue.tryReceive();
  await assertTold(sends(queue, "IpcError EINVAL msgsnd", large));
  queue.change({ maxBytes: 100 });
  const tooLarge = new Uint8Array(101);
  await assertTold(
    sends(queue, "IpcError EINVAL msgsnd", tooLarge).slice(0, 2),
  );
  queue.sendSync(new Uint8Array(100));
  await assertTold(
    sends(queue, "TimeoutError", data, { timeout: 1 }).slice(0, 2),
  );
  queue.remove();
});

leakTest("SysvMessageQueue: errors of a queue that was removed", async () => {
  using queue = SysvMessageQueue.create(null);
  const waits = [queue.receive(), queue.request(new Uint8Array(1))];
  const ends = waits.map((wait) => told(() => wait));
  queue.remove();
  assertEquals(await Promise.all(ends), [
    "IpcError EIDRM msgrcv",
    "IpcError EIDRM msgrcv",
  ]);
  const removed = (syscall: string) => `IpcError EIDRM ${syscall}`;
  await assertTold([
    ...sends(queue, removed("msgsnd"), new Uint8Array(1)),
    ...receives(queue, removed("msgrcv")),
    ...sysvRest(queue, removed),
    ["messages()", () => queue.messages().next(), removed("msgrcv")],
    ["requests()", () => queue.requests().next(), removed("msgrcv")],
  ]);
});

leakTest("SysvMessageQueue: errors of an object that was closed", async () => {
  using queue = SysvMessageQueue.create(null);
  const waits = [
    queue.receive({ type: 9 }),
    queue.request(new Uint8Array(1)),
  ];
  const ends = waits.map((wait) => told(() => wait));
  queue.close();
  assertEquals(await Promise.all(ends), ["ClosedError", "ClosedError"]);
  await assertTold([
    ...sends(queue, "ClosedError", new Uint8Array(1)),
    ...receives(queue, "ClosedError"),
    ...sysvRest(queue, () => "ClosedError"),
    ["messages()", () => queue.messages().next(), "returns"],
    ["requests()", () => queue.requests().next(), "returns"],
    ["id", () => queue.id, "returns"],
  ]);
  SysvMessageQueue.remove({ id: queue.id });
});

leakTest(
  "SysvMessageQueue: errors of another user",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    using queue = SysvMessageQueue.create(key);
    const ended = await runAsNobody(`
      import { SysvMessageQueue } from "@linux/ipc";
      const told = ${told};
      using queue = SysvMessageQueue.open(${key});
      const data = new Uint8Array(1);
      for (const call of [
        () => SysvMessageQueue.openOrCreate(${key}),
        () => queue.send(data), () => queue.sendSync(data), () => queue.trySend(data),
        () => queue.receive(), () => queue.receiveSync(), () => queue.tryReceive(),
        () => queue.tryPeek(0), () => queue.request(data), () => queue.stat(),
        () => queue.messages().next(), () => queue.requests().next(),
        () => queue.change({ mode: 0o666 }),
        () => queue.change({ uid: 1, gid: 1, mode: 0o666, maxBytes: 1 }),
        () => queue.remove(),
      ]) console.log(await told(call));`);
    const [get, send, receive, ctl] = ["msgget", "msgsnd", "msgrcv", "msgctl"]
      .map((call) => `IpcError EACCES ${call}`);
    assertPrinted(
      ended,
      ...[get!, send!, send!, send!, receive!, receive!, receive!, receive!],
      ...[ctl!, ctl!, receive!, receive!, ctl!],
      ...Array(2).fill("IpcError EPERM msgctl"),
    );
    queue.remove();
  },
);

// --- POSIX ----------------------------------------------------------------------

const SMALL = { maxMessages: 1, maxSize: 8 };

leakTest("PosixMessageQueue: errors of names and descriptors", async () => {
  const name = uniqueName();
  using queue = PosixMessageQueue.create(name, SMALL);
  const { fd } = queue;
  using ends = pipe();
  const create = (options: object) =>
    PosixMessageQueue.create(null, options as never);
  await assertTold([
    [
      "create()",
      () => PosixMessageQueue.create(name),
      "IpcError EEXIST mq_open",
    ],
    ["create(x)", () => PosixMessageQueue.create("x"), "TypeError"],
    ["create(/)", () => PosixMessageQueue.create("/"), "RangeError"],
    [
      "create(long)",
      () => PosixMessageQueue.create("/" + "x".repeat(256)),
      "RangeError",
    ],
    ["maxMessages", () => create({ maxMessages: 0 }), "RangeError"],
    ["maxSize", () => create({ maxSize: 2 ** 24 + 1 }), "RangeError"],
    ["mode", () => create({ mode: 0o1000 }), "RangeError"],
    ["access", () => create({ access: "none" }), "TypeError"],
    ["fromFd(-1)", () => PosixMessageQueue.fromFd(-1), "RangeError"],
    ["fromFd(text)", () => PosixMessageQueue.fromFd("1" as never), "TypeError"],
    ["fromFd(own)", () => PosixMessageQueue.fromFd(fd), "TypeError"],
    [
      "fromFd(pipe)",
      () => PosixMessageQueue.fromFd(ends.reader.fd),
      "TypeError",
    ],
    [
      "fromFd(closed)",
      () => PosixMessageQueue.fromFd(999_999),
      "IpcError EBADF fcntl",
    ],
  ]);
  PosixMessageQueue.unlink(name);
  await assertTold([
    ["open()", () => PosixMessageQueue.open(name), "IpcError ENOENT mq_open"],
    [
      "unlink()",
      () => PosixMessageQueue.unlink(name),
      "IpcError ENOENT mq_unlink",
    ],
  ]);
});

leakTest("PosixMessageQueue: errors of messages, in all forms", async () => {
  const name = uniqueName();
  using queue = PosixMessageQueue.create(name, SMALL);
  using sender = PosixMessageQueue.open(name, { access: "send" });
  using receiver = PosixMessageQueue.open(name, { access: "receive" });
  PosixMessageQueue.unlink(name);
  const data = new Uint8Array(8);
  await assertTold([
    ...receives(sender, "IpcError EBADF mq_receive"),
    ...sends(receiver, "IpcError EBADF mq_send", data),
    ...receives(queue, "RangeError", { buffer: new Uint8Array(7) }),
    ...receives(queue, "TypeError", { buffer: [] }),
    ...receives(queue, "RangeError", { timeout: -1 }).slice(0, 2),
    ...receives(queue, "TimeoutError", { timeout: 1 }).slice(0, 2),
    ...sends(queue, "RangeError", new Uint8Array(9)),
    ...sends(queue, "TypeError", [] as never),
    ...sends(queue, "RangeError", data, { priority: 32768 }),
    ...sends(queue, "TypeError", data, { priority: "1" }),
  ]);
  queue.sendSync(data);
  await assertTold(
    sends(queue, "TimeoutError", data, { timeout: 1 }).slice(0, 2),
  );
});

leakTest("PosixMessageQueue: errors of an object that was closed", async () => {
  const queue = PosixMessageQueue.create(null, SMALL);
  PosixMessageQueue.unlink(queue.name);
  const waits = [queue.receive(), queue.notified()];
  const ends = waits.map((wait) => told(() => wait));
  queue.close();
  assertEquals(await Promise.all(ends), ["ClosedError", "ClosedError"]);
  await assertTold([
    ...sends(queue, "ClosedError", new Uint8Array(1)),
    ...receives(queue, "ClosedError"),
    ["stat()", () => queue.stat(), "ClosedError"],
    ["notified()", () => queue.notified(), "ClosedError"],
    ["fd", () => queue.fd, "ClosedError"],
    ["detach()", () => queue.detach(), "ClosedError"],
    ["inherit()", () => queue.inherit(() => {}), "ClosedError"],
    ["messages()", () => queue.messages().next(), "returns"],
    ["name", () => queue.name, "returns"],
    ["maxSize", () => queue.maxSize, "returns"],
  ]);
});

leakTest(
  "PosixMessageQueue: errors of another user",
  { needs: [noOtherUser] },
  async () => {
    const names = [0o600, 0o644, 0o622].map((mode) => {
      const name = uniqueName();
      const umask = Deno.umask(0);
      PosixMessageQueue.create(name, { ...SMALL, mode }).close();
      Deno.umask(umask);
      return name;
    });
    const ended = await runAsNobody(`
      import { PosixMessageQueue } from "@linux/ipc";
      const told = ${told};
      for (const name of ${JSON.stringify(names)}) {
        for (const access of ["both", "send", "receive"]) {
          console.log(await told(() => PosixMessageQueue.open(name, { access }).close()));
        }
        console.log(await told(() => PosixMessageQueue.openOrCreate(name)));
        console.log(await told(() => PosixMessageQueue.unlink(name)));
      }`);
    const [no, unlink] = [
      "IpcError EACCES mq_open",
      "IpcError EACCES mq_unlink",
    ];
    assertPrinted(
      ended,
      ...[no!, no!, no!, no!, unlink!],
      ...[no!, no!, "returns", no!, unlink!],
      ...[no!, "returns", no!, no!, unlink!],
    );
    for (const name of names) PosixMessageQueue.unlink(name);
  },
);

// --- Where something is missing -------------------------------------------------

const HIDE = ["-t", "tmpfs", "none", "/proc"];
const flags = unshareFlags("--mount", "mount", ...HIDE);

leakTest(
  "message queues: errors without /proc",
  { needs: [flags === undefined ? "no mount namespace" : null] },
  async () => {
    const text = `
      new Deno.Command("mount", { args: ${JSON.stringify(HIDE)} }).outputSync();
      for (const Kind of [
        SysvMessageQueue, SysvSharedMemory, SysvSemaphoreSet, PosixMessageQueue,
      ]) {
        try {
          Kind.list();
        } catch ({ name, message }) {
          console.log(name + ": " + message);
        }
      }
      const { id } = SysvMessageQueue.create(null);
      console.log(SysvMessageQueue.stat({ id }).messages);
      SysvMessageQueue.remove({ id });
      console.log(ipcLimits().posixMessageQueues.maxQueues);`;
    const lists = [
      "message queues",
      "shared memory",
      "semaphore sets",
      "message queues",
    ];
    assertPrinted(
      await runCode(["unshare", ...flags!], text),
      ...lists.map((what) =>
        `NotSupported: Cannot list ${what}: /proc is not mounted; root mounts it ` +
        "with: mkdir -p /proc && mount -t proc none /proc"
      ),
      "0",
      "null",
    );
  },
);

leakTest("message queues: errors without descriptors", {
  needs: [noPrlimit],
}, async () => {
  const text = `
    const files = [];
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch { /* none is left */ }
    say(() => SysvMessageQueue.list());
    say(() => PosixMessageQueue.list());
    say(() => PosixMessageQueue.create(null));`;
  assertPrinted(
    await runCode(["prlimit", "--nofile=60"], text),
    "EMFILE open RLIMIT_NOFILE 60",
    "EMFILE open RLIMIT_NOFILE 60",
    "EMFILE mq_open RLIMIT_NOFILE 60",
  );
});
