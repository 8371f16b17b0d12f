/** Projects of users, with options of the compiler that this one does not set. */
import { assertEquals } from "@std/assert";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { run } from "./support/process.ts";

const { exports } = JSON.parse(
  Deno.readTextFileSync(new URL("../deno.json", import.meta.url)),
) as { exports: Record<string, string> };

const OPTIONS = {
  "isolatedDeclarations": { isolatedDeclarations: true },
  "the types of a browser": {
    lib: ["dom", "dom.iterable", "dom.asynciterable", "esnext", "deno.ns"],
  },
};

for (const [name, compilerOptions] of Object.entries(OPTIONS)) {
  leakTest(
    `every entry point type-checks with ${name}`,
    { soak: true },
    async () => {
      using dir = scratch();
      // The command is a program: it is not imported.
      const files = Object.values(exports).filter((file) =>
        !file.startsWith("./cli/")
      );
      const lines = files.map((file) =>
        `import ${JSON.stringify(import.meta.resolve(`../${file}`))};`
      );
      Deno.writeTextFileSync(
        `${dir.path}/deno.json`,
        JSON.stringify({ compilerOptions }),
      );
      Deno.writeTextFileSync(`${dir.path}/main.ts`, lines.join("\n"));
      const { code, stderr } = await run(Deno.execPath(), {
        args: ["check", "--quiet", "main.ts"],
        cwd: dir.path,
      });
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
    },
  );
}
