// What is printed: the table on standard output, the progress on standard error.

import type { Figure, Result } from "./suite.ts";

const HEADINGS = ["case", "who", "µs", "spread", "mean", "x C", "ours"];

function row(cells: readonly string[]): string {
  const [first, who, ...numbers] = cells;
  const right = numbers.map((number) => number.padStart(8)).join("");
  return `${first!.padEnd(54)}${who!.padEnd(12)}${right}`;
}

function cellsOf(figure: Figure): string[] {
  return [
    figure.contender,
    figure.median.toFixed(2),
    `${Math.round(figure.spread * 100)}%`,
    figure.mean.toFixed(2),
    figure.toC.toFixed(2),
    figure.ours.toFixed(2),
  ];
}

/** The first line of the table. */
export function heading(): string {
  return row(HEADINGS);
}

/** The lines of one case. */
export function lines({ id, figures }: Result): string {
  return figures
    .map((figure, index) => row([index === 0 ? id : "", ...cellsOf(figure)]))
    .join("\n");
}

/** Tells what is going on: at a terminal in one line that changes. */
export class Progress {
  readonly #terminal = Deno.stderr.isTerminal();

  /** Another job begins. */
  job(text: string): void {
    this.#print(this.#terminal ? `\r\x1b[K${text}` : `${text}\n`);
  }

  /** Another run of the job begins. */
  run(text: string): void {
    if (this.#terminal) this.job(text);
  }

  /** Makes room for the table. */
  clear(): void {
    this.run("");
  }

  #print(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}
