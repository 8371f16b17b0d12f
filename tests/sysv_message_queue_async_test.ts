import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  ftok,
  IpcError,
  SysvMessageQueue,
} from "../ffi/message_queue.ts";
import { blockedCalls } from "../ffi/wait/pool.ts";
import { outcome } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { noPrlimit } from "./support/namespaces.ts";
import { type Child, until } from "./support/process.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueKey } from "./support/names.ts";
import { OwnQueue, spawnWith } from "./support/queues.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { raceAborts, settled, soon, turns } from "./support/waits.ts";

const LONG_MAX = 2n ** 63n - 1n;
leakTest("SysvMessageQueue.receive() waits for another process", async () => {
  using own = new OwnQueue();
  const waiting = own.queue.receive();
  await using child = spawnWith(
    own.queue,
    `queue.sendSync(Uint8Array.of(1, 2, 3), { type: 7 });`,
  );
  assertEquals(await waiting, { type: 7, data: bytes(1, 2, 3) });
  assertEquals((await child.ended()).code, 0);
});

leakTest("SysvMessageQueue.send() waits for room", async () => {
  using own = new OwnQueue();
  const large = new Uint8Array(own.queue.stat().maxBytes / 2);
  own.queue.sendSync(large);
  own.queue.sendSync(large);
  const first = own.queue.send(bytes(1), { type: 2 });
  const second = own.queue.send(bytes(2), { type: 2 });
  assertEquals(own.queue.stat().messages, 2);
  await using child = spawnWith(own.queue, "queue.receiveSync({ type: 1 });");
  await Promise.all([first, second]);
  assertEquals((await child.ended()).code, 0);
  assertEquals(own.queue.receiveSync({ type: 2 }).data, bytes(1));
  assertEquals(own.queue.receiveSync({ type: 2 }).data, bytes(2));
});

leakTest("SysvMessageQueue.send() refuses what never fits", async () => {
  using own = new OwnQueue();
  own.queue.change({ maxBytes: 10 });
  const error = await assertRejects(
    () => own.queue.send(new Uint8Array(11)),
    IpcError,
  );
  assertEquals(error.code, "EINVAL");
  assertEquals(error.limit, { name: "msg_qbytes", value: 10 });
});

leakTest("SysvMessageQueue.receive() is never early to time out", async () => {
  using own = new OwnQueue();
  for (const timeout of [0, 1, 20, 70.5]) {
    const begun = performance.now();
    const error = await assertRejects(
      () => own.queue.receive({ timeout }),
      DOMException,
    );
    assertEquals(error.name, "TimeoutError");
    assertGreaterOrEqual(performance.now() - begun, timeout);
  }
  await until(() => blockedCalls() === 0, "no blocked call");
});

leakTest("SysvMessageQueue.receive() ends with the signal", async () => {
  using own = new OwnQueue();
  const controller = new AbortController();
  const reason = new Error("enough");
  const waits = Array.from(
    { length: 20 },
    () => own.queue.receive({ signal: controller.signal }),
  );
  setTimeout(() => controller.abort(reason), 10);
  for (const { status, ...rest } of await Promise.allSettled(waits)) {
    assertEquals(status, "rejected");
    assertEquals((rest as PromiseRejectedResult).reason, reason);
  }
  await assertRejects(
    () => own.queue.receive({ signal: controller.signal }),
    Error,
    "enough",
  );
  await until(() => blockedCalls() === 0, "no blocked call");
});

leakTest("SysvMessageQueue.close() ends pending waits", async () => {
  using own = new OwnQueue();
  const waits = Array.from({ length: 8 }, () => own.queue.receive());
  setTimeout(() => own.queue.close(), 10);
  for (const outcome of await Promise.allSettled(waits)) {
    assertEquals(outcome.status, "rejected");
    assertInstanceOf((outcome as PromiseRejectedResult).reason, ClosedError);
  }
  await assertRejects(() => own.queue.receive(), ClosedError);
  await assertRejects(() => own.queue.send(bytes(1)), ClosedError);
});

