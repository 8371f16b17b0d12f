import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { assertPrinted } from "../support/asserts.ts";
import { runC } from "../support/c.ts";
import { leakTest, sysvTable } from "../support/leaks.ts";
import { uniqueKey } from "../support/names.ts";
import { rounds } from "../support/rounds.ts";
import {
  exampleTest,
  pairTest,
  peerTest,
  runExample,
  runPeer,
  type Side,
  startPeer,
} from "./peers.ts";

/** The segment's row in the system's table, if it exists. */
function segment(key: number): Record<string, number> | undefined {
  return sysvTable("shm").find((row) => row.key === key);
}

/** Counts once and checks what that prints. */
async function count(
  side: Side,
  key: number,
  expected: number,
  mode: "" | "remove" = "",
): Promise<void> {
  const script = mode === "remove" ? "remove_shm.ts" : "shm.ts";
  const ended = side === "TypeScript"
    ? await runExample(script, ["--key", `${key}`])
    : await runPeer("counter", mode === "" ? [`${key}`] : [`${key}`, mode]);
  const { code, stdout, stderr } = ended;
  assertEquals(
    { code, stdout, stderr },
    { code: 0, stdout: `shared memory value :${expected}\n`, stderr: "" },
    ended.transcript,
  );
}

/** Makes a segment of a size, with a first value if that has room. */
async function makeSegment(
  key: number,
  size: number,
  value?: number,
): Promise<void> {
  const program = `
    #include <stdlib.h>
    #include <sys/ipc.h>
    #include <sys/shm.h>
    int main(int argc, char **argv) {
      int id = shmget(atoi(argv[1]), atoi(argv[2]), IPC_CREAT | IPC_EXCL | 0666);
      int *number = shmat(id, 0, 0);
      if (number == (void *)-1) return 1;
      if (argc > 3) *number = atoi(argv[3]);
      return 0;
    }`;
  const numbers = value === undefined ? [key, size] : [key, size, value];
  await runC(program, { args: numbers.map(String) });
}

async function removeSegment(key: number): Promise<void> {
  const program = `
    #include <stdlib.h>
    #include <sys/ipc.h>
    #include <sys/shm.h>
    int main(int argc, char **argv) {
      (void)argc;
      return shmctl(shmget(atoi(argv[1]), 0, 0), IPC_RMID, 0) != 0;
    }`;
  await runC(program, { args: [`${key}`] });
}

for (const last of ["TypeScript", "C"] as const) {
  const removal = last === "TypeScript" ? "remove_shm.ts" : "the C program";
  pairTest(
    `shm.ts and the C program count on, ${removal} removes`,
    async () => {
      const key = uniqueKey();
      for (let left = rounds(1, 2); left > 0; left--) {
        let value = 0;
        for (
          const side of ["C", "TypeScript", "TypeScript", "C", "C"] as const
        ) {
          await count(side, key, ++value);
        }
        await count(last, key, ++value, "remove");
        assertEquals(segment(key), undefined);
      }
    },
  );

  peerTest(
    `${removal} alone makes a segment, counts to 1 and removes it`,
    async () => {
      const key = uniqueKey();
      for (let left = 2; left > 0; left--) {
        await count(last, key, 1, "remove");
        assertEquals(segment(key), undefined);
      }
    },
  );
}

for (const side of ["TypeScript", "C"] as const) {
  const program = side === "TypeScript" ? "shm.ts" : "the C program";
  peerTest(`${program} makes four bytes that other users may use`, async () => {
    const key = uniqueKey();
    await count(side, key, 1);
    assertEquals(segment(key)?.size, 4);
    assertEquals(segment(key)!.perms! & 0o777, 0o666);
    assertEquals(segment(key)?.nattch, 0);
    await count("C", key, 2, "remove");
  });
}

peerTest(
  "shm.ts changes what a C program sees, until remove_shm.ts",
  async () => {
    const key = uniqueKey();
    await using holder = await startPeer("counter", [`${key}`, "hold"]);
    assertEquals(await holder.line(), "shared memory value :1");
    for (const value of [2, 3, 4]) {
      await count("TypeScript", key, value);
      await holder.send("");
      assertEquals(await holder.line(), `shared memory value :${value}`);
    }
    await count("TypeScript", key, 5, "remove");
    assertEquals(segment(key), undefined, "the key is free while one holds on");
    await count("TypeScript", key, 1);
    await holder.send("");
    assertEquals(await holder.line(), "shared memory value :5");
    await count("C", key, 2, "remove");
  },
);

peerTest("shm.ts counts as a C int does", async () => {
  const key = uniqueKey();
  await makeSegment(key, 4, -2);
  await count("TypeScript", key, -1);
  await count("TypeScript", key, 0);
  await removeSegment(key);
  await makeSegment(key, 4, 2 ** 31 - 1);
  await count("TypeScript", key, -(2 ** 31), "remove");
});

peerTest("shm.ts takes a segment that is larger", async () => {
  const key = uniqueKey();
  await makeSegment(key, 10_000, 41);
  await count("TypeScript", key, 42);
  await count("TypeScript", key, 43, "remove");
});

for (const script of ["shm.ts", "remove_shm.ts"]) {
  peerTest(`${script} refuses a segment that is smaller`, async () => {
    const key = uniqueKey();
    await makeSegment(key, 2);
    const ended = await runExample(script, ["--key", `${key}`]);
    assertNotEquals(ended.code, 0, ended.transcript);
    assertEquals([ended.signal, ended.stdout], [null, ""]);
    assertNotEquals(ended.stderr, "");
    assertEquals(segment(key)?.size, 2, "it is left alone");
    await removeSegment(key);
  });

  exampleTest(`${script} refuses a key that is none`, async () => {
    for (const key of ["abc", "99999999999", "", "1.5"]) {
      const ended = await runExample(script, [`--key=${key}`]);
      assertNotEquals(ended.code, 0, `--key=${key}: ${ended.transcript}`);
      assertEquals([ended.signal, ended.stdout], [null, ""]);
      assertNotEquals(ended.stderr, "");
    }
  });
}

// --- Examples without a C program -------------------------------------------

exampleTest("memory_file.ts hands over what is sealed, only", async () => {
  const ended = await runExample("memory_file.ts");
  assertPrinted(
    ended,
    "child refuses the memory: it is not sealed",
    "child reads: message from parent",
    "child changes it: EPERM",
    "parent makes it smaller: EPERM",
  );
});

exampleTest("memory_file.ts says what it cannot take", async () => {
  const ended = await runExample("memory_file.ts", ["--fd", "2147483647"]);
  assertEquals([ended.code, ended.stdout], [1, ""], ended.transcript);
  assertMatch(ended.stderr, /EBADF/);
});

leakTest(
  "sequence_cell.ts reads no price that is torn",
  { soak: true },
  async () => {
    const ended = await runExample("sequence_cell.ts");
    assertEquals([ended.code, ended.stderr], [0, ""], ended.transcript);
    const [first, second, ...rest] = ended.stdout.split("\n");
    for (const line of [first, second]) {
      assertMatch(line!, /^reader: 0 of [1-9]\d* prices were torn$/);
    }
    assertEquals(rest, ["writer: 100000 prices written", ""]);
  },
);
