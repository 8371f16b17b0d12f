/** A service that systemd-socket-activate starts with the first client. */
import { assertEquals } from "@std/assert";
import { UnixDatagram, UnixStream } from "@linux/ipc/socket";
import { exampleUrl, runExample } from "../interop/peers.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { denoArgs, spawn } from "../support/process.ts";
import { bound, missing } from "./program.ts";

const WAIT = { timeout: 20_000 };
leakTest("systemd-socket-activate starts a service, which notifies and ends", {
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
      ...denoArgs(exampleUrl("on_demand.ts"), [
        dir.file("lock"),
        "--idle",
        "60000",
      ]),
    ],
  });
  await bound(path);
  using client = await UnixStream.connect(path, WAIT);
  const state = async () =>
    new TextDecoder().decode((await notices.receive(WAIT)).data).trim();
  assertEquals(await state(), "READY=1\nSTATUS=Waiting for clients");
  const text = (stream: UnixStream) => new Response(stream.readable).text();
  assertEquals(await text(client), "you are number 1\n");
  const second = await runExample("on_demand.ts", [dir.file("lock")]);
  assertEquals([second.code, second.stderr], [
    1,
    `Another instance is running: ${manager.pid}\n`,
  ]);
  using next = await UnixStream.connect(path, WAIT);
  assertEquals(await text(next), "you are number 2\n");
  manager.kill("SIGTERM");
  assertEquals(await state(), "STOPPING=1");
  const { code, stdout, transcript } = await manager.ended();
  assertEquals([code, stdout], [0, "served 2\n"], transcript);
});
