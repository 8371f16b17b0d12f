// Where a command writes: standard output, with the width and the colours of a terminal.

import type { Unseen } from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { type Style, styleOf, takesColors } from "./style.ts";

/** The output of a command. */
export interface Output {
  readonly style: Style;
  /** The columns of the terminal; Infinity where there is none. */
  readonly width: number;
  readonly print: (line: string) => void;
  readonly warn: (line: string) => void;
}

/** Standard output and standard error. */
export function standardOutput(isWide: boolean): Output {
  const isTerminal = Deno.stdout.isTerminal();
  return {
    style: styleOf(takesColors()),
    width: isTerminal && !isWide ? columns() : Infinity,
    print: (line) => writeAll(Deno.stdout, `${line}\n`),
    warn: (line) => writeAll(Deno.stderr, `${line}\n`),
  };
}

function columns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}

interface Writer {
  writeSync(bytes: Uint8Array): number;
}

/** Writes a text. A reader that has gone, such as head(1), ends the program quietly. */
export function writeAll(to: Writer, text: string | Uint8Array): void {
  const bytes = typeof text === "string"
    ? new TextEncoder().encode(text)
    : text;
  try {
    for (let done = 0; done < bytes.length;) {
      done += to.writeSync(bytes.subarray(done));
    }
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

/** Says what a snapshot lacks, on standard error. */
export function warnOfUnseen(output: Output, unseen: readonly Unseen[]): void {
  for (const { what, count, reason, pids } of unseen) {
    const shown = pids.slice(0, 3).join(", ");
    const more = pids.length > 3 ? ", ..." : "";
    const processes = shown === ""
      ? ""
      : `, ${pids.length > 1 ? "processes" : "process"} ${shown}${more}`;
    const number = count === null ? "" : ` (${count}${processes})`;
    output.warn(`Not seen: ${what}${number}: ${printable(reason)}`);
  }
}
