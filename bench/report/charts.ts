// What the charts are: specifications of Vega-Lite.

import type { Figure, Report, Result } from "../harness/results.ts";
import {
  crowdsOf,
  machineName,
  mechanismName,
  objectName,
  ringName,
  sizeName,
  thousands,
  wayName,
} from "./names.ts";

/** A specification of Vega-Lite. */
export type Spec = Record<string, unknown>;

// Okabe and Ito's colours, which the colour-blind can tell apart.
const COLOURS: Record<string, string> = {
  "C": "#4d4d4d",
  "@linux/ipc": "#0072b2",
  "bare FFI": "#56b4e9",
  "bare poll": "#56b4e9",
  "Deno": "#e69f00",
  "Node": "#009e73",
  "Deno stdio": "#d55e00",
  "node:child_process": "#009e73",
  "Worker": "#cc79a7",
};
const WHO = Object.keys(COLOURS);
const INK = "#24292f";
const FAINT = "#6e7781";
const WIDTH = 560;
/** What the chart of rings shows of the kernel. */
const BESIDE_RINGS = new Set(["fifo", "unix-seqpacket", "sysv-queue"]);
const BAR = 14; // pixels, with the gap
const APART = "The processes on two cores";
const THOUSANDS = "thousand messages/s (higher is better)";

/** All charts that there are figures for, by name. */
export function chartsOf(report: Report): Record<string, Spec> {
  const onOneCore = report.results.some(({ placement }) =>
    placement === "one-core"
  );
  const results = report.results.filter(({ placement }) =>
    !onOneCore || placement === "one-core"
  );
  const where = onOneCore
    ? "Both processes on one core"
    : "Both processes placed by the kernel";
  const machine = machineName(report.machine);
  const chart = (title: string, spec: Spec | null): Spec | null =>
    spec && { ...page(title, [where, machine]), ...spec };
  const single = (title: string, spec: Spec | null): Spec | null =>
    spec && { ...page(title, [machine]), ...spec };

  const apart = (title: string, spec: Spec | null): Spec | null =>
    spec && { ...page(title, [APART, machine]), ...spec };

  const all: Record<string, Spec | null> = {
    "latency": chart(
      "Round trip of 64 bytes, both processes blocking",
      latency(results, "sync"),
    ),
    "latency-async": chart(
      "Round trip of 64 bytes, without blocking (C blocks)",
      latency(results, "async"),
    ),
    "throughput": chart(
      "Messages in one direction, both processes blocking",
      throughput(results, "sync"),
    ),
    "throughput-async": chart(
      "Messages in one direction, without blocking (C blocks)",
      throughput(results, "async"),
    ),
    "ratio": chart(
      "How many times as long as C, both processes blocking",
      ratio(results),
    ),
    "rings": apart(
      "Messages in one direction, through rings and through the kernel",
      rings(report.results),
    ),
    "pending": chart(
      "A round trip while others wait in the process",
      pending(results),
    ),
    "many": apart(
      "Many connections, 64 bytes: Unix streams",
      crowd(report.results, "stream", thousands, THOUSANDS, "linear"),
    ),
    "many-seqpacket": apart(
      "Many connections, 64 bytes: Unix seqpacket sockets",
      crowd(report.results, "seqpacket", thousands, THOUSANDS, "linear"),
    ),
    "many-framed": apart(
      "Many connections, 64 bytes: framed messages over Unix streams",
      crowd(report.results, "framed", thousands, THOUSANDS, "linear"),
    ),
    "many-longest": apart(
      "Many connections, 64 bytes: the longest wait for an answer",
      crowd(
        report.results,
        "stream",
        ({ answers }) => answers!.longest / 1000,
        "ms, logarithmic (lower is better)",
        "log",
      ),
    ),
    "waiters": apart(
      "From a post to the answer of one of many waiters",
      waiters(report.results),
    ),
    "import": single(
      "What an import adds to the start of a program",
      imports(report.results),
    ),
  };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, Spec] =>
      entry[1] !== null
    ),
  );
}

/** What all charts have in common. */
function page(title: string, subtitle: string[]): Spec {
  return {
    title: {
      text: title,
      subtitle,
      anchor: "start",
      frame: "bounds",
      offset: 16,
    },
    background: "#ffffff", // so that it can be read on a dark page, too
    padding: 16,
    config: {
      font: "Helvetica, Arial, sans-serif",
      title: {
        fontSize: 16,
        color: INK,
        subtitleFontSize: 11,
        subtitleColor: FAINT,
        subtitlePadding: 6,
      },
      axis: {
        labelFontSize: 12,
        titleFontSize: 12,
        labelColor: INK,
        titleColor: INK,
        titleFontWeight: "normal",
        titlePadding: 10,
        gridColor: "#e5e7ea",
        domainColor: "#afb8c1",
        tickColor: "#afb8c1",
        labelLimit: 0,
      },
      legend: {
        orient: "top",
        title: null,
        labelFontSize: 12,
        labelColor: INK,
        labelLimit: 0,
        columnPadding: 16,
      },
      view: { stroke: null },
    },
  };
}

