/** Rings: what is written is read, waits and their ends, death, and hostile bytes. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { ClosedError, type IpcError } from "../ffi/errors.ts";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  type RingConsumer,
  type RingMessage,
  type RingProducer,
  SharedBroadcast,
  SharedRing,
  StructConsumer,
  StructProducer,
} from "../ffi/ring.ts";
import { PosixSharedMemory, SysvSharedMemory } from "../ffi/shared_memory.ts";
import { f64, i32, struct } from "../ffi/struct.ts";
import { sleepingWords } from "../ffi/wait/futexes.ts";
import { assertRefused, failure } from "./support/asserts.ts";
import { bytes, utf8 } from "./support/bytes.ts";
import { inChild, spawnCall } from "./support/child.ts";
import { kill } from "./support/kills.ts";
import { leakTest } from "./support/leaks.ts";
import { until } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";

const KINDS = ["one", "many"] as const;
type Kind = typeof KINDS[number];

/** A ring in anonymous memory, and both of its ends. */
function pairOf(producers: Kind, capacity = 1024) {
  const memory = MemoryMap.anonymous(SharedRing.size(capacity));
  const ring = SharedRing.create(memory, { producers, capacity });
  const producer = ring.producer();
  const consumer = ring.consumer();
  return {
    memory,
    ring,
    producer,
    consumer,
    [Symbol.dispose]: () => memory.close(),
  };
}

/** A test with both kinds of ring. */
function ringTest(
  name: string,
  fn: (kind: Kind) => void | Promise<void>,
): void {
  for (const kind of KINDS) leakTest(`${name}: ${kind}`, () => fn(kind));
}

const numbered = (number: number, length: number) =>
  new Uint8Array(length).fill(number);

ringTest("messages of all lengths arrive in order", (kind) => {
  using pair = pairOf(kind, 1024);
  const { producer, consumer } = pair;
  let next = 0;
  let read = 0;
  const check = (message: RingMessage) => {
    assertEquals(message.type, read + 1);
    assertEquals(message.byteLength, read % 129);
    assertEquals(message.bytes, numbered(read, read % 129));
    assertEquals(message.missed, 0);
    read++;
  };
  while (next < 3_000) {
    while (
      producer.tryWrite(numbered(next, next % 129), next + 1) && next < 3_000
    ) next++;
    if (next % 2 === 0) consumer.tryRead(check, 1 + next % 7);
    else consumer.tryRead(check);
  }
  while (consumer.tryRead(check) > 0);
  assertEquals(read, next + Number(read > next));
  assertEquals(consumer.tryRead(), undefined);
});

ringTest("batches arrive whole and in order, as far as they fit", (kind) => {
  using pair = pairOf(kind, 1024);
  const { producer, consumer } = pair;
  let sent = 0;
  let read = 0;
  for (let round = 0; round < 500; round++) {
    const list = Array.from(
      { length: round % 40 },
      (_, i) => numbered(sent + i, (sent + i) % 60),
    );
    sent += producer.tryWriteAll(list, 5);
    consumer.tryRead(({ type, bytes }) => {
      assertEquals([type, bytes], [5, numbered(read, read % 60)]);
      read++;
    });
    assertEquals(read, sent);
  }
  assert(sent > 5_000);
  assertEquals(producer.tryWriteAll([]), 0);
});

ringTest("claims are written in place, committed in any order", (kind) => {
  using pair = pairOf(kind);
  const { producer, consumer } = pair;
  const first = producer.tryClaim(4)!;
  const second = producer.tryClaim(3, 2)!;
  second.bytes.set([4, 5, 6]);
  second.commit();
  assertEquals(consumer.tryRead(), undefined); // the first is not committed
  first.bytes.set([0, 1, 2, 3]);
  first.commit();
  first.abort(); // too late: nothing
  assertThrows(() => first.bytes, Error, "committed");
  assertThrows(() => first.commit(), Error, "committed");
  {
    using third = producer.tryClaim(8)!;
    third.bytes.fill(9);
  } // aborted
  assertEquals(consumer.tryRead()?.data, bytes(0, 1, 2, 3));
  assertEquals(consumer.tryRead(), {
    type: 2,
    data: bytes(4, 5, 6),
    missed: 0,
  });
  assertEquals(consumer.tryRead(), undefined);
});

