/** A service that systemd-socket-activate starts with the first client. */
import { assertEquals } from "@std/assert";
import { UnixDatagram, UnixStream } from "@linux/ipc/socket";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { spawn } from "../support/process.ts";
import { bound, missing } from "./program.ts";

const WAIT = { timeout: 20_000 };
const SOCKET = new URL("../../ffi/socket.ts", import.meta.url);

const SERVICE = `
import { listenFds, sdNotify, UnixListener } from "${SOCKET}";
const [{ fd, name }] = listenFds();
using listener = UnixListener.fromFd(fd);
await sdNotify(\`READY=1\\nSTATUS=serving \${name}\`);
using client = await listener.accept();
await client.write(new TextEncoder().encode("on demand"));
`;

leakTest("systemd-socket-activate starts a service, which notifies", {
  needs: [missing("systemd-socket-activate", "systemd")],
}, async () => {
  using dir = scratch();
  const path = dir.file("socket");
  using notices = UnixDatagram.create(dir.file("notify"));
  await using manager = spawn("systemd-socket-activate", {
    args: [
      `--listen=${path}`,
      "--fdname=demand",
      `--setenv=NOTIFY_SOCKET=${dir.file("notify")}`,
      Deno.execPath(),
      "run",
      "-A",
      "--quiet",
      dir.file("service.ts", SERVICE),
    ],
  });
  await bound(path);
  using client = await UnixStream.connect(path, WAIT);
  await client.write(utf8("x"), WAIT);
  const { data } = await notices.receive(WAIT);
  assertEquals(
    new TextDecoder().decode(data).trim().split("\n"),
    ["READY=1", "STATUS=serving demand"],
  );
  assertEquals(await client.read(new Uint8Array(64), WAIT), 9);
  const { code, transcript } = await manager.ended();
  assertEquals(code, 0, transcript);
});
