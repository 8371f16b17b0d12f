/** Requests and replies over one System V queue. */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { IpcError, SysvMessageQueue } from "../ffi/message_queue.ts";
import type { WaitOptions } from "../ffi/wait/options.ts";
import { outcome } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { kill, killAll } from "./support/kills.ts";
import { leakTest } from "./support/leaks.ts";
import { spawn, succeeds, until } from "./support/process.ts";
import { childArgs, OwnQueue, spawnWith } from "./support/queues.ts";
import { rounds } from "./support/rounds.ts";

leakTest("SysvMessageQueue.request() gets the reply to itself", async () => {
  using own = new OwnQueue();
  await using server = spawnWith(
    own.queue,
    `for await (const request of queue.requests()) {
       if (request.data.length === 0) break;
       await request.reply(request.data.map((byte) => byte * 2));
     }`,
  );
  const replies = await Promise.all(
    Array.from({ length: 50 }, (_, n) => own.queue.request(bytes(n))),
  );
  assertEquals(replies, Array.from({ length: 50 }, (_, n) => bytes(n * 2)));
  const controller = new AbortController();
  const { signal } = controller;
  const last = outcome(own.queue.request(bytes(), { signal }));
  assertEquals((await server.ended()).code, 0);
  controller.abort("no answer");
  assertEquals(await last, "no answer");
  assertEquals(own.queue.stat().messages, 0);
});

leakTest("SysvMessageQueue.request() survives its server's death", async () => {
  using own = new OwnQueue();
  await using server = spawnWith(
    own.queue,
    `for await (const request of queue.requests()) console.log("taken");`,
  );
  const controller = new AbortController();
  const { signal } = controller;
  const asked = outcome(own.queue.request(bytes(1), { signal }));
  await server.expect("taken");
  server.kill("SIGKILL");
  assertEquals((await server.ended()).signal, "SIGKILL");
  controller.abort("no answer");
  assertEquals(await asked, "no answer");
  await using next = spawnWith(
    own.queue,
    `for await (const request of queue.requests()) {
       await request.reply(request.data);
       break;
     }`,
  );
  assertEquals(
    await own.queue.request(bytes(2), { timeout: 20_000 }),
    bytes(2),
  );
  assertEquals((await next.ended()).code, 0);
  assertEquals(own.queue.stat().messages, 0);
});

leakTest("SysvRequest.reply() knows that who asked is dead", async () => {
  using own = new OwnQueue();
  await using client = spawnWith(
    own.queue,
    "await queue.request(Uint8Array.of(1));",
  );
  const { value: request } = await own.queue.requests().next();
  assert(request);
  assertEquals([request.pid, request.data], [client.pid, bytes(1)]);
  client.kill("SIGKILL");
  await client.ended();
  assertEquals(await request.reply(bytes(1)), false);
  assertEquals(own.queue.stat().messages, 0);
});

leakTest(
  "SysvMessageQueue.request() and requests() outlive those who are killed",
  { soak: "also", limit: 120_000 },
  async () => {
    using own = new OwnQueue();
    using mine = SysvMessageQueue.fromId(own.queue.id);
    const serve = async (queue: SysvMessageQueue) => {
      for await (const request of queue.requests()) {
        await request.reply(request.data.map((byte) => byte * 2));
      }
    };
    const ask = async (options: WaitOptions) => {
      const byte = Math.floor(Math.random() * 128);
      const reply = await mine.request(bytes(byte), options);
      assertEquals(reply, bytes(byte * 2));
    };
    const serving = serve(own.queue);
    for (let left = rounds(1, 15); left > 0; left--) {
      const victims = [
        `await (${serve})(queue);`,
        ...Array(3).fill(
          `for (;;) await queue.request(Uint8Array.of(1), { timeout: 100 })
             .catch(({ name }) => name === "TimeoutError" || Deno.exit(1));`,
        ),
      ].map((code) => spawnWith(mine, `console.log("up"); ${code}`));
      await killAll(victims, async () => {
        // The server that has taken the request may be killed then.
        const end = await outcome(ask({ timeout: 100 }));
        const fine = end === undefined ||
          (end as Error).name === "TimeoutError";
        assert(fine, String(end));
      });
    }
    await ask({ timeout: 20_000 });
    own.queue.close();
    await serving;
    // What was sent to the dead goes with the next server.
    const requests = mine.requests();
    const asked = ask({ timeout: 20_000 });
    const { value: request } = await requests.next();
    await request!.reply(request!.data.map((byte) => byte * 2));
    await asked;
    // What remains are empty: withdrawals whose server was killed.
    assertEquals(mine.stat().bytes, 0);
  },
);

