// The runs of all cases, in an order that is fair to all.

import type { Case, Contender, Mechanism, Player } from "./cases.ts";
import type { Answers, Figure, Placement, Result, Run } from "./results.ts";
import { runPair, type Setting } from "./run.ts";
import { median, pairwise, spread } from "./statistics.ts";

/** Who takes part in a job. */
export interface Entrant {
  readonly name: string;
  /** Whether it is this library. */
  readonly ours: boolean;
  /** Why it cannot take part here, or null. */
  whyNot(): string | null;
  run(setting: Setting): Promise<Run>;
}

/** One case at one place: several who do the same. */
export interface Job extends Omit<Result, "figures"> {
  /** The first is what the others are compared with. */
  readonly entrants: readonly Entrant[];
  /** The program in C that takes part, if one does. */
  readonly program?: string;
  /** How many times as long as others it runs. */
  readonly times?: number;
  /** For short runs: how many there are in a round, and about how long one is. */
  readonly pace?: { readonly repeat: number; readonly milliseconds: number };
}

/** The parts that an id has: what `--only` selects by. */
export function idOf(job: Omit<Result, "id" | "unit" | "figures">): string {
  const { mechanism, way, waiting, size, placement } = job;
  return [mechanism, way, waiting, size, placement].join("/");
}

/** All that there is to do with pairs of processes. */
export function jobsOf(mechanisms: readonly Mechanism[]): Job[] {
  return mechanisms.flatMap((mechanism) =>
    mechanism.cases.flatMap((one) =>
      placementsOf(mechanism, one).map((placement) =>
        jobOf(mechanism, one, placement)
      )
    )
  );
}

/** One process shares no processor. */
function placementsOf(
  { placement }: Mechanism,
  { way }: Case,
): readonly Placement[] {
  if (placement !== undefined) return [placement];
  return way === "alone" ? ["one-core"] : ["one-core", "unpinned"];
}

function jobOf(mechanism: Mechanism, one: Case, placement: Placement): Job {
  const { way, waiting, size } = one;
  const { name, times = 1 } = mechanism;
  const what = { mechanism: name, way, waiting, size, placement };
  const hasC = one.contenders.flatMap(playersOf).some(({ kind }) =>
    kind === "c"
  );
  return {
    ...what,
    id: idOf(what),
    unit: mechanism.unit ?? "µs",
    times,
    entrants: one.contenders.map((contender) => ({
      name: contender.name,
      ours: playersOf(contender).some(({ kind }) => kind === "ours"),
      whyNot: () => whyNot(contender),
      run: (setting) => runPair(mechanism, one, contender, setting),
    })),
    ...(hasC ? { program: name.replaceAll("-", "_") } : {}),
  };
}

function playersOf({ timed, server }: Contender): Player[] {
  return server === null ? [timed] : [timed, server];
}

function whyNot(contender: Contender): string | null {
  const reasons = playersOf(contender).map((player) => player.whyNot?.());
  return reasons.find((reason) => typeof reason === "string") ?? null;
}

/** Measures one case: each round has one run of every entrant. */
export async function measure(
  { entrants, program: _, times: _times, pace, ...what }: Job,
  rounds: number,
  setting: Setting,
  began: (entrant: Entrant, round: number) => void,
): Promise<Result> {
  const runs = entrants.map((): Run[] => []);
  for (let round = 0; round < rounds * (pace?.repeat ?? 1); round++) {
    // Every second round goes backwards, so that none is always the first.
    const order = [...entrants.keys()];
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      const entrant = entrants[index]!;
      setting.signal.throwIfAborted();
      began(entrant, round);
      runs[index]!.push(await entrant.run(setting));
    }
  }
  return { ...what, figures: figuresOf(entrants, runs) };
}

function figuresOf(
  entrants: readonly Entrant[],
  runs: readonly (readonly Run[])[],
): Figure[] {
  const middles = runs.map((those) => those.map(({ middle }) => middle));
  const first = middles[0]!;
  const ours = middles[entrants.findIndex(({ ours }) => ours)];
  return entrants.map(({ name }, index) => {
    const mine = middles[index]!;
    const answers = runs[index]!.flatMap(({ answers }) => answers ?? []);
    return {
      contender: name,
      median: median(mine),
      mean: median(runs[index]!.map(({ mean }) => mean)),
      spread: spread(mine),
      toFirst: pairwise(mine, first, (a, b) => a / b),
      more: pairwise(mine, first, (a, b) => a - b),
      ours: ours === undefined ? null : pairwise(ours, mine, (a, b) => a / b),
      ...(answers.length > 0 ? { answers: together(answers) } : {}),
      runs: runs[index]!,
    };
  });
}

function together(answers: readonly Answers[]): Answers {
  const of = (key: keyof Answers) => answers.map((those) => those[key]);
  return {
    p50: median(of("p50")),
    p99: median(of("p99")),
    longest: Math.max(...of("longest")),
    uneven: Math.max(...of("uneven")),
  };
}
