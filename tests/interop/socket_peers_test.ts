import { assert, assertEquals } from "@std/assert";
import { pipe, PipeReader } from "@linux/ipc/pipe";
import {
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { noCompiler } from "../support/c.ts";
import { leakTest } from "../support/leaks.ts";
import { PREFIX, scratch } from "../support/names.ts";
import type { Child } from "../support/process.ts";
import { startPeer } from "./peers.ts";

const WAIT = { timeout: 20_000 };

/** A test with the C peer, whose descriptors are counted as well. */
function socketTest(name: string, fn: () => Promise<void>): void {
  leakTest(name, { needs: [noCompiler] }, fn);
}

const peer = (mode: string, address: string): Promise<Child> =>
  startPeer("socket_peer", [mode, address]);

async function converse(socket: UnixSeqpacket, child: Child): Promise<void> {
  for (const size of [1, 64, 1000, 65_536, 200_000]) {
    const message = crypto.getRandomValues(
      new Uint8Array(Math.min(size, 65_536)),
    );
    await socket.send(message, WAIT);
    assertEquals(await child.line(), String(message.length));
    const answer = await socket.receive(WAIT);
    assertEquals([answer?.size, answer?.truncated], [message.length, false]);
    assertEquals(answer?.data, message);
  }
  socket.closeWrite();
  assertEquals(await child.line(), "end");
  assertEquals(await socket.receive(WAIT), null);
}

for (const kind of ["a path", "an abstract name"]) {
  const places = (path: string) =>
    kind === "a path"
      ? { here: path, there: path }
      : { here: { abstract: `${PREFIX}-peer` }, there: `@${PREFIX}-peer` };

  socketTest(`a C client and a seqpacket listener at ${kind}`, async () => {
    using dir = scratch();
    const { here, there } = places(dir.file("socket"));
    using listener = UnixListener.listen(here, { type: "seqpacket" });
    await using child = await peer("echo", there);
    using socket = await listener.accept(WAIT);
    assertEquals(socket.peerCredentials.pid, child.pid);
    await converse(socket, child);
    assertEquals((await child.ended()).code, 0);
  });

  socketTest(`a C seqpacket server at ${kind}`, async () => {
    using dir = scratch();
    const { here, there } = places(dir.file("socket"));
    await using child = await peer("serve", there);
    assertEquals(await child.line(), "ready");
    using socket = await UnixSeqpacket.connect(here, WAIT);
    assertEquals(socket.remoteAddress, here);
    assertEquals(socket.peerCredentials.pid, child.pid);
    await converse(socket, child);
    assertEquals((await child.ended()).code, 0);
  });

  socketTest(
    `a C datagram sender without a name of its own, and ${kind}`,
    async () => {
      using dir = scratch();
      const { here, there } = places(dir.file("socket"));
      using socket = UnixDatagram.create(here, { passCredentials: true });
      await using child = await peer("ask", there);
      const { data, from, credentials } = await socket.receive(WAIT);
      assertEquals(new TextDecoder().decode(data), "question");
      assertEquals(credentials, {
        pid: child.pid,
        uid: Deno.uid()!,
        gid: Deno.gid()!,
      });
      assert(typeof from === "object" && from !== null);
      assert(/^[0-9a-f]{5}$/.test(from.abstract as string));
      await socket.send(new TextEncoder().encode("answer"), { to: from });
      assertEquals(await child.line(), "answer");
      assertEquals((await child.ended()).code, 0);
    },
  );
}

socketTest("a C client sees our credentials, and we see its", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  await using child = await peer("whoami", dir.file("socket"));
  using socket = await listener.accept(WAIT);
  assertEquals(
    await child.line(),
    `${Deno.pid} ${Deno.uid()} ${Deno.gid()}`,
  );
  const { pid, uid, gid } = socket.peerCredentials;
  assertEquals([pid, uid, gid], [child.pid, Deno.uid(), Deno.gid()]);
  using pidfd = socket.peerPidfd();
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${pidfd.fd}`);
  assertEquals(Number(info.match(/Pid:\s*(\d+)/)?.[1]), child.pid);
  socket.close();
  assertEquals((await child.ended()).code, 0);
});

socketTest("a C program passes a pipe and a file to us", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  await using child = await peer("give", dir.file("socket"));
  using socket = await listener.accept(WAIT);
  using message = await socket.receive({ ...WAIT, maxDescriptors: 8 });
  assertEquals(new TextDecoder().decode(message?.data), "two");
  assert(message !== null);
  assertEquals(message.descriptors.length, 2);
  assertEquals(message?.descriptorsTruncated, false);
  const [first, file] = message.descriptors;
  using reader = PipeReader.fromFd(first!.detach());
  const buffer = new Uint8Array(64);
  const count = (await reader.read(buffer, WAIT))!;
  assertEquals(
    new TextDecoder().decode(buffer.subarray(0, count)),
    "through the pipe",
  );
  assertEquals(await reader.read(buffer, WAIT), null);
  assertEquals(
    Deno.readTextFileSync(`/proc/self/fd/${file!.fd}`),
    "in the file",
  );
  assertEquals((await child.ended()).code, 0);
});

socketTest("a C program takes a pipe and a socket from us", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  using ends = pipe();
  using pair = UnixStream.pair();
  await using child = await peer("take", dir.file("socket"));
  using socket = await listener.accept(WAIT);
  await socket.send(new TextEncoder().encode("here"), {
    descriptors: [ends.writer, pair[0]],
  });
  assertEquals(await child.line(), "here 1");
  const buffer = new Uint8Array(64);
  const told = (count: number | null) =>
    new TextDecoder().decode(buffer.subarray(0, count ?? 0));
  assertEquals(
    told(await ends.reader.read(buffer, WAIT)),
    "written by C to 0\n",
  );
  assertEquals(told(await pair[1].read(buffer, WAIT)), "written by C to 1\n");
  assertEquals((await child.ended()).code, 0);
});