leakTest("SysvMessageQueue.remove() tells who waits", async () => {
  using own = new OwnQueue();
  const waits = Array.from({ length: 8 }, () => own.queue.receive());
  await using child = spawnWith(own.queue, "queue.remove();");
  for (const outcome of await Promise.allSettled(waits)) {
    assertEquals(outcome.status, "rejected");
    const { reason } = outcome as PromiseRejectedResult;
    assertInstanceOf(reason, IpcError);
    assertEquals(reason.code, "EIDRM");
  }
  const error = await assertRejects(() => own.queue.receive(), IpcError);
  assertEquals(error.code, "EIDRM");
  assertEquals(
    assertThrows(() => own.queue.stat(), IpcError).code,
    "EIDRM",
  );
  assertEquals((await child.ended()).code, 0);
});

leakTest("SysvMessageQueue.receive() leaves the pool to file I/O", async () => {
  using own = new OwnQueue();
  const waits = Array.from({ length: 100 }, () => own.queue.receive());
  await soon(Deno.readTextFile(new URL(import.meta.url)));
  for (let index = 0; index < 100; index++) {
    await own.queue.send(bytes(index));
  }
  const got = (await Promise.all(waits)).map(({ data }) => data[0]!);
  assertEquals(got.sort((a, b) => a - b), Array.from(got.keys()));
});

// Without a thread they look again after a millisecond at the earliest.
for (
  const [lanes, times] of [
    ["with", rounds(500, 10_000)],
    ["without", rounds(500, 2_000)],
  ] as const
) {
  leakTest(
    `SysvMessageQueue.receive() ${lanes} a thread loses no message to an abort that races it`,
    { soak: "also", limit: 120_000 },
    async () => {
      const [DEMAND, ANSWER, NEVER] = [1, 2, 3];
      using own = new OwnQueue();
      const { queue } = own;
      const end = new AbortController();
      const others = settled(
        lanes === "with" ? [] : Array.from(
          { length: 4 },
          () => queue.receive({ type: NEVER, signal: end.signal }),
        ),
      );
      await using child = spawnWith(
        queue,
        `for (let round = 0;; round++) {
           if (queue.receiveSync({ type: ${DEMAND} }).data.length === 0) break;
           queue.sendSync(Uint8Array.of(round >> 8, round), { type: ${ANSWER} });
         }`,
      );
      await raceAborts(times, {
        wait: (options) => queue.receive({ type: ANSWER, ...options }),
        bring: () => queue.sendSync(bytes(1), { type: DEMAND }),
        check: ({ data }, round) =>
          assertEquals(data, bytes(round >> 8, round)),
      });
      queue.sendSync(bytes(), { type: DEMAND });
      assertEquals((await child.ended()).code, 0);
      assertEquals(queue.stat().messages, 0);
      end.abort();
      await others;
      await until(() => blockedCalls() === 0, "no blocked call");
    },
  );
}

leakTest(
  "SysvMessageQueue brings the messages of 64 senders to 64 receivers",
  { soak: "also", limit: 120_000 },
  async () => {
    using own = new OwnQueue();
    const [PROCESSES, EACH, MESSAGES] = [4, 16, rounds(10, 150)];
    const children: Child[] = [];
    for (let process = 0; process < PROCESSES; process++) {
      const first = 1 + process * EACH;
      const types = Array.from({ length: EACH }, (_, index) => first + index);
      children.push(
        spawnWith(
          own.queue,
          `await Promise.all(${JSON.stringify(types)}.map(async (type) => {
             for (let n = 0; n < ${MESSAGES}; n++) {
               const { data } = await queue.receive({ type });
               const got = data[0] << 8 | data[1];
               if (got !== n) throw new Error(type + ": " + got + ", not " + n);
             }
           }));
           console.log("all in order");`,
        ),
        spawnWith(
          own.queue,
          `await Promise.all(${JSON.stringify(types)}.map(async (type) => {
             for (let n = 0; n < ${MESSAGES}; n++) {
               await queue.send(Uint8Array.of(n >> 8, n), { type });
             }
           }));
           console.log("all sent");`,
        ),
      );
    }
    for (const child of children) {
      await using ended = child;
      const { code, stdout, transcript } = await ended.ended();
      assertEquals(code, 0, transcript);
      assert(stdout.startsWith("all "), transcript);
    }
    assertEquals(own.queue.stat().messages, 0);
  },
);