ringTest("a full ring makes writers wait, in all forms", async (kind) => {
  using pair = pairOf(kind, 1024);
  const { producer, consumer } = pair;
  const big = new Uint8Array(128);
  let count = 0;
  while (producer.tryWrite(big)) count++;
  assertEquals(producer.tryClaim(128), undefined);
  assertEquals(producer.tryWriteAll([big, big]), 0);
  const timeout = 1;
  const expired = (error: unknown) =>
    assertEquals((error as DOMException).name, "TimeoutError");
  expired(assertThrows(() => producer.writeSync(big, { timeout })));
  expired(assertThrows(() => producer.claimSync(128, { timeout: 0 })));
  expired(await failure(producer.write(big, { timeout })));
  expired(await failure(producer.claim(128, { timeout })));
  expired(await failure(producer.writeAll([big], { timeout })));

  const order: number[] = [];
  const writing = [1, 2, 3].map((type) =>
    producer.write(big, { type }).then(() => order.push(type))
  );
  assertEquals(producer.tryWrite(big), false);
  assertThrows(() => producer.writeSync(big), Error, "pending");
  for (let i = 0; i < count; i++) assertEquals(consumer.tryRead()?.type, 1);
  await Promise.all(writing);
  assertEquals(order, [1, 2, 3]);
  for (const type of order) assertEquals(consumer.tryRead()?.type, type);
});

ringTest("readers wait, and are served in order", async (kind) => {
  using pair = pairOf(kind);
  const { producer, consumer } = pair;
  const timed = await assertRejects(() => consumer.read({ timeout: 5 }));
  assertEquals((timed as DOMException).name, "TimeoutError");
  assertThrows(() => consumer.readSync({ timeout: 0 }), DOMException);
  assertThrows(() => consumer.waitSync({ timeout: 1 }), DOMException);
  const reading = [consumer.read(), consumer.read(), consumer.wait()];
  const controller = new AbortController();
  const aborted = failure(consumer.read({ signal: controller.signal }));
  await until(() => sleepingWords() > 0, "a reader sleeps");
  assertEquals(consumer.tryRead(), undefined);
  controller.abort("enough");
  assertEquals(await aborted, "enough");
  for (const byte of [1, 2, 3]) await producer.write(bytes(byte));
  const [one, two, three] = await Promise.all(reading);
  assertEquals(
    [one, two].map((message) => (message as { data: Uint8Array }).data[0]),
    [1, 2],
  );
  assertEquals(three, true);
  assertEquals(consumer.readSync()?.data[0], 3);
});

ringTest("the end is when all producers are gone", async (kind) => {
  using memory = MemoryMap.anonymous(SharedRing.size(1024));
  const ring = SharedRing.create(memory, { producers: kind });
  const consumer = ring.consumer();
  assertThrows(() => consumer.readSync({ timeout: 0 }), DOMException);
  const producer = ring.producer();
  producer.tryWrite(bytes(1));
  const all = Array.fromAsync(consumer);
  await until(() => sleepingWords() > 0, "the reader sleeps");
  producer.tryWrite(bytes(2));
  producer.close();
  producer.close();
  assertEquals((await all).map(({ data }) => data[0]), [1, 2]);
  assertEquals(await consumer.read(), null);
  assertEquals(consumer.readSync(), null);
  assertEquals(await consumer.wait(), false);
  using second = ring.producer();
  second.tryWrite(bytes(3));
  assertEquals(consumer.readSync()?.data[0], 3);
  assertThrows(() => consumer.readSync({ timeout: 0 }), DOMException);
});

ringTest("a writer is told that its consumer is gone", async (kind) => {
  using pair = pairOf(kind);
  const { producer, consumer } = pair;
  const big = new Uint8Array(128);
  assertEquals(producer.consumer, "alive");
  while (producer.tryWrite(big));
  const waiting = failure(producer.write(big));
  consumer.close();
  assertEquals((await waiting as IpcError).code, "EPIPE");
  assertRefused(() => producer.writeSync(big), "EPIPE", "write");
  assertEquals(producer.consumer, "gone");
  using again = pair.ring.consumer();
  again.tryRead(() => {});
  await producer.write(big);
  assertThrows(() => consumer.tryRead(), ClosedError);
});

