/** What has arrived is received before the ECONNRESET of a peer that left. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FramedStream } from "@linux/ipc/frames";
import {
  IpcError,
  UnixDatagram,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { sysSocket } from "../ffi/libc/sys_socket.ts";
import { encodeAddress } from "../ffi/socket/address.ts";
import { bytes } from "./support/bytes.ts";
import { spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { soon } from "./support/waits.ts";

/** What a receive gives: the first byte, null at the end, or the code of its error. */
async function outcome(
  receive: () => unknown,
): Promise<number | null | string | undefined> {
  try {
    // deno-lint-ignore no-explicit-any -- a message, a count, a frame, null
    const got = await receive() as any;
    return got?.data === undefined ? got?.[0] ?? got : got.data[0];
  } catch (error) {
    return (error as IpcError).code;
  }
}

const RECEIVES = {
  receive: (socket: UnixSeqpacket | UnixDatagram) => socket.receive(),
  receiveSync: (socket: UnixSeqpacket | UnixDatagram) => socket.receiveSync(),
  "receiveSync with a timeout": (socket: UnixSeqpacket | UnixDatagram) =>
    socket.receiveSync({ timeout: 5000 }),
  tryReceive: (socket: UnixSeqpacket | UnixDatagram) => socket.tryReceive(),
  "receive with descriptors": (socket: UnixSeqpacket | UnixDatagram) =>
    socket.receive({ maxDescriptors: 1 }),
};

/** A seqpacket whose peer has sent 2 and 3, and has left with something unread. */
function left(): UnixSeqpacket {
  const [one, other] = UnixSeqpacket.pair();
  one.sendSync(bytes(1));
  other.sendSync(bytes(2));
  other.sendSync(bytes(3));
  other.close();
  return one;
}

for (const [name, receive] of Object.entries(RECEIVES)) {
  leakTest(
    `UnixSeqpacket: ${name} gives what has arrived, then ECONNRESET`,
    async () => {
      using one = left();
      const seen = [];
      for (let i = 0; i < 4; i++) seen.push(await outcome(() => receive(one)));
      assertEquals(seen, [2, 3, "ECONNRESET", null]);
    },
  );

  leakTest(
    `UnixDatagram: ${name} gives what has arrived, then ECONNRESET`,
    async () => {
      using server = UnixDatagram.create(null);
      using other = UnixDatagram.create(null);
      using client = UnixDatagram.connectSync(server.localAddress!, {
        from: null,
      });
      // As only C can: a server that is connected to one client, then to another one.
      const connect = (to: UnixDatagram) => {
        const name = encodeAddress(to.localAddress!);
        assertEquals(sysSocket().connect(server.fd, name, name.length), 0);
      };
      connect(client);
      client.sendSync(bytes(1));
      server.sendSync(bytes(2));
      server.sendSync(bytes(3));
      connect(other); // discards what the client has sent
      const seen = [];
      for (let i = 0; i < 3; i++) {
        seen.push(await outcome(() => receive(client)));
      }
      assertEquals(seen, [2, 3, "ECONNRESET"]);
      assertEquals(client.tryReceive(), undefined);
    },
  );
}

leakTest(
  "UnixSeqpacket: for await gives what has arrived, then ECONNRESET",
  async () => {
    using one = left();
    const seen: (number | undefined)[] = [];
    const error = await assertRejects(async () => {
      for await (const { data } of one) seen.push(data[0]);
    }, IpcError);
    assertEquals([seen, error.code], [[2, 3], "ECONNRESET"]);
  },
);

leakTest(
  "UnixSeqpacket: receives that wait get what has arrived, in order",
  async () => {
    const [one, other] = UnixSeqpacket.pair();
    const pending = Array.from(
      { length: 4 },
      () => outcome(() => one.receive()),
    );
    one.sendSync(bytes(1));
    other.sendSync(bytes(2));
    other.sendSync(bytes(3));
    other.close();
    assertEquals(await soon(Promise.all(pending)), [2, 3, "ECONNRESET", null]);
    one.close();
  },
);

leakTest(
  "UnixSeqpacket: a send that reports ECONNRESET loses nothing",
  async () => {
    using one = left();
    const send = () => one.sendSync(bytes(4));
    assertEquals(assertThrows(send, IpcError).code, "ECONNRESET");
    assertEquals(assertThrows(send, IpcError).code, "EPIPE");
    const seen = [];
    for (let i = 0; i < 4; i++) seen.push(await outcome(() => one.receive()));
    assertEquals(seen, [2, 3, "ECONNRESET", null]);
  },
);

