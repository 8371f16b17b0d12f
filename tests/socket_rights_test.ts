import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { pipe, PipeReader, PipeWriter } from "@linux/ipc/pipe";
import {
  ClosedError,
  IpcError,
  type PassedDescriptor,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { setOption } from "../ffi/socket/socket_option.ts";
import { bytes } from "./support/bytes.ts";
import { noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import { refusing } from "./support/seccomp.ts";
import { assertPrinted } from "./support/asserts.ts";
import { descriptorCount, isCloseOnExec } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { runDeno, spawn } from "./support/process.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { turns } from "./support/waits.ts";

const targetOf = (fd: number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);
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
     libc.symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(100n, 256n));
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

const noPassRights = (() => {
  using ends = UnixStream.pair();
  try {
    return ends[0].passDescriptors ? null : "SO_PASSRIGHTS is off";
  } catch (error) {
    return String(error);
  }
})();
const noSecondId = Deno.uid() === 0 ? null : "only root can send other ids";

for (const Kind of [UnixStream, UnixSeqpacket, UnixDatagram]) {
  const { name } = Kind;

  leakTest(`${name} sends its own credentials on request`, async () => {
    using sockets = Kind.pair();
    const [one, other] = sockets;
    const own = { pid: Deno.pid, uid: Deno.uid()!, gid: Deno.gid()! };
    using ends = pipe();
    // Messages that were sent before the option was set have them, too.
    one.sendSync(bytes(1), { credentials: {} });
    await one.send(bytes(2), { credentials: own, descriptors: [ends.reader] });
    assert(one.trySend(bytes(3), { credentials: { pid: Deno.pid } }));
    other.passCredentials = true;
    for (const count of [0, 1, 0]) {
      using message = other.receiveSync({ maxSize: 1, maxDescriptors: 2 })!;
      assertEquals(message.credentials, own);
      assertEquals(message.descriptors.length, count);
    }
  });

  leakTest(
    `${name} sends the credentials of others, as root`,
    { needs: [noSecondId] },
    async () => {
      using sockets = Kind.pair();
      const [one, other] = sockets;
      other.passCredentials = true;
      const theirs = { pid: 1, uid: 12_345, gid: 4_294_967_294 };
      one.sendSync(bytes(1), { credentials: theirs });
      using message = other.receiveSync()!;
      assertEquals(message.credentials, theirs);
      one.sendSync(bytes(1), { credentials: message.credentials! }); // a proxy
      assertEquals(other.receiveSync()!.credentials, theirs);
      const gone = { pid: 0x7fff_ffff };
      const error = await assertRejects(
        () => one.send(bytes(1), { credentials: gone }),
        IpcError,
      );
      assertEquals(error.code, "ESRCH");
      assertEquals(other.tryReceive(), undefined);
    },
  );

  leakTest(`${name} refuses credentials that cannot be`, () => {
    using sockets = Kind.pair();
    const [one, other] = sockets;
    for (
      const credentials of [
        { pid: 0 },
        { pid: -1 },
        { pid: 2 ** 31 },
        { uid: -1 },
        { uid: 2 ** 32 - 1 },
        { gid: 0.5 },
        { gid: NaN },
      ]
    ) {
      assertThrows(() => one.trySend(bytes(1), { credentials }), RangeError);
    }
    for (const credentials of [null, 1, "root", { pid: "1" }, { uid: 1n }]) {
      const options = { credentials: credentials as never };
      assertThrows(() => one.sendSync(bytes(1), options), TypeError);
    }
    assertEquals(other.tryReceive(), undefined);
  });

  const needs = [noPassRights];
  leakTest(`${name}.passDescriptors refuses descriptors`, { needs }, () => {
    using sockets = Kind.pair();
    const [one, other] = sockets;
    using ends = pipe();
    assertEquals(other.passDescriptors, true);
    one.sendSync(bytes(1), { descriptors: [ends.reader] });
    other.passDescriptors = false;
    assertEquals([other.passDescriptors, one.passDescriptors], [false, true]);
    const send = () => one.sendSync(bytes(2), { descriptors: [ends.reader] });
    assertEquals(assertThrows(send, IpcError).code, "EPERM");
    one.sendSync(bytes(3)); // without descriptors
    const values = Array.from({ length: 2 }, () => {
      using message = other.receiveSync({ maxSize: 1, maxDescriptors: 1 })!;
      return [message.data[0], message.descriptors.length];
    });
    assertEquals(values, [[1, 1], [3, 0]]); // what was sent before is there
    other.passDescriptors = true;
    send();
    assertEquals(other.receiveSync()!.descriptorsTruncated, true);
  });
}

leakTest(
  "UnixStream sends credentials with bytes only, with all of them",
  async () => {
    using sockets = UnixStream.pair();
    const [one, other] = sockets;
    other.passCredentials = true;
    assertThrows(() => one.sendSync(bytes(), { credentials: {} }), RangeError);
    const pid = noSecondId === null ? 1 : Deno.pid;
    const large = new Uint8Array(1_000_000);
    const sending = one.send(large, { credentials: { pid } });
    for (let total = 0; total < large.length;) {
      const message = (await other.receive())!;
      total += message.size;
      assertEquals(message.credentials?.pid, pid);
    }
    await sending;
  },
);

leakTest(
  "another user may not send the credentials of others",
  { needs: [noOtherUser] },
  async () => {
    const ended = await runAsNobody(`
      import { UnixStream } from "@linux/ipc/socket";
      using sockets = UnixStream.pair();
      sockets[0].sendSync(Uint8Array.of(1), { credentials: {} });
      for (const credentials of [{ pid: 1 }, { uid: 0 }, { gid: 0 }]) {
        try {
          sockets[0].sendSync(Uint8Array.of(1), { credentials });
        } catch (error) {
          console.log(error.code);
        }
      }`);
    assertPrinted(ended, "EPERM\nEPERM\nEPERM");
  },
);

const needs = [noPassRights];
leakTest("passDescriptors is inherited by connections", { needs }, () => {
  const refused = (socket: UnixStream | UnixDatagram) =>
    assertThrows(
      () => socket.sendSync(bytes(1), { descriptors: [0] }),
      IpcError,
    ).code;
  using listener = UnixListener.listen(null, { passDescriptors: false });
  assertEquals(listener.passDescriptors, false);
  using client = UnixStream.connectSync(listener.localAddress!);
  assertEquals(refused(client), "EPERM"); // before it is accepted
  using server = listener.acceptSync();
  assertEquals([server.passDescriptors, client.passDescriptors], [false, true]);
  assertEquals(refused(client), "EPERM");
  using receiver = UnixDatagram.create(null, { passDescriptors: false });
  using sender = UnixDatagram.connectSync(receiver.localAddress!);
  assertEquals(refused(sender), "EPERM");
});

leakTest(
  "passDescriptors of a kernel without it names the option",
  { needs: [noCompiler] },
  async () => {
    const wrapper = await refusing({
      call: "setsockopt",
      argument: 2,
      value: 83, // SO_PASSRIGHTS
      error: "ENOPROTOOPT",
    });
    const errors = await inChild(async () => {
      const { UnixListener, UnixStream } = await import("../ffi/socket.ts");
      using sockets = UnixStream.pair();
      const calls = [
        () => sockets[0].passDescriptors = false,
        () => UnixListener.listen(null, { passDescriptors: false }),
      ];
      return calls.map((call) => {
        try {
          return String(call());
        } catch (error) {
          return String(error);
        }
      });
    }, { wrapper });
    for (const error of errors) {
      assert(error.includes("SO_PASSRIGHTS (since Linux 6.16)"), error);
      assert(error.includes("(ENOPROTOOPT)"), error);
    }
  },
);

for (const Kind of [UnixStream, UnixSeqpacket, UnixDatagram]) {
  leakTest(`${Kind.name} of a pair tells the child that sends`, async () => {
    const [mine, its] = Kind.pair();
    using _ = mine;
    mine.passCredentials = true;
    const child = its.inherit((fd) =>
      spawn("bash", { args: ["-c", `echo a >&${fd}; read; echo b >&${fd}`] })
    );
    await using __ = child;
    its.close();
    const own = { uid: Deno.uid()!, gid: Deno.gid()! };
    using peeked = (await mine.peek({ timeout: 20_000 }))!;
    assertEquals(peeked.credentials, { pid: child.pid, ...own });
    for (const text of ["a\n", "b\n"]) {
      const { data, credentials } = (await mine.receive({ timeout: 20_000 }))!;
      assertEquals(new TextDecoder().decode(data), text);
      assertEquals(credentials, { pid: child.pid, ...own });
      if (text === "a\n") await child.send("");
    }
    // The kernel recorded this process, which made the pair.
    if (!(mine instanceof UnixDatagram)) {
      assertEquals(mine.peerCredentials.pid, Deno.pid);
      using pidfd = mine.peerPidfd();
      const info = Deno.readTextFileSync(`/proc/self/fdinfo/${pidfd.fd}`);
      assertEquals(Number(info.match(/^Pid:\s*(\d+)/m)?.[1]), Deno.pid);
    }
    assertEquals((await child.ended()).code, 0);
  });
}