leakTest("closing a producer or the memory aborts its claims", async () => {
  for (const kind of KINDS) {
    using memory = PosixSharedMemory.create(null, SharedRing.size(1024));
    PosixSharedMemory.unlink(memory.name);
    const ring = SharedRing.create(memory, { producers: kind });
    using consumer = ring.consumer();
    const producer = ring.producer();
    const claim = producer.tryClaim(10)!;
    producer.close();
    assertThrows(() => claim.commit(), Error, "aborted");
    assertEquals(await consumer.read(), null);
    using other = Memory_adopted(memory);
    const second = SharedRing.open(other.memory).producer();
    const lost = second.tryClaim(10)!;
    const { bytes } = lost;
    const waiting = failure(second.claim(10).then(() => second.claim(2000)));
    assert(await waiting instanceof RangeError);
    other.memory.close();
    assertEquals([bytes.length, second.closed], [0, true]);
    lost.abort();
    assertThrows(() => second.tryWrite(bytes), ClosedError);
    assertEquals(await consumer.read(), null);
    assertEquals(consumer.lost, 0);
  }
});

/** The same memory once more. */
function Memory_adopted(memory: PosixSharedMemory) {
  const { share } = memory;
  const other = PosixSharedMemory.adopt(share.call(memory));
  return { memory: other, [Symbol.dispose]: () => other.close() };
}

leakTest("closing ends pending waits", async () => {
  using pair = pairOf("many");
  const { memory, ring, producer, consumer } = pair;
  while (producer.tryWrite(new Uint8Array(128)));
  using memory2 = MemoryMap.anonymous(SharedRing.size(1024));
  const empty = SharedRing.create(memory2).consumer();
  const waits = [
    producer.write(new Uint8Array(128)),
    empty.read(),
    empty.wait(),
  ].map(failure);
  await until(() => sleepingWords() >= 2, "they sleep");
  empty.close();
  memory.close();
  for (const wait of waits) assert(await wait instanceof ClosedError);
  assertThrows(() => consumer.tryRead(() => {}), ClosedError);
  assertThrows(() => ring.producer(), ClosedError);
  assertEquals([producer.closed, consumer.closed], [true, true]);
});

ringTest("a handler that throws, nests, or closes", (kind) => {
  using pair = pairOf(kind);
  const { memory, producer, consumer } = pair;
  for (let i = 0; i < 4; i++) producer.tryWrite(bytes(i));
  assertThrows(
    () =>
      consumer.tryRead(() => {
        throw new TypeError("mine");
      }),
    TypeError,
    "mine",
  );
  let kept: RingMessage | undefined;
  assertEquals(
    consumer.tryRead((message) => {
      kept = message;
      assertThrows(() => consumer.tryRead(() => {}), Error, "running");
      assertThrows(() => consumer.tryRead(), Error, "running");
      assertEquals(message.copy(), bytes(1));
    }, 1),
    1,
  );
  assertThrows(() => kept!.bytes, Error, "handler");
  assertEquals(consumer.tryRead(() => memory.close()), 1);
  assertThrows(() => consumer.tryRead(), ClosedError);
});

