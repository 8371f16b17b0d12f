/**
 * C programs for tests: probes and peers, compiled with all warnings as errors,
 * once per test file, into a directory that goes when the file's tests are over.
 *
 * The compiler is $CC, cc or gcc. Without one, {@linkcode noCompiler} is the
 * reason for which a test is to be ignored.
 */
import { type Ended, run, type SpawnOptions } from "./process.ts";
import { PREFIX } from "./names.ts";

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
let directory: string | undefined;

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
  return memoised(file.pathname, flags, () => file.pathname);
}

/** Compiles C text and returns the program's path. */
export function compileText(text: string, ...flags: string[]): Promise<string> {
  return memoised(text, flags, (base) => {
    Deno.writeTextFileSync(`${base}.c`, text);
    return `${base}.c`;
  });
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

function memoised(
  key: string,
  flags: string[],
  source: (base: string) => string,
): Promise<string> {
  const id = JSON.stringify([key, flags]);
  let program = programs.get(id);
  if (program === undefined) {
    directory ??= Deno.makeTempDirSync({ prefix: `${PREFIX}-c-` });
    const base = `${directory}/${programs.size}`;
    program = build(source(base), base, flags);
    programs.set(id, program);
  }
  return program;
}

async function build(
  source: string,
  program: string,
  flags: string[],
): Promise<string> {
  if (compiler === null) throw new Error(noCompiler!);
  const [command, ...args] = compiler;
  const ended = await run(command!, {
    args: [...args, ...FLAGS, "-o", program, source, ...flags],
  });
  if (ended.code !== 0) throw new Error(`cannot compile:\n${ended.transcript}`);
  return program;
}

globalThis.addEventListener("unload", () => {
  if (directory !== undefined) Deno.removeSync(directory, { recursive: true });
});
