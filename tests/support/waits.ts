/** For tests of what waits: some turns, an end in time, an end by abort. */
import { assert, assertStrictEquals } from "@std/assert";
import type { WaitOptions } from "../../ffi/wait/options.ts";

/** Milliseconds. */
export const SECOND = 1000;

/** Resolves when the event loop has had a few turns. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/**
 * The promise, unless it takes so long that it was forgotten: half of the time after
 * which the waiting engine looks again by itself, which no busy machine takes.
 */
export async function soon<T>(
  promise: Promise<T>,
  limit: number = 5 * SECOND,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${limit} ms`)),
      limit,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** `Promise.allSettled()`, with all that a result may have in one type. */
export async function settled(
  promises: Promise<unknown>[],
): Promise<{ status: string; reason?: unknown; value?: unknown }[]> {
  return await Promise.allSettled(promises);
}

/** What an abort races: one thing comes in each round, and is waited for. */
export interface Race<T> {
  /** Waits for it. */
  wait: (options: WaitOptions) => Promise<T>;
  /** Has another process bring it. */
  bring: () => unknown;
  /** Checks what came. */
  check?: (value: T, round: number) => void;
}

const EVERY = 500; // rounds

/**
 * Races aborts against what comes, in so many rounds. What an aborted wait has not
 * taken, the next one has to get. Who is first is luck, but for two rounds of many:
 * one is aborted before anything comes, and one is not aborted at all.
 */
export async function raceAborts<T>(
  rounds: number,
  { wait, bring, check }: Race<T>,
): Promise<void> {
  const ends = { aborted: 0, taken: 0 };
  for (let round = 0; round < rounds; round++) {
    const controller = new AbortController();
    const end = wait({ signal: controller.signal }).then(
      (value) => ({ value }),
      (reason) => void assertStrictEquals(reason, controller.signal.reason),
    );
    if (round % EVERY === 0) {
      controller.abort();
      await end;
    }
    await bring();
    if (round % EVERY > 1) abortSoon(controller, round);
    const taken = await end;
    ends[taken === undefined ? "aborted" : "taken"]++;
    const { value } = taken ?? { value: await wait({ timeout: 20_000 }) };
    check?.(value, round);
  }
  const least = Math.floor(rounds / EVERY);
  const sum = JSON.stringify(ends);
  assert(ends.aborted >= least && ends.taken >= least, sum);
}

/** Aborts now, after a few turns of the event loop, or after a moment of work. */
function abortSoon(controller: AbortController, round: number): void {
  const kind = round % 4;
  if (kind === 0) controller.abort();
  else if (kind === 1) setTimeout(() => controller.abort());
  else if (kind === 2) setImmediate(() => controller.abort());
  else {
    const end = performance.now() + (round % 100) / 200;
    while (performance.now() < end);
    queueMicrotask(() => controller.abort());
  }
}
