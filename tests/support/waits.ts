/** For tests of what waits: some turns, an end in time, an end by abort. */

/** Milliseconds: more than anything takes that ends "at once". */
export const SECOND = 1000;

/** Resolves when the event loop has had a few turns. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** The promise, unless it takes longer than what "at once" may mean. */
export async function soon<T>(
  promise: Promise<T>,
  limit: number = SECOND,
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

/** Aborts now, after a few turns of the event loop, or after a moment of work. */
export function abortSoon(controller: AbortController, round: number): void {
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