leakTest("arguments are checked before anything is written", async () => {
  using pair = pairOf("many");
  const { memory, ring, producer, consumer } = pair;
  // deno-lint-ignore no-explicit-any
  const any = (value: unknown) => value as any;
  for (const data of [undefined, "text", [1], new Int32Array(2)]) {
    assertThrows(() => producer.tryWrite(any(data)), TypeError);
    await assertRejects(() => producer.write(any(data)), TypeError);
    assertThrows(() => producer.tryWriteAll(any([data])), TypeError);
  }
  assertThrows(() => producer.tryWriteAll(any(bytes(1))), TypeError);
  for (const type of [0, -1, 1.5, 2 ** 31, NaN]) {
    assertThrows(() => producer.tryWrite(bytes(1), type), RangeError);
    assertThrows(() => producer.writeSync(bytes(1), { type }), RangeError);
    assertThrows(() => producer.tryClaim(1, type), RangeError);
  }
  assertThrows(() => producer.tryWrite(new Uint8Array(129)), RangeError);
  for (const length of [-1, 129, 0.5, NaN]) {
    assertThrows(() => producer.tryClaim(length), RangeError);
  }
  assertThrows(() => producer.tryClaim(any("1")), TypeError);
  assertThrows(() => consumer.tryRead(any(5)), TypeError);
  assertThrows(() => consumer.tryRead(() => {}, 0), RangeError);
  assertThrows(() => ring.producer({ spin: any(1) }), TypeError);
  let reads = 0;
  ring.producer({
    get spin() {
      return reads++ === 0 || any(1); // once: what fails later has taken the slot
    },
  }).close();
  assertEquals(reads, 1);
  for (const capacity of [0, 63, 100, 2 ** 31, NaN]) {
    assertThrows(() => SharedRing.size(capacity), RangeError);
  }
  using fresh = MemoryMap.anonymous(8192);
  const create = (options: unknown) => SharedRing.create(fresh, any(options));
  assertThrows(() => create({ capacity: 8192 }), RangeError, "bytes");
  assertThrows(() => create({ producers: "two" }), TypeError);
  assertThrows(() => create({ offset: 8 }), RangeError, "64");
  assertThrows(() => create({ offset: 8192 }), RangeError);
  assertThrows(() => SharedRing.open(fresh), TypeError, "there is none");
  assertThrows(() => SharedRing.open(any({})), TypeError);
  using own = MemoryMap.anonymous(8192, { private: true });
  assertThrows(() => SharedRing.create(own), TypeError, "private");
  assertEquals(consumer.tryRead(), undefined);
  assertRefused(() => SharedRing.create(memory), "EEXIST", "create");
  assertThrows(() => SharedBroadcast.open(memory), TypeError, "kind");
  assertRefused(() => ring.consumer(), "EBUSY", "consumer");
  assertEquals(create({}).capacity, 2048);
});

ringTest("getters may resize what is written", async (kind) => {
  using pair = pairOf(kind);
  const { producer, consumer } = pair;
  const buffer = new ArrayBuffer(8, { maxByteLength: 4096 });
  const data = new Uint8Array(buffer);
  const resizing = (size: number) => ({
    get type() {
      buffer.resize(size);
      return size;
    },
  });
  // A whole one, and then another that resizes it.
  const messages = [data, data];
  const get = () => {
    buffer.resize(4096);
    return data;
  };
  Object.defineProperty(messages, 1, { get });
  assertThrows(() => producer.writeSync(data, resizing(4096)), RangeError);
  assertThrows(() => producer.writeAllSync([data], resizing(4096)), RangeError);
  await assertRejects(() => producer.write(data, resizing(4096)), RangeError);
  await assertRejects(
    () => producer.writeAll([data], resizing(4096)),
    RangeError,
  );
  buffer.resize(8);
  assertThrows(() => producer.tryWriteAll(messages), RangeError);
  for (const size of [100, 2]) {
    producer.writeSync(data, resizing(size));
    await producer.write(data, resizing(size));
    producer.writeAllSync([data], resizing(size));
    await producer.writeAll([data], resizing(size));
    for (let form = 0; form < 4; form++) {
      const message = consumer.tryRead();
      assertEquals([message?.type, message?.data.length], [size, size]);
    }
  }
  assertEquals(consumer.tryRead(), undefined);
});

leakTest("one producer, or 62", () => {
  using one = pairOf("one");
  assertRefused(() => one.ring.producer(), "EBUSY", "producer");
  one.producer.close();
  one.ring.producer();
  using many = pairOf("many");
  const others = Array.from({ length: 61 }, () => many.ring.producer());
  assertRefused(() => many.ring.producer(), "EBUSY", "producer");
  others[30]!.close();
  many.ring.producer();
});

leakTest("any kind of memory, and an offset in it", () => {
  using segment = SysvSharedMemory.create(null, 16384);
  segment.remove();
  const ring = SharedRing.create(segment, { offset: 4096, capacity: 4096 });
  using producer = ring.producer();
  using consumer = SharedRing.open(segment, { offset: 4096 }).consumer();
  producer.tryWrite(utf8("here"));
  assertEquals(consumer.tryRead()?.data, utf8("here"));
  assertEquals(segment.read(0, 4096), new Uint8Array(4096));
});

