/** errno, under pressure: what the runtime does between two calls must not change it. */
import { assertEquals } from "@std/assert";
import { errno } from "../ffi/libc/errno.ts";
import { fcntl } from "../ffi/libc/fcntl.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, sysMman } from "../ffi/libc/sys_mman.ts";
import { unistd } from "../ffi/libc/unistd.ts";
import { inChild } from "./support/child.ts";

const EBADF = 9;
const EINVAL = 22;
const TIMES = 100_000; // of each of two calls
const FLAGS = MAP_PRIVATE | MAP_ANONYMOUS;

Deno.test("errno() is right 200,000 times while garbage is collected", () => {
  const { close } = unistd();
  const { mmap } = sysMman();
  const garbage: unknown[] = [];
  const found = new Map<number, number>();
  const count = () => found.set(errno(), (found.get(errno()) ?? 0) + 1);
  for (let i = 0; i < TIMES; i++) {
    close(-1);
    count();
    garbage[i % 1000] = [{ i }, `${i}`, new Uint8Array(i % 500)];
    mmap(0n, 0n, 0, FLAGS, -1, 0n); // whose result is a bigint: that is garbage, too
    count();
    garbage[(i + 500) % 1000] = BigInt(i) << 70n;
  }
  assertEquals([...found], [[EBADF, TIMES], [EINVAL, TIMES]]);
});

Deno.test("errno() is right while timers and other threads work", async () => {
  const { fcntl: call } = fcntl();
  let wrong = 0;
  let turns = 0;
  const timer = setInterval(() => turns++);
  const end = performance.now() + 200;
  while (performance.now() < end || turns < 5) {
    const digest = crypto.subtle.digest("SHA-256", new Uint8Array(10_000));
    for (let i = 0; i < 1000; i++) {
      call(-1, 1, 0);
      if (errno() !== EBADF) wrong++;
    }
    await digest;
    await new Promise((resolve) => setTimeout(resolve));
  }
  clearInterval(timer);
  assertEquals(wrong, 0);
});

Deno.test("a call that never fails with ENOENT is made again a few times", async () => {
  const answers = await inChild(async () => {
    const { isInterruption } = await import("../ffi/libc/errno.ts");
    const EINTR = 4, ENOENT = 2, EBADF = 9;
    return [EBADF, ENOENT, ENOENT, EINTR, ENOENT, ENOENT, EINTR]
      .map(isInterruption);
  });
  assertEquals(answers, [false, true, true, true, true, false, true]);
});
