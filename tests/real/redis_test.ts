/** Redis, through its Unix socket. */
import { assertEquals } from "@std/assert";
import { FramedStream } from "@linux/ipc/frames";
import { UnixStream } from "@linux/ipc/socket";
import { once } from "node:events";
import { Socket } from "node:net";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { spawn } from "../support/process.ts";
import { bound, missing } from "./program.ts";

const WAIT = { timeout: 20_000 };

leakTest("Redis answers over its Unix socket, here and through node:net", {
  needs: [missing("redis-server", "redis-server")],
}, async () => {
  using dir = scratch();
  const path = dir.file("redis");
  await using server = spawn("redis-server", {
    args: [
      "--port",
      "0",
      "--unixsocket",
      path,
      "--save",
      "",
      "--dir",
      dir.path,
    ],
  });
  await bound(path);
  const stream = await UnixStream.connect(path, WAIT);
  using lines = new FramedStream(stream, { delimiter: "\r\n" });
  const ask = async (command: string, count = 1) => {
    await lines.send(utf8(command), WAIT);
    const answer: string[] = [];
    while (answer.length < count) {
      answer.push(new TextDecoder().decode((await lines.receive(WAIT))!));
    }
    return answer;
  };
  assertEquals(await ask("PING"), ["+PONG"]);
  assertEquals(await ask("SET key value"), ["+OK"]);
  assertEquals(await ask("GET key", 2), ["$5", "value"]);

  // As a client library does it.
  const client = await UnixStream.connect(path, WAIT);
  const socket = new Socket({ fd: client.detach() });
  socket.write("PING\r\n");
  const [data] = await once(socket, "data");
  assertEquals(String(data), "+PONG\r\n");
  socket.destroy();
  await once(socket, "close");
  server.kill();
  await server.ended();
});
