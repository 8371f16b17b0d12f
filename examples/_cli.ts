// What the programs have in common: a command line, an end by Ctrl-C, failures.

import { parseArgs } from "@std/cli";

/** A command line that the program cannot do anything with. */
class UsageError extends Error {}

/**
 * The command line by @std/cli, with `--help` answered and what is unknown
 * refused. `words` are the names of the arguments that are no flags.
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
  const args = parseArgs(Deno.args, {
    string: [...flags.string ?? [], "_"],
    boolean: [...flags.boolean ?? [], "help"],
    unknown(argument, name) {
      if (name === undefined) return; // a word
      throw new UsageError(`Unknown option ${argument}\n${help}`);
    },
  });
  if (args.help === true) {
    console.log(help);
    Deno.exit(0);
  }
  if (args._.length !== words.length) throw new UsageError(help);
  const flag = (name: string) => args[name] as string | undefined;
  return {
    flag,
    integer: (name) => integerOf(name, flag(name)),
    is: (name) => args[name] === true,
    word: args._.map(String),
  };
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
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}

/** A signal that is aborted by Ctrl-C, or by SIGTERM. */
export function interrupt(): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort();
  Deno.addSignalListener("SIGINT", abort);
  Deno.addSignalListener("SIGTERM", abort);
  // What listens for signals keeps the program alive: stop when it is over.
  controller.signal.addEventListener("abort", () => {
    Deno.removeSignalListener("SIGINT", abort);
    Deno.removeSignalListener("SIGTERM", abort);
  });
  return controller.signal;
}

/** Prints bytes as they are, without a newline. */
export function print(text: string | Uint8Array): void {
  let bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  while (bytes.length > 0) {
    bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  }
}