leakTest("SysvRequest.reply() knows that who asked waits no more", async () => {
  using own = new OwnQueue();
  using client = SysvMessageQueue.fromId(own.queue.id);
  const controller = new AbortController();
  const { signal } = controller;
  const late = outcome(client.request(bytes(1), { signal }));
  const requests = own.queue.requests();
  const { value: first } = await requests.next();
  controller.abort("no answer");
  assertEquals(await late, "no answer");
  assertEquals(await first!.reply(bytes(1)), false);
  assertEquals(own.queue.stat().messages, 0);
  const asked = client.request(bytes(2));
  const { value: second } = await requests.next();
  assertEquals(await second!.reply(bytes(2)), true);
  assertEquals(await asked, bytes(2));
  assertEquals(own.queue.stat().messages, 0);
});

leakTest(
  "SysvMessageQueue.requests() gives each request its own bytes",
  async () => {
    using own = new OwnQueue();
    const { queue } = own;
    const buffer = Buffer.alloc(64);
    const asked = [bytes(1), bytes(2)].map((data) => queue.request(data));
    const got = [];
    for await (const request of queue.requests({ buffer })) {
      got.push(request);
      if (got.length === 2) break;
    }
    assertEquals(got.map(({ data }) => Uint8Array.from(data)), [
      bytes(1),
      bytes(2),
    ]);
    for (const request of got) await request.reply(request.data);
    assertEquals(await Promise.all(asked), [bytes(1), bytes(2)]);
  },
);

// --- Room for replies ---------------------------------------------------------

/** Answers each request with as many bytes, which have the value of its first byte. */
async function serve(queue: SysvMessageQueue, size: number): Promise<void> {
  for await (const request of queue.requests()) {
    await request.reply(new Uint8Array(size).fill(request.data[0]!));
  }
}

const CROWDS = [
  [3, 8000, 8000],
  [6, 3000, 3000],
  [20, 1000, 1000],
  [8, 8184, 8192], // the largest of both
  [12, 8184, 0],
  [30, 0, 8192],
  [60, 1, 1],
] as const;

for (const [count, asked, replied] of CROWDS) {
  leakTest(
    `SysvMessageQueue.request(): ${count} at once of ${asked} bytes, replies of ${replied}`,
    async () => {
      for (const same of [true, false]) {
        using own = new OwnQueue();
        using other = SysvMessageQueue.fromId(own.queue.id);
        const client = same ? own.queue : other;
        const serving = serve(own.queue, replied);
        const replies = await Promise.all(
          Array.from(
            { length: count },
            (_, n) =>
              client.request(new Uint8Array(asked).fill(n), {
                timeout: 20_000,
              }),
          ),
        );
        replies.forEach((reply, n) =>
          assertEquals(
            reply,
            new Uint8Array(replied).fill(asked === 0 ? 0 : n),
          )
        );
        assertEquals(own.queue.stat().messages, 0);
        own.queue.close();
        await serving;
      }
    },
  );
}

leakTest(
  "SysvMessageQueue.request() of several processes and objects at once",
  { limit: 120_000 },
  async () => {
    using own = new OwnQueue();
    using mine = SysvMessageQueue.fromId(own.queue.id);
    const serving = serve(mine, 8000);
    const clients = Array.from({ length: 3 }, (_, client) =>
      spawnWith(
        own.queue,
        `for (let round = 0; round < 5; round++) {
           const replies = await Promise.all([1, 2, 3].map((n) => {
             const queue = SysvMessageQueue.fromId(${own.queue.id});
             const byte = ${client * 10} + n;
             return queue.request(new Uint8Array(8000).fill(byte))
               .then((reply) => reply.every((got) => got === byte));
           }));
           console.log(replies.join());
         }`,
      ));
    for (const client of clients) {
      await using asking = client;
      const { stdout, code, transcript } = await asking.ended();
      assertEquals(code, 0, transcript);
      assertEquals(stdout, "true,true,true\n".repeat(5), transcript);
    }
    assertEquals(own.queue.stat().messages, 0);
    mine.close();
    await serving;
  },
);

leakTest(
  "SysvMessageQueue.request(): clients that give up leave no replies",
  async () => {
    using own = new OwnQueue();
    using server = SysvMessageQueue.fromId(own.queue.id);
    const ask = async (timeout: number) => {
      using client = SysvMessageQueue.fromId(own.queue.id);
      const reply = await client.request(bytes(1), { timeout });
      return reply.length;
    };
    // They give up before the service begins, so none of them makes another request.
    const ends = await Promise.all(
      Array.from({ length: 100 }, () => outcome(ask(20))),
    );
    assert(ends.every((end) => (end as Error).name === "TimeoutError"));
    const serving = serve(server, 500);
    assertEquals(await ask(20_000), 500);
    // They give up while the service works.
    for (let round = 0; round < 100; round++) await outcome(ask(0));
    assertEquals(await ask(20_000), 500);
    assertEquals(own.queue.stat().bytes, 0);
    server.close();
    await serving;
  },
);