leakTest("structs", async () => {
  using pair = pairOf("one");
  const layout = struct({ price: f64, volume: i32 });
  const sending = new StructProducer(pair.producer, layout);
  const receiving = new StructConsumer(pair.consumer, layout);
  const value = { price: 9.5, volume: 80 };
  assertEquals(receiving.tryRead(), undefined);
  assertEquals(sending.tryWrite(value), true);
  sending.writeSync(value);
  await sending.write(value, { type: 3 });
  assertEquals(receiving.tryRead(), value);
  assertEquals(receiving.readSync(), value);
  assertEquals(await receiving.read(), value);
  pair.producer.tryWrite(layout.encode(value));
  pair.consumer.tryRead((message) =>
    assertEquals(message.decode(layout), value)
  );
  pair.producer.tryWrite(bytes(1));
  assertThrows(() => receiving.tryRead(), RangeError);
  pair.producer.close();
  assertEquals(await Array.fromAsync(receiving), []);
});

leakTest("positions beyond 4 GiB", () => {
  for (const kind of KINDS) {
    using memory = MemoryMap.anonymous(SharedRing.size(1024));
    const ring = SharedRing.create(memory, { producers: kind });
    const { bigInt64 } = memory.atomics;
    const trailer = (4096 + 1024) / 8;
    for (const start of [2n ** 32n - 512n, 2n ** 40n - 1024n, 2n ** 31n - 8n]) {
      // As if so many bytes had gone through it.
      bigInt64.fill(0n, 512, trailer);
      bigInt64[trailer + 128 / 8] = start;
      bigInt64[trailer + 384 / 8] = start;
      using producer = ring.producer();
      using consumer = ring.consumer();
      for (let i = 0; i < 100; i++) {
        assert(producer.tryWrite(numbered(i, 20)));
        assert(producer.tryWrite(numbered(i + 1, 100)));
        assertEquals(consumer.tryRead()?.data, numbered(i, 20));
        assertEquals(consumer.tryRead()?.data, numbered(i + 1, 100));
      }
      assertEquals(
        bigInt64[trailer + 128 / 8],
        bigInt64[trailer + 384 / 8],
      );
      assert(bigInt64[trailer + 128 / 8]! > start + 13_000n);
    }
  }
});

/** Starts a process that takes part in a ring and does that. */
function spawnUser(
  name: string,
  what: "claim" | "fill" | "read" | "sleep",
) {
  return spawnCall(async ({ name, what }) => {
    const { SharedRing } = await import("../ffi/ring.ts");
    const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
    const ring = SharedRing.open(PosixSharedMemory.open(name));
    if (what === "claim" || what === "fill") {
      const producer = ring.producer();
      if (what === "claim") producer.tryClaim(50)!.bytes.fill(1);
      else producer.tryWrite(new Uint8Array(5));
    } else {
      const consumer = ring.consumer();
      if (what === "read") {
        consumer.tryRead(() => {
          console.log("up");
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        });
      }
    }
    console.log("up");
    await new Promise(() => setInterval(() => {}, 1000));
  }, { argument: { name, what } });
}

for (const kind of KINDS) {
  leakTest(`a peer that is killed: ${kind}`, async () => {
    using memory = PosixSharedMemory.create(null, SharedRing.size(1024));
    try {
      const ring = SharedRing.create(memory, { producers: kind });
      {
        // A producer with a claim: it is skipped, and counted.
        using consumer = ring.consumer();
        await using claimer = spawnUser(memory.name, "claim");
        await claimer.expect("up\n");
        assertEquals(consumer.tryRead(), undefined);
        await kill(claimer);
        assertEquals(await consumer.read({ timeout: 30_000 }), null);
        assertEquals(consumer.lost, 1);
      }
      // A consumer in the middle of a batch: the next one gets the batch again.
      using producer = ring.producer();
      for (const byte of [1, 2, 3]) producer.tryWrite(bytes(byte));
      await using reader = spawnUser(memory.name, "read");
      await reader.expect("up\n");
      assertRefused(() => ring.consumer(), "EBUSY", "consumer");
      while (producer.tryWrite(new Uint8Array(128)));
      const writing = failure(producer.write(new Uint8Array(128)));
      await kill(reader);
      assertEquals((await writing as IpcError).code, "EPIPE");
      using consumer = ring.consumer();
      for (const byte of [1, 2, 3]) {
        assertEquals(consumer.readSync()?.data, bytes(byte));
      }
    } finally {
      PosixSharedMemory.unlink(memory.name);
    }
  });
}

