import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { pipe } from "@linux/ipc/pipe";
import {
  ClosedError,
  UnixDatagram,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { bytes } from "./support/bytes.ts";
import { leakTest } from "./support/leaks.ts";
import { turns } from "./support/waits.ts";

type Kind = typeof UnixStream | typeof UnixSeqpacket | typeof UnixDatagram;
type Socket = Kind["prototype"];

const KINDS: readonly Kind[] = [UnixStream, UnixSeqpacket, UnixDatagram];
const FORMS = {
  peek: (socket: Socket, options = {}) => socket.peek(options),
  // deno-lint-ignore require-await -- a promise, as the others
  peekSync: async (socket: Socket, options = {}) => socket.peekSync(options),
  // deno-lint-ignore require-await
  tryPeek: async (socket: Socket, options = {}) => socket.tryPeek(options),
};

for (const Kind of KINDS) {
  const { name } = Kind;
  for (const [form, peek] of Object.entries(FORMS)) {
    leakTest(`${name}.${form}() leaves the message there`, async () => {
      using sockets = Kind.pair();
      const [one, other] = sockets;
      one.sendSync(bytes(1, 2, 3));
      for (let i = 0; i < 3; i++) {
        const message = (await peek(other))!;
        assertEquals([message.data, message.size], [bytes(1, 2, 3), 3]);
      }
      const part = (await peek(other, { maxSize: 1 }))!;
      assertEquals(part.data, bytes(1));
      // Of a message the size is known, of a stream what was read.
      const isStream = Kind === UnixStream;
      assertEquals(
        [part.size, part.truncated],
        isStream ? [1, false] : [3, true],
      );
      const buffer = new Uint8Array(2);
      const inPlace = (await peek(other, { buffer }))!;
      assertEquals([inPlace.data, buffer], [buffer, bytes(1, 2)]);
      assertEquals(other.receiveSync()!.data, bytes(1, 2, 3));
      assertEquals(other.tryPeek(), undefined);
    });

    leakTest(
      `${name}.${form}() duplicates descriptors on request`,
      async () => {
        using sockets = Kind.pair();
        const [one, other] = sockets;
        using ends = pipe();
        other.passCredentials = true;
        one.sendSync(bytes(1), { descriptors: [ends.reader] });
        using without = (await peek(other))!;
        assertEquals(without.descriptors.length, 0);
        assertEquals(without.descriptorsTruncated, true);
        assertEquals(without.credentials?.pid, Deno.pid);
        {
          using peeked = (await peek(other, { maxDescriptors: 1 }))!;
          assertEquals(peeked.descriptors.length, 1);
          assertEquals(peeked.descriptorsTruncated, false);
        }
        using taken = other.receiveSync({ maxDescriptors: 1 })!;
        assertEquals(taken.descriptors.length, 1);
      },
    );
  }

  leakTest(`${name}.peek() waits in the order of the calls`, async () => {
    using sockets = Kind.pair();
    const [one, other] = sockets;
    const first = other.receive({ maxSize: 1 });
    const second = other.peek();
    const third = other.receive();
    await turns();
    one.sendSync(bytes(1));
    one.sendSync(bytes(2));
    assertEquals((await first)?.data, bytes(1));
    assertEquals((await second)?.data, bytes(2));
    assertEquals((await third)?.data, bytes(2));
  });

  leakTest(`${name}.peek() ends as any wait`, async () => {
    using sockets = Kind.pair();
    const [, other] = sockets;
    assertThrows(() => other.peekSync({ timeout: 1 }), DOMException);
    await assertRejects(() => other.peek({ timeout: 1 }), DOMException);
    const signal = AbortSignal.abort(new Error("enough"));
    await assertRejects(() => other.peek({ signal }), Error, "enough");
    assertThrows(() => other.tryPeek({ maxSize: 0 }), RangeError);
    assertThrows(() => other.tryPeek({ maxDescriptors: 254 }), RangeError);
    const waiting = assertRejects(() => other.peek(), ClosedError);
    await turns();
    other.close();
    await waiting;
    assertThrows(() => other.tryPeek(), ClosedError);
    assertThrows(() => other.peekSync(), ClosedError);
  });
}

for (const Kind of [UnixStream, UnixSeqpacket]) {
  leakTest(`${Kind.name}.peek() tells the end after what is left`, async () => {
    using sockets = Kind.pair();
    const [one, other] = sockets;
    one.sendSync(bytes(1));
    one.close();
    assertEquals(other.tryPeek()?.data, bytes(1));
    other.receiveSync();
    assertEquals(await other.peek(), null);
    assertEquals([other.peekSync(), other.tryPeek()], [null, null]);
  });
}

for (const Kind of [UnixSeqpacket, UnixDatagram]) {
  leakTest(`${Kind.name}.peek() tells the size of any message`, async () => {
    using sockets = Kind.pair();
    const [one, other] = sockets;
    for (const size of [0, 1, 5000, 100_000]) {
      one.sendSync(new Uint8Array(size));
      const message = (await other.peek({ maxSize: 1 }))!;
      assertEquals([message.size, message.truncated], [size, size > 1]);
      const buffer = new Uint8Array(Math.max(size, 1));
      assertEquals(other.receiveSync({ buffer })?.truncated, false);
    }
  });
}

leakTest("UnixDatagram.peek() tells the sender", async () => {
  using receiver = UnixDatagram.create(null);
  using sender = UnixDatagram.connectSync(receiver.localAddress!, {
    from: null,
  });
  sender.sendSync(bytes(1));
  assertEquals((await receiver.peek()).from, sender.localAddress);
  assert(receiver.available === 1);
});
