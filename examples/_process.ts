// How a program starts another one of this folder, as a process of its own: alike on
// Deno, Node and Bun.

import {
  type ChildProcess,
  spawn,
  type StdioOptions,
} from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** What runs a script: `deno run`, `node` or `bun`, with the options of this process. */
const COMMAND = process.versions.deno === undefined
  ? process.execArgv
  : ["run", "--quiet", "--allow-all"];

/** Starts the script at a URL. */
export function start(
  script: string,
  args: string[],
  options: { stdio?: StdioOptions; cwd?: string; timeout?: number } = {},
): ChildProcess {
  return spawn(
    process.execPath,
    [...COMMAND, fileURLToPath(script), ...args],
    { stdio: "inherit", ...options },
  );
}

/** Starts the script at a URL with one more descriptor, which has the number 3 there. */
export function startWith(
  fd: number,
  script: string,
  args: string[],
): ChildProcess {
  return start(script, args, { stdio: ["inherit", "inherit", "inherit", fd] });
}

/** Resolves when a process has ended: to whether it has succeeded. */
export function ended(child: ChildProcess): Promise<boolean> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => resolve(code === 0));
  });
}
