/** ssh-agent, through its Unix socket: messages with a length in network byte order. */
import { assertEquals } from "@std/assert";
import { FramedStream } from "@linux/ipc/frames";
import { UnixStream } from "@linux/ipc/socket";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { run, spawn } from "../support/process.ts";
import { bound, missing } from "./program.ts";

const WAIT = { timeout: 20_000 };
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;

leakTest("ssh-agent lists its keys", {
  needs: [missing("ssh-agent", "openssh-client")],
}, async () => {
  using dir = scratch();
  const path = dir.file("agent");
  await using agent = spawn("ssh-agent", { args: ["-D", "-a", path] });
  await bound(path);
  using frames = new FramedStream(await UnixStream.connect(path, WAIT));
  const ask = async () => {
    await frames.send(Uint8Array.of(REQUEST_IDENTITIES), WAIT);
    const answer = (await frames.receive(WAIT))!;
    assertEquals(answer[0], IDENTITIES_ANSWER);
    return answer;
  };
  const count = (answer: Uint8Array<ArrayBuffer>) =>
    new DataView(answer.buffer, answer.byteOffset).getUint32(1);
  assertEquals(count(await ask()), 0);

  const key = dir.file("key");
  const options = ["-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f"];
  await run("ssh-keygen", { args: [...options, key] });
  const env = { SSH_AUTH_SOCK: path };
  const added = await run("ssh-add", { args: [key], env });
  assertEquals(added.code, 0, added.transcript);
  const answer = await ask();
  assertEquals(count(answer), 1);
  assertEquals(new TextDecoder().decode(answer.subarray(-9)), "a comment");
  agent.kill();
  await agent.ended();
});
