// Iterators over what arrives: messages, connections, frames.

import { assertEquals, assertRejects } from "@std/assert";
import { UnixSeqpacket } from "@linux/ipc/socket";
import { leakTest } from "./support/leaks.ts";

/** The first bytes of what an iterator has yielded; undefined at its end. */
async function firstBytes(
  steps: readonly Promise<IteratorResult<{ data: Uint8Array }, void>>[],
): Promise<(number | undefined)[]> {
  const results = await Promise.all(steps);
  return results.map(({ value }) => value?.data[0]);
}

leakTest(
  "an iterator gives messages to calls of next() in their order, then its end",
  async () => {
    using sides = UnixSeqpacket.pair();
    const [here, there] = sides;
    const messages = here[Symbol.asyncIterator]();
    const steps = [messages.next(), messages.next(), messages.next()];
    await there.send(Uint8Array.of(1));
    await there.send(Uint8Array.of(2));
    there.close();
    assertEquals(await firstBytes(steps), [1, 2, undefined]);
    assertEquals(await messages.next(), { done: true, value: undefined });
  },
);

leakTest(
  "an iterator's return() does not wait, and loses no message",
  async () => {
    using sides = UnixSeqpacket.pair();
    const [here, there] = sides;
    const messages = here[Symbol.asyncIterator]();
    const step = messages.next();
    assertEquals(await messages.return(), { done: true, value: undefined });
    assertEquals(await messages.next(), { done: true, value: undefined });
    await there.send(Uint8Array.of(1));
    await there.send(Uint8Array.of(2));
    assertEquals(await firstBytes([step]), [1]); // it was asked for before
    assertEquals((await here.receive())?.data[0], 2);
  },
);

leakTest("an iterator ends with throw(), and with an error", async () => {
  using sides = UnixSeqpacket.pair();
  const [here] = sides;
  const messages = here[Symbol.asyncIterator]();
  await assertRejects(() => messages.throw(new RangeError("mine")), RangeError);
  assertEquals(await messages.next(), { done: true, value: undefined });
});

leakTest(
  "an iterator ends when its object is closed, for all calls of next()",
  async () => {
    using sides = UnixSeqpacket.pair();
    const [here] = sides;
    await using messages = here[Symbol.asyncIterator]();
    const steps = [messages.next(), messages.next()];
    here.close();
    assertEquals(await firstBytes(steps), [undefined, undefined]);
    assertEquals(await messages.next(), { done: true, value: undefined });
  },
);
