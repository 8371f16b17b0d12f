// serve: the same in a browser, live. It listens on the loopback interface alone, answers
// only to those who have the random token of its address, and changes nothing.

import { inspect, type IpcSnapshot } from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT } from "./failure.ts";
import { fillOf } from "./fill.ts";
import { timeOf } from "./format.ts";
import { svgOf } from "./graph.ts";
import { type Graph, graphOf } from "./graph_model.ts";
import { kindsOf } from "./objects.ts";
import { standardOutput } from "./output.ts";
import { listenFor } from "./signals.ts";

export const SERVE_USAGE =
  `Usage: ipc serve [KIND ...] [--port N] [--interval SECONDS]

Shows the same live in a browser: the graph, fill levels over time, and a table that can be
filtered. The address, which is printed, has a random token; only this machine can reach it,
and it changes nothing. Ctrl-C ends it. Snapshots are taken only while a page is open.

  --port N            a free one by default
  --interval SECONDS  2 by default, from 0.2`;

const HOST = "127.0.0.1";
const FILES: Record<string, string> = {
  "": "index.html",
  "page.js": "page.js",
  "worker.js": "worker.js",
  "page.css": "page.css",
};
const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};
const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};
// A picture of everything would be too large: these have two ends in one process mostly.
const NOT_DRAWN = ["pipe", "eventfd"];
const MOST_DRAWN = 400; // nodes

/** Runs it. */
export async function serve(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, SERVE_USAGE, {
    values: ["port", "interval"],
    words: ["[KIND ...]"],
  });
  const kinds = kindsOf(line.words);
  const port = line.integer("port", 0, 65535) ?? 0;
  const interval = (line.number("interval", 0.2, 3600) ?? 2) * 1000;
  const token = crypto.getRandomValues(new Uint8Array(24))
    .toBase64({ alphabet: "base64url" });
  const live = new Live(() => inspect({ kinds }), interval);
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  using _listeners = listenFor({ SIGINT: stop, SIGTERM: stop });
  const output = standardOutput(true);
  const server = Deno.serve({
    hostname: HOST,
    port,
    signal: stopped.signal,
    onListen: ({ port }) => output.print(`http://${HOST}:${port}/${token}/`),
    onError: (error) => {
      output.warn(String(error));
      return answer(500, "It failed: see the server's messages");
    },
  }, (request) => handle(request, token, live));
  await server.finished;
  live.end();
  return EXIT.done;
}

function answer(status: number, body: BodyInit, type = "text/plain"): Response {
  return new Response(body, {
    status,
    headers: { ...HEADERS, "content-type": type },
  });
}

/** Answers a request. */
async function handle(
  request: Request,
  token: string,
  live: Live,
): Promise<Response> {
  const { pathname, hostname } = new URL(request.url);
  // A name that another site has made to point here is not this server.
  if (hostname !== HOST && hostname !== "localhost") {
    return answer(403, "There is no such host");
  }
  const prefix = `/${token}/`;
  if (!pathname.startsWith(prefix)) return answer(404, "Not found");
  if (request.method !== "GET") return answer(405, "Only GET");
  const name = pathname.slice(prefix.length);
  if (name === "events") return answer(200, live.events(), "text/event-stream");
  if (name === "graph.svg") return await live.picture();
  const file = Object.hasOwn(FILES, name) ? FILES[name]! : undefined;
  if (file === undefined) return answer(404, "Not found");
  const asset = await fetch(import.meta.resolve(`./page/${file}`));
  const type = TYPES[file.slice(file.lastIndexOf(".") + 1)]!;
  return answer(200, await asset.bytes(), type);
}

/** The snapshots, taken while there is a page to show them. */
class Live {
  readonly #take: () => IpcSnapshot;
  readonly #interval: number;
  readonly #pages = new Set<ReadableStreamDefaultController<Uint8Array>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What pages got last; undefined while none is open. */
  #last: Uint8Array | undefined;
  #graph: Graph = { nodes: [], edges: [] };
  #drawn: { key: string; svg: Promise<string> } | undefined;

