/**
 * The litmus tests of docs/memory-model.md. A machine shows only what it does: x86_64
 * delays stores, and nothing else. So each of these is run once more without what
 * makes it right, to see that it would be noticed.
 */
import { assert, assertEquals } from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { rounds } from "./support/rounds.ts";

const MEMORY = import.meta.resolve("../ffi/memory_map.ts");
const STDATOMIC = import.meta.resolve("../ffi/libc/stdatomic.ts");

const ROUNDS = rounds(200, 1_000);
const LINE = 16; // words of a cache line
// Words: where the two threads are, what each has read, and what each writes.
const AT = [0, LINE];
const READ = [2 * LINE, 2 * LINE + ROUNDS];
const WRITE = [2 * LINE + 2 * ROUNDS, 2 * LINE + (2 + LINE) * ROUNDS];
const SIZE = 4 * (2 * LINE + (2 + 2 * LINE) * ROUNDS);
const needs = [
  navigator.hardwareConcurrency < 2 ? "one processor shows nothing" : null,
];

/** A thread of the test "store buffering": it writes a word, and reads the other's. */
function bufferingCode(me: 0 | 1, fenced: boolean): string {
  const other = 1 - me;
  return `
    import { Memory } from "${MEMORY}";
    import { fence } from "${STDATOMIC}";
    fence();
    self.onmessage = ({ data }) => {
      const memory = Memory.adopt(data);
      run(memory.atomics.int32);
      memory.close();
      self.postMessage("done");
    };
    function run(words) {
      for (let round = 0; round < ${ROUNDS}; round++) {
        Atomics.store(words, ${AT[me]}, round + 1);
        while (Atomics.load(words, ${AT[other]}) <= round);
        words[${WRITE[me]} + ${LINE} * round] = 1;
        ${fenced ? "fence();" : ""}
        words[${READ[me]} + round] = words[${WRITE[other]} + ${LINE} * round];
      }
    }`;
}

async function runWorker(code: string, map: MemoryMap): Promise<void> {
  const blob = new Blob([code], { type: "text/javascript" });
  const url = URL.createObjectURL(blob);
  const worker = new Worker(url, { type: "module" });
  try {
    await new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
      worker.postMessage(map.share());
    });
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
}

/** In how many rounds neither thread has seen what the other one wrote before. */
async function countBuffered(fenced: boolean): Promise<number> {
  using map = MemoryMap.anonymous(SIZE);
  await Promise.all([
    runWorker(bufferingCode(0, fenced), map),
    runWorker(bufferingCode(1, fenced), map),
  ]);
  const { int32 } = map.atomics;
  let count = 0;
  for (let round = 0; round < ROUNDS; round++) {
    if (int32[READ[0]! + round] === 0 && int32[READ[1]! + round] === 0) count++;
  }
  return count;
}

leakTest(
  "fence() lets no load pass a store",
  { soak: "also", needs },
  async () => {
    // As often with the fence as it takes to see it often without.
    const end = performance.now() + 40_000;
    let seen = 0;
    let runs = 0;
    while (
      (runs < rounds(1, 5) || seen < rounds(1, 100)) && performance.now() < end
    ) {
      assertEquals(await countBuffered(true), 0);
      const count = await countBuffered(false);
      seen += count;
      if (count > 0) runs++;
    }
    assert(seen > 0, "without the fence it is never seen here");
  },
);

/**
 * The test "message passing": a payload, then a word, for which another thread
 * waits. What it finds then, in how many rounds it was not all of the payload.
 */
async function countStale(times: number, early: boolean): Promise<number> {
  return await inChild(async ({ times, early, url }) => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const LENGTH = 8192;
    const code = `
      import { Memory } from "${url}";
      self.onmessage = ({ data }) => {
        const memory = Memory.adopt(data);
        const { int32 } = memory.atomics;
        for (let round = 1; round <= ${times}; round++) {
          if (${early}) {
            Atomics.store(int32, 0, round);
            memory.notify(0);
          }
          for (let i = 16; i < 16 + ${LENGTH}; i++) int32[i] = round;
          Atomics.store(int32, 0, round);
          memory.notify(0);
          memory.waitSync(32, round - 1);
        }
        memory.close();
        self.postMessage("done");
      };`;
    using map = MemoryMap.anonymous(4 * (16 + LENGTH));
    const blob = new Blob([code], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(blob), { type: "module" });
    const done = new Promise((resolve) => worker.onmessage = resolve);
    worker.postMessage(map.share());
    const { int32 } = map.atomics;
    let stale = 0;
    for (let round = 1; round <= times; round++) {
      map.waitSync(0, round - 1);
      if (int32.subarray(16).some((word) => word !== round)) stale++;
      while (int32[15 + LENGTH] !== round);
      Atomics.store(int32, 8, round);
      map.notify(32);
    }
    await done;
    worker.terminate();
    return stale;
  }, { argument: { times, early, url: MEMORY } });
}

leakTest("What was written before a word is there after wait()", {
  soak: "also",
  needs,
}, async () => {
  assertEquals(await countStale(rounds(500, 5_000), false), 0);
  let noticed = 0; // on a busy machine one thread may run after the other for long
  for (let run = 0; run < 20 && noticed === 0; run++) {
    noticed = await countStale(rounds(200, 2_000), true);
  }
  assert(noticed > 0, "a stale payload is not noticed");
});
