import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  IpcError,
  type PosixMessage,
  PosixMessageQueue,
} from "../ffi/message_queue.ts";
import { pipe } from "../ffi/pipe.ts";
import { UnixStream } from "../ffi/socket.ts";
import { struct, u32 } from "../ffi/struct.ts";
import { waitAny } from "../ffi/wait.ts";
import { pendingWaits } from "../ffi/wait/reactor.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { inChild, runCall, spawnCall } from "./support/child.ts";
import {
  duplicate,
  isCloseOnExec,
  openRaw,
  Raw,
} from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { killUsersOf } from "./support/kills.ts";
import { PREFIX, scratch, uniqueName } from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import { spawnDeno } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { raceAborts, settled, turns } from "./support/waits.ts";

const LIMITS = "/proc/sys/fs/mqueue";
const MAX_PRIORITY = 32767;

// --- Helpers ----------------------------------------------------------------

function sysctl(name: string): number {
  return Number(Deno.readTextFileSync(`${LIMITS}/${name}`));
}

/** A small queue without a name: all queues of a user share one limit. */
function newQueue(maxMessages = 4, maxSize = 16): PosixMessageQueue {
  const queue = PosixMessageQueue.create(null, { maxMessages, maxSize });
  PosixMessageQueue.unlink(queue.name);
  return queue;
}

/** A small queue that others find by its name, which its `using` block removes. */
function namedQueue(maxMessages = 4, maxSize = 16) {
  const name = uniqueName();
  const queue = PosixMessageQueue.create(name, { maxMessages, maxSize });
  const remove = () => {
    queue.close();
    PosixMessageQueue.unlink(name);
  };
  return { name, queue, [Symbol.dispose]: remove };
}

function fill(queue: PosixMessageQueue): number {
  let count = 0;
  while (queue.trySend(bytes(count))) count++;
  return count;
}

/** All that is in the queue: the first byte of each message. */
function drain(queue: PosixMessageQueue): number[] {
  const all: number[] = [];
  let message: PosixMessage | undefined;
  while ((message = queue.tryReceive()) !== undefined) {
    all.push(message.data[0]!);
  }
  return all;
}

/** What the code of another user's children begins with. */
const PRELUDE = `
  import { PosixMessageQueue } from "@linux/ipc/message-queue";
  /** What a call returns, or how it fails, as one line. */
  function told(call) {
    try {
      return String(call());
    } catch (error) {
      return [error.name, error.code, error.syscall, error.limit?.name,
        error.limit?.value].join(" ").trim();
    }
  }
`;

/** A wrapper that runs a command where the queues are mounted, or are not. */
function mounted(directory: string | null): string[] {
  const mount = directory === null
    ? ""
    : `mount -t mqueue none "${directory}" && `;
  const script = `umount -a -t mqueue 2>/dev/null; ${mount}exec "$@"`;
  return ["unshare", "-m", "sh", "-c", script, "sh"];
}

/** A wrapper that runs a command where there may be so many queues, and are none. */
function limited(queues: number): string[] {
  const script = `echo ${queues} > ${LIMITS}/queues_max; exec "$@"`;
  return [...NAMESPACE, "sh", "-c", script, "sh"];
}

// To whom CAP_SYS_RESOURCE is left, the limits are none.
const NAMESPACE = ["unshare", "-i", "setpriv", "--bounding-set=-sys_resource"];

const noMount = reasonAgainst("mount", ["unshare", "-m", "true"]);
const noNamespace = reasonAgainst("make an IPC namespace", [
  ...NAMESPACE,
  ...["sh", "-c", `cat ${LIMITS}/queues_max > ${LIMITS}/queues_max`],
]);

// --- create, open, unlink ---------------------------------------------------

leakTest("PosixMessageQueue.create() makes a queue under a name", () => {
  const name = uniqueName();
  using queue = PosixMessageQueue.create(name, { maxMessages: 3, maxSize: 9 });
  assertEquals(queue.name, name);
  assertEquals(queue.maxSize, 9);
  const owner = { mode: 0o600, uid: Deno.uid()!, gid: Deno.gid()! };
  const stat = { maxMessages: 3, maxSize: 9, messages: 0, ...owner };
  assertEquals(queue.stat(), stat);
  using other = PosixMessageQueue.open(name);
  other.sendSync(bytes(7));
  assertEquals(queue.stat(), { ...stat, messages: 1 });
  assertEquals(queue.receiveSync(), { priority: 0, data: bytes(7) });
  PosixMessageQueue.unlink(name);
});

leakTest("PosixMessageQueue.create() fails where the name is taken", () => {
  using place = namedQueue();
  const { name, queue } = place;
  queue.sendSync(bytes(1));
  const error = assertRefused(
    () => PosixMessageQueue.create(name),
    "EEXIST",
    "mq_open",
  );
  assertEquals(error.message, `mq_open ${name}: File exists (EEXIST)`);
  assertEquals([error.subject, error.errno], [name, 17]);
  assertEquals(drain(queue), [1]);
});

leakTest("PosixMessageQueue.create(null) picks a free name each time", () => {
  const small = { maxMessages: 1, maxSize: 8 };
  using one = PosixMessageQueue.create(null, small);
  using two = PosixMessageQueue.create(null, small);
  assertNotEquals(one.name, two.name);
  for (const { name } of [one, two]) {
    PosixMessageQueue.open(name).close();
    PosixMessageQueue.unlink(name);
  }
});

leakTest(
  "PosixMessageQueue.open() and unlink() fail where there is none",
  () => {
    const name = uniqueName();
    const { message } = assertRefused(
      () => PosixMessageQueue.open(name),
      "ENOENT",
      "mq_open",
    );
    assertEquals(
      message,
      `mq_open ${name}: No such file or directory (ENOENT)`,
    );
    assertRefused(() => PosixMessageQueue.unlink(name), "ENOENT", "mq_unlink");
  },
);

leakTest("PosixMessageQueue.openOrCreate() makes one queue", () => {
  const name = uniqueName();
  using made = PosixMessageQueue.openOrCreate(name, {
    maxMessages: 2,
    maxSize: 8,
  });
  using opened = PosixMessageQueue.openOrCreate(name, {
    maxMessages: 5,
    maxSize: 99,
  });
  assertEquals(opened.stat(), made.stat());
  opened.sendSync(bytes(1, 2, 3));
  assertEquals(made.receiveSync().data, bytes(1, 2, 3));
  PosixMessageQueue.unlink(name);
});

