/**
 * Rings with peers in C, through c/linux_ipc_ring.h: what each side writes the other one
 * reads, and either side is killed at random places, again and again.
 */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  type RingMessage,
  SharedBroadcast,
  SharedRing,
} from "../../ffi/ring.ts";
import { PosixSharedMemory } from "../../ffi/shared_memory.ts";
import { assertPrinted, assertSucceeded } from "../support/asserts.ts";
import { compile, compileText, noCompiler } from "../support/c.ts";
import { spawnCall } from "../support/child.ts";
import { kill } from "../support/kills.ts";
import { leakTest } from "../support/leaks.ts";
import { uniqueName } from "../support/names.ts";
import { type Child, run, spawn } from "../support/process.ts";
import { rounds } from "../support/rounds.ts";
import { runExample, startExample } from "./peers.ts";

const HEADER = `-I${fromFileUrl(new URL("../../c", import.meta.url))}`;
const PEER = new URL("./c/ring_peer.c", import.meta.url);
const MOST = 120; // bytes, as in the peer
const [PROGRESS, WRONG, FIRST] = [0, 1, 16]; // words of the ledger
const IDS = 8192;

const program = () => compile(PEER, HEADER, "-pedantic");
const peer = async (...args: (string | number)[]) =>
  spawn(await program(), { args: args.map(String) });

function peerTest(
  name: string,
  fn: () => Promise<void>,
  limit = 60_000,
): void {
  leakTest(name, { needs: [noCompiler], limit }, fn);
}

/** Shared memory that is unlinked when it is closed. */
function shared(size: number): PosixSharedMemory & Disposable {
  const memory = PosixSharedMemory.create(uniqueName(), size);
  return Object.assign(memory, {
    [Symbol.dispose]() {
      PosixSharedMemory.unlink(memory.name);
      memory.close();
    },
  });
}

function messageOf(id: number, number: number): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(8 + number * 31 % MOST).fill(number);
  new Int32Array(message.buffer, 0, 2).set([id, number]);
  return message;
}

for (const producers of ["one", "many"] as const) {
  peerTest(`messages to and from C: ${producers}`, async () => {
    const count = rounds(2_000, 20_000);
    using there = shared(SharedRing.size(4096));
    using back = shared(SharedRing.size(4096));
    const ring = SharedRing.create(there, { producers });
    using consumer = SharedRing.create(back, { producers }).consumer();
    await using echo = await peer("echo", there.name, back.name);
    const producer = ring.producer();
    const sending = (async () => {
      for (let number = 1; number <= count; number += 4) {
        const list = [0, 1, 2].map((more) => messageOf(7, number + more));
        if (number % 3 === 0) await producer.writeAll(list, { type: 3 });
        else for (const one of list) await producer.write(one, { type: 3 });
        const last = messageOf(7, number + 3);
        using claim = await producer.claim(last.length, { type: 3 });
        claim.bytes.set(last);
        claim.commit();
      }
      producer.close();
    })();
    let number = 0;
    for await (const { type, data } of consumer) {
      assertEquals(type, 3);
      assertEquals(data, messageOf(7, ++number));
    }
    await sending;
    assertEquals(number, count);
    await assertSucceeded(echo);
  });
}

peerTest("four producers in C and TypeScript", async () => {
  const count = rounds(2_000, 50_000);
  using memory = shared(SharedRing.size(1 << 14));
  const ring = SharedRing.create(memory);
  using consumer = ring.consumer();
  using _keeper = ring.producer(); // the end is that of the last producer
  await using _one = await peer("produce", memory.name, 1, 0, count);
  await using _two = await peer("produce", memory.name, 2, 1, count);
  await using _three = await peer("produce", memory.name, 3, 2, count);
  await using _four = produceInDeno(memory.name, 4, 2, count);
  const last = [0, 0, 0, 0, 0];
  while (last.slice(1).some((number) => number < count)) {
    assert(await consumer.wait({ timeout: 20_000 }));
    consumer.tryRead(({ bytes }) => {
      const words = new Int32Array(bytes.buffer, bytes.byteOffset, 2);
      const [id, number] = words;
      assertEquals(number, ++last[id!]!);
      assertEquals(bytes.at(-1), bytes.length > 8 ? number! & 255 : bytes[7]);
    }, 100);
  }
});

