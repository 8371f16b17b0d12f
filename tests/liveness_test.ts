/** What keeps a program alive: the pending waits of objects, unless they are unref'd. */
import { assertEquals } from "@std/assert";
import { inChild, runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { KINDS } from "./support/pending.ts";
import { share } from "./support/rounds.ts";

leakTest("unref() lets the program end during all kinds of waits", async () => {
  const count = await inChild(async () => {
    const { KINDS } = await import("./support/pending.ts");
    const kinds = Object.values(KINDS).map((make) => make());
    addEventListener("unload", () => kinds.forEach((kind) => kind.dispose()));
    for (const kind of kinds) {
      for (const object of kind.waits) object.unref();
      kind.wait().catch(() => {});
    }
    await new Promise((resolve) => setTimeout(resolve, 50)); // all of them wait
    return kinds.length;
  });
  assertEquals(count, Object.keys(KINDS).length);
});

leakTest("a timeout of an unref'd wait keeps nothing alive", async () => {
  await inChild(async () => {
    const { pipe } = await import("../ffi/pipe.ts");
    const { reader } = pipe();
    reader.unref();
    reader.read(new Uint8Array(1), { timeout: 3_600_000 });
  });
});

/**
 * How a wait of a kind ends in a program that nothing else keeps alive, after a change of
 * the objects during the wait. (Deno does not end during an await of the main module.)
 */
async function endWithout(
  argument: {
    name: string;
    before: number[];
    during: ["ref" | "unref", number];
  },
): Promise<string> {
  const ended = await runCall((given: typeof argument) => {
    (async () => {
      const { name, before, during: [change, which] } = given;
      const { endOf, KINDS } = await import("./support/pending.ts");
      const kind = KINDS[name]!();
      for (const index of before) kind.waits[index]?.unref();
      const waiting = kind.wait();
      await new Promise((resolve) => setTimeout(resolve, 5)); // it waits
      kind.waits[which]![change]();
      // Without the wait the program would end before this.
      Deno.unrefTimer(setTimeout(() => kind.close(), 20));
      console.log(await endOf(waiting));
      kind.dispose();
    })();
  }, { argument });
  return ended.stdout;
}

// Each kind takes a process: here a few, in the long run all others.
const names = share(Object.keys(KINDS), 3);

for (const name of names) {
  leakTest(
    `${name}() keeps the program alive after ref()`,
    { soak: "also" },
    async () => {
      const ended = await endWithout({
        name,
        before: [0, 1],
        during: ["ref", 0],
      });
      assertEquals(ended, "ClosedError\n");
    },
  );
}

// One of several objects is enough, whichever it is.
const several = ["waitAny", "splice", "splice to a full pipe", "tee"];
for (const name of share(several, 1)) {
  for (const which of [0, 1]) {
    leakTest(`${name}() ends with unref() of the last: ${which}`, {
      soak: "also",
    }, async () => {
      const during: ["unref", number] = ["unref", which];
      const both = await endWithout({ name, before: [], during });
      assertEquals(both, "ClosedError\n"); // the other one keeps it alive
      const last = await endWithout({ name, before: [1 - which], during });
      assertEquals(last, "");
    });
  }
}