leakTest("PosixMessageQueue.unlink() removes the name only", () => {
  using place = namedQueue();
  const { name, queue } = place;
  queue.sendSync(bytes(1));
  PosixMessageQueue.unlink(name);
  assertRefused(() => PosixMessageQueue.open(name), "ENOENT", "mq_open");
  using second = PosixMessageQueue.create(name, { maxMessages: 1, maxSize: 8 });
  queue.sendSync(bytes(2));
  assertEquals([drain(queue), drain(second)], [[1, 2], []]);
});

leakTest("PosixMessageQueue takes the attributes of the system", () => {
  const messages = Math.min(sysctl("msg_default"), sysctl("msg_max"));
  const size = Math.min(sysctl("msgsize_default"), sysctl("msgsize_max"));
  const limitsOf = (maxMessages?: number, maxSize?: number) => {
    using queue = PosixMessageQueue.create(null, { maxMessages, maxSize });
    PosixMessageQueue.unlink(queue.name);
    const stat = queue.stat();
    return [stat.maxMessages, stat.maxSize];
  };
  assertEquals(limitsOf(), [messages, size]);
  assertEquals(limitsOf(1), [1, size]);
  assertEquals(limitsOf(undefined, 1), [messages, 1]);
  assertEquals(limitsOf(2, 3), [2, 3]);
});

leakTest("PosixMessageQueue gives the mode, whatever the umask", async () => {
  const modes = await inChild(async () => {
    const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
    const small = { maxMessages: 1, maxSize: 1 };
    const found: number[] = [];
    for (const umask of [0o000, 0o027]) {
      Deno.umask(umask);
      for (const mode of [undefined, 0o666, 0o640, 0]) {
        using queue = PosixMessageQueue.create(null, { ...small, mode });
        PosixMessageQueue.unlink(queue.name);
        const status = Deno.statSync(`/proc/self/fd/${queue.fd}`);
        found.push(status.mode! & 0o7777);
      }
    }
    return found;
  });
  const asked = [0o600, 0o666, 0o640, 0];
  assertEquals(modes, [...asked, ...asked]); // the umask has no bits of 0o600
});

leakTest("PosixMessageQueue.chmod() changes the mode", () => {
  const small = { maxMessages: 1, maxSize: 1 };
  using queue = PosixMessageQueue.create(null, small);
  const modeOf = () =>
    Deno.statSync(`/proc/self/fd/${queue.fd}`).mode! & 0o7777;
  queue.chmod(0o622);
  assertEquals(modeOf(), 0o622);
  using again = PosixMessageQueue.openOrCreate(queue.name, { mode: 0o600 });
  assertEquals([modeOf(), again.maxSize], [0o622, 1]);
  PosixMessageQueue.unlink(queue.name);
  assertThrows(() => queue.chmod(0o1000), RangeError, "mode");
});

leakTest("PosixMessageQueue refuses what is no name", () => {
  const calls = [
    (name: string) => PosixMessageQueue.create(name),
    (name: string) => PosixMessageQueue.openOrCreate(name),
    (name: string) => PosixMessageQueue.open(name),
    PosixMessageQueue.unlink,
  ];
  for (const call of calls) {
    for (
      const name of ["", "x", "//x", "/a/b", "/x/", "/a\0b", "/.", "/..", 5, {}]
    ) {
      assertThrows(() => call(name as string), TypeError, '"name"');
    }
    const undefinedName = undefined as unknown as string;
    assertThrows(() => call(undefinedName), TypeError, '"name"');
    for (const name of ["/", "/" + "x".repeat(256), "/" + "가".repeat(86)]) {
      assertThrows(() => call(name), RangeError, "1 to 255 bytes");
    }
  }
  for (const call of calls.slice(1)) {
    assertThrows(() => call(null as unknown as string), TypeError, '"name"');
  }
});

leakTest("PosixMessageQueue takes names of up to 255 bytes", () => {
  const base = uniqueName();
  const small = { maxMessages: 1, maxSize: 8 };
  for (
    const name of [
      base.padEnd(256, "x"),
      `${base}가나다`,
      `${base} "'$;\n\\`,
      `${base}...`,
    ]
  ) {
    using queue = PosixMessageQueue.create(name, small);
    assertEquals(queue.name, name);
    PosixMessageQueue.open(name).close();
    PosixMessageQueue.unlink(name);
  }
});

leakTest("PosixMessageQueue refuses what is no option", () => {
  const name = uniqueName();
  const ranges = {
    maxMessages: [0, -1, 1.5, NaN, 65537, 2 ** 40],
    maxSize: [0, -1, 1.5, NaN, 2 ** 24 + 1, 2 ** 40],
    mode: [-1, 0o1000, 1.5, NaN],
  };
  for (const [option, values] of Object.entries(ranges)) {
    for (const value of values) {
      const options = { [option]: value };
      const create = () => PosixMessageQueue.create(name, options);
      assertThrows(create, RangeError, `"${option}"`);
      const open = () => PosixMessageQueue.openOrCreate(name, options);
      assertThrows(open, RangeError, `"${option}"`);
    }
    for (const value of ["1", 1n, null, true]) {
      if (value === null) continue; // as if it were absent
      const options = { [option]: value as unknown as number };
      const create = () => PosixMessageQueue.create(name, options);
      assertThrows(create, TypeError, `"${option}"`);
    }
  }
  for (const access of ["", "read", "toString", 5]) {
    const options = { access: access as "both" };
    const create = () => PosixMessageQueue.create(name, options);
    assertThrows(create, TypeError, '"access"');
    const open = () => PosixMessageQueue.open(name, options);
    assertThrows(open, TypeError, '"access"');
  }
  assertRefused(() => PosixMessageQueue.open(name), "ENOENT", "mq_open");
});

leakTest("PosixMessageQueue makes close-on-exec descriptors", () => {
  using queue = newQueue();
  assert(isCloseOnExec(queue.fd));
});

leakTest("PosixMessageQueue leaves no descriptor behind", () => {
  const name = uniqueName();
  for (let round = 0; round < 1000; round++) {
    const options = { maxMessages: 2, maxSize: 100 };
    using queue = PosixMessageQueue.openOrCreate(name, options);
    queue.sendSync(bytes(1));
    using again = PosixMessageQueue.open(name);
    again.receiveSync();
    if (round % 2 === 0) PosixMessageQueue.unlink(name);
    else assertThrows(() => PosixMessageQueue.create(name), IpcError);
  }
  PosixMessageQueue.unlink(name);
});

// --- Limits and permissions -------------------------------------------------