leakTest(
  "SysvMessageQueue.request(): a slow service outlives impatient clients",
  async () => {
    using own = new OwnQueue();
    using server = SysvMessageQueue.fromId(own.queue.id);
    let replied = 0;
    const serving = (async () => {
      for await (const request of server.requests()) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        await request.reply(new Uint8Array(500));
        replied++;
      }
    })();
    for (let round = 0; round < 60; round++) {
      using client = SysvMessageQueue.fromId(own.queue.id);
      await outcome(client.request(bytes(1), { timeout: 2 }));
    }
    assertEquals((await own.queue.request(bytes(1))).length, 500);
    await until(() => own.queue.stat().messages === 0, "empty queue");
    assert(replied > 40, String(replied));
    server.close();
    await serving;
  },
);

leakTest(
  "SysvRequest.reply() finds room where clients were killed",
  { limit: 120_000 },
  async () => {
    using own = new OwnQueue();
    for (let round = 0; round < 3; round++) {
      await using client = spawnWith(
        own.queue,
        `for (let n = 0; n < 40; n++) {
           SysvMessageQueue.fromId(queue.id).request(Uint8Array.of(n));
         }
         console.log("up");`,
      );
      await client.expect("up");
      // All replies are there, and nobody receives them any more.
      const taken = [];
      for await (const request of own.queue.requests()) {
        taken.push(request);
        if (taken.length === 40) break;
      }
      client.kill("SIGSTOP");
      const replies = taken.map((request) =>
        request.reply(new Uint8Array(500), { timeout: 20_000 })
      );
      await until(() => own.queue.stat().bytes > 15_000, "a full queue");
      await kill(client);
      assert((await Promise.all(replies)).includes(false));
    }
    const serving = serve(own.queue, 500);
    using mine = SysvMessageQueue.fromId(own.queue.id);
    assertEquals((await mine.request(bytes(1))).length, 500);
    own.queue.close();
    await serving;
  },
);

leakTest(
  "SysvMessageQueue.requests() loses no request that it has not yielded",
  async () => {
    for (const room of [true, false]) {
      using own = new OwnQueue();
      const { queue } = own;
      using other = SysvMessageQueue.fromId(queue.id);
      queue.change({ maxBytes: 1000 });
      const first = other.request(bytes(1));
      for await (const request of queue.requests()) {
        // Requests of others, who leave no room for replies.
        const head = new BigInt64Array([BigInt(Deno.pid) << 32n | 7n]);
        const alien = new Uint8Array(500);
        alien.set(new Uint8Array(head.buffer));
        assert(other.trySend(alien) && other.trySend(alien));
        assertEquals(await request.reply(new Uint8Array(400)), true);
        if (room) await first;
        break;
      }
      assertEquals((await first).length, 400);
      assertEquals(queue.stat().messages, room ? 2 : 1);
      let count = 0;
      for await (const request of queue.requests()) {
        assertEquals([request.pid, request.data.length], [Deno.pid, 492]);
        if (++count === 2) break;
      }
    }
  },
);

leakTest(
  "SysvMessageQueue.request() takes what never fits for an error",
  async () => {
    using own = new OwnQueue();
    own.queue.change({ maxBytes: 100 });
    const { code, limit } = await assertRejects(
      () => own.queue.request(new Uint8Array(93)),
      IpcError,
    );
    assertEquals([code, limit], ["EINVAL", { name: "msg_qbytes", value: 100 }]);
    const asked = own.queue.request(new Uint8Array(92));
    const { value: request } = await own.queue.requests().next();
    const refused = await assertRejects(
      () => request!.reply(new Uint8Array(101)),
      IpcError,
    );
    assertEquals(refused.code, "EINVAL");
    assertEquals(refused.limit, { name: "msg_qbytes", value: 100 });
    assertEquals(await request!.reply(new Uint8Array(100)), true);
    assertEquals((await asked).length, 100);
  },
);

leakTest(
  "SysvMessageQueue.request() takes what is above msgmax for an error, also while the queue is full",
  async () => {
    const name = "/proc/sys/kernel/msgmax";
    const value = Number(Deno.readTextFileSync(name));
    using own = new OwnQueue();
    const { maxBytes } = own.queue.stat();
    if (value > maxBytes / 2) own.queue.change({ maxBytes: 2 * value });
    const limit = { name, value };
    for (const isFull of [false, true]) {
      while (isFull && own.queue.trySend(new Uint8Array(1), { type: 1 }));
      const data = new Uint8Array(value - 7); // and 8 bytes for the type of the reply
      const refused = await assertRejects(
        () => own.queue.request(data, { timeout: 10_000 }),
        IpcError,
      );
      assertEquals([refused.code, refused.limit], ["EINVAL", limit]);
    }
  },
);