leakTest("a Worker that is terminated is dead, too", async () => {
  const url = import.meta.resolve("../ffi/ring.ts");
  const seen = await inChild(async (url) => {
    const { SharedRing } = await import("../ffi/ring.ts");
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    using memory = MemoryMap.anonymous(SharedRing.size(1024));
    const ring = SharedRing.create(memory);
    using consumer = ring.consumer();
    using producer = ring.producer();
    const code = `
      import { Memory, SharedRing } from "${url}";
      self.onmessage = ({ data }) => {
        SharedRing.open(Memory.adopt(data)).producer().tryClaim(10);
        self.postMessage("claimed");
      };`;
    const blob = new Blob([code], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(blob), { type: "module" });
    await new Promise((resolve) => {
      worker.onmessage = resolve;
      worker.postMessage(memory.share());
    });
    worker.terminate();
    producer.tryWrite(Uint8Array.of(7));
    const message = await consumer.read({ timeout: 30_000 });
    return [message?.data[0], consumer.lost];
  }, { argument: url, flags: ["--no-check"] });
  assertEquals(seen, [7, 1]);
});

leakTest("broadcast: all messages to all, and what was missed", async () => {
  using memory = MemoryMap.anonymous(SharedBroadcast.size(1024));
  const broadcast = SharedBroadcast.create(memory);
  const producer = broadcast.producer();
  assertRefused(() => broadcast.producer(), "EBUSY", "producer");
  producer.write(bytes(0)); // nobody is there
  using fast = broadcast.receiver();
  using slow = broadcast.receiver();
  assertEquals(fast.tryRead(), undefined);
  const first = fast.read();
  await until(() => sleepingWords() > 0, "the receiver sleeps");
  producer.write(numbered(1, 1), 9);
  assertEquals(await first, { type: 9, data: bytes(1), missed: 0 });
  for (let i = 2; i <= 1000; i++) {
    producer.write(numbered(i, i % 100));
    fast.tryRead(({ bytes, missed }) => {
      assertEquals([bytes, missed], [numbered(i, i % 100), 0]);
    });
  }
  assertEquals([fast.missed, fast.missedBytes], [0, 0]);
  let number = 0;
  slow.tryRead(({ bytes, missed }) => {
    number += missed + 1;
    assertEquals(bytes, numbered(number, number === 1 ? 1 : number % 100));
  });
  assertEquals([number, slow.missed], [1000, 999]);
  assert(slow.missedBytes > 1024);
  producer.close();
  assertEquals(await Array.fromAsync(slow), []);
  assertEquals(slow.readSync(), null);
  assertEquals(await fast.wait(), false);
  assertThrows(() => producer.write(bytes(1)), ClosedError);
  using next = broadcast.producer();
  assertThrows(() => next.write(new Uint8Array(129)), RangeError);
  next.write(bytes(5));
  assertEquals([fast.readSync()?.data, slow.waitSync()], [bytes(5), true]);
});

leakTest("broadcast: no message is torn at full speed", async () => {
  const count = rounds(20_000, 2_000_000);
  using memory = PosixSharedMemory.create(null, SharedBroadcast.size(4096));
  try {
    const broadcast = SharedBroadcast.create(memory);
    using receiver = broadcast.receiver();
    await using child = spawnCall(async ({ name, count }) => {
      const { SharedBroadcast } = await import("../ffi/ring.ts");
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      using memory = PosixSharedMemory.open(name);
      using producer = SharedBroadcast.open(memory).producer();
      const message = new Uint32Array(64);
      const all = new Uint8Array(message.buffer);
      for (let i = 1; i <= count; i++) producer.write(all.fill(i));
    }, { argument: { name: memory.name, count } });
    let number = 0;
    const check = ({ bytes, missed }: RingMessage) => {
      number += 1 + missed;
      const [first] = bytes;
      assertStrictEquals(first, number & 255);
      for (const byte of bytes) if (byte !== first) assertEquals(byte, first);
    };
    while (await receiver.wait({ timeout: 30_000 })) {
      receiver.tryRead(check, 10);
    }
    assertEquals(number, count);
    assertEquals((await child.ended()).code, 0);
  } finally {
    PosixSharedMemory.unlink(memory.name);
  }
});

