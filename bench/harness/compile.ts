// The peers in C.

import { fromFileUrl, join } from "@std/path";

const COMPILER = "cc";
const FLAGS = ["-std=gnu11", "-Wall", "-O2", "-pthread"];

/** What the compiler calls itself; throws without one. */
export function compilerName(): string {
  const { stdout } = command("--version");
  return new TextDecoder().decode(stdout).split("\n")[0]!;
}

/** Compiles ../c/NAME.c into a program of that name in the directory. */
export function compile(directory: string, name: string): void {
  const source = fromFileUrl(import.meta.resolve(`../c/${name}.c`));
  command(...FLAGS, "-o", join(directory, name), source);
}

function command(...args: string[]): Deno.CommandOutput {
  const output = new Deno.Command(COMPILER, { args }).outputSync();
  if (output.success) return output;
  const said = new TextDecoder().decode(output.stderr);
  throw new Error(`${COMPILER} ${args.join(" ")} failed:\n${said}`);
}
