/** What Node and Bun need of this project: package.json, and the package that JSR makes. */
import { assertEquals } from "@std/assert";
import deno from "../deno.json" with { type: "json" };
import node from "../package.json" with { type: "json" };

Deno.test("package.json has the entry points of deno.json", () => {
  const { name, version, license, exports } = deno;
  assertEquals(
    [node.name, node.version, node.license, node.exports],
    [name, version, license, exports],
  );
});