leakTest("SysvMessageQueue.receive() takes all types but one", async () => {
  using own = new OwnQueue();
  own.queue.sendSync(bytes(1), { type: 1 });
  own.queue.sendSync(bytes(2), { type: 2 });
  const { type } = await own.queue.receive({ type: 1, except: true });
  assertEquals(type, 2);
  assertThrows(
    () => own.queue.tryReceive({ type: 0, except: true }),
    RangeError,
  );
});

leakTest("SysvMessageQueue.receive() truncates only when asked", async () => {
  using own = new OwnQueue();
  own.queue.sendSync(bytes(1, 2, 3));
  own.queue.sendSync(bytes(4, 5, 6));
  own.queue.sendSync(bytes(7, 8, 9));
  assertEquals((await own.queue.receive({ truncate: 2 })).data, bytes(1, 2));
  assertEquals(own.queue.receiveSync({ truncate: 0 }).data, bytes());
  assertEquals(own.queue.receiveSync().data, bytes(7, 8, 9));
  for (const truncate of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => own.queue.tryReceive({ truncate }), RangeError);
  }
});

leakTest("SysvMessageQueue.receive() fills the caller's buffer", async () => {
  using own = new OwnQueue();
  const buffer = new Uint8Array(4);
  own.queue.sendSync(bytes(1, 2, 3), { type: 2 ** 32 + 5 });
  const { type, data } = own.queue.receiveSync({ buffer });
  assertEquals([type, data.buffer === buffer.buffer], [2 ** 32 + 5, true]);
  assertEquals([...buffer], [1, 2, 3, 0]);
  assertEquals(data, bytes(1, 2, 3));
  const waiting = own.queue.receive({ buffer });
  own.queue.sendSync(bytes(9, 8, 7, 6), { type: LONG_MAX });
  assertEquals(await waiting, { type: LONG_MAX, data: bytes(9, 8, 7, 6) });
  own.queue.sendSync(bytes(1, 2, 3, 4, 5));
  for (
    const receive of [
      () => own.queue.receive({ buffer }),
      // deno-lint-ignore require-await
      async () => own.queue.receiveSync({ buffer }),
    ]
  ) {
    const error = await assertRejects(receive, IpcError);
    assertEquals(error.code, "E2BIG");
    assertEquals(error.limit, { name: "buffer.byteLength", value: 4 });
  }
  assertEquals(
    own.queue.receiveSync({ buffer, truncate: 2 }).data,
    bytes(1, 2),
  );
});

leakTest(
  "SysvMessageQueue.receive() delivers also when the buffer is gone",
  async () => {
    using own = new OwnQueue();
    const fixed = new Uint8Array(8);
    const resizable = new ArrayBuffer(8, { maxByteLength: 8 });
    const taken: [Uint8Array<ArrayBuffer>, () => unknown][] = [
      [fixed, () => fixed.buffer.transfer()],
      [new Uint8Array(resizable), () => resizable.resize(2)],
    ];
    for (const [buffer, take] of taken) {
      const receiving = own.queue.receive({ buffer });
      await turns(); // it waits
      take();
      own.queue.sendSync(bytes(1, 2, 3));
      assertEquals((await receiving).data, bytes(1, 2, 3));
    }
  },
);

leakTest("SysvMessageQueue.tryPeek() leaves the message", () => {
  using own = new OwnQueue();
  own.queue.sendSync(bytes(1), { type: 5 });
  own.queue.sendSync(bytes(2), { type: 6 });
  assertEquals(own.queue.tryPeek(1), { type: 6, data: bytes(2) });
  assertEquals(own.queue.tryPeek(0), { type: 5, data: bytes(1) });
  assertEquals(own.queue.tryPeek(2), undefined);
  assertEquals(own.queue.stat().messages, 2);
});