leakTest(
  "PosixMessageQueue names the limit that it ran into",
  { needs: [noOtherUser] },
  async () => {
    const base = uniqueName();
    const ended = await runAsNobody(`${PRELUDE}
      const [messages, size] = [${sysctl("msg_max")}, ${sysctl("msgsize_max")}];
      const create = (maxMessages, maxSize, name = null) =>
        PosixMessageQueue.create(name, { maxMessages, maxSize });
      console.log(told(() => create(messages + 1, 1)));
      console.log(told(() => create(1, size + 1)));
      console.log(told(() =>
        PosixMessageQueue.openOrCreate("${base}", { maxMessages: messages + 1 })));

      // Queues as large as they may be, until this user has no more bytes.
      const made = [];
      const more = (...sizes) => {
        for (;;) {
          const name = "${base}-" + made.length;
          create(...sizes, name).close();
          made.push(name);
        }
      };
      const unlinkAll = () => {
        for (const name of made.splice(0)) PosixMessageQueue.unlink(name);
      };
      console.log(told(() => more(messages, size)));
      unlinkAll();
      console.log(told(() => PosixMessageQueue.create("${base}").close()));
      PosixMessageQueue.unlink("${base}");`);
    const rlimit = Deno.readTextFileSync("/proc/self/limits")
      .match(/^Max msgqueue size\s+(\d+)/m)![1];
    assertPrinted(
      ended,
      `IpcError EINVAL mq_open ${LIMITS}/msg_max ${sysctl("msg_max")}`,
      `IpcError EINVAL mq_open ${LIMITS}/msgsize_max ${sysctl("msgsize_max")}`,
      `IpcError EINVAL mq_open ${LIMITS}/msg_max ${sysctl("msg_max")}`,
      `IpcError EMFILE mq_open RLIMIT_MSGQUEUE ${rlimit}`,
      "undefined",
    );
  },
);

leakTest(
  "PosixMessageQueue says ENOSPC where there are too many queues",
  { needs: [noNamespace] },
  async () => {
    const told = await inChild(async () => {
      const { IpcError, PosixMessageQueue } = await import(
        "../ffi/message_queue.ts"
      );
      const small = { maxMessages: 1, maxSize: 8 };
      const made = [1, 2, 3].map(() => PosixMessageQueue.create(null, small));
      try {
        PosixMessageQueue.create(null, small);
        return "returns";
      } catch (error) {
        if (!(error instanceof IpcError)) throw error;
        return `${error.code} ${error.limit?.name} ${error.limit?.value}`;
      } finally {
        for (const { name } of made) PosixMessageQueue.unlink(name);
      }
    }, { wrapper: limited(3) });
    assertEquals(told, `ENOSPC ${LIMITS}/queues_max 3`);
  },
);

leakTest("PosixMessageQueue says EMFILE, and leaves no name", async () => {
  const name = uniqueName();
  const told = await inChild<string[], string>(async (name) => {
    const { IpcError, PosixMessageQueue } = await import(
      "../ffi/message_queue.ts"
    );
    const small = { maxMessages: 1, maxSize: 1 };
    PosixMessageQueue.create(name, small).close();
    const files: Deno.FsFile[] = [];
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch {
      // No more.
    }
    const told = [
      () => PosixMessageQueue.open(name),
      () => PosixMessageQueue.create(`${name}x`, small),
    ].map((call) => {
      try {
        call();
        return "returns";
      } catch (error) {
        if (!(error instanceof IpcError)) throw error;
        return `${error.code} ${error.limit!.name} ${error.limit!.value}`;
      }
    });
    for (const file of files) file.close();
    PosixMessageQueue.unlink(name);
    return told;
  }, {
    argument: name,
    wrapper: ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"],
  });
  assertEquals(told, Array(2).fill("EMFILE RLIMIT_NOFILE 100"));
  assertRefused(
    () => PosixMessageQueue.unlink(`${name}x`),
    "ENOENT",
    "mq_unlink",
  );
});

leakTest(
  "PosixMessageQueue says EACCES to another user",
  { needs: [noOtherUser] },
  async () => {
    const [own, toRead, toWrite] = [1, 2, 3].map(() => uniqueName());
    const umask = Deno.umask(0);
    const queues = [[own, 0o600], [toRead, 0o604], [toWrite, 0o602]] as const;
    for (const [name, mode] of queues) {
      const options = { mode, maxMessages: 2, maxSize: 8 };
      PosixMessageQueue.create(name!, options).close();
    }
    Deno.umask(umask);
    const ended = await runAsNobody(`${PRELUDE}
      for (const name of ${JSON.stringify([own, toRead, toWrite])}) {
        for (const access of ["both", "receive", "send"]) {
          console.log(access, told(() => {
            using queue = PosixMessageQueue.open(name, { access });
            if (access === "send") return queue.trySend(new Uint8Array(3));
            return queue.tryReceive();
          }));
        }
        console.log(told(() => PosixMessageQueue.openOrCreate(name)));
        console.log(told(() => PosixMessageQueue.create(name)));
        console.log(told(() => PosixMessageQueue.unlink(name)));
      }`);
    const refused = "IpcError EACCES mq_open";
    const rest = [
      refused,
      "IpcError EEXIST mq_open",
      "IpcError EACCES mq_unlink",
    ];
    assertPrinted(
      ended,
      ...[`both ${refused}`, `receive ${refused}`, `send ${refused}`, ...rest],
      ...[`both ${refused}`, "receive undefined", `send ${refused}`, ...rest],
      ...[`both ${refused}`, `receive ${refused}`, "send true", ...rest],
    );
    for (const name of [own, toRead, toWrite]) PosixMessageQueue.unlink(name!);
  },
);

leakTest(
  "PosixMessageQueue with one access says EBADF to the other",
  async () => {
    using place = namedQueue();
    using sender = PosixMessageQueue.open(place.name, { access: "send" });
    using receiver = PosixMessageQueue.open(place.name, { access: "receive" });
    sender.sendSync(bytes(1));
    assertRefused(() => sender.receiveSync(), "EBADF", "mq_receive");
    assertRefused(() => sender.tryReceive(), "EBADF", "mq_receive");
    assertRefused(() => receiver.sendSync(bytes(1)), "EBADF", "mq_send");
    assertRefused(() => receiver.trySend(bytes(1)), "EBADF", "mq_send");
    const received = await assertRejects(() => sender.receive(), IpcError);
    const sent = await assertRejects(() => receiver.send(bytes(1)), IpcError);
    assertEquals([received.code, sent.code], ["EBADF", "EBADF"]);
    assertEquals(drain(receiver), [1]);
  },
);

