// The peers in C.

import { fromFileUrl, join } from "@std/path";

const COMPILER = (Deno.env.get("CC")?.trim() || "cc").split(/\s+/);
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

function command(...more: string[]): Deno.CommandOutput {
  const [program, ...args] = [...COMPILER, ...more];
  const output = new Deno.Command(program!, { args }).outputSync();
  if (output.success) return output;
  const said = new TextDecoder().decode(output.stderr);
  throw new Error(`${program} ${args.join(" ")} failed:\n${said}`);
}