leakTest("SysvMessageQueue.stat() tells times, users and processes", () => {
  using own = new OwnQueue();
  const fresh = own.queue.stat();
  assertEquals([fresh.sent, fresh.received, fresh.key], [null, null, 0]);
  // The kernel's seconds begin up to a tick after those of the clock.
  const before = Math.floor(Date.now() / 1000 - 1) * 1000;
  own.queue.sendSync(bytes(1));
  own.queue.receiveSync();
  const { sent, received, changed, lastSenderPid, uid, creatorUid } = own.queue
    .stat();
  assertGreaterOrEqual(sent!.getTime(), before);
  assertGreaterOrEqual(received!.getTime(), before);
  assert(changed.getTime() <= received!.getTime());
  assertEquals(lastSenderPid, Deno.pid);
  assertEquals([uid, creatorUid], [Deno.uid(), Deno.uid()]);
});

leakTest("SysvMessageQueue.change() changes what is given", () => {
  using own = new OwnQueue();
  const before = own.queue.stat();
  own.queue.change({ mode: 0o640, maxBytes: 1000 });
  const after = own.queue.stat();
  assertEquals([after.mode, after.maxBytes], [0o640, 1000]);
  assertEquals([after.uid, after.gid], [before.uid, before.gid]);
  assertThrows(() => own.queue.change({ mode: 0o1000 }), RangeError);
  assertThrows(() => own.queue.change({ uid: -1 }), RangeError);
  assertThrows(() => own.queue.change({ maxBytes: 1.5 }), RangeError);
  assertEquals(own.queue.stat().maxBytes, 1000);
});

leakTest(
  "SysvMessageQueue.change() names the limit it may not pass",
  { needs: [noOtherUser] },
  async () => {
    const { stdout } = await runAsNobody(`
      import { SysvMessageQueue } from "@linux/ipc/message-queue";
      using queue = SysvMessageQueue.create(null);
      try {
        queue.change({ maxBytes: 0x7fffffff });
      } catch (error) {
        console.log(error.code, error.limit?.name ?? error.message);
      } finally {
        queue.remove();
      }
    `);
    assertEquals(stdout, "EPERM /proc/sys/kernel/msgmnb\n");
  },
);

leakTest("SysvMessageQueue.list() finds the queues", () => {
  const key = uniqueKey();
  using queue = SysvMessageQueue.create(key, { mode: 0o620 });
  try {
    queue.sendSync(bytes(1, 2, 3));
    const entry = SysvMessageQueue.list().find(({ id }) => id === queue.id);
    assertEquals(entry, {
      key: key | 0,
      id: queue.id,
      mode: 0o620,
      bytes: 3,
      messages: 1,
      uid: Deno.uid()!,
      gid: Deno.gid()!,
    });
  } finally {
    queue.remove();
  }
});

leakTest("SysvMessageQueue iterates until it is closed", async () => {
  using own = new OwnQueue();
  await using child = spawnWith(
    own.queue,
    "for (let n = 0; n < 5; n++) queue.sendSync(Uint8Array.of(n));",
  );
  const got: number[] = [];
  for await (const { data } of own.queue) {
    got.push(data[0]!);
    if (got.length === 5) setTimeout(() => own.queue.close(), 5);
  }
  assertEquals(got, [0, 1, 2, 3, 4]);
  assertEquals((await child.ended()).code, 0);
});

leakTest(
  "SysvMessageQueue.receive() of a Worker that is terminated takes nothing",
  async () => {
    using own = new OwnQueue();
    const { queue } = own;
    const worker = new Worker(
      "data:text/javascript," + encodeURIComponent(
        `import { SysvMessageQueue } from "${
          import.meta.resolve("../ffi/message_queue.ts")
        }";
         const queue = SysvMessageQueue.fromId(${queue.id});
         for (let n = 0; n < 6; n++) queue.receive({ type: n % 3 });
         setTimeout(() => postMessage(""), 50);`,
      ),
      { type: "module" },
    );
    await new Promise((resolve) => worker.onmessage = resolve);
    worker.terminate();
    for (let n = 0; n < 6; n++) queue.sendSync(bytes(n), { type: 1 + n % 2 });
    const got = [];
    for (let n = 0; n < 6; n++) {
      got.push((await queue.receive({ timeout: 2000 })).data[0]);
    }
    assertEquals(got, [0, 1, 2, 3, 4, 5]);
  },
);

