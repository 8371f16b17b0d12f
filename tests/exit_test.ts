/** A program that ends itself during a wait, of whatever kind, has ended. */
import { assertEquals } from "@std/assert";
import { runCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { KINDS } from "./support/pending.ts";

// Node waits for its threads when it ends, and one of them is in the call.
leakTest("Deno.exit() during all kinds of waits ends the program", async () => {
  const kinds = Object.keys(KINDS);
  const { code, stdout, transcript } = await runCall(async () => {
    const { KINDS } = await import("./support/pending.ts");
    const all = Object.values(KINDS).map((make) => make());
    for (const one of all) one.wait().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    console.log(all.length);
    for (const one of all) one.dispose();
    Deno.exit(3);
  });
  assertEquals([code, stdout], [3, `${kinds.length}\n`], transcript);
});

leakTest(
  "Deno.exit() right after a wait has begun ends the program",
  async () => {
    const { code, transcript } = await runCall(async () => {
      const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
      const queue = SysvMessageQueue.create(null);
      queue.receive().catch(() => {});
      await null;
      queue.remove();
      Deno.exit(3);
    });
    assertEquals(code, 3, transcript);
  },
);

leakTest(
  "an error that nothing catches ends a program that waits",
  async () => {
    const { code, transcript } = await runCall(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      const { reader, writer } = pipe();
      reader.read(new Uint8Array(1)).catch(() => writer);
      await new Promise((resolve) => setTimeout(resolve, 50));
      throw new Error("not caught");
    });
    assertEquals(code, 1, transcript);
  },
);
