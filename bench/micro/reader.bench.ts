// Exact reads of a stream socket: BufferedReader, and the loop that a program writes
// without it. Both sides are in one process.

import { BufferedReader } from "@linux/ipc/reader";
import { UnixStream } from "@linux/ipc/socket";

/** The loop over read(), asynchronous. */
async function readExactly(
  stream: UnixStream,
  size: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const count = await stream.read(bytes.subarray(at));
    if (count === null) throw new Error("The stream has ended");
    at += count;
  }
  return bytes;
}

/** The same, blocking the thread. */
function readExactlySync(stream: UnixStream, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const count = stream.readSync(bytes.subarray(at));
    if (count === null) throw new Error("The stream has ended");
    at += count;
  }
  return bytes;
}

/** `count` messages of two parts, which arrive at once. */
function compare(count: number, head: number, body: number): void {
  const data = new Uint8Array(count * (head + body));
  const [to, from] = UnixStream.pair();
  const [other, source] = UnixStream.pair();
  const reader = new BufferedReader(source);
  const group = `${count} messages of ${head} and ${body} bytes`;
  if (data.length <= 100_000) { // the socket holds them
    Deno.bench(`loop over readSync, ${group}`, { group }, () => {
      to.writeSync(data);
      for (let i = 0; i < count; i++) {
        readExactlySync(from, head);
        readExactlySync(from, body);
      }
    });
    Deno.bench(`readExactlySync, ${group}`, { group }, () => {
      other.writeSync(data);
      for (let i = 0; i < count; i++) {
        reader.readExactlySync(head);
        reader.readExactlySync(body);
      }
    });
  }
  Deno.bench(
    `loop over read, ${group}`,
    { group, baseline: true },
    async () => {
      const written = to.write(data);
      for (let i = 0; i < count; i++) {
        await readExactly(from, head);
        await readExactly(from, body);
      }
      await written;
    },
  );
  Deno.bench(`readExactly, ${group}`, { group }, async () => {
    const written = other.write(data);
    for (let i = 0; i < count; i++) {
      await reader.readExactly(head);
      await reader.readExactly(body);
    }
    await written;
  });
}

compare(1, 4, 60);
compare(100, 4, 60);
compare(1, 4, 65_536);
compare(1, 4, 1_000_000);
