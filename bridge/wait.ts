// Waiting for a time, which ends early.

/** Waits so long, or until the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, ms);
  signal.addEventListener("abort", end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}

/** Waits for a promise, so long at most, or until the signal is aborted. */
export async function within(
  promise: Promise<unknown>,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const end = signal === undefined
    ? over.signal
    : AbortSignal.any([signal, over.signal]);
  await Promise.race([promise, pause(ms, end)]);
  over.abort();
}
