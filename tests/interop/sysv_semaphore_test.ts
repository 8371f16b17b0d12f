import { assert, assertEquals } from "@std/assert";
import { IpcError, SysvSemaphoreSet } from "../../ffi/semaphore.ts";
import { noCompiler } from "../support/c.ts";
import { leakTest } from "../support/leaks.ts";
import { uniqueKey } from "../support/names.ts";
import { say, startPeer } from "./peers.ts";

/** A set of our making, which a C program has open, too. */
async function pair(...values: number[]) {
  const key = uniqueKey();
  const set = SysvSemaphoreSet.create(key, values);
  const peer = await startPeer("semaphore_set_peer");
  await say(peer, `open ${key}`, `${set.id}`);
  return {
    set,
    peer,
    async [Symbol.asyncDispose]() {
      if (SysvSemaphoreSet.list().some(({ id }) => id === set.id)) set.remove();
      set.close();
      await peer[Symbol.asyncDispose]();
    },
  };
}

function setTest(name: string, fn: () => Promise<void>): void {
  leakTest(name, { needs: [noCompiler] }, fn);
}

setTest("SysvSemaphoreSet opens the set of a C program", async () => {
  const key = uniqueKey();
  await using peer = await startPeer("semaphore_set_peer");
  await peer.send(`create ${key} 1 0 32767`);
  const id = Number(await peer.line());
  for (
    const open of [
      () => SysvSemaphoreSet.open(key),
      () => SysvSemaphoreSet.openOrCreate(key, [9, 9, 9]),
      () => SysvSemaphoreSet.fromId(id),
    ]
  ) {
    using set = open();
    assertEquals([set.id, set.size, set.getAll()], [id, 3, [1, 0, 32767]]);
  }
  await say(peer, "remove", "removed");
});

setTest(
  "SysvSemaphoreSet is opened by a C program, with its values",
  async () => {
    await using both = await pair(1, 0, 2, 32767);
    const { set, peer } = both;
    await say(peer, "values", "4: 1 0 2 32767");
    set.setAll([5, 6, 7, 8]);
    await say(peer, "values", "4: 5 6 7 8");
    set.change({ mode: 0o640 });
    const { key, mode, uid, creatorUid, operated, changed } = set.stat();
    await say(
      peer,
      "status",
      `${key} ${mode.toString(8)} ${uid} ${creatorUid} ` +
        `${operated!.getTime() / 1000} ${changed.getTime() / 1000}`,
    );
  },
);

setTest("SysvSemaphoreSet wakes a C program, and is woken by it", async () => {
  await using both = await pair(0, 1);
  const { set, peer } = both;
  await peer.send("operate 0 -1 1 0"); // takes one, and waits for zero
  await peer.settled();
  assertEquals(set.waiters(0).increase, 1);
  set.operateSync([{ index: 0, delta: 1 }]);
  await peer.settled();
  assertEquals([peer.unread, set.getAll()], ["", [1, 1]]);
  assertEquals(set.waiters(1).zero, 1);
  set.operateSync([{ index: 1, delta: -1 }]);
  assertEquals(await peer.line(), "done");
  assertEquals([set.getAll(), set.lastPid(0)], [[0, 0], peer.pid]);

  const waits = [
    set.operate([{ index: 0, delta: -2 }, { index: 1, delta: -1 }]),
    set.semaphore(0).acquire({ timeout: 20_000 }),
  ];
  await say(peer, "operate 0 3 1 1", "done");
  await Promise.all(waits);
  await say(peer, "values", "2: 0 0");
});

setTest("SysvSemaphoreSet gets back what a killed C program had", async () => {
  await using both = await pair(3);
  const { set, peer } = both;
  await say(peer, "undo 0 -2", "done");
  await say(peer, "operate 0 -1 0 0", "done"); // not undone
  const waiting = set.operate([{ index: 0, delta: -2 }], { timeout: 20_000 });
  peer.kill("SIGKILL");
  await waiting;
  assertEquals(set.getAll(), [0]);
  assertEquals((await peer.ended()).signal, "SIGKILL");
});

setTest(
  "SysvSemaphoreSet tells a C program of its removal, and is told",
  async () => {
    await using both = await pair(0);
    const { set, peer } = both;
    await peer.send("operate 0 -1 0 0");
    await peer.settled();
    set.remove();
    const { code, stderr } = await peer.ended();
    assertEquals([code, stderr], [1, "semop: Identifier removed\n"]);

    await using other = await pair(0);
    const waiting = other.set.operate([{ index: 0, delta: -1 }])
      .catch((error) => error);
    await say(other.peer, "remove", "removed");
    const error = await waiting;
    assert(error instanceof IpcError);
    assertEquals(error.code, "EIDRM");
  },
);
