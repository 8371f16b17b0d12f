/**
 * Code that runs as another user than root, whom no permission stops: a child
 * Deno as user and group 65534 ("nobody").
 *
 * That user may enter neither root's home, where the Deno binary may live, nor
 * perhaps this checkout: so it gets a binary, a cache and a copy of the library
 * of its own, which all test files of a run share.
 */
import { fromFileUrl } from "@std/path";
import { PREFIX, sharedDirectory } from "./names.ts";
import {
  type Child,
  type Ended,
  exists,
  spawn,
  type SpawnOptions,
} from "./process.ts";

/** The user id and group id of "nobody". */
export const NOBODY = 65534;

/** Why no code can run as another user here, or null. */
export const noOtherUser: string | null = findReason();

const PROJECT = new URL("../../", import.meta.url);
let snippets = 0;

function findReason(): string | null {
  if (Deno.uid() !== 0) return "only root can become another user";
  const { success } = tryAsNobody("true");
  if (!success) return "this root may not become another user";
  // On Node and Bun the other user needs this checkout: tests/portable/.
  const portable = Deno.env.get("PORTABLE_DENO");
  const runs = portable === undefined ||
    tryAsNobody(portable, "eval", "0").success;
  return runs ? null : "another user may not enter this checkout";
}

function tryAsNobody(command: string, ...args: string[]): { success: boolean } {
  try {
    return new Deno.Command(command, {
      args,
      uid: NOBODY,
      gid: NOBODY,
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync();
  } catch {
    return { success: false };
  }
}

/** Makes the other user's directory, once. */
function prepare(): string {
  const home = `${sharedDirectory()}/nobody`;
  if (!exists(home)) {
    const unfinished = `${home}.${PREFIX}`;
    build(unfinished);
    try {
      Deno.renameSync(unfinished, home);
    } catch (error) {
      if (!exists(home)) throw error; // else another test file was faster
      Deno.removeSync(unfinished, { recursive: true });
    }
  }
  const work = `${home}/${PREFIX}`;
  if (!exists(work)) makeOwn(work);
  return home;
}

/** Makes a directory that belongs to the other user. */
function makeOwn(path: string): void {
  Deno.mkdirSync(path);
  Deno.chownSync(path, NOBODY, NOBODY);
}

function build(home: string): void {
  Deno.mkdirSync(home, { mode: 0o755 });
  makeOwn(`${home}/cache`);
  if (!tryAsNobody(Deno.execPath(), "--version").success) {
    try {
      Deno.linkSync(Deno.realPathSync(Deno.execPath()), `${home}/deno`);
    } catch {
      Deno.copyFileSync(Deno.execPath(), `${home}/deno`);
    }
  }
  copyTree(fromFileUrl(new URL("mod.ts", PROJECT)), `${home}/mod.ts`);
  copyTree(fromFileUrl(new URL("ffi", PROJECT)), `${home}/ffi`);
  const { name, exports } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", PROJECT)),
  ) as { name: string; exports: Record<string, string> };
  const imports = Object.fromEntries(
    Object.entries(exports).map((
      [entry, file],
    ) => [name + entry.slice(1), file]),
  );
  Deno.writeTextFileSync(`${home}/deno.json`, JSON.stringify({ imports }));
}

function copyTree(from: string, to: string): void {
  if (!Deno.statSync(from).isDirectory) {
    Deno.writeFileSync(to, Deno.readFileSync(from), { mode: 0o644 });
    return;
  }
  Deno.mkdirSync(to);
  Deno.chmodSync(to, 0o755);
  for (const { name } of Deno.readDirSync(from)) {
    copyTree(`${from}/${name}`, `${to}/${name}`);
  }
}

/**
 * Starts a TypeScript module as the other user, in a directory that it may write
 * to. The module imports the library by its name ("@linux/ipc/fifo") or its
 * files ("./ffi/libc/errno.ts"), and nothing else.
 */
export function spawnAsNobody(
  source: string,
  options: SpawnOptions = {},
): Child {
  const directory = prepare();
  const work = `${directory}/${PREFIX}`;
  const script = `${directory}/${PREFIX}-${++snippets}.ts`;
  Deno.writeTextFileSync(script, source);
  Deno.chmodSync(script, 0o644);
  const copy = `${directory}/deno`;
  return spawn(exists(copy) ? copy : Deno.execPath(), {
    cwd: work,
    ...options,
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-lock",
      "--cached-only",
      script,
      ...options.args ?? [],
    ],
    env: {
      HOME: work,
      DENO_DIR: `${directory}/cache`,
      ...options.env,
    },
    uid: NOBODY,
    gid: NOBODY,
  });
}

/** {@linkcode spawnAsNobody}, to its end; a failure is thrown. */
export async function runAsNobody(
  source: string,
  options: SpawnOptions = {},
): Promise<Ended> {
  await using child = spawnAsNobody(source, { stdin: "", ...options });
  const ended = await child.ended();
  if (ended.code !== 0) throw new Error(`failed:\n${ended.transcript}`);
  return ended;
}