// --- Messages ---------------------------------------------------------------

leakTest("PosixMessageQueue carries messages of every size", async () => {
  const maxSize = Math.min(8192, sysctl("msgsize_max"));
  using queue = newQueue(1, maxSize);
  for (const size of [0, 1, 2, 63, 64, 65, maxSize - 1, maxSize]) {
    const data = crypto.getRandomValues(new Uint8Array(size));
    for (const priority of [0, 1, MAX_PRIORITY]) {
      queue.sendSync(data, { priority });
      assertEquals(queue.receiveSync(), { priority, data });
      assert(queue.trySend(data, { priority }));
      assertEquals(queue.tryReceive(), { priority, data });
      await queue.send(data, { priority });
      assertEquals(await queue.receive(), { priority, data });
    }
  }
});

leakTest("PosixMessageQueue sends a part of a larger buffer", () => {
  using queue = newQueue();
  queue.sendSync(bytes(1, 2, 3, 4, 5).subarray(1, 4));
  const { data } = queue.receiveSync();
  assertEquals(data, bytes(2, 3, 4));
  queue.sendSync(bytes(9, 9, 9));
  queue.receiveSync();
  assertEquals(data, bytes(2, 3, 4), "it is the caller's own");
  assertEquals(data.buffer.byteLength, 3);
});

leakTest(
  "PosixMessageQueue refuses what is too long, before the call",
  async () => {
    using queue = newQueue(4, 16);
    const long = new Uint8Array(17);
    const message =
      `Argument "data" must have at most 16 bytes (mq_msgsize of ${queue.name}): 17`;
    assertThrows(() => queue.sendSync(long), RangeError, message);
    assertThrows(() => queue.trySend(long), RangeError, message);
    await assertRejects(() => queue.send(long), RangeError, message);
    for (const data of ["text", [1], new ArrayBuffer(1), null, undefined]) {
      const wrong = data as unknown as Uint8Array<ArrayBuffer>;
      assertThrows(() => queue.sendSync(wrong), TypeError, '"data"');
      assertThrows(() => queue.trySend(wrong), TypeError, '"data"');
      await assertRejects(() => queue.send(wrong), TypeError, '"data"');
    }
    assertEquals(queue.stat().messages, 0);
  },
);

leakTest("PosixMessageQueue refuses what is no priority", async () => {
  using queue = newQueue();
  for (const priority of [-1, 32768, 1.5, NaN, Infinity, 2 ** 32]) {
    const options = { priority };
    const name = '"priority"';
    assertThrows(() => queue.sendSync(bytes(1), options), RangeError, name);
    assertThrows(() => queue.trySend(bytes(1), options), RangeError, name);
    await assertRejects(() => queue.send(bytes(1), options), RangeError, name);
  }
  for (const priority of ["1", 1n, null, true]) {
    if (priority === null) continue;
    const options = { priority: priority as unknown as number };
    assertThrows(() => queue.trySend(bytes(1), options), TypeError);
  }
  assertEquals(queue.stat().messages, 0);
});

leakTest(
  "PosixMessageQueue gives the highest priority first, then the oldest",
  () => {
    using queue = newQueue(8);
    const sent = [[1, 5], [2, 0], [3, 5], [4, MAX_PRIORITY], [5, 0], [6, 1]];
    for (const [value, priority] of sent) {
      queue.sendSync(bytes(value!), { priority });
    }
    assertEquals(drain(queue), [4, 1, 3, 6, 2, 5]);
  },
);

leakTest("PosixMessageQueue.try...() never waits", () => {
  using queue = newQueue(3);
  assertEquals(queue.tryReceive(), undefined);
  assertEquals(fill(queue), 3);
  assertEquals(queue.trySend(bytes(9), { priority: 9 }), false);
  assertEquals(drain(queue), [0, 1, 2]);
  assertEquals(queue.tryReceive(), undefined);
});

// --- Waiting, blocking the thread -------------------------------------------

leakTest(
  "PosixMessageQueue.receiveSync() and sendSync() never give up early",
  () => {
    using empty = newQueue();
    using full = newQueue(1);
    fill(full);
    for (const timeout of [0, 0.25, 1, 2, 10, 33.3, 100]) {
      for (
        const call of [
          () => empty.receiveSync({ timeout }),
          () => full.sendSync(bytes(1), { timeout }),
        ]
      ) {
        const start = performance.now();
        const error = assertThrows(call, DOMException);
        const passed = performance.now() - start;
        assert(passed >= timeout, `${passed} of ${timeout} ms`);
        assertEquals(error.name, "TimeoutError");
      }
    }
    assertEquals([empty.stat().messages, drain(full)], [0, [0]]);
  },
);

leakTest("PosixMessageQueue refuses what is no timeout", async () => {
  using queue = newQueue();
  queue.sendSync(bytes(1));
  for (const timeout of [-1, NaN]) {
    const options = { timeout };
    assertThrows(() => queue.receiveSync(options), RangeError, '"timeout"');
    assertThrows(() => queue.sendSync(bytes(1), options), RangeError);
    await assertRejects(() => queue.receive(options), RangeError);
    await assertRejects(() => queue.send(bytes(1), options), RangeError);
    await assertRejects(() => queue.notified(options), RangeError);
  }
  assertEquals(queue.stat().messages, 1);
});

leakTest(
  "PosixMessageQueue.receiveSync() blocks until another process sends",
  async () => {
    using place = namedQueue();
    for (const timeout of [undefined, 20_000]) {
      await using child = spawnCall(receiveOne, {
        argument: { name: place.name, timeout },
      });
      assertEquals(await child.line(), "up");
      await child.settled();
      place.queue.sendSync(bytes(1, 2), { priority: 3 });
      assertPrinted(await child.ended(), "up", "3: 1,2");
    }
  },
);

async function receiveOne(
  { name, timeout }: { name: string; timeout?: number },
) {
  const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
  using queue = PosixMessageQueue.open(name);
  console.log("up");
  const { priority, data } = queue.receiveSync({ timeout });
  console.log(`${priority}: ${data}`);
}

leakTest(
  "PosixMessageQueue.sendSync() blocks until another process receives",
  async () => {
    using place = namedQueue(2);
    fill(place.queue);
    for (const timeout of [undefined, 20_000]) {
      await using child = spawnCall(async ({ name, timeout }) => {
        const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
        using queue = PosixMessageQueue.open(name);
        console.log("up");
        queue.sendSync(new Uint8Array([9]), { priority: 9, timeout });
        console.log("sent");
      }, { argument: { name: place.name, timeout } });
      assertEquals(await child.line(), "up");
      await child.settled();
      assertEquals(place.queue.receiveSync().priority, 0);
      assertPrinted(await child.ended(), "up", "sent");
      assertEquals(place.queue.receiveSync().priority, 9);
      fill(place.queue);
    }
  },
);

