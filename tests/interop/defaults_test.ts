/**
 * The examples without options use key 12345, as the C programs do. The whole
 * machine shares that key: one test at a time, in all processes, and none while
 * objects of other programs have it.
 */
import { assertEquals } from "@std/assert";
import { noCompiler } from "../support/c.ts";
import { leakTest, sysvTable } from "../support/leaks.ts";
import type { Ended } from "../support/process.ts";
import { runExample, runPeer } from "./peers.ts";

const KEY = 12345;
const inUse = exists("msg") || exists("shm") ? `key ${KEY} is in use` : null;

function exists(kind: "msg" | "shm"): boolean {
  return sysvTable(kind).some((row) => row.key === KEY);
}

/** Keeps out every other process that runs this test. */
function machineWide(): Disposable {
  const file = Deno.openSync("/proc/sysvipc/msg");
  file.lockSync(true);
  return file;
}

async function assertPrints(program: Promise<Ended>, line: string) {
  const { code, stdout, transcript } = await program;
  assertEquals([code, stdout], [0, `${line}\n`], transcript);
}

leakTest(
  "the examples without options use the C programs' key",
  { needs: [noCompiler, inUse] },
  async () => {
    using _lock = machineWide();
    const person = "name : ghkim, age :80";
    await assertPrints(runExample("message_sender.ts"), "message sent");
    await assertPrints(runPeer("sysv_queue_reader"), person);
    await assertPrints(runPeer("sysv_queue_writer"), "message sent");
    await assertPrints(runExample("message_receiver.ts"), person);

    const value = "shared memory value :";
    await assertPrints(runExample("shm.ts"), `${value}1`);
    await assertPrints(runPeer("counter"), `${value}2`);
    await assertPrints(runExample("remove_shm.ts"), `${value}3`);
    assertEquals([exists("msg"), exists("shm")], [false, false]);
  },
);
