/**
 * Makes the npm package that JSR makes, and tries it: on Node with FFI and on Bun
 * everything works, an older Node imports it and is told what it lacks.
 *
 * ```sh
 * deno task pack:check
 * ```
 */
import { fromFileUrl, join } from "@std/path";
import { assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { run } from "../support/process.ts";
import { programOf } from "../support/runtimes.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** Uses each mechanism once, after it has imported each entry point. */
const TRY = `
  for (const entry of ${JSON.stringify(Object.keys(config.exports))}) {
    await import("${config.name}" + entry.slice(1));
  }
  const ipc = await import("${config.name}");
  const bytes = new Uint8Array(3).fill(7);
  try {
    const { reader, writer } = ipc.pipe();
    setTimeout(() => writer.writeSync(bytes), 20);
    const count = await reader.read(new Uint8Array(9)); // on another thread
    const queue = ipc.SysvMessageQueue.create(null);
    queue.sendSync(bytes);
    const { data } = queue.receiveSync();
    queue.remove();
    const memory = ipc.SysvSharedMemory.create(null, 8);
    memory.remove();
    const view = memory.view(0, ipc.struct({ value: ipc.i32 }));
    view.value = 5;
    const word = memory.bytes[0];
    memory.close();
    const [one, two] = ipc.UnixStream.pair();
    one.writeSync(bytes);
    const read = two.readSync(new Uint8Array(9));
    console.log(count, data.length, word, memory.bytes.length, read);
  } catch (error) {
    console.log(error.name + ": " + error.message);
  }
`;

async function tryIt(program: string, cwd: string, ...flags: string[]) {
  const args = [...flags, "try.mjs"];
  const { code, stdout, transcript } = await run(program, { args, cwd });
  assertEquals(code, 0, transcript);
  return stdout.trim();
}

const directory = Deno.makeTempDirSync({ prefix: "ipc-package-" });
try {
  const tarball = join(directory, "package.tgz");
  const modules = join(directory, "node_modules", "@linux");
  Deno.mkdirSync(modules, { recursive: true });
  const { code, transcript } = await run(Deno.execPath(), {
    args: ["pack", "--allow-dirty", "--output", tarball],
    cwd: ROOT,
    limit: 120_000,
  });
  assertEquals(code, 0, transcript);
  const args = ["-xzf", tarball, "-C", modules];
  assertEquals((await run("tar", { args })).code, 0);
  Deno.renameSync(join(modules, "package"), join(modules, "ipc"));
  Deno.writeTextFileSync(join(directory, "try.mjs"), TRY);

  const works = "3 3 5 0 3";
  const node = await programOf("node");
  assertEquals(await tryIt(node, directory), works);
  assertEquals(await tryIt(await programOf("bun"), directory), works);
  const lacks = await tryIt(node, directory, "--no-experimental-ffi");
  assertStringIncludes(lacks, "NotSupported: Cannot call libc: this is Node v");
  const permission = ["--permission", "--allow-fs-read=*"];
  const denied = await tryIt(node, directory, ...permission);
  assertStringIncludes(denied, "NotCapable: Cannot call libc: ");
  assertStringIncludes(denied, "--allow-ffi");
  for (const [platform, name] of [["win32", "windows"], ["darwin", "darwin"]]) {
    const preload = `data:text/javascript,Object.defineProperty(process,` +
      `"platform",{value:"${platform}"})`;
    const other = await tryIt(node, directory, "--import", preload);
    assertStringIncludes(other, `needs Linux, and this system is ${name}`);
  }
  const own = await run("node", { args: ["try.mjs"], cwd: directory })
    .catch(() => undefined); // the machine's own, of any version
  if (own !== undefined) {
    assertEquals(own.code, 0, own.transcript);
    console.log(own.stdout.trim());
  }
} finally {
  Deno.removeSync(directory, { recursive: true });
}
console.log("The package works on Node and on Bun");