function produceInDeno(
  name: string,
  id: number,
  kind: number,
  count = 0,
): Child {
  return spawnCall(async ({ name, id, kind, count, MOST }) => {
    const { SharedRing } = await import("../ffi/ring.ts");
    const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
    using memory = PosixSharedMemory.open(name);
    using producer = SharedRing.open(memory).producer();
    console.log("up");
    const fill = (number: number) => {
      const message = new Uint8Array(8 + number * 31 % MOST).fill(number);
      new Int32Array(message.buffer, 0, 2).set([id, number]);
      return message;
    };
    // A consumer that was killed is followed by another one.
    const retry = <T>(call: () => T): T => {
      for (;;) {
        try {
          return call();
        } catch (error) {
          if ((error as { code?: string }).code !== "EPIPE") throw error;
        }
      }
    };
    let claims = 0;
    for (let number = 1; count === 0 || number <= count;) {
      if (kind === 0) {
        const message = fill(number++);
        retry(() => producer.writeSync(message));
      } else if (kind === 1) {
        const message = fill(number);
        using claim = retry(() => producer.claimSync(message.length));
        if (++claims % 7 === 0) continue; // aborts it
        claim.bytes.set(message);
        claim.commit();
        number++;
      } else {
        const list = [];
        for (let i = 0; i < 8 && (count === 0 || number <= count); i++) {
          list.push(fill(number++));
        }
        while (list.length > 0) {
          if (list.splice(0, producer.tryWriteAll(list)).length > 0) continue;
          const first = list.shift();
          retry(() => producer.writeSync(first));
        }
      }
    }
  }, { argument: { name, id, kind, count, MOST } });
}

function consumeInDeno(name: string, ledger: string): Child {
  return spawnCall(async ({ name, ledger, MOST }) => {
    const { SharedRing } = await import("../ffi/ring.ts");
    const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
    using memory = PosixSharedMemory.open(name);
    using words = PosixSharedMemory.open(ledger);
    const { int32 } = words.atomics;
    using consumer = SharedRing.open(memory).consumer();
    console.log("up");
    let repeatable = 8;
    const wrong = (what: number) => {
      Atomics.store(int32, 1, what);
      throw new Error(`wrong: ${what}`);
    };
    for (;;) {
      if (!consumer.waitSync()) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
        continue; // the only producer was killed: another one follows
      }
      consumer.tryRead((message: RingMessage) => {
        const { bytes, type } = message;
        if (bytes.length < 8 || type !== 1) wrong(1);
        const words = new Int32Array(bytes.buffer, bytes.byteOffset, 2);
        const id = words[0]!;
        const number = words[1]!;
        if (bytes.length !== 8 + number * 31 % MOST) wrong(2);
        if (bytes.subarray(8).some((byte) => byte !== (number & 255))) {
          wrong(3);
        }
        const last = int32[16 + id]!;
        if (number > last + 1) wrong(4);
        if (number <= last && repeatable-- <= 0) wrong(5);
        if (number === last + 1) Atomics.store(int32, 16 + id, number);
        Atomics.add(int32, 0, 1);
      }, 8);
      repeatable = 0;
    }
  }, { argument: { name, ledger, MOST } });
}

/** Kills, in each round, one of those that use a ring; another one takes its place. */
async function killRounds(
  producers: "one" | "many",
  count: number,
  denos: number,
): Promise<void> {
  using memory = shared(SharedRing.size(4096));
  using ledger = shared(4 * (FIRST + IDS));
  const { int32 } = ledger.atomics;
  const ring = SharedRing.create(memory, { producers });
  let ids = 0;
  let left = denos;
  const isDeno = (round: number) =>
    left > 0 && Math.random() < 2 * denos / count * (round < 0 ? 0 : 1) &&
    left-- > 0;
  const startProducer = async (round: number) => {
    const [id, kind] = [ids++, Math.floor(Math.random() * 3)];
    const child = isDeno(round)
      ? produceInDeno(memory.name, id, kind)
      : await peer("produce", memory.name, id, kind);
    await child.expect("up\n");
    return child;
  };
  const startConsumer = async (round: number) => {
    const child = isDeno(round)
      ? consumeInDeno(memory.name, ledger.name)
      : await peer("consume", memory.name, ledger.name);
    await child.expect("up\n");
    return child;
  };
  const writers = producers === "one" ? 1 : 3;
  const children = [await startConsumer(-1)];
  try {
    for (let i = 0; i < writers; i++) children.push(await startProducer(-1));
    for (let round = 0; round < count; round++) {
      const before = Atomics.load(int32, PROGRESS);
      await ledger.wait(4 * PROGRESS, before, { timeout: 30_000 });
      const turns = Math.random() * 20_000;
      for (let turn = 0; turn < turns; turn++) Atomics.load(int32, PROGRESS);
      const index = Math.floor(Math.random() * (1 + writers));
      await kill(children[index]!);
      await children[index]![Symbol.asyncDispose]();
      assertEquals(int32[WRONG], 0);
      children[index] = index === 0
        ? await startConsumer(round)
        : await startProducer(round);
    }
    const before = Atomics.load(int32, PROGRESS);
    await ledger.wait(4 * PROGRESS, before, { timeout: 30_000 });
  } finally {
    for (const child of children) await child[Symbol.asyncDispose]();
  }
  assertEquals(int32[WRONG], 0);
  // The ring works on, and what the dead have left is given up.
  using consumer = ring.consumer();
  using producer = ring.producer();
  const end = new Uint8Array(1);
  await Promise.all([
    producer.write(end, { type: 2, timeout: 30_000 }),
    (async () => {
      while ((await consumer.read({ timeout: 30_000 }))?.type !== 2);
    })(),
  ]);
  assert(consumer.lost <= count + writers, `${consumer.lost} lost`);
}

