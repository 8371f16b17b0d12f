// What has flowed: on a terminal a line for each bridge, refreshed in place, below what the
// bridges say.

import type { Bridge, BridgeCounters } from "./bridge.ts";

const REFRESH = 1000; // ms
const END_OF_SCREEN = "\x1b[J";

/** Counters in words. */
export function totals(
  { messages, bytes, inHand, dropped, aside, stalls }: BridgeCounters,
): string {
  const all = [`${messages} messages`, `${bytes} bytes`];
  if (inHand > 0) all.push(`${inHand} on the way`);
  if (dropped > 0) all.push(`${dropped} dropped`);
  if (aside > 0) all.push(`${aside} set aside`);
  if (stalls > 0) all.push(`${stalls} stalls`);
  return all.join(", ");
}

/** The lines at the end of the terminal; without one, only what the bridges say. */
export class Progress implements Disposable {
  readonly #bridges: Bridge[] = [];
  readonly #before = new Map<Bridge, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #shown = 0; // lines

  /** Begins to show these bridges. */
  start(bridges: readonly Bridge[]): void {
    if (!Deno.stdout.isTerminal()) return;
    this.#bridges.push(...bridges);
    this.#timer = setInterval(() => this.#refresh(), REFRESH);
    this.#refresh();
  }

  /** Says something, above the lines. */
  log(line: string): void {
    this.#clear();
    console.error(line);
    this.#show();
  }

  /** Ends it, and leaves the last lines there. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#shown = 0;
    this.#bridges.length = 0;
  }

  #refresh(): void {
    this.#clear();
    this.#show();
    for (const bridge of this.#bridges) {
      this.#before.set(bridge, bridge.counters.messages);
    }
  }

  #clear(): void {
    if (this.#shown > 0) write(`\x1b[${this.#shown}A${END_OF_SCREEN}`);
    this.#shown = 0;
  }

  #show(): void {
    const { columns } = this.#bridges.length > 0
      ? Deno.consoleSize()
      : { columns: 80 };
    for (const bridge of this.#bridges) {
      const { counters, name } = bridge;
      const rate = counters.messages - (this.#before.get(bridge) ?? 0);
      const flow = counters.connected ? `${rate}/s` : "not connected";
      const line = `${name}: ${flow}, ${totals(counters)}`;
      write(`${line.slice(0, columns - 1)}\n`);
      this.#shown++;
    }
  }
}

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