leakTest("UnixSeqpacket: the end without a loss is null", async () => {
  const [one, other] = UnixSeqpacket.pair();
  other.sendSync(bytes(2));
  other.close();
  assertEquals(await outcome(() => one.receive()), 2);
  assertEquals(await outcome(() => one.receive()), null);
  assertEquals(
    assertThrows(() => one.sendSync(bytes(1)), IpcError).code,
    "EPIPE",
  );
  assertEquals(await outcome(() => one.receive()), null);
  one.close();
});

const READS = {
  read: async (stream: UnixStream) => {
    const buffer = new Uint8Array(1);
    return await stream.read(buffer) && buffer;
  },
  readSync: (stream: UnixStream) => {
    const buffer = new Uint8Array(1);
    return stream.readSync(buffer) && buffer;
  },
  tryRead: (stream: UnixStream) => {
    const buffer = new Uint8Array(1);
    return stream.tryRead(buffer) && buffer;
  },
  receive: (stream: UnixStream) => stream.receive({ maxSize: 1 }),
  receiveSync: (stream: UnixStream) => stream.receiveSync({ maxSize: 1 }),
  tryReceive: (stream: UnixStream) => stream.tryReceive({ maxSize: 1 }),
};

for (const [name, read] of Object.entries(READS)) {
  leakTest(
    `UnixStream: ${name} gives what has arrived, then ECONNRESET`,
    async () => {
      const [one, other] = UnixStream.pair();
      one.writeSync(bytes(1));
      other.writeSync(bytes(2, 3));
      other.close();
      assertEquals(
        assertThrows(() => one.writeSync(bytes(4)), IpcError).code,
        "EPIPE",
      );
      const seen = [];
      for (let i = 0; i < 4; i++) seen.push(await outcome(() => read(one)));
      assertEquals(seen, [2, 3, "ECONNRESET", null]);
      one.close();
    },
  );
}

leakTest(
  "UnixStream: a blocked write that ends by a reset loses nothing",
  async () => {
    const [one, other] = UnixStream.pair();
    await using child = other.inherit((fd) =>
      spawnCall(async (fd: number) => {
        const { UnixStream } = await import("../ffi/socket.ts");
        using stream = UnixStream.fromFd(fd);
        stream.writeSync(Uint8Array.of(2, 3));
        console.log("up");
        let before = 0; // until the writer is blocked: the buffer is full
        while (before === 0 || stream.available > before) {
          before = stream.available;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }, { argument: fd })
    );
    other.close();
    await child.expect("up\n");
    const error = assertThrows(
      () => one.writeSync(new Uint8Array(1 << 24)),
      IpcError,
    );
    assertEquals(
      ["ECONNRESET", "EPIPE"].includes(error.code),
      true,
      error.code,
    );
    const seen = [];
    for (let i = 0; i < 4; i++) seen.push(await outcome(() => READS.read(one)));
    // If a part was written, the kernel tells of the reset by EPIPE alone.
    assertEquals([...seen.slice(0, 2), seen.at(-1)], [2, 3, null]);
    one.close();
    await child.ended();
  },
);

leakTest(
  "FramedStream.receive() gives what has arrived, then ECONNRESET",
  async () => {
    const [one, other] = UnixStream.pair();
    const [frames, others] = [new FramedStream(one), new FramedStream(other)];
    await frames.send(bytes(1));
    await others.send(bytes(2));
    await others.send(bytes(3));
    others.close();
    const seen = [];
    for (let i = 0; i < 3; i++) {
      seen.push(
        await outcome(() => frames.receive()),
      );
    }
    assertEquals(seen, [2, 3, "ECONNRESET"]);
    frames.close();
  },
);

leakTest(
  "UnixDatagram: a pair's peer that is gone is told by a send only",
  async () => {
    const [one, other] = UnixDatagram.pair();
    other.sendSync(bytes(1));
    other.close();
    assertEquals(one.receiveSync().data, bytes(1));
    assertThrows(() => one.receiveSync({ timeout: 5 }), DOMException);
    const codes = [];
    for (let i = 0; i < 2; i++) {
      codes.push(
        await outcome(() => one.send(bytes(2))),
      );
    }
    assertEquals(codes, ["ECONNREFUSED", "ENOTCONN"]);
    one.close();
  },
);

leakTest(
  "UnixDatagram: a send that waits ends when its receiver closes",
  async () => {
    const [one, other] = UnixDatagram.pair();
    while (one.trySend(bytes(1)));
    const pending = outcome(() => one.send(bytes(2)));
    setTimeout(() => other.close());
    assertEquals(await soon(pending), "ECONNREFUSED");
    one.close();

    const receiver = UnixDatagram.create(null);
    const to = receiver.localAddress!;
    using sender = UnixDatagram.create(null);
    while (sender.trySend(bytes(1), { to }));
    const waiting = outcome(() => sender.send(bytes(2), { to }));
    setTimeout(() => receiver.close());
    assertEquals(await soon(waiting), "ECONNREFUSED");
  },
);
