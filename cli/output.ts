// Where a command writes: standard output, with the width and the colours of a terminal.

import type { Unseen } from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { EXIT, Failure } from "./failure.ts";
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
export function standardOutput(isWide: boolean, ifGone = end): Output {
  const isTerminal = Deno.stdout.isTerminal();
  return {
    style: styleOf(takesColors()),
    width: isTerminal && !isWide ? terminalSize().columns : Infinity,
    print: (line) => writeAll(Deno.stdout, `${line}\n`, ifGone),
    warn,
  };
}

/** Writes a line to standard error. That it cannot be written changes nothing. */
export function warn(line: string): void {
  try {
    writeAll(Deno.stderr, `${line}\n`, () => {});
  } catch {
    // There is nowhere to tell it.
  }
}

/** The present size of the terminal; 80 columns and 24 rows where it does not tell. */
export function terminalSize(): { columns: number; rows: number } {
  try {
    const { columns, rows } = Deno.consoleSize();
    return { columns: columns || 80, rows: rows || 24 };
  } catch {
    return { columns: 80, rows: 24 };
  }
}

interface Writer {
  writeSync(bytes: Uint8Array): number;
}

function end(): void {
  Deno.exit(0);
}

/** Writes a text. A reader that has gone, such as head(1), ends the program by default. */
export function writeAll(
  to: Writer,
  text: string | Uint8Array,
  ifGone = end,
): void {
  const bytes = typeof text === "string"
    ? new TextEncoder().encode(text)
    : text;
  try {
    for (let done = 0; done < bytes.length;) {
      done += to.writeSync(bytes.subarray(done));
    }
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return ifGone();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Failure(EXIT.failed, `Cannot write the output: ${reason}`);
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
