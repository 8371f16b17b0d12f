/** What keeps a program alive: the pending waits of objects, unless they are unref'd. */
import { assertEquals } from "@std/assert";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { KINDS } from "./support/pending.ts";

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

for (const name of Object.keys(KINDS)) {
  leakTest(`${name}() keeps the program alive after ref()`, async () => {
    const ended = await inChild(async (name: string) => {
      const { endOf, KINDS } = await import("./support/pending.ts");
      const kind = KINDS[name]!();
      for (const object of kind.waits) object.unref();
      const waiting = kind.wait();
      await new Promise((resolve) => setTimeout(resolve, 5)); // it waits
      for (const object of kind.waits) object.ref();
      // Without the wait the program would end before this.
      const timer = setTimeout(() => kind.close(), 20);
      Deno.unrefTimer(timer);
      const end = await endOf(waiting);
      kind.dispose();
      return end;
    }, { argument: name });
    assertEquals(ended, "ClosedError");
  });
}