leakTest("PosixMessageQueue waits on after a signal", async () => {
  using place = namedQueue();
  for (const timeout of [undefined, 20_000]) {
    await using child = spawnCall(receiveOne, {
      argument: { name: place.name, timeout },
    });
    assertEquals(await child.line(), "up");
    for (let round = 0; round < 5; round++) {
      await child.settled();
      child.kill("SIGSTOP");
      child.kill("SIGCONT");
    }
    place.queue.sendSync(bytes(5));
    assertPrinted(await child.ended(), "up", "0: 5");
  }
});

// --- Waiting ----------------------------------------------------------------

leakTest("PosixMessageQueue.receive() waits for a message", async () => {
  using queue = newQueue();
  const waiting = queue.receive();
  assertEquals(queue.stat().messages, 0);
  queue.sendSync(bytes(1), { priority: 2 });
  assertEquals(await waiting, { priority: 2, data: bytes(1) });
  assertEquals(pendingWaits(), 0);
});

leakTest("PosixMessageQueue.send() waits for room", async () => {
  using queue = newQueue(2);
  fill(queue);
  const waiting = queue.send(bytes(7));
  assertEquals(queue.receiveSync().data, bytes(0));
  await waiting;
  assertEquals(drain(queue), [1, 7]);
});

leakTest("PosixMessageQueue.send() keeps the order of the calls", async () => {
  using queue = newQueue(2);
  const sends = Array.from({ length: 50 }, (_, i) => queue.send(bytes(i)));
  const received: number[] = [];
  while (received.length < 50) {
    received.push((await queue.receive()).data[0]!);
    if (received.length === 20) sends.push(queue.send(bytes(50)));
  }
  assertEquals(received, Array.from({ length: 50 }, (_, i) => i));
  await Promise.all(sends);
  assertEquals(drain(queue), [50]);
});

leakTest(
  "PosixMessageQueue.receive() serves in the order of the calls",
  async () => {
    using queue = newQueue(4);
    const got: [number, number][] = [];
    const receives = Array.from(
      { length: 50 },
      (_, i) =>
        queue.receive().then(({ data }) => void got.push([i, data[0]!])),
    );
    for (let i = 0; i < 50; i++) await queue.send(bytes(i));
    await Promise.all(receives);
    assertEquals(got, Array.from({ length: 50 }, (_, i) => [i, i]));
  },
);

