import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { sysvTable } from "../support/leaks.ts";
import { uniqueKey } from "../support/names.ts";
import type { Child } from "../support/process.ts";
import {
  exampleTest,
  PAIRS,
  pairTest,
  peerTest,
  runExample,
  runPeer,
  type Side,
  startExample,
  startPeer,
} from "./peers.ts";

const SENDERS = { TypeScript: "message_sender.ts", C: "the C sender" };
const RECEIVERS = { TypeScript: "message_receiver.ts", C: "the C receiver" };
const LINE = "name : ghkim, age :80\n";

/** The queue's row in the system's table, if it exists. */
function queue(key: number): Record<string, number> | undefined {
  return sysvTable("msg").find((row) => row.key === key);
}

async function send(side: Side, key: number): Promise<void> {
  const ended = side === "TypeScript"
    ? await runExample("message_sender.ts", ["--key", `${key}`])
    : await runPeer("sysv_queue_writer", [`${key}`]);
  const { code, stdout, stderr } = ended;
  assertEquals(
    { code, stdout, stderr },
    { code: 0, stdout: "message sent\n", stderr: "" },
    ended.transcript,
  );
}

async function startReceiver(side: Side, key: number): Promise<Child> {
  return side === "TypeScript"
    ? startExample("message_receiver.ts", ["--key", `${key}`])
    : await startPeer("sysv_queue_reader", [`${key}`]);
}

/** The receiver prints the line, and ends well. */
async function assertReceives(receiver: Child, line = LINE): Promise<void> {
  const ended = await receiver.ended();
  const { code, stdout, stderr } = ended;
  assertEquals(
    { code, stdout, stderr },
    { code: 0, stdout: line, stderr: "" },
    ended.transcript,
  );
}

for (const [from, to] of PAIRS) {
  pairTest(
    `${RECEIVERS[to]} receives from ${SENDERS[from]} and removes the queue`,
    async () => {
      const key = uniqueKey();
      for (let left = 2; left > 0; left--) {
        await send(from, key);
        assertEquals(queue(key)?.qnum, 1);
        assertEquals(queue(key)?.cbytes, 22);
        await using receiver = await startReceiver(to, key);
        await assertReceives(receiver);
        assertEquals(queue(key), undefined);
      }
    },
  );

  pairTest(`${RECEIVERS[to]} waits for ${SENDERS[from]}`, async () => {
    const key = uniqueKey();
    await using receiver = await startReceiver(to, key);
    await receiver.until(() => queue(key) !== undefined, "queue");
    await receiver.settled();
    assertEquals(receiver.stdout, "");
    await send(from, key);
    await assertReceives(receiver);
    assertEquals(queue(key), undefined);
  });
}

peerTest(
  "message_sender.ts sends 22 bytes as the C compiler lays them out",
  async () => {
    const key = uniqueKey();
    await send("TypeScript", key);
    const { stdout } = await runPeer("sysv_queue_reader", [`${key}`, "hex"]);
    const age = new Uint8Array(new Int16Array([80]).buffer);
    const name = new TextEncoder().encode("ghkim".padEnd(20, "\0"));
    const hex = [...age, ...name].map((byte) =>
      byte.toString(16).padStart(2, "0")
    );
    assertEquals(stdout, `type 1: ${hex.join(" ")}\n`);
  },
);

for (
  const [what, args, line] of [
    [
      "a name with no end",
      ["1", "abcdefghijklmnopqrst"],
      "name : abcdefghijklmnopqrst, age :1\n",
    ],
    ["an empty name", ["0", ""], "name : , age :0\n"],
    ["a name in Korean", ["7", "김함지"], "name : 김함지, age :7\n"],
    ["an age below zero", ["-32768", "x"], "name : x, age :-32768\n"],
    ["the highest age", ["32767", "x y"], "name : x y, age :32767\n"],
    ["another type", ["80", "ghkim", "1", "77"], LINE],
  ] as const
) {
  peerTest(`message_receiver.ts prints ${what}`, async () => {
    const key = uniqueKey();
    assertEquals(
      (await runPeer("sysv_queue_writer", [`${key}`, ...args])).code,
      0,
    );
    await using receiver = await startReceiver("TypeScript", key);
    await assertReceives(receiver, line);
  });
}

peerTest(
  "message_sender.ts queues behind others, message_receiver.ts takes the first",
  async () => {
    const key = uniqueKey();
    await runPeer("sysv_queue_writer", [`${key}`, "1", "first"]);
    await send("TypeScript", key);
    await send("TypeScript", key);
    await runPeer("sysv_queue_writer", [`${key}`, "4", "last"]);
    assertEquals(queue(key)?.qnum, 4);

    const kept = await runPeer("sysv_queue_reader", [`${key}`, "keep"]);
    assertEquals(kept.stdout, "name : first, age :1\n");
    await using receiver = await startReceiver("TypeScript", key);
    await assertReceives(receiver);
    assertEquals(queue(key), undefined);
  },
);

peerTest(
  "message_receiver.ts says so when the queue is removed under it",
  async () => {
    const key = uniqueKey();
    await using one = await startReceiver("TypeScript", key);
    await one.until(() => queue(key) !== undefined, "queue");
    await using two = await startReceiver("TypeScript", key);
    await Promise.all([one.settled(), two.settled()]);
    await send("C", key);
    const ended = await Promise.all([one.ended(), two.ended()]);
    const [winner, loser] = ended.sort((a, b) => a.code - b.code);
    assertEquals([winner!.code, winner!.stdout], [0, LINE], winner!.transcript);
    assertNotEquals(loser!.code, 0, loser!.transcript);
    assertEquals([loser!.signal, loser!.stdout], [null, ""]);
    assertNotEquals(loser!.stderr, "");
  },
);

for (const side of ["TypeScript", "C"] as const) {
  peerTest(
    `${SENDERS[side]} makes a queue that other users may use`,
    async () => {
      const key = uniqueKey();
      await send(side, key);
      assertEquals(queue(key)!.perms! & 0o777, 0o666);
      await runPeer("sysv_queue_reader", [`${key}`]);
    },
  );
}

for (const name of ["message_sender.ts", "message_receiver.ts"]) {
  exampleTest(`${name} refuses a key that is none`, async () => {
    for (const key of ["abc", "99999999999", "", "1.5"]) {
      const ended = await runExample(name, [`--key=${key}`]);
      assertNotEquals(ended.code, 0, `--key=${key}: ${ended.transcript}`);
      assertEquals([ended.signal, ended.stdout], [null, ""]);
      assert(ended.stderr.includes(key), ended.transcript);
    }
  });
}