interface Row {
  readonly label: string;
  readonly who: string;
  readonly value: number;
  readonly text: string;
}

/** As many digits as mean something. */
function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toPrecision(value >= 1 ? 3 : 2);
}

function rowsOf(
  results: readonly Result[],
  valueOf: (result: Result, figure: Figure) => number,
  nameOf: (result: Result) => string = mechanismName,
): Row[] {
  return results.flatMap((result) =>
    result.figures.map((figure) => {
      const value = valueOf(result, figure);
      const label = nameOf(result);
      return { label, who: figure.contender, value, text: digits(value) };
    })
  );
}

/** A bar for each contender, in a group for each label, and a gap between groups. */
function bars(rows: readonly Row[], title: string): Spec | null {
  if (rows.length === 0) return null;
  const groups = Map.groupBy(rows, ({ label }) => label);
  const there = WHO.filter((name) => rows.some(({ who }) => who === name));
  const range = there.map((name) => COLOURS[name]);
  const order = [...groups].flatMap(([label, group], index) => [
    ...(index === 0 ? [] : [label]), // where no bar is
    ...group.map(({ who }) => `${label}/${who}`),
  ]);
  // The label of a group is that of the bar in its middle.
  const names = Object.fromEntries(
    [...groups].map(([label, group]) => {
      const { who } = group[(group.length - 1) >> 1]!;
      return [`${label}/${who}`, label];
    }),
  );
  return {
    width: WIDTH,
    height: { step: BAR },
    data: {
      values: rows.map((row) => ({ ...row, at: `${row.label}/${row.who}` })),
    },
    encoding: {
      y: {
        field: "at",
        type: "nominal",
        title: null,
        scale: { domain: order, paddingInner: 0.15 },
        axis: {
          ticks: false,
          domain: false,
          labelPadding: 8,
          labelExpr: `${JSON.stringify(names)}[datum.value] || ""`,
          labelOverlap: false,
        },
      },
      x: {
        field: "value",
        type: "quantitative",
        title,
        axis: { tickCount: 7 },
      },
    },
    layer: [
      {
        mark: "bar",
        encoding: {
          color: {
            field: "who",
            type: "nominal",
            sort: there,
            scale: { domain: there, range },
            legend: there.length === 1 ? null : {
              symbolType: "square",
              columns: there.length > 5 ? 4 : 5,
            },
          },
        },
      },
      {
        mark: {
          type: "text",
          align: "left",
          baseline: "middle",
          dx: 4,
          fontSize: 10,
          color: INK,
        },
        encoding: { text: { field: "text", type: "nominal" } },
      },
    ],
  };
}

function latency(results: readonly Result[], waiting: string): Spec | null {
  const those = results.filter((one) =>
    one.way === "round-trip" && one.waiting === waiting && one.size <= 64 &&
    one.mechanism !== "pending"
  );
  const rows = rowsOf(those, (_, { median }) => median);
  return bars(rows, "µs for a message and its answer (lower is better)");
}

function throughput(results: readonly Result[], waiting: string): Spec | null {
  return bySize(
    results.filter((one) => one.way === "one-way" && one.waiting === waiting),
    mechanismName,
  );
}

/** Rings in every way of use, and beside them what goes through the kernel. */
function rings(results: readonly Result[]): Spec | null {
  const those = results.filter(({ way, mechanism, waiting, placement }) =>
    way === "one-way" && placement !== "one-core" &&
    (mechanism.startsWith("ring") ||
      BESIDE_RINGS.has(mechanism) && waiting === "sync")
  );
  return those.some(({ mechanism }) => mechanism === "ring")
    ? bySize(those, ringName)
    : null;
}

/** How many small messages a second, and how much of large ones. */
function bySize(
  those: readonly Result[],
  nameOf: (result: Result) => string,
): Spec | null {
  const of = (bytes: number) => those.filter(({ size }) => size === bytes);
  const panels = [
    bars(
      rowsOf(of(64), (_, { median }) => 1 / median, nameOf),
      "64 B: million messages per second (higher is better)",
    ),
    bars(
      rowsOf(of(65536), ({ size }, { median }) => size / median / 1000, nameOf),
      "64 KiB: GB per second (higher is better)",
    ),
  ].filter((panel) => panel !== null);
  return panels.length === 0 ? null : { vconcat: panels, spacing: 32 };
}

