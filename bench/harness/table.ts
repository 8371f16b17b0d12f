// What is printed: the table on standard output, the progress on standard error.

import type { Figure, Result } from "./results.ts";

const HEADINGS = [
  "case",
  "who",
  "µs",
  "spread",
  "mean",
  "x C",
  "more",
  "ours",
  "p50",
  "p99",
  "longest",
  "uneven",
];

function row(cells: readonly string[]): string {
  const [first, who, ...numbers] = cells;
  const right = numbers.map((number) => number.padStart(8)).join("");
  return `${first!.padEnd(56)}${who!.padEnd(20)}${right}`;
}

/** With a precision that means something. */
function number(value: number): string {
  const magnitude = Math.abs(value);
  return value.toFixed(magnitude < 1 ? 3 : magnitude < 1000 ? 2 : 0);
}

function cellsOf(figure: Figure): string[] {
  return [
    figure.contender,
    number(figure.median),
    `${Math.round(figure.spread * 100)}%`,
    number(figure.mean),
    figure.toFirst.toFixed(2),
    number(figure.more),
    figure.ours?.toFixed(2) ?? "",
    ...answersOf(figure),
  ];
}

function answersOf({ answers }: Figure): string[] {
  if (answers === undefined) return [];
  const { p50, p99, longest, uneven } = answers;
  return [...[p50, p99, longest].map(number), uneven.toFixed(2)];
}

/** The first line of the table. */
export function heading(): string {
  return row(HEADINGS);
}

/** The lines of one case. */
export function lines({ id, unit, figures }: Result): string {
  if (unit !== "µs") id += ` (${unit})`;
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
