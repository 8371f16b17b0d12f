/** Addresses of Unix sockets that are no text: paths of any bytes. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  IpcError,
  type UnixAddress,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { noCompiler, runC } from "./support/c.ts";
import { leakTest } from "./support/leaks.ts";
import { type Scratch, scratch } from "./support/names.ts";

const encoder = new TextEncoder();

/** A path in the directory that ends with these bytes. */
function pathOf(directory: Scratch, ...end: number[]) {
  const start = encoder.encode(directory.file(""));
  return Uint8Array.of(...start, ...end);
}

/** The longest path, which has no NUL behind it. */
function longestPath(directory: Scratch) {
  const path = new Uint8Array(108).fill("x".charCodeAt(0));
  path.set(encoder.encode(directory.file("")));
  return path;
}

/** The C text of these bytes. */
function literal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\${byte.toString(8).padStart(3, "0")}`)
    .join("");
}

/** A program: bound to one path, sends to another, prints the answer. */
function ask(from: Uint8Array, to: string): string {
  return `
    #include <stdio.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    int main(void) {
      struct sockaddr_un me = { AF_UNIX, "" }, peer = { AF_UNIX, "${to}" };
      char answer[16] = "";
      memcpy(me.sun_path, "${literal(from)}", ${from.length});
      int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
      if (bind(fd, (struct sockaddr *) &me, sizeof me) != 0) perror("bind");
      if (sendto(fd, "ask", 3, 0, (struct sockaddr *) &peer, sizeof peer) != 3)
        perror("sendto");
      if (recv(fd, answer, sizeof answer - 1, 0) < 0) perror("recv");
      puts(answer);
      return 0;
    }`;
}

for (
  const [kind, path] of [
    ["that are not UTF-8", (dir: Scratch) => pathOf(dir, 0x66, 0xff, 0xc3)],
    ["of 108 bytes", longestPath],
    ["of text", (dir: Scratch) => pathOf(dir, 0xc3, 0xa4)],
  ] as const
) {
  leakTest(
    `UnixDatagram answers C programs with paths ${kind}`,
    { needs: [noCompiler] },
    async () => {
      using dir = scratch();
      using server = UnixDatagram.create(dir.file("server"));
      const from = path(dir);
      const asking = runC(ask(from, dir.file("server")));
      const message = await server.receive({ timeout: 20_000 });
      const text = new TextDecoder().decode(from);
      assertEquals(
        message.from,
        kind === "of text" ? text : { path: from },
      );
      await server.send(encoder.encode("answer"), { to: message.from! });
      assertEquals(await asking, "answer\n");
    },
  );
}

leakTest("a path of any bytes is an address like any other", async () => {
  using dir = scratch();
  for (const path of [pathOf(dir, 0xff, 1, 2), longestPath(dir)]) {
    const address = { path };
    const names = dir.list().length;
    const listener = UnixListener.listen(address, { mode: 0o600 });
    assertEquals(listener.localAddress, address);
    assertEquals(dir.list().length, names + 1);
    using client = UnixStream.connectSync(address);
    assertEquals(client.remoteAddress, address);
    using server = listener.acceptSync();
    assertEquals(server.localAddress, address);
    using other = await UnixStream.connect(address);
    assertEquals(other.remoteAddress, address);
    const code = (options = {}) =>
      assertThrows(() => UnixListener.listen(address, options), IpcError).code;
    assertEquals(code(), "EADDRINUSE");
    assertEquals(code({ reclaim: true }), "EADDRINUSE");
    UnixListener.fromFd(listener.detach()).close(); // its file stays
    using packets = UnixListener.listen(address, {
      reclaim: true,
      type: "seqpacket",
    });
    using packet = UnixSeqpacket.connectSync(address);
    assertEquals(packet.remoteAddress, address);
    packets.close();
    assertEquals(dir.list().length, names);

    using receiver = UnixDatagram.create(address);
    using sender = UnixDatagram.connectSync(address, {
      from: { path: pathOf(dir, 0xfe) },
    });
    sender.sendSync(Uint8Array.of(1));
    receiver.sendSync(Uint8Array.of(2), { to: receiver.receiveSync().from! });
    assertEquals(sender.receiveSync().data, Uint8Array.of(2));
  }
  assertEquals(dir.list(), []);
});

leakTest("what is no path is refused before a socket is made", () => {
  // deno-lint-ignore no-explicit-any
  const refused: [any, string][] = [
    [{ path: new Uint8Array() }, 'TypeError: Argument "address.path" must not'],
    [{ path: Uint8Array.of(1, 0) }, "TypeError: Argument"],
    [{ path: "text" }, 'TypeError: Argument "address.path" must be a Uint8'],
    [{ path: null }, 'TypeError: Argument "address.path" must be a Uint8'],
    [{ path: new Uint8Array(109).fill(1) }, "RangeError: Argument"],
    [{ path: Uint8Array.of(1), abstract: "a" }, "TypeError: Argument"],
    [{}, 'TypeError: Argument "address.abstract" must be'],
  ];
  for (const [address, start] of refused) {
    for (
      const call of [
        () => UnixListener.listen(address),
        () => UnixDatagram.create(address),
        () => UnixDatagram.connectSync(address),
        () => UnixStream.connectSync(address),
      ]
    ) {
      assertEquals(String(assertThrows(call)).slice(0, start.length), start);
    }
  }
});

leakTest("an address is read once, whatever its class", () => {
  class Lying extends Uint8Array<ArrayBuffer> {
    override get length() {
      return 200;
    }
    override get byteLength() {
      return 200;
    }
  }
  const name = new Lying(encoder.encode(`lies-${Deno.pid}`).buffer);
  using socket = UnixDatagram.create({ abstract: name });
  assertEquals(socket.localAddress, { abstract: `lies-${Deno.pid}` });
  let asked = 0;
  const address = {
    get abstract() {
      return asked++ === 0 ? `asked-${Deno.pid}` : (undefined as never);
    },
  } satisfies UnixAddress;
  using listener = UnixListener.listen(address);
  assertEquals(listener.localAddress, { abstract: `asked-${Deno.pid}` });
  assertEquals(asked, 1);
});