leakTest(
  "PosixMessageQueue.receive() and send() never give up early",
  async () => {
    using empty = newQueue();
    using full = newQueue(1);
    fill(full);
    await Promise.all([0, 0.25, 1, 2, 10, 33.3, 100].flatMap((timeout) =>
      [
        () => empty.receive({ timeout }),
        () => full.send(bytes(1), { timeout }),
        () => empty.notified({ timeout }),
      ].map(async (call) => {
        const start = performance.now();
        const error = await assertRejects(call, DOMException);
        const passed = performance.now() - start;
        assert(passed >= timeout, `${passed} of ${timeout} ms`);
        assertEquals(error.name, "TimeoutError");
      })
    ));
    assertEquals([empty.stat().messages, drain(full)], [0, [0]]);
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  "PosixMessageQueue waits end with the reason of the signal",
  async () => {
    using empty = newQueue();
    using full = newQueue(1);
    fill(full);
    const reason = new Error("enough");
    for (
      const call of [
        (signal: AbortSignal) => empty.receive({ signal }),
        (signal: AbortSignal) => full.send(bytes(1), { signal }),
        (signal: AbortSignal) => empty.notified({ signal }),
      ]
    ) {
      const controller = new AbortController();
      const waits = [1, 2, 3].map(() => call(controller.signal));
      setTimeout(() => controller.abort(reason), 1);
      for (const { status, reason: why } of await settled(waits)) {
        assertEquals(status, "rejected");
        assertStrictEquals(why, reason);
      }
      const late = await settled([call(controller.signal)]);
      assertStrictEquals(late[0]!.reason, reason);
    }
    empty.sendSync(bytes(1));
    full.receiveSync();
    const aborted = AbortSignal.abort(reason);
    for (
      const call of [
        () => empty.receive({ signal: aborted }),
        () => full.send(bytes(1), { signal: aborted }),
      ]
    ) {
      assertStrictEquals((await settled([call()]))[0]!.reason, reason);
    }
    assertEquals([drain(empty), drain(full)], [[1], []]);
  },
);

leakTest(
  "PosixMessageQueue: an abort in line leaves the others their turn",
  async () => {
    using queue = newQueue();
    const controllers = Array.from({ length: 9 }, () => new AbortController());
    const waits = controllers.map(({ signal }) => queue.receive({ signal }));
    const all = settled(waits);
    for (const index of [0, 3, 8]) controllers[index]!.abort(index);
    for (let i = 0; i < 6; i++) await queue.send(bytes(i));
    assertEquals(
      (await all).map(({ reason, value }) =>
        reason ?? `got ${(value as PosixMessage).data[0]}`
      ),
      [0, "got 0", "got 1", 3, "got 2", "got 3", "got 4", "got 5", 8],
    );
  },
);

leakTest("PosixMessageQueue.close() ends what waits", async () => {
  for (const many of [1, 5]) {
    const empty = newQueue();
    const full = newQueue(1);
    fill(full);
    const waits = Array.from({ length: many }, () => [
      empty.receive(),
      empty.notified(),
      full.send(bytes(1)),
    ]).flat();
    const all = settled(waits);
    await new Promise((resolve) => setTimeout(resolve));
    empty.close();
    full.close();
    for (const { status, reason } of await all) {
      assertEquals(status, "rejected");
      assertInstanceOf(reason, ClosedError);
    }
  }
  assertEquals(pendingWaits(), 0);
});

leakTest("PosixMessageQueue fails after close(), in every way", async () => {
  const queue = newQueue();
  queue.close();
  queue.close();
  queue[Symbol.dispose]();
  const subject = `Cannot use queue ${queue.name}: it is closed`;
  for (
    const call of [
      () => queue.fd,
      () => queue.stat(),
      () => queue.sendSync(bytes(1)),
      () => queue.trySend(bytes(1)),
      () => queue.receiveSync(),
      () => queue.receiveSync({ timeout: 1 }),
      () => queue.tryReceive(),
    ]
  ) assertThrows(call, ClosedError, subject);
  for (
    const call of [
      () => queue.send(bytes(1)),
      () => queue.receive(),
      () => queue.notified(),
    ]
  ) await assertRejects(call, ClosedError, subject);
  for await (const _ of queue) throw new Error("a message");
});

leakTest(
  "PosixMessageQueue: 100 pending waits leave file I/O alone",
  async () => {
    using empty = newQueue();
    using full = newQueue(1);
    fill(full);
    const queues = Array.from({ length: 5 }, () => newQueue(1, 1));
    const controller = new AbortController();
    const { signal } = controller;
    const waits = [
      ...Array.from({ length: 40 }, () => empty.receive({ signal })),
      ...Array.from({ length: 40 }, () => full.send(bytes(1), { signal })),
      ...Array.from({ length: 10 }, () => empty.notified({ signal })),
      ...queues.flatMap((
        queue,
      ) => [queue.receive({ signal }), queue.receive()]),
    ];
    const all = settled(waits);
    for (let round = 0; round < 20; round++) {
      assert((await Deno.readTextFile("/proc/self/stat")).length > 0);
      await Deno.stat("/");
    }
    controller.abort();
    for (const queue of queues) queue.close();
    const results = await all;
    assertEquals(results.length, 100);
    assert(results.every(({ status }) => status === "rejected"));
  },
);

leakTest(
  "PosixMessageQueue loses no message to an abort that races it",
  { soak: "also", limit: 120_000 },
  async () => {
    using place = namedQueue(4, 8);
    using queue = PosixMessageQueue.open(place.name);
    await using sender = spawnCall(sendOnDemand, { argument: place.name });
    assertEquals(await sender.line(), "up");
    using demand = PosixMessageQueue.open(`${place.name}-demand`);
    await raceAborts(rounds(500, 10_000), {
      wait: (options) => queue.receive(options),
      bring: () => demand.send(bytes(1)), // the sender sends one
      check: ({ data }, round) =>
        assertEquals(new DataView(data.buffer).getUint32(0), round),
    });
    assertEquals(queue.tryReceive(), undefined);
    demand.sendSync(bytes(0));
    assertPrinted(await sender.ended(), "up");
  },
);

async function sendOnDemand(name: string) {
  const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
  using queue = PosixMessageQueue.open(name);
  const small = { maxMessages: 4, maxSize: 8 };
  using demand = PosixMessageQueue.create(`${name}-demand`, small);
  console.log("up");
  const data = new Uint8Array(4);
  for (let number = 0; demand.receiveSync().data[0] === 1; number++) {
    new DataView(data.buffer).setUint32(0, number);
    queue.sendSync(data);
  }
  PosixMessageQueue.unlink(demand.name);
}

leakTest(
  "PosixMessageQueue: nothing pending, and the program ends",
  async () => {
    const ended = await runCall(async () => {
      const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
      const small = { maxMessages: 1, maxSize: 1 };
      const queue = PosixMessageQueue.create(null, small);
      PosixMessageQueue.unlink(queue.name);
      const wait = queue.receive({ timeout: 5 }).catch(({ name }) => name);
      console.log(await wait);
      queue.sendSync(new Uint8Array(1));
      await queue.notified();
      console.log("open");
    });
    assertPrinted(ended, "TimeoutError", "open");
  },
);

// --- Iteration, notification, waitAny, typed --------------------------------

leakTest(
  "PosixMessageQueue is an iterable of its messages until it is closed",
  async () => {
    const queue = newQueue(4);
    const received: number[] = [];
    const done = (async () => {
      for await (const { data } of queue) received.push(data[0]!);
    })();
    for (let i = 0; i < 10; i++) await queue.send(bytes(i));
    while (received.length < 10) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    queue.close(); // while the loop waits
    await done;
    assertEquals(received, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  },
);

leakTest(
  "PosixMessageQueue.messages() leaves what a break leaves",
  async () => {
    using queue = newQueue(4);
    fill(queue);
    for await (const { data } of queue.messages()) if (data[0] === 1) break;
    assertEquals(drain(queue), [2, 3]);
    const error = await assertRejects(async () => {
      for await (const _ of queue.messages({ timeout: 1 }));
    }, DOMException);
    assertEquals(error.name, "TimeoutError");
  },
);

leakTest(
  "PosixMessageQueue.notified() tells all, and takes nothing",
  async () => {
    using queue = newQueue();
    const waits = [1, 2, 3].map(() => queue.notified());
    queue.sendSync(bytes(1));
    await Promise.all(waits);
    await queue.notified();
    assertEquals(drain(queue), [1]);
  },
);

leakTest("PosixMessageQueue can be waited for with others", async () => {
  using one = newQueue(1);
  using two = newQueue(1);
  const waiting = waitAny([one, two]);
  two.sendSync(bytes(1));
  assertStrictEquals(await waiting, two);
  const full = { writable: two };
  const room = waitAny([full, one]);
  two.receiveSync();
  assertStrictEquals(await room, full);
});

// --- list -------------------------------------------------------------------

leakTest(
  "PosixMessageQueue.list() finds all queues where they are mounted",
  { needs: [noMount] },
  async () => {
    using dir = scratch();
    const directory = dir.file("a mount point");
    Deno.mkdirSync(directory);
    // So long that the directory takes several reads.
    const names = Array.from(
      { length: 60 },
      (_, i) => uniqueName().padEnd(60 + i % 30, "가"),
    );
    using made = new DisposableStack();
    for (const name of names) {
      const small = { maxMessages: 1, maxSize: 8, mode: 0o640 };
      using queue = PosixMessageQueue.create(name, small);
      made.defer(() => PosixMessageQueue.unlink(name));
      queue.sendSync(bytes(1, 2, 3));
    }
    const list = await inChild(async () => {
      const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
      return PosixMessageQueue.list();
    }, { wrapper: mounted(directory), permissions: ["--allow-ffi"] });
    for (const name of names) {
      assertEquals(list.find((entry) => entry.name === name), {
        name,
        mode: 0o640,
        uid: Deno.uid()!,
        gid: Deno.gid()!,
        bytes: 3,
      });
    }
  },
);

leakTest(
  "PosixMessageQueue.list() says how to mount the queues where they are not",
  { needs: [noMount] },
  async () => {
    const told = await inChild(async () => {
      const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
      try {
        return PosixMessageQueue.list().length;
      } catch (error) {
        return `${error}`;
      }
    }, { wrapper: mounted(null) });
    assertEquals(
      told,
      "NotSupported: Cannot list message queues: /dev/mqueue is not mounted; root " +
        "mounts it with: mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue",
    );
  },
);

// --- Many processes ---------------------------------------------------------

const record = struct({ sender: u32, number: u32 });

leakTest(
  "PosixMessageQueue: 64 senders and 64 receivers lose, double and mix up nothing",
  { soak: "also", limit: 120_000 },
  async () => {
    const each = rounds(10, 150);
    using place = namedQueue(8, record.size);
    const argument = { name: place.name, each };
    await using children = new AsyncDisposableStack();
    const start = (body: typeof sendMany, first: number) =>
      children.use(spawnCall(body, {
        argument: { ...argument, first },
        limit: 110_000,
      }));
    const receivers = [0, 16, 32, 48].map((first) => start(receiveMany, first));
    const senders = [0, 16, 32, 48].map((first) => start(sendMany, first));
    for (const sender of senders) assertPrinted(await sender.ended());
    // What ends the receivers is less urgent than all the rest.
    const end = record.encode({ sender: 999, number: 0 });
    for (let i = 0; i < 64; i++) await place.queue.send(end);
    const logs: [number, number, number][][] = [];
    for (const receiver of receivers) {
      const { code, stdout, stderr, transcript } = await receiver.ended();
      assertEquals([code, stderr], [0, ""], transcript);
      logs.push(...JSON.parse(stdout));
    }
    assertEquals(logs.length, 64);
    const seen = new Set<string>();
    for (const log of logs) {
      const last = new Map<string, number>();
      for (const [sender, number, priority] of log) {
        assertEquals(priority, 1 + number % 3);
        seen.add(`${sender} ${number}`);
        const line = `${sender} ${priority}`;
        assert(number > (last.get(line) ?? -1), `${line}: ${number}`);
        last.set(line, number);
      }
    }
    assertEquals(logs.flat().length, 64 * each, "none is there twice");
    assertEquals(seen.size, 64 * each, "none is lost");
  },
);

interface Many {
  name: string;
  each: number;
  first: number;
}

async function sendMany({ name, each, first }: Many) {
  const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
  const { struct, u32 } = await import("../ffi/struct.ts");
  const record = struct({ sender: u32, number: u32 });
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    using queue = PosixMessageQueue.open(name);
    for (let number = 0; number < each; number++) {
      const data = record.encode({ sender: first + i, number });
      const options = { priority: 1 + number % 3 };
      if (number % 4 === 0) queue.sendSync(data, options);
      else await queue.send(data, options);
    }
  }));
}

