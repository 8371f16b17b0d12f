/** The helpers' own tests: a leak counter that sees no leak proves nothing. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { compileText, noCompiler, runC } from "./c.ts";
import { assertNoLeaks, leakTest, sysvTable } from "./leaks.ts";
import { scratch, uniqueKey } from "./names.ts";
import { exists, run, spawn } from "./process.ts";
import { NOBODY, noOtherUser, runAsNobody, spawnAsNobody } from "./user.ts";

/** The check finds this; then it is put right. */
async function assertLeak(
  make: () => unknown,
  message: string,
  undo: () => unknown,
): Promise<void> {
  try {
    await assertRejects(
      () => assertNoLeaks(async () => void await make(), { grace: 30 }),
      Error,
      message,
    );
  } finally {
    await undo();
  }
}

leakTest("assertNoLeaks() returns what the function returns", async () => {
  assertEquals(await assertNoLeaks(() => 5), 5);
});

leakTest("assertNoLeaks() finds a descriptor", async () => {
  using dir = scratch();
  const path = dir.file("open", "x");
  let file: Deno.FsFile | undefined;
  await assertLeak(
    () => file = Deno.openSync(path),
    `descriptor of ${path} (1 more)`,
    () => file!.close(),
  );
});

leakTest("assertNoLeaks() finds a changed umask", async () => {
  const before = Deno.umask(0o022);
  await assertLeak(
    () => Deno.umask(0o023),
    "changed: umask is 0023",
    () => Deno.umask(before),
  );
});

leakTest("assertNoLeaks() finds a scratch directory", async () => {
  let dir: Disposable | undefined;
  await assertLeak(
    () => dir = scratch(),
    "scratch directory",
    () => dir![Symbol.dispose](),
  );
});

leakTest("assertNoLeaks() finds a child", async () => {
  let child: AsyncDisposable | undefined;
  await assertLeak(
    () => child = spawn("/bin/cat"),
    "child process",
    () => child![Symbol.asyncDispose](),
  );
});

leakTest(
  "assertNoLeaks() finds System V objects, and removes them",
  { needs: [noCompiler] },
  async () => {
    const key = uniqueKey();
    const make = () =>
      runC(`
        #include <sys/msg.h>
        #include <sys/sem.h>
        #include <sys/shm.h>
        int main(void) {
          return msgget(${key}, IPC_CREAT | 0600) < 0 ||
                 shmget(${key}, 10, IPC_CREAT | 0600) < 0 ||
                 semget(${key}, 2, IPC_CREAT | 0600) < 0;
        }`);
    const error = await assertRejects(
      () => assertNoLeaks(make, { grace: 30 }),
      Error,
    );
    for (const kind of ["msg", "shm", "sem"] as const) {
      assert(error.message.includes(`System V object ${kind} `), error.message);
      assert(!sysvTable(kind).some((row) => row.key === key));
    }
  },
);

leakTest("a child's lines can be awaited", async () => {
  await using child = spawn("/bin/cat");
  await child.send("one\ntwo");
  assertEquals(await child.line(), "one");
  assertEquals(await child.expect("w"), "tw");
  await child.settled();
  assertEquals(child.unread, "o\n");
  await child.closeStdin();
  const { code, signal, stdout } = await child.ended();
  assertEquals({ code, signal, stdout }, {
    code: 0,
    signal: null,
    stdout: "one\ntwo\n",
  });
});

leakTest(
  "a child that ends without the line fails with its transcript",
  async () => {
    await using child = spawn("/bin/sh", {
      args: ["-c", "echo no; echo why >&2; exit 3"],
    });
    const error = await assertRejects(() => child.expect("yes"), Error);
    assert(error.message.includes("< no\n"), error.message);
    assertEquals((await child.ended()).code, 3);
    assertEquals(child.stderr, "why\n");
  },
);

leakTest("a child that takes too long is killed", async () => {
  await using child = spawn("/bin/cat", { limit: 50 });
  await assertRejects(() => child.line(), Error, "no a line in time");
  await using other = spawn("/bin/cat", { limit: 50 });
  await assertRejects(() => other.ended(), Error, "within 50 ms");
});

leakTest("a child is reaped, even with a grandchild at its pipes", async () => {
  await using child = spawn("/bin/sh", {
    args: ["-c", "cat <&0 & echo $!; wait"],
  });
  const grandchild = Number(await child.line());
  await child[Symbol.asyncDispose]();
  assert(!exists(`/proc/${child.pid}`));
  try {
    Deno.kill(grandchild, "SIGKILL");
  } catch {
    // It has seen the end of its input already.
  }
});

leakTest("run() gives a program its input", async () => {
  const stdin = new Uint8Array(300_000).fill(7);
  const { bytes } = await run("/bin/cat", { stdin });
  assertEquals(bytes.length, stdin.length);
});

leakTest("compileText() compiles once", { needs: [noCompiler] }, async () => {
  const text = "int main(void) { return 7; }";
  const program = await compileText(text);
  assertEquals(await compileText(text), program);
  assertEquals((await run(program)).code, 7);
  await assertRejects(() => compileText("int main(void) { x; }"), Error);
});

leakTest(
  "runAsNobody() runs code as nobody",
  { needs: [noOtherUser] },
  async () => {
    const { stdout } = await runAsNobody(
      `
    await Deno.writeTextFile("mine", "x");
    await Deno.remove("mine");
    console.log(Deno.uid(), Deno.gid(), Deno.args[0]);
    console.log(Deno.readTextFileSync("/proc/self/status").match(/^Groups:.*/m)[0].trim());
  `,
      { args: ["hello"] },
    );
    assertEquals(stdout, `${NOBODY} ${NOBODY} hello\nGroups:\n`);
    await using child = spawnAsNobody("console.log('up'); prompt('');");
    assertEquals(await child.line(), "up");
  },
);
