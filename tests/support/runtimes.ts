/** Node and Bun, as npm has them. */

/** A runtime other than Deno. */
export type RuntimeName = "node" | "bun";

/**
 * The packages, and the environment variables that name another program. (npm sets NODE
 * for what it starts.)
 */
const RUNTIMES = {
  node: { variable: "IPC_NODE", pack: "node@26", flags: ["-p"] },
  bun: { variable: "IPC_BUN", pack: "bun@1.4", flags: ["--print"] },
} as const;

/** Finds a runtime's program; npx brings it, if nothing names one. */
export async function programOf(name: RuntimeName): Promise<string> {
  const { variable, pack, flags } = RUNTIMES[name];
  const named = Deno.env.get(variable);
  if (named !== undefined) return named;
  const { success, stdout } = await new Deno.Command("npx", {
    args: ["-y", pack, ...flags, "process.execPath"],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot run: npx -y ${pack}`);
  return new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
}
