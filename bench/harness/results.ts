// The results of a run: the form of the JSON file. It imports nothing, so that the
// reports do not need the code that measures.

/** Whether the two processes share a processor, have one each, or may use any. */
export type Placement = "one-core" | "two-cores" | "unpinned";

/** How long single answers took, in microseconds. */
export interface Answers {
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  /** The most messages of a connection, divided by the fewest of another. */
  readonly uneven: number;
}

/** One run of one contender, in the unit of its case. */
export interface Run {
  /** The middle one of all slices of 10 milliseconds. */
  readonly middle: number;
  /** On average, with what other processes did in between. */
  readonly mean: number;
  readonly answers?: Answers;
}

/** What came out for one contender. */
export interface Figure {
  readonly contender: string;
  /** The median of the runs, in the unit of the case. */
  readonly median: number;
  /** The same of the runs' averages, which other processes add to. */
  readonly mean: number;
  /** From the least to the most, as a part of the median. */
  readonly spread: number;
  /** How many times as much as the first contender, which is C if it takes part. */
  readonly toFirst: number;
  /** How much more than the first contender, in the same unit. */
  readonly more: number;
  /** How many times as much this library takes: below 1 it is ahead. */
  readonly ours: number | null;
  /** The medians of p50 and p99 of the runs, and the worst of the others. */
  readonly answers?: Answers;
  readonly runs: readonly Run[];
}

/** What came out for one case. */
export interface Result {
  readonly id: string;
  readonly mechanism: string;
  readonly way: string;
  /** The bytes of a message; 0 if there is no message. */
  readonly size: number;
  readonly waiting: string;
  readonly placement: Placement;
  /** Microseconds, bytes, or per cent of a processor. */
  readonly unit: "µs" | "B" | "%";
  readonly figures: readonly Figure[];
}

/** What the figures depend on. */
export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly libc: string;
  readonly compiler: string;
  readonly deno: string;
  /** Null if there is no Node.js. */
  readonly node: string | null;
  readonly v8: string;
  /** Processes that wanted to run, on average, in the last minute before. */
  readonly load: number;
}

/** How thorough the figures are. */
export interface Plan {
  readonly rounds: number;
  /** Milliseconds that are not counted: the compiler of V8 is at work. */
  readonly warmup: number;
  /** Milliseconds that are counted. */
  readonly duration: number;
}

/** What could not be measured. */
export interface Skipped {
  /** A case, or a case and a contender. */
  readonly id: string;
  readonly reason: string;
}

/** The whole file. */
export interface Report {
  readonly machine: Machine;
  readonly plan: Plan;
  readonly results: readonly Result[];
  /** What could not be measured here, and why. */
  readonly skipped: readonly Skipped[];
}
