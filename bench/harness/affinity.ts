// Which processor a child runs on. A process inherits it from the thread that
// starts it, so this thread goes there for the moment of the start.

import type { Placement } from "./results.ts";

const MASK_BYTES = 128; // sizeof (cpu_set_t)

const { sched_getaffinity, sched_setaffinity } = Deno.dlopen("libc.so.6", {
  // int sched_getaffinity(pid_t pid, size_t cpusetsize, cpu_set_t *mask)
  sched_getaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int sched_setaffinity(pid_t pid, size_t cpusetsize, const cpu_set_t *mask)
  sched_setaffinity: { parameters: ["i32", "usize", "buffer"], result: "i32" },
}).symbols;

function allowed(): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(MASK_BYTES);
  sched_getaffinity(0, BigInt(MASK_BYTES), mask);
  return mask;
}

function set(mask: Uint8Array<ArrayBuffer>): boolean {
  return sched_setaffinity(0, BigInt(MASK_BYTES), mask) === 0;
}

/** The processors that this process may use. */
function processors(): number[] {
  const mask = allowed();
  const all = Array.from({ length: MASK_BYTES * 8 }, (_, number) => number);
  return all.filter((number) => mask[number >> 3]! & 1 << (number & 7));
}

/** The processors of the two processes; null for any. */
export interface Processors {
  readonly timed: number | null;
  readonly server: number | null;
}

/** The last ones that this process may use: the first has most interrupts. */
export function processorsOf(placement: Placement): Processors {
  if (placement === "unpinned") return { timed: null, server: null };
  const [timed = 0, other = timed] = processors().reverse();
  return { timed, server: placement === "two-cores" ? other : timed };
}

/** Whether processes cannot be placed like this here, and why. */
export function whyNotPlaced(placement: Placement): string | null {
  if (placement === "two-cores" && processors().length < 2) {
    return "there is only one processor";
  }
  try {
    onProcessor(processorsOf(placement).timed, () => {});
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What `start` starts stays on the processor; null leaves it free. */
export function onProcessor<T>(processor: number | null, start: () => T): T {
  if (processor === null) return start();
  const before = allowed();
  const mask = new Uint8Array(MASK_BYTES);
  mask[processor >> 3] = 1 << (processor & 7);
  if (!set(mask)) {
    throw new Error(`sched_setaffinity to processor ${processor} failed`);
  }
  try {
    return start();
  } finally {
    set(before);
  }
}