leakTest(
  "SysvMessageQueue.receive() delivers empty messages once, whatever ends it",
  async () => {
    using own = new OwnQueue();
    const { queue } = own;
    for (let round = 0; round < 200; round++) {
      const controller = new AbortController();
      const { signal } = controller;
      const waiting = outcome(queue.receive({ type: 5, signal }));
      if (round % 4 === 0) {
        await until(() => blockedCalls() === 1, "a blocked call");
      }
      queue.sendSync(bytes(), { type: 5 });
      controller.abort("enough");
      const got = await waiting;
      if (got === "enough") {
        const { type, data } = await soon(queue.receive({ type: 5 }));
        assertEquals([type, data], [5, bytes()]);
      }
      await until(() => blockedCalls() === 0, "no blocked call");
      assertEquals(queue.tryReceive(), undefined);
    }
  },
);

leakTest(
  "SysvMessageQueue: waits end where no signal may be sent",
  { needs: [noPrlimit] },
  async () => {
    const ends = await inChild(async () => {
      const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
      const queue = SysvMessageQueue.create(null);
      const ends: string[] = [];
      const note = (error: Error) => ends.push(error.name);
      const controller = new AbortController();
      const { signal } = controller;
      await queue.receive({ timeout: 30 }).catch(note);
      const aborted = queue.receive({ signal }).catch(note);
      setTimeout(() => controller.abort(), 20);
      await aborted;
      while (queue.trySend(new Uint8Array(1024))) { /* there was room */ }
      await queue.send(new Uint8Array(1024), { timeout: 30 }).catch(note);
      setTimeout(() => queue.close(), 20);
      await queue.receive({ type: 9 }).catch(note);
      using again = SysvMessageQueue.fromId(queue.id);
      again.remove();
      return ends;
    }, { wrapper: ["prlimit", "--sigpending=0"] });
    assertEquals(ends, [
      "TimeoutError",
      "AbortError",
      "TimeoutError",
      "ClosedError",
    ]);
  },
);

leakTest(
  "SysvMessageQueue: waits end when signals are forbidden meanwhile",
  { needs: [noPrlimit] },
  async () => {
    const ends = await inChild(async () => {
      const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
      const queue = SysvMessageQueue.create(null);
      const ends: string[] = [];
      const waiting = queue.receive({ timeout: 200 }).catch((error) =>
        ends.push(error.name)
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
      const limit = new Deno.Command("prlimit", {
        args: ["--sigpending=0", "--pid", String(Deno.pid)],
      });
      await limit.output();
      await waiting;
      ends.push(String(queue.tryReceive()));
      await queue.receive({ timeout: 20 }).catch((error) =>
        ends.push(error.name)
      );
      queue.remove(); // the call that could not be ended ends now
      return ends;
    });
    assertEquals(ends, ["TimeoutError", "undefined", "TimeoutError"]);
  },
);

leakTest(
  "SysvMessageQueue.receiveSync() and sendSync() have a timeout",
  () => {
    using own = new OwnQueue();
    const { queue } = own;
    while (queue.trySend(new Uint8Array(1024))) { /* there was room */ }
    for (const timeout of [0, 1, 40]) {
      for (
        const call of [
          () => queue.receiveSync({ type: 2, timeout }),
          () => queue.sendSync(new Uint8Array(1024), { timeout }),
        ]
      ) {
        const begun = performance.now();
        assertEquals(assertThrows(call, DOMException).name, "TimeoutError");
        assertGreaterOrEqual(performance.now() - begun, timeout);
      }
    }
    assertEquals(queue.receiveSync({ timeout: 0 }).type, 1);
    queue.sendSync(bytes(1), { timeout: 0 });
  },
);

leakTest("ftok() makes the keys that C makes", () => {
  using directory = scratch();
  const path = directory.file("key", "");
  const { ino, dev } = Deno.statSync(path);
  for (const id of [0x41, 0xf1]) {
    const key = (id << 24) | ((dev & 0xff) << 16) | (ino! & 0xffff);
    assertEquals(ftok(path, id), key >>> 0);
  }
  const error = assertThrows(() => ftok(`${path}/no`, 1), IpcError);
  assertEquals(error.code, "ENOTDIR");
  for (const id of [0, 256, -1, 1.5]) {
    assertThrows(() => ftok(path, id), RangeError);
  }
});
