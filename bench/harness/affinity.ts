// Which processor a child runs on. A process inherits it from the thread that
// starts it, so this thread goes there for the moment of the start.

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

/** The last processor that this process may use: the first has most interrupts. */
export function lastProcessor(): number {
  const mask = allowed();
  const byte = mask.findLastIndex((bits) => bits !== 0);
  return byte === -1 ? 0 : byte * 8 + 31 - Math.clz32(mask[byte]!);
}

/** Whether processes cannot be pinned here, and why. */
export function whyNotPinned(): string | null {
  try {
    onProcessor(lastProcessor(), () => {});
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