async function receiveMany({ name }: Many) {
  const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
  const { struct, u32 } = await import("../ffi/struct.ts");
  const record = struct({ sender: u32, number: u32 });
  const logs = await Promise.all(Array.from({ length: 16 }, async () => {
    using queue = PosixMessageQueue.open(name);
    const log: [number, number, number][] = [];
    for await (const { data, priority } of queue) {
      const value = record.decode(data);
      if (value.sender === 999) break;
      log.push([value.sender, value.number, priority]);
    }
    return log;
  }));
  console.log(JSON.stringify(logs));
}

leakTest(
  "PosixMessageQueue outlives those who are killed with it in hand",
  { soak: "also", limit: 240_000 },
  async () => {
    using place = namedQueue(4, 16);
    await killUsersOf(place.queue, rounds(4, 100));
  },
);

leakTest(
  "PosixMessageQueue: no queue of these tests is left",
  { needs: [noMount] },
  async () => {
    using dir = scratch();
    const directory = dir.file("mqueue");
    Deno.mkdirSync(directory);
    const left = await inChild<string[]>(async () => {
      const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
      return PosixMessageQueue.list().map(({ name }) => name);
    }, { wrapper: mounted(directory) });
    const mine = new RegExp(`${PREFIX}|ipc-${Deno.pid}-`);
    assertEquals(left.filter((name) => mine.test(name)), []);
  },
);

leakTest("PosixMessageQueue.receive() fills the caller's buffer", async () => {
  using queue = PosixMessageQueue.create(null, { maxSize: 4 });
  PosixMessageQueue.unlink(queue.name);
  const buffer = new Uint8Array(6);
  queue.sendSync(Uint8Array.of(1, 2, 3), { priority: 5 });
  const { priority, data } = queue.receiveSync({ buffer });
  assertEquals([priority, data.buffer === buffer.buffer], [5, true]);
  assertEquals(data, Uint8Array.of(1, 2, 3));
  queue.sendSync(Uint8Array.of(4, 5, 6, 7));
  assertEquals(
    (await queue.receive({ buffer })).data,
    Uint8Array.of(4, 5, 6, 7),
  );
  queue.sendSync(Uint8Array.of(8));
  const small = new Uint8Array(3);
  assertThrows(() => queue.receiveSync({ buffer: small }), RangeError);
  assertThrows(() => queue.tryReceive({ buffer: small }), RangeError);
  await assertRejects(() => queue.receive({ buffer: small }), RangeError);
  assertEquals(queue.tryReceive({ buffer })?.data, Uint8Array.of(8));
});

leakTest(
  "PosixMessageQueue.receive() delivers the message when the buffer is gone",
  async () => {
    using queue = newQueue(2, 16);
    const fixed = new Uint8Array(16);
    const resizable = new ArrayBuffer(16, { maxByteLength: 16 });
    const taken: [Uint8Array<ArrayBuffer>, () => unknown][] = [
      [fixed, () => fixed.buffer.transfer()],
      [new Uint8Array(resizable), () => resizable.resize(8)],
    ];
    for (const [buffer, take] of taken) {
      const receiving = queue.receive({ buffer });
      await turns(); // it waits
      take();
      queue.sendSync(bytes(1, 2, 3));
      assertEquals((await receiving).data, bytes(1, 2, 3));
    }
  },
);

// --- inherit() and fromFd() -------------------------------------------------

leakTest(
  "PosixMessageQueue.inherit() gives the queue to a child without the name",
  async () => {
    using dir = scratch();
    const script = dir.file(
      "child.ts",
      `import { PosixMessageQueue } from "${
        import.meta.resolve("../ffi/message_queue.ts")
      }";
      const fd = Number(Deno.args[0]);
      using queue = PosixMessageQueue.fromFd(fd);
      const { priority, data } = queue.receiveSync();
      await queue.send(data.map((byte) => byte * 2), { priority });
      console.log(queue.name, queue.maxSize, queue.fd === fd);`,
    );
    using queue = newQueue(1, 64);
    assertEquals(queue.tryReceive(), undefined);
    await using child = queue.inherit((fd) =>
      spawnDeno(script, { args: [`${fd}`] })
    );
    const again = new Deno.Command("true").spawn();
    assert(isCloseOnExec(queue.fd));
    await again.status;
    queue.sendSync(bytes(1, 2, 3), { priority: 7 });
    assertPrinted(await child.ended(), `${queue.name} 64 true`);
    assertEquals(queue.tryReceive(), { priority: 7, data: bytes(2, 4, 6) });
  },
);