ringTest("nobody sleeps, and nobody is woken, without need", async (kind) => {
  using pair = pairOf(kind, 1024);
  const { memory, producer, consumer } = pair;
  for (let i = 0; i < 1_000; i++) {
    await producer.write(bytes(i));
    producer.writeSync(bytes(i));
    await producer.writeAll([bytes(1), bytes(2)]);
    await consumer.read();
    consumer.readSync();
    assert(await consumer.wait());
    assertEquals(consumer.tryRead(() => {}), 2);
  }
  // The flags of sleepers, and the words that a wake-up changes.
  const { int32 } = memory.atomics;
  const trailer = (4096 + 1024) / 4;
  const words = [0, 1, 16, 17].map((index) => int32[trailer + index]);
  assertEquals(words, [0, 0, 0, 0]);
});

/** Random numbers that a seed repeats. */
function randomOf(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 12345 >>> 0;
  return (below) => {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) >>> 0;
    state = (state + 0x9e3779b9) >>> 0;
    return ((state ^ state >>> 13) >>> 0) % below;
  };
}

/** An answer, or one of the errors that are answers. */
function answer<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    const { name, code } = error as { name: string; code?: string };
    assert(
      code === "EBADMSG" || code === "EBUSY" || code === "EPIPE" ||
        name === "TimeoutError" ||
        name === "TypeError" && `${error}`.includes("Cannot open"),
      `${error}`,
    );
    return undefined;
  }
}

leakTest("random bytes in the memory lead to errors at worst", () => {
  const capacity = 1024;
  const small = new Uint8Array(100);
  for (let seed = 0; seed < rounds(60, 2_000); seed++) {
    const random = randomOf(seed);
    const isBroadcast = seed % 3 === 2;
    using memory = MemoryMap.anonymous(SharedRing.size(capacity));
    const { int32 } = memory.atomics;
    const damage = () => {
      for (let i = random(6); i > 0; i--) {
        const place = random(3);
        const at = place === 0
          ? 16 + random(64)
          : place === 1
          ? 1024 + random(256)
          : 1280 + random(int32.length - 1280);
        int32[at] = [random(300) - 20, random(2 ** 32) | 0, -1, 0][random(4)]!;
      }
    };
    const timeout = 0;
    if (isBroadcast) {
      const broadcast = SharedBroadcast.create(memory, { capacity });
      const producer = answer(() => broadcast.producer());
      const receiver = answer(() => broadcast.receiver());
      for (let i = 0; i < 12; i++) {
        damage();
        answer(() => producer?.write(small.subarray(random(100))));
        answer(() => receiver?.tryRead(({ bytes }) => bytes.at(-1), 5));
        answer(() => receiver?.waitSync({ timeout }));
      }
      continue;
    }
    const producers = seed % 3 === 0 ? "one" : "many";
    const ring = SharedRing.create(memory, { producers, capacity });
    let producer: RingProducer | undefined;
    let consumer: RingConsumer | undefined;
    for (let i = 0; i < 12; i++) {
      damage();
      producer ??= answer(() => ring.producer({ spin: false }));
      consumer ??= answer(() => ring.consumer({ spin: false }));
      answer(() => producer?.tryWrite(small.subarray(random(100))));
      answer(() => producer?.tryWriteAll([small, small.subarray(50)]));
      answer(() => producer?.tryClaim(random(100))?.bytes.fill(3));
      answer(() => consumer?.tryRead(({ bytes }) => bytes.at(-1), 5));
      answer(() => consumer?.waitSync({ timeout }));
      answer(() => consumer?.readSync({ timeout }));
      if (random(5) === 0) {
        producer?.close();
        producer = undefined;
      }
    }
  }
});

leakTest("broadcast: padding without an end is damage", () => {
  const capacity = 64;
  using memory = MemoryMap.anonymous(SharedBroadcast.size(capacity));
  using receiver = SharedBroadcast.create(memory).receiver();
  const records = new Int32Array(memory.bytes.buffer, 4096, capacity / 4);
  for (let at = 0; at < records.length; at += 2) records.set([8, -1], at);
  const trailer = new BigInt64Array(memory.bytes.buffer, 4096 + capacity, 3);
  trailer[1] = 2n ** 52n; // the tail
  assertRefused(() => receiver.tryRead(), "EBADMSG", "read");
});
