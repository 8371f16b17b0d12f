/** Children that are killed in the middle of what they do, again and again. */
import { assert, assertEquals } from "@std/assert";
import type {
  PosixMessageQueue,
  SysvMessageQueue,
} from "../../ffi/message_queue.ts";
import { spawnCall } from "./child.ts";
import type { Child } from "./process.ts";
import { turns } from "./waits.ts";

/** Ends a child with SIGKILL; it is reaped then. */
export async function kill(child: Child): Promise<void> {
  child.kill("SIGKILL");
  assertEquals((await child.ended()).signal, "SIGKILL");
}

/** Kills a child at a random point after it has said "up". */
async function killAnywhere(child: Child): Promise<void> {
  await using victim = child;
  await victim.expect("up\n");
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
  await kill(victim);
}

/**
 * Kills one child of each kind, all at the same time, while the survivor goes on
 * all the time. Its signal is aborted when they are dead: no process may be left then
 * to end its wait.
 */
export async function killAll(
  victims: Child[],
  survive: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const deaths = Promise.all(victims.map(killAnywhere))
    .finally(() => over.abort());
  const surviving = (async () => {
    for (; !signal.aborted; await turns(1)) await survive(signal);
  })().catch((error) => {
    if (error !== signal.reason) throw error;
  });
  await Promise.all([deaths, surviving]);
}

/** What {@linkcode killUsersOf} sends: one byte, that many times. */
const SIZE = 16;

/**
 * Kills so many senders and receivers of a queue, waiting in both ways, while this
 * process sends and receives. No message is torn, and the queue goes on.
 */
export async function killUsersOf(
  queue: SysvMessageQueue | PosixMessageQueue,
  rounds: number,
): Promise<void> {
  const whole = ({ data }: { data: Uint8Array }) =>
    assert(
      data.length === SIZE && data.every((byte) => byte === data[0]),
      `${data}`,
    );
  const where = "name" in queue ? queue.name : queue.id;
  const KINDS = [0, 1, 2, 3];
  for (let round = 0; round < rounds; round += KINDS.length) {
    const victims = KINDS.map((kind) =>
      spawnCall(useForEver, { argument: { where, kind, size: SIZE } })
    );
    await killAll(victims, async (signal) => {
      const options = { signal, timeout: 20_000 };
      await queue.send(new Uint8Array(SIZE).fill(round), options);
      whole(await queue.receive(options));
    });
  }
  for (let message; (message = queue.tryReceive()) !== undefined;) {
    whole(message);
  }
  queue.sendSync(Uint8Array.of(1));
  assertEquals(queue.receiveSync().data, Uint8Array.of(1));
}

async function useForEver(
  { where, kind, size }: { where: string | number; kind: number; size: number },
) {
  const { PosixMessageQueue, SysvMessageQueue } = await import(
    "../ffi/message_queue.ts"
  );
  using queue = typeof where === "string"
    ? PosixMessageQueue.open(where)
    : SysvMessageQueue.fromId(where);
  console.log("up");
  for (let i = 0;; i = (i + 1) % 256) {
    const data = new Uint8Array(size).fill(i);
    if (kind === 0) queue.sendSync(data);
    else if (kind === 1) queue.receiveSync();
    else if (kind === 2) await queue.send(data);
    else await queue.receive();
  }
}
