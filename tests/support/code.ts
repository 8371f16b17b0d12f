/**
 * Code as text that runs in a Deno of its own, all of it after the same lines:
 * for what a function of `child.ts` cannot say, as it differs from run to run.
 *
 * ```ts ignore
 * const { runCode } = codeWith({ MemoryMap: "memory-map" });
 * const ended = await runCode(
 *   `console.log(told(() => MemoryMap.open("${path}")));`,
 * );
 * assertPrinted(ended, "IpcError ENOENT open");
 * ```
 */
import { PREFIX, sharedDirectory } from "./names.ts";
import { type Child, type Ended, run, spawn } from "./process.ts";
import { runAsNobody } from "./user.ts";

/** Declares, in a child, `told()`. */
export const TOLD = `
  /** What a call returns, or how it fails, as one line. */
  function told(call) {
    try {
      return String(call());
    } catch (error) {
      return [error.name, error.code, error.syscall].join(" ").trim();
    }
  }
`;

let files = 0;

/** The arguments of a Deno that runs this code; as a file, since `eval` takes longer. */
export function codeArgs(text: string): string[] {
  const file = `${sharedDirectory()}/${PREFIX}-${++files}.mjs`;
  Deno.writeTextFileSync(file, text);
  return ["run", "-A", "--quiet", "--no-code-cache", file];
}

/** Runs code that begins as {@linkcode codeWith} was told. */
export interface Code {
  /** What all the code begins with. */
  readonly prelude: string;
  /** The arguments of a Deno that runs this code. */
  readonly code: (text: string) => string[];
  /** Starts a Deno that runs this code. */
  readonly spawnCode: (text: string) => Child;
  /** Runs code to its end. */
  readonly runCode: (text: string) => Promise<Ended>;
  /** Runs code after some lines of shell: "umask 027". */
  readonly runCodeAfter: (shell: string, text: string) => Promise<Ended>;
  /** Runs code as another user. */
  readonly nobodys: (
    text: string,
    ...args: (string | number)[]
  ) => Promise<Ended>;
}

/** Code that imports these names from these entry points, and begins with that. */
export function codeWith(
  imports: Record<string, string>,
  beginning: string = TOLD,
): Code {
  const importing = (address: (entry: string) => string) =>
    Object.entries(imports).map(([name, entry]) =>
      `import { ${name} } from "${address(entry)}";\n`
    ).join("");
  const prelude = importing(addressOf) + beginning;
  const code = (text: string) => codeArgs(prelude + text);
  const deno = Deno.execPath();
  return {
    prelude,
    code,
    spawnCode: (text) => spawn(deno, { args: code(text) }),
    runCode: (text) => run(deno, { args: code(text) }),
    runCodeAfter: (shell, text) =>
      run("/bin/sh", {
        args: ["-c", `${shell}\nexec "$0" "$@"`, deno, ...code(text)],
      }),
    nobodys: (text, ...args) =>
      runAsNobody(
        importing((entry) => `@linux/ipc/${entry}`) + beginning + text,
        { args: args.map(String) },
      ),
  };
}

/** The address of the module behind an entry point: "memory-map". */
function addressOf(entry: string): string {
  return import.meta.resolve(`../../ffi/${entry.replaceAll("-", "_")}.ts`);
}
