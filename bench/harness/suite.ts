// The runs of all cases, in an order that is fair to all.

import type { Case, Contender, Mechanism } from "./cases.ts";
import { type Run, run, type Setting } from "./run.ts";
import { median, ratio, spread } from "./statistics.ts";

/** Whether the two processes share a processor. */
export type Placement = "one-core" | "unpinned";

/** A case, and where it takes place. */
export interface Job {
  /** What `--only` selects by. */
  readonly id: string;
  readonly mechanism: Mechanism;
  readonly one: Case;
  readonly placement: Placement;
}

/** What came out for one pair of peers. */
export interface Figure {
  readonly contender: string;
  /** Microseconds per message or round trip: the median of the runs. */
  readonly median: number;
  /** The same of the runs' averages, which other processes add to. */
  readonly mean: number;
  /** From the least to the most, as a part of the median. */
  readonly spread: number;
  /** How many times as long as C. */
  readonly toC: number;
  /** How many times as long this library takes: below 1 it is ahead. */
  readonly ours: number;
  readonly runs: readonly Run[];
}

/** What came out for one case. */
export interface Result {
  readonly id: string;
  readonly mechanism: string;
  readonly way: string;
  readonly size: number;
  readonly waiting: string;
  readonly placement: Placement;
  readonly figures: readonly Figure[];
}

/** All that there is to do. */
export function jobsOf(mechanisms: readonly Mechanism[]): Job[] {
  return mechanisms.flatMap((mechanism) =>
    mechanism.cases.flatMap((one) =>
      (["one-core", "unpinned"] as const).map((placement) => {
        const { way, waiting, size } = one;
        const parts = [mechanism.name, way, waiting, size, placement];
        return { id: parts.join("/"), mechanism, one, placement };
      })
    )
  );
}

/** Measures one case: each round has one run of every contender. */
export async function measure(
  { id, mechanism, one, placement }: Job,
  rounds: number,
  setting: Setting,
  began: (contender: Contender, round: number) => void,
): Promise<Result> {
  const runs = one.contenders.map((): Run[] => []);
  for (let round = 0; round < rounds; round++) {
    // Every second round goes backwards, so that nobody is always the first.
    const order = [...one.contenders.keys()];
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      const contender = one.contenders[index]!;
      began(contender, round);
      runs[index]!.push(await run(mechanism, one, contender, setting));
    }
  }
  const { way, waiting, size } = one;
  const figures = figuresOf(one.contenders, runs);
  return {
    id,
    mechanism: mechanism.name,
    way,
    size,
    waiting,
    placement,
    figures,
  };
}

function figuresOf(
  contenders: readonly Contender[],
  runs: readonly (readonly Run[])[],
): Figure[] {
  const middles = runs.map((those) => those.map(({ middle }) => middle));
  const of = (kind: string) =>
    middles[contenders.findIndex(({ timed }) => timed.kind === kind)]!;
  return contenders.map(({ name }, index) => ({
    contender: name,
    median: median(middles[index]!),
    mean: median(runs[index]!.map(({ mean }) => mean)),
    spread: spread(middles[index]!),
    toC: ratio(middles[index]!, of("c")),
    ours: ratio(of("ours"), middles[index]!),
    runs: runs[index]!,
  }));
}
