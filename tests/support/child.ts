/**
 * Functions that run in a Deno of their own: what may crash a process, what
 * needs other permissions or other limits than the tests have, what changes
 * the whole process.
 *
 * ```ts ignore
 * const count = await inChild(async () => {
 *   const { pipe } = await import("../mod.ts");
 *   using ends = pipe();
 *   return ends.writer.writeSync(new Uint8Array(3));
 * }, { permissions: ["--allow-ffi"] });
 * ```
 *
 * The child gets the function's text, so the function can use nothing that is
 * declared around it, and imports what it needs. It may give the paths as its
 * own file in `tests/` has to: the child's module stands there, too. Imports of
 * literal paths need no permission.
 */
import { fromFileUrl } from "@std/path";
import { type Child, type Ended, run, spawn } from "./process.ts";

/** How a function is run in a child. */
export interface ChildOptions {
  /** The permissions; Deno does not ask for more. */
  permissions?: string[];
  /** More flags of `deno run`. */
  flags?: string[];
  /** What the function gets: JSON. */
  argument?: unknown;
  /** More environment variables. */
  env?: Record<string, string>;
  /** The overall time limit in milliseconds. */
  limit?: number;
  /** A command that runs the command it is given, and its arguments. */
  wrapper?: string[];
}

/** In front of what the child's function returns. */
const MARK = "\0result ";

const TESTS = fromFileUrl(new URL("../", import.meta.url));

/** The text of a module that calls the function. */
export function callText(
  // deno-lint-ignore no-explicit-any
  body: (argument: any) => unknown,
  argument?: unknown,
): string {
  return `await (${body})(${JSON.stringify(argument) ?? ""});\n`;
}

function command(options: ChildOptions): [string, string[]] {
  const { wrapper = [], flags = [], permissions = ["-A"] } = options;
  const [first, ...rest] = [
    ...wrapper,
    Deno.execPath(),
    "run",
    "--quiet",
    "--no-prompt",
    ...flags,
    ...permissions,
    "-",
  ];
  return [first!, rest];
}

function spawnOptions(stdin: string, options: ChildOptions) {
  const { env = {}, limit } = options;
  return { cwd: TESTS, env, stdin, ...(limit === undefined ? {} : { limit }) };
}

/** Starts a child that calls the function. */
// deno-lint-ignore no-explicit-any
export function spawnCall<Argument = any>(
  body: (argument: Argument) => unknown,
  options: ChildOptions = {},
): Child {
  const [first, args] = command(options);
  const stdin = callText(body, options.argument);
  return spawn(first, { ...spawnOptions(stdin, options), args });
}

/** Runs a child that calls the function, to its end, whatever that is. */
// deno-lint-ignore no-explicit-any
export async function runCall<Argument = any>(
  body: (argument: Argument) => unknown,
  options: ChildOptions = {},
): Promise<Ended> {
  const [first, args] = command(options);
  const stdin = callText(body, options.argument);
  return await run(first, { ...spawnOptions(stdin, options), args });
}

/**
 * What the function returns, as JSON carries it. Throws unless the child ends by
 * itself, with exit code 0 and nothing on stderr.
 */
// deno-lint-ignore no-explicit-any
export async function inChild<Result, Argument = any>(
  body: (argument: Argument) => Result | Promise<Result>,
  options: ChildOptions = {},
): Promise<Result> {
  const argument = JSON.stringify(options.argument) ?? "";
  const stdin = `const result = await (${body})(${argument});\n` +
    `console.log(${JSON.stringify(MARK)} + JSON.stringify(result ?? null));\n`;
  const [first, args] = command(options);
  const ended = await run(first, { ...spawnOptions(stdin, options), args });
  const [, result] = ended.stdout.split(MARK);
  if (ended.code !== 0 || ended.stderr !== "" || result === undefined) {
    throw new Error(`the child failed:\n${ended.transcript}`);
  }
  return JSON.parse(result) as Result;
}

/** What a call throws, as "RangeError: the message"; else "returns". */
export async function outcome(call: () => unknown): Promise<string> {
  try {
    await call();
    return "returns";
  } catch (error) {
    return String(error);
  }
}

/** What each call says of each value: {@linkcode outcome}. */
export type Outcomes = Record<string, Record<string, string>>;

/** Makes each call with each value. */
export async function outcomesOf(
  // deno-lint-ignore no-explicit-any
  calls: Record<string, (value: any) => unknown>,
  values: Record<string, unknown>,
): Promise<Outcomes> {
  const outcomes: Outcomes = {};
  for (const [title, call] of Object.entries(calls)) {
    const all: Record<string, string> = {};
    for (const [kind, value] of Object.entries(values)) {
      all[kind] = await outcome(() => call(value));
    }
    outcomes[title] = all;
  }
  return outcomes;
}
