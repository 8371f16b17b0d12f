/**
 * C programs for tests: probes and peers, compiled with all warnings as errors, once
 * per run.
 *
 * The compiler is $CC, cc or gcc. Without one, {@linkcode noCompiler} is the
 * reason for which a test is to be ignored.
 */
import { fromFileUrl } from "@std/path";
import { type Ended, exists, run, type SpawnOptions } from "./process.ts";
import { PREFIX, sharedDirectory } from "./names.ts";

const FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-pthread"];

/** The compiler's command, or null. */
export const compiler: string[] | null = findCompiler();

/** True if C programs can be compiled here. */
export const hasCompiler: boolean = compiler !== null;

/** Why no C program can be compiled here, or null. */
export const noCompiler: string | null = hasCompiler
  ? null
  : "no C compiler: neither $CC nor cc nor gcc";

const programs = new Map<string, Promise<string>>();

/** Finds a command that answers `--version`. */
function findCompiler(): string[] | null {
  const wanted = Deno.env.get("CC")?.trim();
  const candidates = [wanted?.split(/\s+/) ?? [], ["cc"], ["gcc"]];
  for (const [command, ...args] of candidates) {
    if (command === undefined || command === "") continue;
    try {
      const { success } = new Deno.Command(command, {
        args: [...args, "--version"],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).outputSync();
      if (success) return [command, ...args];
    } catch {
      // Not there: the next one.
    }
  }
  return null;
}

/** Compiles a C file (more flags may follow) and returns the program's path. */
export function compile(file: URL, ...flags: string[]): Promise<string> {
  return memoised(["-x", "c", fromFileUrl(file), ...flags]);
}

/** Compiles C text and returns the program's path. */
export function compileText(text: string, ...flags: string[]): Promise<string> {
  return memoised(["-x", "c", "-", ...flags], text);
}

/** Compiles and runs C text: a probe. Returns what it prints. */
export async function runC(
  text: string,
  options: SpawnOptions = {},
): Promise<string> {
  const ended: Ended = await run(await compileText(text), options);
  if (ended.code !== 0) throw new Error(`failed:\n${ended.transcript}`);
  return ended.stdout;
}

function memoised(args: string[], text = ""): Promise<string> {
  const id = JSON.stringify([args, text]);
  let program = programs.get(id);
  if (program === undefined) programs.set(id, program = build(id, args, text));
  return program;
}

/** The program, which another test file may have compiled already. */
async function build(
  id: string,
  args: string[],
  text: string,
): Promise<string> {
  if (compiler === null) throw new Error(noCompiler!);
  const hash = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(id),
  );
  const program = `${sharedDirectory()}/${new Uint8Array(hash).toHex()}`;
  if (exists(program)) return program;
  const unfinished = `${program}.${PREFIX}`;
  const [command, ...first] = compiler;
  const ended = await run(command!, {
    args: [...first, ...FLAGS, "-o", unfinished, ...args],
    stdin: text,
  });
  if (ended.code !== 0) throw new Error(`cannot compile:\n${ended.transcript}`);
  Deno.renameSync(unfinished, program);
  return program;
}
