/**
 * Code that runs as another user than root, whom no permission stops: a child
 * Deno as user and group 65534 ("nobody").
 *
 * That user may enter neither root's home, where the Deno binary may live, nor
 * perhaps this checkout: so it gets a binary, a cache and a copy of the library
 * of its own, in a directory that goes when the file's tests are over.
 */
import { PREFIX } from "./names.ts";
import { type Child, type Ended, spawn, type SpawnOptions } from "./process.ts";

/** The user id and group id of "nobody". */
export const NOBODY = 65534;

/** Why no code can run as another user here, or null. */
export const noOtherUser: string | null = findReason();

const PROJECT = new URL("../../", import.meta.url);
let home: string | undefined;
let prepared = false;
let snippets = 0;

function findReason(): string | null {
  if (Deno.uid() !== 0) return "only root can become another user";
  const { success } = tryAsNobody("true");
  return success ? null : "this root may not become another user";
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
  if (prepared) return home!;
  home = Deno.makeTempDirSync({ prefix: `${PREFIX}-nobody-` });
  Deno.chmodSync(home, 0o755);
  for (const own of ["cache", "work"]) {
    Deno.mkdirSync(`${home}/${own}`);
    Deno.chownSync(`${home}/${own}`, NOBODY, NOBODY);
  }
  if (!tryAsNobody(Deno.execPath(), "--version").success) {
    try {
      Deno.linkSync(Deno.realPathSync(Deno.execPath()), `${home}/deno`);
    } catch {
      Deno.copyFileSync(Deno.execPath(), `${home}/deno`);
    }
  }
  copyTree(new URL("mod.ts", PROJECT).pathname, `${home}/mod.ts`);
  copyTree(new URL("ffi", PROJECT).pathname, `${home}/ffi`);
  const { name, exports } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", PROJECT)),
  ) as { name: string; exports: Record<string, string> };
  const imports = Object.fromEntries(
    Object.entries(exports).map((
      [entry, file],
    ) => [name + entry.slice(1), file]),
  );
  Deno.writeTextFileSync(`${home}/deno.json`, JSON.stringify({ imports }));
  prepared = true;
  return home;
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
  const script = `${directory}/snippet${++snippets}.ts`;
  Deno.writeTextFileSync(script, source);
  Deno.chmodSync(script, 0o644);
  let deno = `${directory}/deno`;
  try {
    Deno.statSync(deno);
  } catch {
    deno = Deno.execPath();
  }
  return spawn(deno, {
    cwd: `${directory}/work`,
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
      HOME: `${directory}/work`,
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

globalThis.addEventListener("unload", () => {
  if (home !== undefined) Deno.removeSync(home, { recursive: true });
});
