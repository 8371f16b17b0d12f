import { assert, assertEquals } from "@std/assert";
import type { Child } from "../support/process.ts";
import { exampleTest, peerTest, startExample, startPeer } from "./peers.ts";

const GREETINGS = [0, 1, 2, 3].map((i) => `Hello from thread ${i}`);

/** Reads the four lines, and notes when each came at the latest. */
async function greetings(
  program: Child,
  start: number,
): Promise<{ lines: string[]; times: number[] }> {
  const lines: string[] = [];
  const times: number[] = [];
  for (let i = 0; i < 4; i++) {
    lines.push(await program.line());
    times.push(performance.now() - start);
  }
  const ended = await program.ended();
  assertEquals(ended.code, 0, ended.transcript);
  assertEquals([ended.stderr, program.unread], ["", ""]);
  return { lines, times };
}

/** No line comes before its predecessors have had a turn each. */
function assertTurns(times: number[], turn: number): void {
  times.forEach((time, i) =>
    assert(time >= (i + 1) * turn, `line ${i + 1} after ${time} ms`)
  );
}

exampleTest(
  "semaphore.ts greets four times, one second each, one at a time",
  async () => {
    const start = performance.now();
    await using program = startExample("semaphore.ts");
    const { lines, times } = await greetings(program, start);
    assertEquals(lines.sort(), GREETINGS);
    assertTurns(times, 995);
  },
);

peerTest("the C program prints the lines of semaphore.ts", async () => {
  const start = performance.now();
  await using peer = await startPeer("turns", ["100"]);
  const { lines, times } = await greetings(peer, start);
  assertEquals(lines.sort(), GREETINGS);
  assertTurns(times, 99);
});
