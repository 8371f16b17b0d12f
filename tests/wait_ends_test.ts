/**
 * Every kind of wait ends as it was told to, at whatever moment: with the program in
 * the middle of many deliveries, without a free descriptor, after years, and with
 * signals that are none.
 *
 * In children: what goes wrong here ends a process, or blocks it for ever.
 */
import { assertEquals } from "@std/assert";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";

/** What each kind of wait ended with. */
type Ends = Record<string, string>;

/** The same end for all the kinds that a child told. */
function assertAll(ends: Ends, expected: string): void {
  const others = Object.entries(ends).filter(([, end]) => end !== expected);
  assertEquals(Object.fromEntries(others), {});
}

const SECONDS = 1000;

for (const how of ["close", "abort"] as const) {
  const expected = how === "close" ? "ClosedError" : "AbortError";
  leakTest(
    `waits end by ${how} in the same tick, after any number of deliveries`,
    { limit: 120 * SECONDS },
    async () => {
      const ends = await inChild(async (how: string): Promise<Ends> => {
        const { endOf, KINDS } = await import("./support/pending.ts");
        const ends: Ends = {};
        for (const [name, make] of Object.entries(KINDS)) {
          // Of so many deliveries one yields to the event loop, where this happens.
          for (let count = 60; count < 68; count++) {
            const kind = make();
            for (let n = 0; n < count; n++) await kind.quick();
            const controller = new AbortController();
            const { signal } = controller;
            const waiting = kind.wait({ signal });
            if (how === "close") kind.close();
            else controller.abort();
            const end = await endOf(waiting);
            ends[name] ??= end;
            if (end !== ends[name]) ends[name] += `, ${end}`;
            kind.dispose();
          }
        }
        return ends;
      }, { argument: how, limit: 110 * SECONDS });
      assertAll(ends, expected);
    },
  );

  leakTest(
    `waits end by ${how} while they wait`,
    { limit: 120 * SECONDS },
    async () => {
      const ends = await inChild(async (how: string): Promise<Ends> => {
        const { endOf, KINDS } = await import("./support/pending.ts");
        const ends: Ends = {};
        await Promise.all(
          Object.entries(KINDS).map(async ([name, make], index) => {
            const kind = make();
            const controller = new AbortController();
            const waiting = kind.wait({ signal: controller.signal });
            setTimeout(() => {
              if (how === "close") kind.close();
              else controller.abort();
            }, 30 + index);
            ends[name] = await endOf(waiting);
            kind.dispose();
          }),
        );
        return ends;
      }, { argument: how, limit: 60 * SECONDS });
      assertAll(ends, expected);
    },
  );
}

leakTest(
  "waits end when no descriptor is free, and the program ends",
  { limit: 120 * SECONDS },
  async () => {
    const ends = await inChild(async (): Promise<Ends> => {
      const { endOf, KINDS } = await import("./support/pending.ts");
      const { sysEventfd } = await import("../ffi/libc/sys_eventfd.ts");
      const { unistd } = await import("../ffi/libc/unistd.ts");
      const ends: Ends = {};
      // Deno opens descriptors for signals at its first need, and panics without them.
      const nothing = () => {};
      Deno.addSignalListener("SIGUSR2", nothing);
      Deno.removeSignalListener("SIGUSR2", nothing);
      await new Promise((resolve) => setTimeout(resolve, 1)); // the runtime's own
      // So does a thread of Bun as it starts: two are there before, and free each time.
      const { blockedCalls } = await import("../ffi/wait/pool.ts");
      const { sleepingWords } = await import("../ffi/wait/futexes.ts");
      const calls = () => blockedCalls() + sleepingWords();
      const until = async (holds: () => boolean) => {
        while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
      };
      const first = [
        KINDS["PosixSemaphore.acquire"]!(),
        KINDS["SysvSemaphoreSet.operate"]!(),
      ];
      const waits = first.map((kind) => endOf(kind.wait()));
      await until(() => calls() === 2);
      for (const kind of first) kind.close();
      await Promise.all(waits);
      for (const kind of first) kind.dispose();
      for (const [name, make] of Object.entries(KINDS)) {
        await until(() => calls() === 0);
        if (name.startsWith("Fifo") || name === "UnixListener.accept") continue;
        const kind = make();
        const controller = new AbortController();
        const ending = endOf(kind.wait({ signal: controller.signal }));
        await new Promise((resolve) => setTimeout(resolve, 20));
        const filled = [];
        for (;;) {
          const fd = sysEventfd().eventfd(0, 0);
          if (fd === -1) break;
          filled.push(fd);
        }
        controller.abort();
        ends[name] = await ending;
        for (const fd of filled) unistd().close(fd);
        kind.dispose();
      }
      return ends;
    }, {
      wrapper: ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"],
      limit: 60 * SECONDS,
    });
    assertAll(ends, "AbortError");
  },
);

leakTest(
  "waits end after a timeout of more than 2^31 milliseconds, and not before",
  { limit: 120 * SECONDS },
  async () => {
    const ends = await inChild(async (): Promise<Ends> => {
      // A month takes a fifth of a second.
      const SPEED = 1e7;
      const now = performance.now.bind(performance);
      const timer = globalThis.setTimeout;
      performance.now = () => now() * SPEED;
      globalThis.setTimeout = ((callback: () => void, ms = 0) =>
        timer(callback, ms / SPEED)) as typeof setTimeout;
      const { endOf, KINDS } = await import("./support/pending.ts");
      const ends: Ends = {};
      const timeout = 2 ** 31 * 1.5;
      await Promise.all(
        Object.entries(KINDS).map(async ([name, make]) => {
          const kind = make();
          const begun = performance.now();
          const end = await endOf(kind.wait({ timeout }));
          const elapsed = performance.now() - begun;
          ends[name] = elapsed < timeout ? "early" : end;
          kind.dispose();
        }),
      );
      return ends;
    }, { limit: 60 * SECONDS });
    assertAll(ends, "TimeoutError");
  },
);

leakTest("waits refuse a signal that is no AbortSignal", async () => {
  const ends = await inChild(async (): Promise<Ends> => {
    const { endOf, KINDS } = await import("./support/pending.ts");
    const ends: Ends = {};
    const fakes = [
      { aborted: false, addEventListener() {} },
      Object.create(new AbortController().signal), // has one as its prototype
      Object.create(AbortSignal.prototype),
    ] as AbortSignal[];
    for (const [name, make] of Object.entries(KINDS)) {
      for (const [index, signal] of fakes.entries()) {
        const kind = make();
        ends[`${name} ${index}`] = await endOf(kind.wait({ signal }));
        kind.dispose();
      }
    }
    return ends;
  });
  assertAll(ends, "TypeError");
});

leakTest(
  "waits believe the signal, not the properties that were put on it",
  async () => {
    const ends = await inChild(async (): Promise<Ends> => {
      const { endOf, KINDS } = await import("./support/pending.ts");
      const ends: Ends = {};
      for (const [name, make] of Object.entries(KINDS)) {
        const kind = make();
        const controller = new AbortController();
        const { signal } = controller;
        Object.defineProperties(signal, {
          aborted: { get: () => false },
          addEventListener: { value: () => {} },
          throwIfAborted: { value: () => {} },
        });
        const waiting = kind.wait({ signal });
        signal.dispatchEvent(new Event("abort")); // it is not aborted
        setTimeout(() => controller.abort(), 20);
        ends[name] = await endOf(waiting);
        kind.dispose();
      }
      return ends;
    }, { limit: 60 * SECONDS });
    assertAll(ends, "AbortError");
  },
);
