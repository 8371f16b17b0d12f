/** What Deno.inspect shows of prototypes; that of objects is tested with their classes. */
import { assert, assertEquals } from "@std/assert";
import * as ipc from "../mod.ts";

const CUSTOM_INSPECT = Symbol.for("Deno.customInspect");

Deno.test("Deno.inspect() of a prototype shows the class, and does not throw", () => {
  const shown = Object.entries(ipc).flatMap(([name, value]) => {
    const prototype = typeof value === "function" ? value.prototype : undefined;
    if (prototype === undefined || !(CUSTOM_INSPECT in prototype)) return [];
    assertEquals(Deno.inspect(prototype), `${name} {}`);
    return [name];
  });
  assert(shown.includes("PipeReader"), "which inherits it");
  assert(shown.includes("SharedMutex"), "which inherits it");
  assert(shown.includes("SysvMessageQueue"));
});
