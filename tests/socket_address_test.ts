/** Addresses of Unix sockets: paths of any bytes and of any length. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  ClosedError,
  IpcError,
  type UnixAddress,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { compile, noCompiler, runC } from "./support/c.ts";
import { leakTest } from "./support/leaks.ts";
import { type Scratch, scratch } from "./support/names.ts";
import { spawn } from "./support/process.ts";

const encoder = new TextEncoder();

/** A path in the directory that ends with these bytes. */
function pathOf(directory: Scratch, ...end: number[]) {
  const start = encoder.encode(directory.file(""));
  return Uint8Array.of(...start, ...end);
}

/** The longest path of a sockaddr_un, which has no NUL behind it. */
function longestPath(directory: Scratch) {
  const path = new Uint8Array(108).fill("x".charCodeAt(0));
  path.set(encoder.encode(directory.file("")));
  return path;
}

/** All that is in a directory and in the directories in it. */
function namesIn(path: string): string[] {
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory }) =>
    isDirectory ? [name, ...namesIn(`${path}/${name}`)] : [name]
  );
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
        kind === "that are not UTF-8" ? { path: from } : text,
      );
      await server.send(encoder.encode("answer"), { to: message.from! });
      assertEquals(await asking, "answer\n");
    },
  );
}

leakTest("a path of any bytes is an address like any other", async () => {
  using dir = scratch();
  const deep = dir.file("d".repeat(100));
  Deno.mkdirSync(deep);
  for (
    const address of [
      { path: pathOf(dir, 0xff, 1, 2) },
      new TextDecoder().decode(longestPath(dir)),
      dir.file("l".repeat(200)),
      `${deep}/socket`,
      `${deep}/${"n".repeat(80)}`,
      `${deep}/${"n".repeat(81)}`,
      `${deep}/${"é".repeat(123)}`,
      { path: Uint8Array.of(...encoder.encode(`${deep}/`), 0xff) },
      `${deep}${"/.".repeat(1900)}/s`,
    ]
  ) {
    const names = namesIn(dir.path);
    const listener = UnixListener.listen(address, { mode: 0o600 });
    assertEquals(listener.localAddress, address);
    assertEquals(namesIn(dir.path).length, names.length + 1);
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
    assertEquals(namesIn(dir.path), names);

    using receiver = UnixDatagram.create(address);
    using sender = UnixDatagram.connectSync(address, {
      from: { path: pathOf(dir, 0xfe) },
    });
    sender.sendSync(Uint8Array.of(1));
    receiver.sendSync(Uint8Array.of(2), { to: receiver.receiveSync().from! });
    assertEquals(sender.receiveSync().data, Uint8Array.of(2));
  }
  assertEquals([...Deno.readDirSync(deep)], []);
  Deno.removeSync(deep);
  assertEquals(dir.list(), []);
});

leakTest(
  "a long relative path is an address, and as it was given",
  async () => {
    using dir = scratch();
    const before = Deno.cwd();
    Deno.chdir(dir.path);
    try {
      for (const path of ["n".repeat(150), `./${"/".repeat(100)}s`]) {
        using listener = UnixListener.listen(path);
        assertEquals(listener.localAddress, path);
        using client = await UnixStream.connect(path);
        assertEquals(client.remoteAddress, path);
        using server = await listener.accept();
        assertEquals(server.localAddress, path);
      }
      assertEquals(dir.list(), []);
    } finally {
      Deno.chdir(before);
    }
  },
);

leakTest("each datagram has the address of its own sender", () => {
  using directory = scratch();
  using receiver = UnixDatagram.create(null);
  const to = receiver.localAddress!;
  // More than are remembered, of all lengths of a last word, one the start of another.
  const paths = Array.from({ length: 70 }, (_, index) => {
    const name = "s".repeat(1 + index % 5) + (index < 5 ? "" : index);
    return directory.file(name);
  });
  const abstract = paths.map((path) => ({ abstract: path }));
  const bytes = [Uint8Array.of(0xff), Uint8Array.of(0xff, 0)];
  const addresses: (UnixAddress | undefined)[] = [
    undefined,
    ...paths,
    ...abstract,
    ...bytes.map((abstract) => ({ abstract })),
  ];
  const senders = addresses.map((from) =>
    UnixDatagram.connectSync(to, from === undefined ? {} : { from })
  );
  try {
    for (let round = 0; round < 3; round++) {
      for (const [index, sender] of senders.entries()) {
        sender.sendSync(Uint8Array.of(index));
        const { from } = receiver.receiveSync();
        assertEquals(from, addresses[index] ?? null);
        // What a program does to it changes no later message's.
        if (typeof from === "object") {
          Object.assign(from ?? {}, { abstract: 0 });
        }
      }
    }
  } finally {
    for (const sender of senders) sender.close();
  }
});

