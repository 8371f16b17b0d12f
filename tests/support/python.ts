/**
 * Python as the other side: a process that evaluates what it is told.
 *
 * ```ts ignore
 * await using python = await startPython("import os");
 * assertEquals(await python.ask("os.getpid()"), `${python.child.pid}`);
 * ```
 *
 * Without Python, or its System V module, {@linkcode noPython} and
 * {@linkcode noSysvIpc} are the reasons for which a test is to be ignored.
 */
import { type Child, spawn, succeeds } from "./process.ts";

// The one that comes first may be one without the modules of the system's.
const CANDIDATES = [
  "/usr/bin/python3",
  "python3",
];

function findPython(...modules: string[]): string | undefined {
  const imports = `import ${["sys", ...modules].join()}`;
  return CANDIDATES.find((python) => succeeds(python, "-c", imports));
}

const python = findPython("sysv_ipc") ?? findPython();

/** Why there is no Python here, or null. */
export const noPython: string | null = python === undefined
  ? "no python3"
  : null;

/** Why Python knows nothing of System V here, or null. */
export const noSysvIpc: string | null = noPython ??
  (findPython("sysv_ipc") === undefined
    ? "no sysv_ipc for python3 (on Debian: python3-sysv-ipc)"
    : null);

/** Evaluates one line after another. */
const LOOP = `
import sys
exec(sys.argv[1])
print("up", flush=True)
for line in sys.stdin:
    print(repr(eval(line)), flush=True)
`;

/** A running Python. */
export class Python implements AsyncDisposable {
  readonly child: Child;

  constructor(child: Child) {
    this.child = child;
  }

  /** Has it evaluate an expression, and waits for what `repr()` makes of that. */
  async ask(expression: string): Promise<string> {
    await this.child.send(expression);
    return await this.child.line();
  }

  /** Has it evaluate an expression that waits, and waits until it does that. */
  async begin(expression: string): Promise<void> {
    await this.child.send(expression);
    await this.child.settled();
    if (this.child.unread !== "") throw new Error(this.child.transcript);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child[Symbol.asyncDispose]();
  }
}

/** Starts a Python that has executed these lines. */
export async function startPython(...lines: string[]): Promise<Python> {
  const child = spawn(python!, { args: ["-c", LOOP, lines.join("\n")] });
  await child.expect("up\n");
  return new Python(child);
}

/** Bytes as Python writes them. */
export function pythonBytes(data: Uint8Array): string {
  return `bytes.fromhex("${data.toHex()}")`;
}