leakTest(
  "PosixMessageQueue.inherit() does not make a pending wait block this thread",
  async () => {
    const result = await inChild(async () => {
      const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
      using queue = PosixMessageQueue.create(null, {
        maxMessages: 1,
        maxSize: 1,
      });
      PosixMessageQueue.unlink(queue.name);
      const one = new Uint8Array(1);
      const received = [1, 2].map(() => queue.receive());
      const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
      await pause();
      queue.inherit(() => 0); // which makes it blocking
      queue.trySend(one);
      await received[0]; // the other tries, and would block here
      queue.trySend(one);
      await received[1];
      queue.trySend(one); // full
      const sent = [1, 2].map(() => queue.send(one));
      await pause();
      queue.inherit(() => 0);
      queue.tryReceive();
      await sent[0];
      queue.tryReceive();
      await sent[1];
      return queue.stat().messages;
    }, { limit: 5000 });
    assertEquals(result, 1);
  },
);

leakTest(
  "PosixMessageQueue.fromFd() tells the name, also one that is gone",
  () => {
    const suffix = " (deleted)"; // what the kernel appends to the name of what is gone
    for (
      const name of [uniqueName(), uniqueName() + suffix, uniqueName() + "큐"]
    ) {
      using queue = PosixMessageQueue.create(name, {
        maxMessages: 1,
        maxSize: 8,
      });
      for (const unlink of [() => {}, () => PosixMessageQueue.unlink(name)]) {
        unlink();
        const fd = duplicate(queue.fd);
        using same = PosixMessageQueue.fromFd(fd);
        assertEquals([same.name, same.maxSize, same.fd], [name, 8, fd]);
        assert(isCloseOnExec(fd));
        same.sendSync(bytes(1));
        assertEquals(queue.receiveSync().data, bytes(1));
        same.close();
        const error = assertThrows(() => same.tryReceive(), ClosedError);
        assertEquals(
          error.message,
          `Cannot use queue ${name}: it is closed`,
        );
      }
    }
  },
);

leakTest("PosixMessageQueue.fromFd() refuses everything else", () => {
  using ends = pipe();
  using sockets = UnixStream.pair();
  using file = openRaw("/dev/null", 0);
  for (const { fd } of [ends.reader, sockets[0], file]) {
    const copy = duplicate(fd, false);
    assertThrows(
      () => PosixMessageQueue.fromFd(copy),
      TypeError,
      `Argument "fd" must be a POSIX message queue: ${copy} is not`,
    );
    assert(!isCloseOnExec(copy)); // it is left as it was
    new Raw(copy)[Symbol.dispose]();
  }
  assertRefused(() => PosixMessageQueue.fromFd(0x7fffffff), "EBADF", "fcntl");
  for (const fd of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => PosixMessageQueue.fromFd(fd), RangeError, '"fd"');
  }
  const text = "3" as unknown as number;
  assertThrows(() => PosixMessageQueue.fromFd(text), TypeError, '"fd"');
});

leakTest(
  "PosixMessageQueue never blocks when another clears O_NONBLOCK",
  async () => {
    const told = await inChild(async () => {
      const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
      const { setNonblocking } = await import("./support/descriptors.ts");
      const queue = PosixMessageQueue.create(null, {
        maxMessages: 1,
        maxSize: 8,
      });
      PosixMessageQueue.unlink(queue.name);
      const told: unknown[] = [];
      for (const on of [true, false]) {
        setNonblocking(queue.fd, on);
        told.push(queue.tryReceive());
        const waiting = queue.receive();
        setNonblocking(queue.fd, !on);
        await new Promise((resolve) => setTimeout(resolve, 20));
        queue.trySend(Uint8Array.of(1));
        told.push((await waiting).data.length);
        told.push(queue.trySend(Uint8Array.of(2)));
        told.push(queue.trySend(Uint8Array.of(3)));
        const name = (call: () => unknown) => {
          try {
            return call();
          } catch (error) {
            return (error as Error).name;
          }
        };
        told.push(name(() => queue.sendSync(new Uint8Array(), { timeout: 5 })));
        queue.tryReceive();
        told.push(name(() => queue.receiveSync({ timeout: 5 })));
      }
      queue.close();
      return told;
    });
    const round = [null, 1, true, false, "TimeoutError", "TimeoutError"];
    assertEquals(told, [...round, ...round]);
  },
);

leakTest("PosixMessageQueue has properties that nothing can write", () => {
  using own = PosixMessageQueue.create(null, { maxSize: 100 });
  PosixMessageQueue.unlink(own.name);
  assertThrows(() => {
    (own as { maxSize: number }).maxSize = 8192;
  }, TypeError);
  assertThrows(() => own.sendSync(new Uint8Array(101)), RangeError);
  const construct = PosixMessageQueue as unknown as new (
    ...args: unknown[]
  ) => unknown;
  assertThrows(() => new construct("/x", { fd: 0 }), TypeError, "construct");
});

leakTest("PosixMessageQueue.detach() hands over the descriptor", async () => {
  const queue = newQueue(1, 8);
  const pending = queue.receive();
  const fd = queue.detach();
  await assertRejects(() => pending, ClosedError);
  assertThrows(() => queue.detach(), ClosedError);
  assertThrows(() => queue.tryReceive(), ClosedError);
  queue.close(); // does nothing
  using heir = PosixMessageQueue.fromFd(fd);
  assertEquals([heir.fd, heir.name], [fd, queue.name]);
  assert(heir.trySend(bytes(1)));
  assertEquals(heir.tryReceive()?.data, bytes(1));
});

leakTest("Deno.inspect() shows what a PosixMessageQueue is", () => {
  const queue = newQueue(1, 8);
  const { name, fd } = queue;
  assertEquals(
    Deno.inspect(queue),
    `PosixMessageQueue { name: "${name}", fd: ${fd}, maxSize: 8, closed: false }`,
  );
  queue.close();
  assertEquals(
    Deno.inspect(queue),
    `PosixMessageQueue { name: "${name}", maxSize: 8, closed: true }`,
  );
  assert(Deno.inspect(PosixMessageQueue.prototype).length > 0);
});