leakTest("SysvMessageQueue.request() has types below 2^32 only", async () => {
  using own = new OwnQueue();
  for (const type of [0, -1, 2 ** 32, 2n ** 40n]) {
    await assertRejects(() => own.queue.request(bytes(), { type }), RangeError);
  }
  const type = 2 ** 32 - 1;
  const asked = own.queue.request(bytes(5), { type });
  const { value } = await own.queue.requests({ type }).next();
  assertEquals([value!.type, value!.data], [type, bytes(5)]);
  await value!.reply(bytes(6));
  assertEquals(await asked, bytes(6));
});

leakTest("SysvMessageQueue.requests() drops what is no request", async () => {
  using own = new OwnQueue();
  own.queue.sendSync(bytes(1, 2, 3));
  for (const type of [0n, -5n]) {
    own.queue.sendSync(new Uint8Array(BigInt64Array.of(type).buffer));
  }
  const asked = own.queue.request(bytes(9));
  const { value } = await own.queue.requests().next();
  assertEquals(value!.data, bytes(9));
  assertEquals(await value!.reply(bytes(1)), true);
  assertEquals(await asked, bytes(1));
});

leakTest("SysvMessageQueue.request() works beside other messages", async () => {
  using own = new OwnQueue();
  const { queue } = own;
  for (let n = 0; n < 12; n++) {
    queue.sendSync(new Uint8Array(1000), { type: 3 });
  }
  const serving = serve(queue, 1000);
  const replies = await Promise.all(
    Array.from(
      { length: 12 },
      (_, n) =>
        queue.request(new Uint8Array(1000).fill(n), { timeout: 20_000 }),
    ),
  );
  replies.forEach((reply, n) =>
    assertEquals(reply, new Uint8Array(1000).fill(n))
  );
  const large = new Uint8Array(4000).fill(7);
  assertEquals((await queue.request(large, { timeout: 20_000 })).length, 1000);
  assertEquals(queue.stat().messages, 12);
  queue.close();
  await serving;
});

// --- PID namespaces -----------------------------------------------------------

const pidNamespace = ["--pid", "--fork", "--kill-child"];
const noPidNamespace =
  succeeds("unshare", ...pidNamespace, "--mount-proc", "true")
    ? null
    : "no PID namespaces";

for (const proc of [[], ["--mount-proc"]]) {
  leakTest(
    `SysvRequest.reply() reaches another PID namespace (${
      proc[0] ?? "/proc of this"
    })`,
    { needs: [noPidNamespace] },
    async () => {
      using own = new OwnQueue();
      await using client = spawn("unshare", {
        args: [
          ...pidNamespace,
          ...proc,
          Deno.execPath(),
          ...childArgs(
            own.queue,
            `for (let n = 0; n < 100; n++) new Deno.Command("true").outputSync();
             console.log(Deno.pid, await queue.request(Uint8Array.of(3)));
             await queue.request(Uint8Array.of(4));`,
          ),
        ],
      });
      const requests = own.queue.requests();
      const { value: one } = await requests.next();
      assertEquals(one!.data, bytes(3));
      assertEquals(await one!.reply(bytes(33)), true);
      await client.expect(`${one!.pid} Uint8Array(1) [ 33 ]`);
      const { value: two } = await requests.next();
      client.kill("SIGKILL");
      await client.ended();
      // It has ended, which cannot be known here.
      assertEquals(await two!.reply(bytes(44)), true);
    },
  );
}

leakTest(
  "SysvRequest.reply() within another PID namespace knows who is dead",
  { needs: [noPidNamespace] },
  async () => {
    using own = new OwnQueue();
    await using server = spawn("unshare", {
      args: [
        ...pidNamespace,
        "--mount-proc",
        Deno.execPath(),
        ...childArgs(
          own.queue,
          `const child = new Deno.Command(Deno.execPath(), {
             args: ["eval", \`
               import { SysvMessageQueue } from "\${MODULE}";
               const queue = SysvMessageQueue.fromId(\${queue.id});
               await queue.request(Uint8Array.of(1));
             \`],
           }).spawn();
           const { value } = await queue.requests().next();
           console.log(value.pid === child.pid);
           child.kill("SIGKILL");
           await child.status;
           console.log(await value.reply(Uint8Array.of(2)));`,
        ),
      ],
    });
    const { stdout, transcript } = await server.ended();
    assertEquals(stdout, "true\nfalse\n", transcript);
    assertThrows(() => own.queue.receiveSync({ timeout: 0 }), DOMException);
  },
);
