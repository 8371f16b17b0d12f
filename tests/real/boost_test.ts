/** Boost.Interprocess, whose mutexes and conditions are those of C. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  PthreadCondition,
  pthreadCondition,
  PthreadMutex,
  pthreadMutex,
} from "@linux/ipc/pthread";
import { MemoryMap } from "@linux/ipc/memory-map";
import { i32, struct } from "@linux/ipc/struct";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { type Child, exists, run, spawn, until } from "../support/process.ts";
import { say } from "../interop/peers.ts";
import { missing } from "./program.ts";

const HEADER = "/usr/include/boost/interprocess/sync/interprocess_mutex.hpp";
const needs = [
  missing("g++", "g++"),
  exists(HEADER) ? null : "no Boost (on Debian: libboost-dev)",
];
const LIMITED = { timeout: 20_000 };
const COUNT = 5_000;

/** The struct of boost_peer.cpp. */
const layout = struct({
  lock: pthreadMutex,
  recursive: pthreadMutex,
  changed: pthreadCondition,
  ready: i32,
  count: i32,
});

async function compiled(directory: string): Promise<string> {
  const source = new URL("boost_peer.cpp", import.meta.url).pathname;
  const program = `${directory}/boost_peer`;
  const args = ["-O1", "-pthread", "-o", program, source];
  const ended = await run("g++", { args });
  assertEquals(ended.code, 0, ended.transcript);
  return program;
}

/** What both sides do, with objects that either of them has made. */
async function share(memory: MemoryMap, peer: Child): Promise<void> {
  const { offsets } = layout;
  const shared = memory.view(0, layout);
  const mutex = PthreadMutex.at(memory, offsets.lock);
  const recursive = PthreadMutex.at(memory, offsets.recursive);
  const condition = PthreadCondition.at(memory, offsets.changed);
  assertEquals([mutex.type, mutex.robust], ["normal", false]);
  assertEquals([recursive.type, recursive.robust], ["recursive", false]);

  await say(peer, "lock 0", "ok");
  assertEquals([mutex.tryLock(), mutex.ownerTid], [undefined, peer.pid]);
  assertThrows(() => mutex.lockSync({ timeout: 1 }), DOMException);
  const waiting = mutex.lock(LIMITED);
  await say(peer, "unlock 0", "ok");
  {
    using _guard = await waiting;
    await say(peer, "try 0", "busy");
    await say(peer, "within 1", "too late");
    await peer.send("within 20000");
  }
  assertEquals(await peer.line(), "ok");
  await say(peer, "unlock 0", "ok");

  shared.count = 0;
  for (const lock of [mutex, recursive]) {
    await peer.send(`${lock === mutex ? "count" : "recount"} ${COUNT}`);
    for (let i = 0; i < COUNT; i++) {
      using _guard = i % 2 === 0
        ? lock.lockSync(LIMITED)
        : await lock.lock(LIMITED);
      using _again = lock === recursive ? lock.lockSync() : undefined;
      shared.count++;
    }
    assertEquals(await peer.line(), "ok"); // before the other lock counts
  }
  assertEquals(shared.count, 4 * COUNT);

  shared.ready = 0;
  for (let round = 0; round < 10; round++) {
    await peer.send("await 0");
    await until(() => condition.waiters === 1, "a waiter");
    {
      using _guard = mutex.lockSync(LIMITED);
      shared.ready++;
      condition.signal();
    }
    assertEquals(await peer.line(), "woken");
    using guard = await mutex.lock(LIMITED);
    const changed = condition.wait(guard, () => shared.ready > 0, LIMITED);
    await say(peer, "signal 0", "ok");
    await changed;
    shared.ready--;
  }
}

leakTest("the mutexes and conditions of Boost.Interprocess", {
  needs,
}, async () => {
  using dir = scratch();
  const { offsets, size } = layout;
  using memory = MemoryMap.create(dir.file("shared"), size);
  await using peer = spawn(await compiled(dir.path), {
    args: [dir.file("shared")],
    limit: 120_000,
  });
  const { recursive, changed, ready } = offsets;
  assertEquals(await peer.line(), `${recursive} ${changed} ${ready} ${size}`);
  assertThrows(() => PthreadMutex.at(memory, 0), TypeError, "not initialised");
  await say(peer, "make 0", "ok");
  await share(memory, peer);

  const robust = false; // Boost throws where an owner has died
  PthreadMutex.init(memory, offsets.lock, { robust });
  PthreadMutex.init(memory, recursive, { type: "recursive", robust });
  PthreadCondition.init(memory, changed);
  await share(memory, peer);
});
