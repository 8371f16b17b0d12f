import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { pipe, PipeReader, PipeWriter } from "@linux/ipc/pipe";
import {
  ClosedError,
  IpcError,
  type PassedDescriptor,
  UnixDatagram,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { setOption } from "../ffi/socket/socket_option.ts";
import { assertPrinted } from "./support/asserts.ts";
import { isCloseOnExec } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { runDeno } from "./support/process.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { turns } from "./support/waits.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

const targetOf = (fd: number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);
const descriptorCount = () => [...Deno.readDirSync("/proc/self/fd")].length;

for (const Kind of [UnixStream, UnixSeqpacket, UnixDatagram]) {
  const { name } = Kind;

  leakTest(
    `${name} passes a pipe's ends, which work on the other side`,
    async () => {
      using sockets = Kind.pair();
      const { reader, writer } = pipe();
      await sockets[0].send(bytes(1), { descriptors: [reader, writer.fd] });
      const numbers = [targetOf(reader.fd), targetOf(writer.fd)];
      reader.close();
      writer.close();
      const message = (await sockets[1].receive({ maxDescriptors: 2 }))!;
      assertEquals(message.data, bytes(1));
      assertEquals(message.descriptorsTruncated, false);
      assertEquals(message.descriptors.map(({ fd }) => targetOf(fd)), numbers);
      for (const { fd } of message.descriptors) assert(isCloseOnExec(fd));
      const [first, second] = message.descriptors as [
        PassedDescriptor,
        PassedDescriptor,
      ];
      using again = PipeReader.fromFd(first.detach());
      using out = PipeWriter.fromFd(second.detach());
      assertThrows(() => first.fd, ClosedError);
      assertThrows(() => first.detach(), ClosedError);
      first.close();
      out.writeSync(bytes(7));
      const buffer = new Uint8Array(2);
      assertEquals([again.readSync(buffer), buffer[0]], [1, 7]);
    },
  );

  leakTest(
    `${name} closes descriptors beyond maxDescriptors, and reports it`,
    () => {
      using sockets = Kind.pair();
      using ends = pipe();
      const descriptors = [ends.reader, ends.writer, ends.reader];
      const before = descriptorCount();
      for (const maxDescriptors of [0, 1, 2]) {
        sockets[0].sendSync(bytes(1), { descriptors });
        using message = sockets[1].receiveSync({ maxDescriptors })!;
        assertEquals(message.descriptors.length, maxDescriptors);
        assertEquals(message.descriptorsTruncated, true);
        assertEquals(descriptorCount(), before + maxDescriptors);
      }
      assertEquals(descriptorCount(), before); // disposing closed them
      sockets[0].sendSync(bytes(1), { descriptors });
      using message = sockets[1].tryReceive({ maxDescriptors: 253 })!;
      assertEquals(message.descriptors.length, 3);
      assertEquals(message.descriptorsTruncated, false);
    },
  );

  leakTest(
    `${name} passes 253 descriptors at once, and checks for more`,
    () => {
      using sockets = Kind.pair();
      using ends = pipe();
      const descriptors = Array(253).fill(ends.reader);
      sockets[1].passCredentials = true;
      assert(sockets[0].trySend(bytes(1), { descriptors }));
      using message = sockets[1].receiveSync({ maxDescriptors: 253 })!;
      assertEquals(message.descriptors.length, 253);
      assertEquals(message.descriptorsTruncated, false);
      assertEquals(message.credentials?.pid, Deno.pid);
      const error = assertThrows(
        () =>
          sockets[0].sendSync(bytes(1), { descriptors: Array(254).fill(0) }),
        RangeError,
      );
      assert(error.message.includes("SCM_MAX_FD"));
      for (const wrong of [-1, 1.5, NaN]) {
        assertThrows(
          () => sockets[0].sendSync(bytes(1), { descriptors: [wrong] }),
          RangeError,
        );
      }
      const bad = assertThrows(
        () => sockets[0].sendSync(bytes(1), { descriptors: [99_999] }),
        IpcError,
      );
      assertEquals(bad.code, "EBADF");
      ends[Symbol.dispose]();
      assertThrows(
        () => sockets[0].sendSync(bytes(1), { descriptors: [ends.reader] }),
        ClosedError,
      );
    },
  );

  leakTest(
    `${name}.send() passes nothing that has a closed descriptor's number`,
    async () => {
      using sockets = Kind.pair();
      const [one, other] = sockets;
      const closed = pipe();
      while (one.trySend(new Uint8Array(1000)));
      const sending = assertRejects(
        () => one.send(bytes(1), { descriptors: [closed.reader] }),
        ClosedError,
      );
      await turns(); // it waits for room
      const { fd } = closed.reader;
      closed[Symbol.dispose]();
      using secret = pipe();
      assertEquals(secret.reader.fd, fd);
      while (other.tryReceive());
      await sending;
      assert(!other.tryReceive({ maxDescriptors: 1 }));
    },
  );
}

leakTest(
  "UnixStream passes descriptors with bytes only, and keeps them in place",
  async () => {
    using sockets = UnixStream.pair();
    const [one, other] = sockets;
    using ends = pipe();
    assertThrows(
      () => one.sendSync(bytes(), { descriptors: [ends.reader] }),
      RangeError,
    );
    one.sendSync(bytes(1));
    one.sendSync(bytes(2, 3), { descriptors: [ends.reader] });
    one.sendSync(bytes(4, 5));
    const seen: [number, number][] = [];
    while (other.available > 0) {
      using message = other.receiveSync({ maxDescriptors: 9 })!;
      seen.push([message.data.length, message.descriptors.length]);
    }
    // The kernel may join what comes before, never what comes after.
    assertEquals(seen, [[3, 1], [2, 0]]);

    const large = new Uint8Array(1_000_000);
    const sending = one.send(large, { descriptors: [ends.reader] });
    let total = 0;
    let descriptors = 0;
    while (total < large.length) {
      using message = (await other.receive({ maxDescriptors: 9 }))!;
      total += message.data.length;
      descriptors += message.descriptors.length;
    }
    assertEquals([await sending, descriptors], [large.length, 1]);
  },
);

leakTest("UnixStream.read() closes the descriptors that come along", () => {
  using sockets = UnixStream.pair();
  using ends = pipe();
  const before = descriptorCount();
  sockets[0].sendSync(bytes(1), { descriptors: [ends.reader] });
  assertEquals(sockets[1].readSync(new Uint8Array(1)), 1);
  assertEquals(descriptorCount(), before);
});

leakTest(
  "a socket passes a socket, and what was on its way goes with it",
  () => {
    using carrier = UnixStream.pair();
    const [mine, other] = UnixSeqpacket.pair();
    mine.sendSync(bytes(5));
    carrier[0].sendSync(bytes(1), { descriptors: [other] });
    other.close();
    using message = carrier[1].receiveSync({ maxDescriptors: 1 })!;
    using received = UnixSeqpacket.fromFd(message.descriptors[0]!.detach());
    assertEquals(received.receiveSync()?.data, bytes(5));
    mine.close();
  },
);

/** SO_PASSPIDFD is there since Linux 6.5. */
const SO_PASSPIDFD = 76;
const noPidfd = (() => {
  using ends = UnixStream.pair();
  try {
    setOption(ends[0].fd, SO_PASSPIDFD, 1, "socket");
    return null;
  } catch (error) {
    return String(error);
  }
})();

leakTest(
  "a socket that was passed with SO_PASSPIDFD set leaves no descriptor behind",
  { needs: [noPidfd] },
  () => {
    using ends = UnixStream.pair();
    setOption(ends[1].fd, SO_PASSPIDFD, 1, "socket");
    const before = descriptorCount();
    for (const passCredentials of [false, true]) {
      ends[1].passCredentials = passCredentials;
      ends[0].sendSync(bytes(1));
      using message = ends[1].receiveSync({ maxDescriptors: 1 })!;
      assertEquals(message.data, bytes(1));
      assertEquals(message.descriptors.length, 0);
      assertEquals(descriptorCount(), before);
    }
  },
);

leakTest("a closed receiver leaves no descriptor behind", () => {
  const before = descriptorCount();
  const [one, other] = UnixSeqpacket.pair();
  const { reader, writer } = pipe();
  one.sendSync(bytes(1), { descriptors: [reader, writer] });
  reader.close();
  writer.close();
  other.close();
  one.close();
  assertEquals(descriptorCount(), before);
});

leakTest("EMFILE on receipt is told, and what fits arrives", async () => {
  using dir = scratch();
  const library = new URL("../ffi/", import.meta.url);
  const script = dir.file(
    "limited.ts",
    `import { UnixSeqpacket } from "${library}socket.ts";
     import { unistd } from "${library}libc/unistd.ts";
     const [one, other] = UnixSeqpacket.pair();
     for (let i = 0; i < 3; i++) {
       one.sendSync(Uint8Array.of(1), { descriptors: [0, 1, 2, 0, 1, 2] });
     }
     const libc = Deno.dlopen("libc.so.6", {
       setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
       dup: { parameters: ["i32"], result: "i32" },
     });
     const RLIMIT_NOFILE = 7;
     libc.symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(100n, 4096n));
     const taken = [];
     for (let fd; (fd = libc.symbols.dup(0)) !== -1;) taken.push(fd);
     for (const room of [0, 2, 4]) {
       for (const fd of taken.splice(0, room)) unistd().close(fd);
       using message = other.receiveSync({ maxDescriptors: 6 });
       console.log(message.descriptors.length, message.descriptorsTruncated);
     }`,
  );
  const { stdout, transcript } = await runDeno(script);
  assertEquals(stdout, "0 true\n2 true\n6 false\n", transcript);
});

leakTest("ETOOMANYREFS names its limit", { needs: [noOtherUser] }, async () => {
  const ended = await runAsNobody(`
    import { UnixStream } from "@linux/ipc/socket";
    const libc = Deno.dlopen("libc.so.6", {
      setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    });
    const RLIMIT_NOFILE = 7;
    libc.symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(1000n, 1000n));
    using sockets = UnixStream.pair();
    const descriptors = Array(253).fill(0);
    try {
      for (;;) sockets[0].sendSync(Uint8Array.of(1), { descriptors });
    } catch (error) {
      console.log(error.code, error.limit.name, error.limit.value);
    }`);
  assertPrinted(ended, "ETOOMANYREFS RLIMIT_NOFILE 1000");
});