leakTest("datagram sockets of long paths answer each other", async () => {
  using dir = scratch();
  Deno.mkdirSync(dir.file("d".repeat(120)));
  const path = (name: string) => dir.file(`${"d".repeat(120)}/${name}`);
  const server = UnixDatagram.create(path("server"));
  const client = UnixDatagram.create(path("client"));
  const to = path("server");
  await client.send(Uint8Array.of(1), { to });
  const { from } = await server.receive();
  assertEquals(from, path("client"));
  server.sendSync(Uint8Array.of(2), { to: from! });
  assertEquals(client.receiveSync().data, Uint8Array.of(2));

  // A receiver without room, and one that is gone.
  while (client.trySend(Uint8Array.of(3), { to }));
  const sends = [4, 5, 6].map((value) =>
    client.send(Uint8Array.of(value), { to })
  );
  const seen = [];
  for (let last; last !== 6;) {
    seen.push(last = (await server.receive()).data[0]);
  }
  await Promise.all(sends);
  assertEquals(seen.slice(-3), [4, 5, 6]);
  server.close();
  const error = assertThrows(
    () => client.sendSync(Uint8Array.of(1), { to }),
    IpcError,
  );
  assertEquals([error.code, error.subject], ["ENOENT", to]);
  client.close();
  assertThrows(() => client.trySend(Uint8Array.of(1), { to }), ClosedError);
  assertEquals([...Deno.readDirSync(path(""))], []);
});

leakTest("a C program answers a datagram socket of a long path", {
  needs: [noCompiler],
}, async () => {
  using dir = scratch();
  const program = await compile(
    new URL("interop/c/datagram_answer.c", import.meta.url),
  );
  using socket = UnixDatagram.create(dir.file("s".repeat(80)));
  await using child = spawn(program, { args: ["peer"], cwd: dir.path });
  assertEquals(await child.line(), "ready");
  await socket.send(encoder.encode("question"), { to: dir.file("peer") });
  const { data } = await socket.receive({ timeout: 20_000 });
  assertEquals(new TextDecoder().decode(data), "question");
  assertEquals(await child.line(), "/proc/");
  assertEquals((await child.ended()).code, 0);
});

leakTest("what a long path is refused for, it is refused for by name", () => {
  using dir = scratch();
  const long = "n".repeat(150);
  Deno.writeTextFileSync(dir.file(`f${long}`), "");
  Deno.symlinkSync(`l${long}`, dir.file(`l${long}`));
  const socket = UnixDatagram.create(null);
  const cases: [string, string, string][] = [
    [`x${long}`, "ENOENT", "binds"],
    [`x${long}/s`, "ENOENT", "ENOENT"],
    [`f${long}`, "ECONNREFUSED", "EADDRINUSE"],
    [`f${long}/s`, "ENOTDIR", "ENOTDIR"],
    [`l${long}`, "ELOOP", "EADDRINUSE"],
    [`l${long}/s`, "ELOOP", "ELOOP"],
  ];
  for (const [name, connects, binds] of cases) {
    const path = dir.file(name);
    const code = (call: () => Disposable | void) => {
      try {
        call()?.[Symbol.dispose]();
        return "binds";
      } catch (error) {
        assertEquals((error as IpcError).subject, path);
        return (error as IpcError).code;
      }
    };
    assertEquals([name, code(() => UnixStream.connectSync(path))], [
      name,
      connects,
    ]);
    assertEquals(code(() => UnixSeqpacket.connectSync(path)), connects);
    assertEquals(code(() => UnixDatagram.connectSync(path)), connects);
    assertEquals(
      code(() => socket.sendSync(Uint8Array.of(1), { to: path })),
      connects,
    );
    assertEquals([name, code(() => UnixListener.listen(path))], [name, binds]);
    assertEquals(
      code(() => UnixListener.listen(path, { reclaim: true })),
      binds,
    );
    assertEquals(code(() => UnixDatagram.create(path)), binds);
  }
  socket.close();
  assertEquals(dir.list().length, 2);
});

