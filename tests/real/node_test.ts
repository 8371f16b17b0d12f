/** The channel of Node's `process.send()`: JSON lines over a Unix socket, and handles. */
import { assertEquals } from "@std/assert";
import { FramedStream } from "@linux/ipc/frames";
import { UnixListener, UnixStream } from "@linux/ipc/socket";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { spawn } from "../support/process.ts";
import { missing } from "./program.ts";

const WAIT = { timeout: 20_000 };

const SCRIPT = `
process.on("message", (message, server) => {
  if (server === undefined) return process.send({ echo: message });
  server.on("connection", (socket) => socket.end(message.text));
  process.send("serving");
});`;

leakTest("a Node process takes messages and a listener", {
  needs: [missing("node", "nodejs")],
}, async () => {
  using dir = scratch();
  const [mine, its] = UnixStream.pair();
  await using child = its.inherit((fd) =>
    spawn("node", {
      args: ["-e", SCRIPT],
      env: {
        NODE_CHANNEL_FD: `${fd}`,
        NODE_CHANNEL_SERIALIZATION_MODE: "json",
      },
    })
  );
  its.close();
  using lines = new FramedStream(mine, { delimiter: "\n" });
  const receive = async () =>
    JSON.parse(new TextDecoder().decode((await lines.receive(WAIT))!));
  await lines.send(utf8('{"a":[1,"ä"]}'), WAIT);
  assertEquals(await receive(), { echo: { a: [1, "ä"] } });

  using listener = UnixListener.listen(dir.file("socket"));
  const message = {
    cmd: "NODE_HANDLE",
    type: "net.Server",
    msg: { text: "from Node" },
  };
  await mine.send(utf8(`${JSON.stringify(message)}\n`), {
    descriptors: [listener],
    ...WAIT,
  });
  assertEquals(await receive(), { cmd: "NODE_HANDLE_ACK" });
  assertEquals(await receive(), "serving");
  using client = await UnixStream.connect(dir.file("socket"), WAIT);
  assertEquals(await new Response(client.readable).text(), "from Node");
  assertEquals(child.alive, true);
});
