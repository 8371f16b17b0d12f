// What the programs have in common: a command line, an end by Ctrl-C, failures.

import { writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

/** A command line that the program cannot do anything with. */
class UsageError extends Error {}

/**
 * The command line, with `--help` answered and what is unknown refused. `words` are the
 * names of the arguments that are no flags.
 */
export function commandLine(
  help: string,
  flags: { string?: string[]; boolean?: string[] } = {},
  ...words: string[]
): {
  flag: (name: string) => string | undefined;
  integer: (name: string) => number | undefined;
  is: (name: string) => boolean;
  word: string[];
} {
  const { values, positionals } = parsed(help, flags);
  if (values.help === true) {
    console.log(help);
    process.exit(0);
  }
  if (positionals.length !== words.length) throw new UsageError(help);
  const flag = (name: string) => values[name] as string | undefined;
  return {
    flag,
    integer: (name) => integerOf(name, flag(name)),
    is: (name) => values[name] === true,
    word: positionals,
  };
}

function parsed(
  help: string,
  flags: { string?: string[]; boolean?: string[] },
): { values: Record<string, unknown>; positionals: string[] } {
  const options: Record<string, { type: "string" | "boolean" }> = {
    help: { type: "boolean" },
  };
  for (const name of flags.string ?? []) options[name] = { type: "string" };
  for (const name of flags.boolean ?? []) options[name] = { type: "boolean" };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    const [what] = (error as Error).message.split(". ");
    throw new UsageError(`${what}\n${help}`);
  }
}

/** The value of a flag as an integer, also as a hexadecimal one: 0x3039. */
function integerOf(name: string, text?: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && text.trim() !== "") return value;
  throw new UsageError(`--${name} must be an integer: ${JSON.stringify(text)}`);
}

/** Runs a program. What it throws is said on standard error, and it exits with 1. */
export async function main(program: () => void | Promise<void>): Promise<void> {
  try {
    await program();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

/** A signal that is aborted by Ctrl-C, or by SIGTERM. */
export function interrupt(): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort();
  process.on("SIGINT", abort);
  process.on("SIGTERM", abort);
  // What listens for signals keeps the program alive: stop when it is over.
  controller.signal.addEventListener("abort", () => {
    process.off("SIGINT", abort);
    process.off("SIGTERM", abort);
  });
  return controller.signal;
}

/** The lines of standard input, which keeps the program alive until they are read. */
export async function* inputLines(): AsyncGenerator<string> {
  const lines = createInterface({ input: process.stdin });
  try {
    yield* lines;
  } finally {
    lines.close();
    process.stdin.destroy();
  }
}

/** Prints bytes as they are, without a newline. */
export function print(text: string | Uint8Array): void {
  let bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  while (bytes.length > 0) {
    bytes = bytes.subarray(writeSync(1, bytes));
  }
}