for (const producers of ["one", "many"] as const) {
  peerTest(`kills at random places: ${producers}`, async () => {
    await killRounds(producers, rounds(10, 500), rounds(1, 25));
  }, 300_000);
}

peerTest("a claim of a dead process in C is given up", async () => {
  using memory = shared(SharedRing.size(4096));
  using consumer = SharedRing.create(memory).consumer();
  using producer = SharedRing.open(memory).producer();
  const held = await peer("hold", memory.name);
  await using _held = held;
  await held.expect("up\n");
  await producer.write(Uint8Array.of(1));
  assertEquals(consumer.tryRead(), undefined);
  await kill(held);
  assertEquals((await consumer.read({ timeout: 20_000 }))?.data[0], 1);
  assertEquals(consumer.lost, 1);
});

peerTest("a ring that C has made; EEXIST, and what is none", async () => {
  using memory = shared(SharedRing.size(8192));
  const make = (...args: string[]) =>
    program().then((path) =>
      run(path, { args: ["create", memory.name, ...args] })
    );
  assertEquals((await make("1", "8192")).code, 0);
  const { capacity, producers, maxMessageLength } = SharedRing.open(memory);
  assertEquals([capacity, producers, maxMessageLength], [8192, "one", 1024]);
  assert((await make("1", "8192")).stderr.includes("File exists"));
  memory.bytes[8] = 9;
  assert((await run(await program(), { args: ["drain", memory.name] }))
    .stderr.includes("Protocol error"));
});

peerTest("broadcast from C, and to C", async () => {
  const count = rounds(5_000, 500_000);
  using memory = shared(SharedBroadcast.size(1 << 14));
  const broadcast = SharedBroadcast.create(memory);
  using receiver = broadcast.receiver(); // first: it gets what is sent from now on
  const check = () => {
    let received = 0;
    let last = 0;
    while (receiver.waitSync({ timeout: 20_000 })) {
      receiver.tryRead(({ bytes, missed }) => {
        received++;
        const [, number] = new Int32Array(bytes.buffer, bytes.byteOffset, 2);
        assertEquals(number, last + 1 + missed);
        assertEquals(bytes, messageOf(0, number!));
        last = number!;
      });
    }
    assertEquals([received + receiver.missed, last], [count, count]);
  };
  await using one = await peer("receive", memory.name);
  await using two = await peer("receive", memory.name);
  await one.expect("up\n");
  await two.expect("up\n");
  await using transmitter = await peer("transmit", memory.name, count);
  check();
  await assertSucceeded(transmitter);
  assertEquals([(await one.ended()).stdout, (await two.ended()).stdout], [
    `up\n${count}\n`,
    `up\n${count}\n`,
  ]);
});

peerTest("the examples, and their consumer in C", async () => {
  const EXAMPLE = new URL("../../examples/ring_consumer.c", import.meta.url);
  const path = await compile(EXAMPLE, HEADER, "-pedantic");
  const numbers = ["--ticks", "10000", "--frames", "3"];
  for (const side of ["TypeScript", "C"]) {
    const name = uniqueName();
    await using consumer = side === "C"
      ? spawn(path, { args: [name] })
      : startExample("ring_consumer.ts", ["--name", name, "--wait"]);
    const args = ["--name", name, ...numbers];
    const producer = await runExample("ring_producer.ts", args);
    assertPrinted(producer, "sent 10000 ticks and 3 frames");
    assertPrinted(
      await consumer.ended(),
      "received 10000 ticks and 3 frames, 0 of them wrong",
    );
  }
});

const OPERATIONS = new URL("./c/ring_test.c", import.meta.url);
const SANITIZERS = ["address,undefined", "thread"].slice(0, rounds(1, 2));
for (const sanitizer of SANITIZERS) {
  peerTest(`the C header under -fsanitize=${sanitizer}`, async () => {
    const flag = `-fsanitize=${sanitizer}`;
    try {
      await compileText("int main(void) { return 0; }", flag);
    } catch {
      return; // the compiler lacks the library of the sanitizer
    }
    // ThreadSanitizer does not model fences: the header reads and writes what they
    // order with atomic operations.
    const flags = sanitizer === "thread" ? ["-Wno-tsan"] : [];
    const path = await compile(
      OPERATIONS,
      HEADER,
      "-pedantic",
      "-g",
      flag,
      ...flags,
    );
    const args = [`${rounds(1, 4)}`];
    const ended = await run(path, { args, limit: 120_000 });
    assertEquals([ended.code, ended.stderr], [0, ""], ended.transcript);
  });
}
