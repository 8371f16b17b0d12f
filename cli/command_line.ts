// The command line: words and options, where what is unknown is an error.

import { parseArgs } from "@std/cli";
import { EXIT, Failure } from "./failure.ts";

/** The options of a command, by name. */
export interface Options {
  /** Those that take no value. */
  readonly flags?: readonly string[];
  /** Those that take one. */
  readonly values?: readonly string[];
}

/** A command line that was read. */
export class CommandLine {
  readonly words: readonly string[];
  readonly #args: Record<string, unknown>;
  readonly #usage: string;

  constructor(args: readonly string[], usage: string, options: Options) {
    const { flags = [], values = [] } = options;
    this.#usage = usage;
    const parsed = parseArgs(args, {
      boolean: [...flags, "help"],
      string: [...values, "_"],
      collect: [...values],
      unknown: (argument, name) => {
        if (name === undefined) return true; // a word
        throw this.#wrong(`There is no option ${argument}`);
      },
    });
    this.#args = parsed;
    this.words = parsed._.map(String);
  }

  /** Whether a flag is given. */
  has(flag: string): boolean {
    return this.#args[flag] === true;
  }

  /** The value of an option; undefined if it is not given. */
  value(option: string): string | undefined {
    const all = this.values(option);
    if (all.length > 1) throw this.#wrong(`--${option} is given twice`);
    return all[0];
  }

  /** All values of an option that may be given several times. */
  values(option: string): readonly string[] {
    const all = this.#args[option] as string[] | undefined ?? [];
    if (all.some((value) => value === "")) {
      throw this.#wrong(`--${option} needs a value`);
    }
    return all;
  }

  /** The value of an option as a number from `min` to `max`. */
  number(option: string, min: number, max: number): number | undefined {
    const text = this.value(option);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() !== "" && value >= min && value <= max) return value;
    throw this.#wrong(
      `--${option} must be a number from ${min} to ${max}: ${text}`,
    );
  }

  /** Checks the number of words. */
  checkWords(min: number, max = min): void {
    if (this.words.length < min) {
      throw this.#wrong("There is an argument missing");
    }
    if (this.words.length > max) {
      throw this.#wrong(`There is an argument too many: ${this.words[max]}`);
    }
  }

  #wrong(message: string): Failure {
    return new Failure(EXIT.usage, `${message}\nUsage: ${this.#usage}`);
  }
}