  constructor(take: () => IpcSnapshot, interval: number) {
    this.#take = take;
    this.#interval = interval;
  }

  /** The events of a page that is opened. */
  events(): ReadableStream<Uint8Array> {
    let own: ReadableStreamDefaultController<Uint8Array>;
    return new ReadableStream({
      start: (controller) => {
        own = controller;
        this.#pages.add(own);
        // One that comes between two snapshots takes none of its own.
        if (this.#last === undefined) this.#tick();
        else own.enqueue(this.#last);
      },
      cancel: () => {
        this.#pages.delete(own);
      },
    });
  }

  /** Ends all. */
  end(): void {
    clearTimeout(this.#timer);
    for (const page of this.#pages) page.close();
    this.#pages.clear();
  }

  /** The present graph, drawn once. */
  async picture(): Promise<Response> {
    const key = keyOf(this.#graph);
    if (this.#drawn?.key !== key) {
      this.#drawn = { key, svg: svgOf(this.#graph) };
    }
    return answer(200, await this.#drawn.svg, TYPES.svg);
  }

  /** The present snapshot, or why there is none: the next one may succeed. */
  #message(): unknown {
    try {
      const snapshot = this.#take();
      this.#graph = pictureOf(snapshot);
      return messageOf(snapshot, keyOf(this.#graph));
    } catch (error) {
      return { error: `No snapshot: ${printable(String(error))}` };
    }
  }

  #tick(): void {
    this.#last = undefined;
    if (this.#pages.size === 0) return;
    const text = JSON.stringify(this.#message());
    this.#last = new TextEncoder().encode(`data: ${text}\n\n`);
    for (const page of this.#pages) {
      // A page that does not read gets the next snapshot, not all of them.
      if ((page.desiredSize ?? 0) > -4) page.enqueue(this.#last);
    }
    this.#timer = setTimeout(() => this.#tick(), this.#interval);
  }
}

/** The graph of a page. */
function pictureOf(snapshot: IpcSnapshot): Graph {
  const objects = snapshot.objects.filter(({ kind }) =>
    !NOT_DRAWN.includes(kind)
  );
  const graph = graphOf({ ...snapshot, objects }, {
    isAll: false,
    pid: undefined,
  });
  if (graph.nodes.length <= MOST_DRAWN) return graph;
  const lines = [`${graph.nodes.length} nodes are too many for a picture`];
  const note = { id: "note", isProcess: false, lines, state: "idle" };
  return { nodes: [note], edges: [] };
}

/** Differs when the picture differs. */
function keyOf(graph: Graph): string {
  let hash = 0n;
  for (const character of JSON.stringify(graph)) {
    hash = BigInt.asUintN(
      64,
      (hash ^ BigInt(character.codePointAt(0)!)) * 0x100000001b3n,
    );
  }
  return hash.toString(36);
}

/** What a page gets of a snapshot. */
function messageOf(snapshot: IpcSnapshot, graph: string) {
  const { time, objects, processes, deadlocks, unseen } = snapshot;
  const holder = (pid: number) =>
    `${pid} ${printable(processes.get(pid)?.name ?? "?")}`;
  return {
    time: timeOf(time),
    processes: processes.size,
    graph,
    deadlocks: deadlocks.map(({ pids }) =>
      `deadlock of ${pids.map(holder).join(", ")}`
    ),
    unseen: unseen.map(({ what, reason }) => `${what}: ${printable(reason)}`),
    objects: objects.map((object) => ({
      ref: printable(object.ref),
      kind: object.kind,
      name: printable(object.name),
      state: object.verdict.state,
      certain: object.verdict.certain,
      reason: object.verdict.reason,
      fill: fillOf(object),
      holders: object.holders.map(({ pid }) => holder(pid)),
    })),
  };
}
