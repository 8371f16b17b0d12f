// What the programs have in common: the command line, the end by Ctrl-C, failures.

import { writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { asksForHelp, CommandLine, type Syntax } from "../cli/command_line.ts";
import { Failure } from "../cli/failure.ts";

/**
 * The command line, as the command `ipc` reads it, too: `--help` is answered, and what is
 * unknown, missing or too many is an error with the usage.
 */
export function commandLine(usage: string, syntax: Syntax = {}): CommandLine {
  const [, , ...args] = process.argv;
  if (asksForHelp(args)) {
    console.log(usage);
    process.exit(0);
  }
  return new CommandLine(args, usage, syntax);
}

/** Runs a program. What it throws is said on standard error, and it exits with 1. */
export async function main(program: () => void | Promise<void>): Promise<void> {
  try {
    await program();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(error instanceof Failure ? error.code : 1);
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