leakTest("what is no path is refused before a socket is made", () => {
  // deno-lint-ignore no-explicit-any
  const refused: [any, string][] = [
    [{ path: new Uint8Array() }, 'TypeError: Argument "address.path" must not'],
    [{ path: Uint8Array.of(1, 0) }, "TypeError: Argument"],
    [{ path: "text" }, 'TypeError: Argument "address.path" must be a Uint8'],
    [{ path: null }, 'TypeError: Argument "address.path" must be a Uint8'],
    [{ path: new Uint8Array(4096).fill(1) }, "RangeError: Argument"],
    [{ path: new Uint8Array(256).fill(1) }, "RangeError: Argument"],
    ["/".repeat(4096), "RangeError: Argument"],
    ["x".repeat(256), "RangeError: Argument"],
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

leakTest("a string with @ is an abstract name to every call", async () => {
  const name = `at-${Deno.pid}`;
  const text = `@${name}`;
  const abstract = { abstract: name };
  {
    using listener = UnixListener.listen(text);
    assertEquals(listener.localAddress, abstract);
    using one = UnixStream.connectSync(text);
    using other = await UnixStream.connect(text);
    assertEquals([one.remoteAddress, other.remoteAddress], [
      abstract,
      abstract,
    ]);
    const error = assertThrows(() => UnixListener.listen(text), IpcError);
    assertEquals(error.subject, text);
  }
  {
    using _ = UnixListener.listen(abstract, { type: "seqpacket" });
    using one = UnixSeqpacket.connectSync(text);
    using other = await UnixSeqpacket.connect(text);
    assertEquals([one.remoteAddress, other.remoteAddress], [
      abstract,
      abstract,
    ]);
  }
  using receiver = UnixDatagram.create(text);
  using sender = UnixDatagram.connectSync(text, { from: `${text}-1` });
  using another = await UnixDatagram.connect(text, { from: `${text}-2` });
  sender.sendSync(Uint8Array.of(1));
  assertEquals(receiver.receiveSync().from, { abstract: `${name}-1` });
  receiver.sendSync(Uint8Array.of(2), { to: `${text}-2` });
  assertEquals(another.receiveSync().data, Uint8Array.of(2));

  using longest = UnixListener.listen(`@${"n".repeat(107)}`);
  assertEquals(longest.localAddress, { abstract: "n".repeat(107) });
  for (
    const [wrong, kind] of [
      ["@", TypeError],
      [`@${"n".repeat(108)}`, RangeError],
      ["@\ud800", TypeError],
    ] as const
  ) assertThrows(() => UnixListener.listen(wrong), kind);
  assertThrows(
    () => UnixListener.listen(`${text}-3`, { mode: 0o600 }),
    TypeError,
  );
});

leakTest("a file whose name begins with @ needs its directory", async () => {
  using dir = scratch();
  const before = Deno.cwd();
  Deno.chdir(dir.file(""));
  try {
    const path = encoder.encode("@file");
    using bound = UnixDatagram.create({ path });
    assertEquals(bound.localAddress, { path });
    assertEquals(dir.list(), ["@file"]);
    using sender = UnixDatagram.connectSync("./@file", { from: "./@other" });
    await sender.send(Uint8Array.of(1));
    assertEquals(bound.receiveSync().from, "./@other");
    // Both addresses reach the file again, and errors name it as a file.
    bound.sendSync(Uint8Array.of(2), { to: bound.localAddress! });
    assertEquals(bound.receiveSync().data, Uint8Array.of(2));
    const error = assertThrows(() => UnixDatagram.create({ path }), IpcError);
    assertEquals(error.subject, "./@file");
  } finally {
    Deno.chdir(before);
  }
  assertEquals(dir.list(), []);
});
