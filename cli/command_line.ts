// The command line of ipc and of the examples: words and options. What is unknown,
// missing or too many is named, with the usage.

import { parseArgs } from "node:util";
import { printable } from "../ffi/inspect/text.ts";
import { EXIT, Failure } from "./failure.ts";

/** The maximum of a `pid_t`. */
export const MAX_PID = 0x7fff_ffff;

/** What a command line may consist of. */
export interface Syntax {
  /** The names of the options that take no value. */
  readonly flags?: readonly string[];
  /** The names of the options that take one. */
  readonly values?: readonly string[];
  /** The names of those that take one each time, and may be given several times. */
  readonly lists?: readonly string[];
  /**
   * The words, as the usage has them: `OBJECT` is required, `[TEXT]` is not, and
   * `OBJECT ...` stands for one or more.
   */
  readonly words?: readonly string[];
}

/** Whether the usage is asked for: what follows `--` is no option. */
export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end === -1 ? args.length : end).includes("--help");
}

/** A command line that was read. */
export class CommandLine {
  /** The arguments that are neither options nor their values. */
  readonly words: readonly string[];
  readonly #usage: string;
  readonly #flags = new Set<string>();
  readonly #values = new Map<string, string[]>();

  /** `usage` begins with a line `Usage: ...`. */
  constructor(args: readonly string[], usage: string, syntax: Syntax) {
    this.#usage = usage;
    const { flags = [], lists = [], words = [] } = syntax;
    const values = [...syntax.values ?? [], ...lists];
    const options = Object.fromEntries([
      ...flags.map((name) => [name, { type: "boolean" as const }]),
      ...values.map((name) => [name, { type: "string" as const }]),
    ]);
    const { tokens, positionals } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
      strict: false,
      tokens: true,
    });
    for (const token of tokens) {
      if (token.kind !== "option") continue;
      const { name, rawName, value, inlineValue } = token;
      if (flags.includes(name) && rawName.startsWith("--")) {
        if (value !== undefined) {
          throw this.wrong(`--${name} takes no value: ${quote(value)}`);
        }
        this.#flags.add(name);
      } else if (values.includes(name) && rawName.startsWith("--")) {
        const isOption = !inlineValue && value?.startsWith("--");
        if (!value || isOption) throw this.wrong(`--${name} needs a value`);
        if (this.#values.has(name) && !lists.includes(name)) {
          throw this.wrong(`--${name} is given twice`);
        }
        this.#values.set(name, [...this.values(name), value]);
      } else throw this.wrong(`There is no option ${printable(rawName)}`);
    }
    this.words = positionals;
    this.#checkWords(words);
  }

  #checkWords(names: readonly string[]): void {
    const last = names.at(-1) ?? "";
    const max = /\.\.\.\]?$/.test(last) ? Infinity : names.length;
    const missing = names[this.words.length];
    if (missing !== undefined && !missing.startsWith("[")) {
      throw this.wrong(`${missing.replace(" ...", "")} is missing`);
    }
    if (this.words.length > max) {
      const word = quote(this.words[max]!);
      throw this.wrong(`There is an argument too many: ${word}`);
    }
  }

  /** Whether a flag is given. */
  has(flag: string): boolean {
    return this.#flags.has(flag);
  }

  /** The value of an option; undefined if it is not given. */
  value(option: string): string | undefined {
    return this.values(option)[0];
  }

  /** All values of an option that may be given several times. */
  values(option: string): readonly string[] {
    return this.#values.get(option) ?? [];
  }

  /** The value of an option as a number from `min` to `max`. */
  number(option: string, min: number, max: number): number | undefined {
    const text = this.value(option);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() !== "" && value >= min && value <= max) return value;
    throw this.wrong(
      `--${option} must be a number from ${min} to ${max}: ${quote(text)}`,
    );
  }

  /** The value of an option as an integer, which may be hexadecimal: 0x3039. */
  integer(
    option: string,
    min: number = Number.MIN_SAFE_INTEGER,
    max: number = Number.MAX_SAFE_INTEGER,
  ): number | undefined {
    const text = this.value(option);
    return text === undefined
      ? undefined
      : this.#integer(`--${option}`, text, min, max);
  }

  /** The word at `index`, whose name in the usage is `name`, as an integer. */
  integerWord(index: number, name: string, min: number, max: number): number {
    return this.#integer(name, this.words[index]!, min, max);
  }

  #integer(name: string, text: string, min: number, max: number): number {
    const value = Number(text);
    const isInteger = Number.isSafeInteger(value) && text.trim() !== "";
    if (isInteger && value >= min && value <= max) return value;
    const range = min > Number.MIN_SAFE_INTEGER ? ` from ${min} to ${max}` : "";
    throw this.wrong(`${name} must be an integer${range}: ${quote(text)}`);
  }

  /** The value of an option, which is one of several. */
  oneOf(option: string, choices: readonly string[]): string | undefined {
    const text = this.value(option);
    if (text === undefined || choices.includes(text)) return text;
    throw this.wrong(
      `--${option} must be one of ${choices.join(", ")}: ${quote(text)}`,
    );
  }

  /** An error of the command line, with the usage. */
  wrong(message: string): Failure {
    return new Failure(EXIT.usage, `${message}\n${this.#usage}`);
  }
}

/** What was typed, without control characters. */
function quote(text: string): string {
  return `"${printable(text)}"`;
}
