/** The ways of docs/ecosystem.md into the APIs of Node and Deno. */
import { assertEquals } from "@std/assert";
import { EventFd, File } from "@linux/ipc/descriptor";
import { pipe } from "@linux/ipc/pipe";
import { UnixListener, UnixStream } from "@linux/ipc/socket";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect, createServer as createNetServer, Socket } from "node:net";
import { Duplex } from "node:stream";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { utf8 } from "./support/bytes.ts";

const WAIT = { timeout: 20_000 };

/** All that comes. */
async function text(source: AsyncIterable<unknown>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk as Uint8Array);
  return await new Response(new Blob(chunks as BlobPart[])).text();
}

leakTest("Duplex.fromWeb() takes a stream", async () => {
  const [one, other] = UnixStream.pair();
  const duplex = Duplex.fromWeb(one);
  const large = crypto.getRandomValues(new Uint8Array(65536));
  for (let count = 0; count < 16; count++) duplex.write(large);
  duplex.end();
  await other.write(utf8("answer"));
  other.closeWrite();
  const bytes = await new Response(other.readable).bytes();
  assertEquals(await text(duplex), "answer"); // which destroys it
  assertEquals([bytes.length, bytes.subarray(-65536)], [16 * 65536, large]);
  one.close();
});

leakTest("new net.Socket({ fd }) takes a stream", async () => {
  const [one, other] = UnixStream.pair();
  const socket = new Socket({ fd: one.detach() });
  const large = crypto.getRandomValues(new Uint8Array(65536));
  for (let count = 0; count < 16; count++) socket.write(large);
  socket.end();
  await other.write(utf8("answer"));
  other.closeWrite();
  const bytes = await new Response(other.readable).bytes();
  assertEquals(await text(socket), "answer"); // which destroys it
  assertEquals([bytes.length, bytes.subarray(-65536)], [16 * 65536, large]);
});

leakTest("net.createServer().listen({ fd }) takes a listener", async () => {
  using dir = scratch();
  const path = dir.file("socket");
  const server = createNetServer((socket) => socket.pipe(socket));
  server.listen({ fd: UnixListener.listen(path).detach() });
  await once(server, "listening");
  const client = connect(path);
  client.end("echo");
  assertEquals(await text(client), "echo");
  server.close();
  await once(server, "close");
});

leakTest(
  "http.createServer().listen({ fd }) serves a fetch handler",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    const handler = (request: Request) =>
      new Response(`${request.method} ${new URL(request.url).pathname}`);
    const server = createServer(async (incoming, outgoing) => {
      const { method = "GET", url } = incoming;
      const answer = await handler(
        new Request(`http://localhost${url}`, { method }),
      );
      outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
      outgoing.end(await answer.bytes());
    });
    server.listen({ fd: UnixListener.listen(path).detach() });
    await once(server, "listening");
    const asked = request({ socketPath: path, path: "/path", agent: false });
    asked.end();
    const [answer] = await once(asked, "response");
    assertEquals(await text(answer), "GET /path");
    server.close();
    await once(server, "close");
  },
);

leakTest("child_process gives a child descriptor 3", async () => {
  using dir = scratch();
  using file = File.open(dir.file("file", "what is in it"));
  using event = EventFd.create();
  using sockets = UnixStream.pair();
  using ends = pipe();
  const script = "cat <&3 >&5\n" +
    "printf 'what' >&6\n" +
    "printf '\\007\\0\\0\\0\\0\\0\\0\\0' >&4\n"; // a uint64_t
  const child = spawn("sh", ["-c", script], {
    stdio: [
      "ignore",
      "ignore",
      "inherit",
      file.fd,
      event.fd,
      sockets[1].fd,
      ends.writer.fd,
    ],
  });
  const closed = once(child, "close");
  sockets[1].close();
  ends.writer.close();
  assertEquals(await new Response(sockets[0].readable).text(), "what is in it");
  assertEquals(await new Response(ends.reader.readable).text(), "what");
  assertEquals(file.seek(0, "current"), 13); // the child has read from it
  assertEquals(await event.read(WAIT), 7n);
  assertEquals(await closed, [0, null]);
});