/** A row for each way, a point for each size, and a tick for what is possible. */
function ratio(results: readonly Result[]): Spec | null {
  const those = results.filter(({ waiting, mechanism }) =>
    waiting === "sync" && mechanism !== "import"
  );
  const rows = those.flatMap((result) =>
    result.figures.filter(({ contender }) =>
      contender === "@linux/ipc" || contender === "bare FFI"
    ).map(({ contender, toFirst }) => ({
      label: `${mechanismName(result)}, ${wayName(result)}`,
      size: result.size === 0 ? "no message" : sizeName(result.size),
      who: contender,
      value: toFirst,
    }))
  );
  if (rows.length === 0) return null;
  const labels = [...new Set(rows.map(({ label }) => label))];
  const shades = {
    "no message": "#4d4d4d",
    "64 B": "#0072b2",
    "1 KiB": "#e69f00",
    "64 KiB": "#009e73",
  };
  const sizes = Object.keys(shades).filter((name) =>
    rows.some(({ size }) => size === name)
  ) as (keyof typeof shades)[];
  const values = rows.map(({ value }) => value);
  const x = {
    field: "value",
    type: "quantitative",
    title: "times as long as C, logarithmic (lower is better)",
    scale: {
      type: "log",
      base: 2,
      domain: [Math.min(0.95, ...values) * 0.97, Math.max(2, ...values) * 1.05],
      nice: false,
    },
    axis: {
      values: [1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32],
      format: "~g",
    },
  };
  const y = {
    field: "label",
    type: "nominal",
    sort: labels,
    title: null,
    axis: { grid: true, ticks: false, domain: false, labelPadding: 8 },
  };
  return {
    width: WIDTH,
    height: { step: 24 },
    data: { values: rows },
    layer: [
      {
        data: { values: [{ value: 1 }] },
        mark: { type: "rule", color: INK, strokeWidth: 1.5 },
        encoding: { x },
      },
      {
        mark: { type: "point", size: 90, strokeWidth: 2.5, opacity: 1 },
        encoding: {
          x,
          y,
          color: {
            field: "size",
            type: "nominal",
            sort: sizes,
            scale: { domain: sizes, range: sizes.map((size) => shades[size]) },
          },
          shape: {
            field: "who",
            type: "nominal",
            scale: {
              domain: ["@linux/ipc", "bare FFI"],
              range: ["circle", "stroke"],
            },
          },
        },
      },
    ],
  };
}

function pending(results: readonly Result[]): Spec | null {
  const kinds: Record<string, [who: string, colour: string]> = {
    reads: ["reading from pipes", "#0072b2"],
    acquires: ["acquiring POSIX semaphores", "#d55e00"],
  };
  const rows = results.filter(({ mechanism }) => mechanism === "pending")
    .flatMap(({ waiting, figures }) =>
      figures.map(({ contender, median }) => ({
        who: kinds[waiting]![0],
        count: parseInt(contender),
        value: median,
      }))
    );
  const x = "other waits that are pending";
  const y = "µs, logarithmic (lower is better)";
  return lines(rows, Object.fromEntries(Object.values(kinds)), x, y, "log");
}

function waiters(results: readonly Result[]): Spec | null {
  const rows = results.filter(({ mechanism, waiting }) =>
    mechanism === "waiters" && waiting.endsWith("-own")
  ).flatMap((result) =>
    result.figures.map(({ contender, answers }) => ({
      who: objectName(result),
      count: parseInt(contender),
      value: answers!.p50,
    }))
  );
  const names = [...new Set(rows.map(({ who }) => who))];
  const colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];
  return lines(
    rows,
    Object.fromEntries(names.map((name, index) => [name, colours[index]!])),
    "waiters, each for an object of its own",
    "µs, logarithmic (lower is better)",
    "log",
  );
}

/** A figure of all servers, for each number of connections of a kind. */
function crowd(
  results: readonly Result[],
  kind: string,
  valueOf: (figure: Figure) => number,
  y: string,
  scale: "linear" | "log",
): Spec | null {
  const rows = crowdsOf(results, kind).flatMap(({ waiting, figures }) =>
    figures.map((figure) => ({
      who: figure.contender,
      count: parseInt(waiting.split("-")[1]!),
      value: valueOf(figure),
    }))
  );
  return lines(rows, COLOURS, "connections", y, scale);
}

/** A line for each, and a point for each number of what there is many of. */
function lines(
  rows: readonly { who: string; count: number; value: number }[],
  colours: Record<string, string>,
  x: string,
  y: string,
  scale: "linear" | "log",
): Spec | null {
  if (rows.length === 0) return null;
  const there = Object.keys(colours).filter((name) =>
    rows.some(({ who }) => who === name)
  );
  return {
    width: WIDTH,
    height: 280,
    data: { values: rows },
    mark: { type: "line", point: { size: 60 }, strokeWidth: 2 },
    encoding: {
      x: {
        field: "count",
        type: "ordinal",
        title: x,
        axis: { labelAngle: 0 },
      },
      y: {
        field: "value",
        type: "quantitative",
        scale: { type: scale, nice: true },
        title: y,
      },
      color: {
        field: "who",
        type: "nominal",
        sort: null,
        scale: { domain: there, range: there.map((name) => colours[name]) },
      },
      shape: { field: "who", type: "nominal", sort: null },
    },
  };
}

function imports(results: readonly Result[]): Spec | null {
  const rows = results.filter(({ mechanism }) => mechanism === "import")
    .flatMap(({ figures }) =>
      figures.slice(1).map(({ contender, more }) => ({
        label: contender === "mod.ts" ? "@linux/ipc" : `/${contender}`,
        who: "@linux/ipc",
        value: more / 1000,
        text: digits(more / 1000),
      }))
    );
  return bars(rows, "ms more than an empty program (lower is better)");
}
