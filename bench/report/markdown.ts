// Tables of Markdown, made from the figures.

import type { Figure, Report, Result } from "../harness/results.ts";
import { median } from "../harness/statistics.ts";
import {
  crowdsOf,
  machineName,
  mechanismName,
  objectsName,
  sizeName,
  thousands,
  wayName,
} from "./names.ts";

const WAITING: Record<string, string> = {
  "sync": "Both blocking",
  "async": "Neither blocking its thread (C blocks)",
  "async-with-c": "Not blocking its thread, and a C program answers",
};
const KINDS: Record<string, string> = {
  "stream": "Unix streams",
  "seqpacket": "Unix seqpacket sockets",
  "framed": "framed messages over Unix streams",
};
const PLACEMENTS: Record<string, string> = {
  "one-core": "both processes on one core",
  "unpinned": "both processes where the kernel places them",
};

/** What users of rings do, who poll instead of sleeping. */
const POLLING = [
  { waiting: /^spin$/, title: "Rings, polling" },
  { waiting: /^batch$/, title: "Rings, polling, 16 messages at a time" },
  {
    waiting: /-receivers$/,
    title: "Broadcasts, for each message of the producer",
  },
];

/** All figures. */
export function markdownOf(report: Report): string {
  const { machine, plan, results } = report;
  const { rounds, warmup, duration } = plan;
  const parts = [
    `${machineName(machine)}.`,
    `${rounds} rounds of ${duration} ms, after ${warmup} ms that do not count. ` +
    `Half of the figures have a spread below ${typicalSpread(results)} %.`,
  ];
  const add = (title: string, those: readonly Result[], table: Table) => {
    if (those.length > 0) parts.push(`### ${title}`, table(those));
  };
  const messages = results.filter(({ way, waiting }) =>
    way !== "alone" && waiting in WAITING
  );
  for (const [placement, where] of Object.entries(PLACEMENTS)) {
    for (const [waiting, how] of Object.entries(WAITING)) {
      const those = messages.filter((one) =>
        one.placement === placement && one.waiting === waiting
      );
      add(`${how}, ${where}`, those, compared("µs"));
    }
  }
  const of = (name: string) =>
    results.filter(({ mechanism }) => mechanism === name);
  for (const { waiting, title } of POLLING) {
    const those = results.filter((one) => waiting.test(one.waiting));
    add(title, those, compared("µs"));
  }
  const lonely = results.filter(({ way, mechanism, unit }) =>
    way === "alone" && mechanism !== "import" && unit === "µs"
  );
  add("Uncontended", lonely, compared("ns"));
  for (const [kind, name] of Object.entries(KINDS)) {
    add(`Many connections: ${name}`, crowdsOf(results, kind), crowds);
  }
  add("While others wait", of("pending"), listed("µs", 1));
  add("One of many waiters", of("waiters"), waiters);
  add("Processor time of pending waits", of("waiters-cpu"), listed("%", 1));
  add("Memory of a pending read", of("pending-memory"), listed("bytes", 1));
  add("Import", of("import"), listed("ms", 1000));
  return parts.join("\n\n") + "\n";
}

function typicalSpread(results: readonly Result[]): string {
  const spreads = results.flatMap(({ figures }) =>
    figures.map(({ spread }) => spread)
  );
  return spreads.length === 0 ? "0" : (median(spreads) * 100).toFixed(0);
}

type Table = (results: readonly Result[]) => string;

/** A row for each case, and a column for each contender. */
function compared(unit: "µs" | "ns"): Table {
  const factor = unit === "ns" ? 1000 : 1;
  return (results) => {
    const names = new Set(
      results.flatMap(({ figures }) =>
        figures.map(({ contender }) => contender)
      ),
    );
    names.delete("C");
    names.delete("@linux/ipc");
    const head = [unit, "size", "C", "@linux/ipc", "x C", ...names];
    const rows = results.map((result) => {
      const of = (name: string) =>
        result.figures.find(({ contender }) => contender === name);
      const value = (name: string) => {
        const figure = of(name);
        return figure === undefined ? "" : digits(figure.median * factor);
      };
      return [
        `${mechanismName(result)}, ${nameOf(result)}`,
        result.size === 0 ? "" : sizeName(result.size),
        value("C"),
        value("@linux/ipc"),
        of("@linux/ipc")?.toFirst.toFixed(2) ?? "",
        ...[...names].map(value),
      ];
    });
    return align([head, ...rows]);
  };
}

function nameOf(result: Result): string {
  const { way, waiting } = result;
  if (/-receivers$/.test(waiting)) return waiting.replace("-", " ");
  return way === "alone" ? waiting : wayName(result);
}

/** A row for each contender and number of connections. */
function crowds(results: readonly Result[]): string {
  return align([
    [
      "connections",
      "server",
      "thousand/s",
      "times C's",
      "p50, µs",
      "p99, µs",
      "longest, ms",
      "most/fewest",
    ],
    ...results.flatMap(({ waiting, figures }) =>
      figures.map((figure) => {
        const { p50, p99, longest, uneven } = figure.answers!;
        return [
          waiting.split("-")[1]!,
          figure.contender,
          digits(thousands(figure)),
          (1 / figure.toFirst).toFixed(2),
          digits(p50),
          digits(p99),
          digits(longest / 1000),
          uneven.toFixed(2),
        ];
      })
    ),
  ]);
}

/** A row for each kind of object and number of waiters. */
function waiters(results: readonly Result[]): string {
  return align([
    [
      "for",
      "waiters",
      "p50, µs",
      "times the first",
      "p99, µs",
      "longest, ms",
    ],
    ...results.flatMap((result) =>
      result.figures.map(({ contender, answers, toFirst }) => [
        objectsName(result),
        `${parseInt(contender)}`,
        digits(answers!.p50),
        toFirst.toFixed(2),
        digits(answers!.p99),
        digits(answers!.longest / 1000),
      ])
    ),
  ]);
}

/** A row for each contender. */
function listed(unit: string, divisor: number): Table {
  return (results) =>
    align([
      ["", unit, "more than the first"],
      ...results.flatMap((result) =>
        result.figures.map((figure: Figure, index) => [
          labelOf(result, figure),
          digits(figure.median / divisor),
          index === 0 ? "" : digits(figure.more / divisor),
        ])
      ),
    ]);
}

function labelOf(result: Result, { contender }: Figure): string {
  const { mechanism, waiting, placement } = result;
  if (mechanism === "waiters-cpu") {
    return `${contender} (${objectsName(result)})`;
  }
  if (mechanism !== "pending") return contender;
  return `${contender} (${waiting}, ${placement})`;
}

/** As many digits as mean something. */
function digits(value: number): string {
  const magnitude = Math.abs(value);
  return value.toFixed(magnitude < 1 ? 3 : magnitude < 100 ? 2 : 0);
}

/** A table, as deno fmt has it. */
function align([head, ...rows]: readonly string[][]): string {
  const widths = head!.map((_, column) =>
    Math.max(3, ...[head!, ...rows].map((row) => row[column]!.length))
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at]!)).join(" | ")} |`;
  const dashes = widths.map((width) => "-".repeat(width));
  return [line(head!), line(dashes), ...rows.map(line)].join("\n");
}
