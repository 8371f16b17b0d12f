// How much memory a wait takes.

const COUNT = 1000;

/**
 * Says how many bytes each of many waits adds to the process, and ends it. What a
 * wait is for is made before it is counted.
 */
export async function reportMemory(
  prepare: (index: number) => Promise<() => Promise<unknown>>,
): Promise<never> {
  const waits: (() => Promise<unknown>)[] = [];
  for (let index = 0; index <= COUNT; index++) waits.push(await prepare(index));
  const pending = [waits.pop()!()]; // makes what there is only one of
  const before = await size();
  for (const wait of waits) pending.push(wait());
  const bytes = (await size() - before) / COUNT;
  console.log(`${bytes} ${bytes}`);
  Deno.exit(await Promise.race([...pending, 0]) as number);
}

/** The memory of this process, when it has nothing to do and no garbage. */
async function size(): Promise<number> {
  // The waits begin, and what is done for them in between ends.
  for (let turn = 0; turn < 10; turn++) {
    await new Promise((resolve) => setTimeout(resolve));
    (globalThis as unknown as { gc(): void }).gc();
  }
  return Deno.memoryUsage().rss;
}
