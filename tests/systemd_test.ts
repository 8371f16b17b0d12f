/** What a service says to systemd; listenFds() is tested with the listeners. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { pipe, PipeReader } from "@linux/ipc/pipe";
import {
  ClosedError,
  IpcError,
  sdNotify,
  type SdNotifyOptions,
  sdNotifySync,
  UnixDatagram,
  watchdogTimeout,
} from "@linux/ipc/socket";
import { monotonicIn, timespec } from "../ffi/libc/time.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { runDeno, spawn, succeeds } from "./support/process.ts";
import { turns } from "./support/waits.ts";

const SOCKET = new URL("../ffi/socket.ts", import.meta.url);
const WAIT = { timeout: 20_000 };

/** Sets variables until it is disposed of. */
function variables(set: Record<string, string>): Disposable {
  for (const [name, value] of Object.entries(set)) Deno.env.set(name, value);
  return {
    [Symbol.dispose]() {
      for (const name of Object.keys(set)) Deno.env.delete(name);
    },
  };
}

/** A service manager at an address, and its address in NOTIFY_SOCKET. */
function manager(address: string) {
  const socket = UnixDatagram.create(address, { passCredentials: true });
  const variable = variables({ NOTIFY_SOCKET: address });
  return {
    socket,
    [Symbol.dispose]() {
      socket.close();
      variable[Symbol.dispose]();
    },
  };
}

const textOf = (data: Uint8Array) => new TextDecoder().decode(data);

const FORMS = {
  sdNotify,
  // deno-lint-ignore require-await -- a promise, as the other
  sdNotifySync: async (state: string, options?: SdNotifyOptions) =>
    sdNotifySync(state, options),
};

for (const [form, notify] of Object.entries(FORMS)) {
  for (const kind of ["a path", "an abstract name"]) {
    leakTest(`${form}() reaches a service manager at ${kind}`, async () => {
      using dir = scratch();
      const address = kind === "a path"
        ? dir.file("notify")
        : `@${uniqueName().slice(1)}`;
      using it = manager(address);
      for (
        const state of [
          "READY=1",
          "READY=1\nSTATUS=ä = b\nMAINPID=1\n",
          "WATCHDOG=1",
          "X_OWN=",
          `STATUS=${"x".repeat(4096 - 7)}`,
        ]
      ) {
        assertEquals(await notify(state), true);
        const message = it.socket.receiveSync(WAIT);
        assertEquals(textOf(message.data), state);
        assertEquals(message.credentials?.pid, Deno.pid);
      }
    });
  }

  leakTest(`${form}() stores descriptors`, async () => {
    using dir = scratch();
    using it = manager(dir.file("notify"));
    using ends = pipe();
    const state = "FDSTORE=1\nFDNAME=the pipe";
    await notify(state, { descriptors: [ends.reader, ends.writer] });
    using message = it.socket.receiveSync({ maxDescriptors: 2 });
    assertEquals(textOf(message.data), state);
    assertEquals(message.descriptors.length, 2);
    using reader = PipeReader.fromFd(message.descriptors[0]!.detach());
    ends.writer.writeSync(Uint8Array.of(1)); // it is open here
    assertEquals(reader.readSync(new Uint8Array(8)), 1);
    ends.close();
    await assertRejects(
      () => notify("FDSTORE=1", { descriptors: [ends.reader] }),
      ClosedError,
    );
    const error = await assertRejects(
      () => notify("FDSTORE=1", { descriptors: [99_999] }),
      IpcError,
    );
    assertEquals(error.code, "EBADF");
  });

  leakTest(`${form}() without a service manager`, async () => {
    for (const state of ["READY=1", "BARRIER=1"]) {
      assertEquals(await notify(state), false);
      using _ = variables({ NOTIFY_SOCKET: "" });
      assertEquals(await notify(state), false);
    }
    using dir = scratch();
    for (
      const [address, code] of [
        [dir.file("nothing"), "ENOENT"],
        [`@${uniqueName().slice(1)}`, "ECONNREFUSED"],
      ] as const
    ) {
      using _ = variables({ NOTIFY_SOCKET: address });
      for (const state of ["READY=1", "BARRIER=1"]) {
        const error = await assertRejects(() => notify(state), IpcError);
        assertEquals([error.code, error.subject], [code, address]);
      }
    }
    for (
      const [address, kind] of [
        ["vsock:2:1234", TypeError],
        ["relative", TypeError],
        ["@", TypeError],
        [`/${"x".repeat(5000)}`, RangeError],
      ] as const
    ) {
      using _ = variables({ NOTIFY_SOCKET: address });
      await assertRejects(() => notify("READY=1"), kind);
    }
  });

  leakTest(`${form}() refuses what no service manager takes`, async () => {
    using dir = scratch();
    using it = manager(dir.file("notify"));
    const descriptors = [0];
    for (
      const [state, options, kind] of [
        ["", {}, RangeError],
        ["x".repeat(4097), {}, RangeError],
        ["READY", {}, TypeError],
        ["=1", {}, TypeError],
        ["READY=1\n\nSTATUS=x", {}, TypeError],
        ["STATUS=a\0b", {}, TypeError],
        ["STATUS=\ud800", {}, TypeError],
        [1 as never, {}, TypeError],
        ["BARRIER=1\nREADY=1", {}, TypeError],
        ["READY=1\nBARRIER=1", {}, TypeError],
        ["BARRIER=0", {}, TypeError],
        ["BARRIER=1", { descriptors }, TypeError],
        ["READY=1", { descriptors }, TypeError],
        ["FDSTORE=1", {}, TypeError],
        ["FDSTORE=1", { descriptors: [] }, TypeError],
        ["FDSTORE=1", { descriptors: Array(254).fill(0) }, RangeError],
        ["FDSTORE=1\nFDNAME=a:b", { descriptors }, TypeError],
        ["FDSTORE=1\nFDNAME=ä", { descriptors }, TypeError],
        [`FDSTORE=1\nFDNAME=${"x".repeat(256)}`, { descriptors }, TypeError],
      ] as [string, SdNotifyOptions, typeof TypeError | typeof RangeError][]
    ) {
      await assertRejects(() => notify(state, options), kind);
    }
    assertEquals(it.socket.tryReceive(), undefined);
    await notify(`FDSTORE=1\nFDNAME=${"~".repeat(255)}`, { descriptors });
    it.socket.receiveSync();
  });
}

leakTest(
  "sdNotify() waits at a barrier until the descriptor is closed",
  async () => {
    using dir = scratch();
    using it = manager(dir.file("notify"));
    await sdNotify("READY=1");
    let passed = false;
    const barrier = sdNotify("BARRIER=1").then((told) => passed = told);
    assertEquals(textOf((await it.socket.receive(WAIT)).data), "READY=1");
    {
      using message = await it.socket.receive({ ...WAIT, maxDescriptors: 8 });
      assertEquals(textOf(message.data), "BARRIER=1");
      assertEquals(message.descriptors.length, 1);
      await turns();
      assertEquals(passed, false);
    }
    await barrier;
    assertEquals(passed, true);

    // A service manager that never closes it.
    const options = { timeout: 1 };
    await assertRejects(() => sdNotify("BARRIER=1", options), DOMException);
    assertThrows(() => sdNotifySync("BARRIER=1", options), DOMException);
    const signal = AbortSignal.timeout(1);
    await assertRejects(() => sdNotify("BARRIER=1", { signal }), DOMException);
    for (let i = 0; i < 3; i++) {
      it.socket.receiveSync(WAIT);
    }
  },
);

leakTest("sdNotify() waits while the queue is full", async () => {
  using dir = scratch();
  using it = manager(dir.file("notify"));
  let sent = 0;
  try {
    for (;; sent++) sdNotifySync("WATCHDOG=1", { timeout: 1 });
  } catch (error) {
    assertEquals((error as Error).name, "TimeoutError");
  }
  await assertRejects(() => sdNotify("READY=1", { timeout: 1 }), DOMException);
  const waiting = sdNotify("READY=1");
  await turns();
  for (let i = 0; i < sent; i++) it.socket.receiveSync();
  await waiting;
  assertEquals(textOf(it.socket.receiveSync(WAIT).data), "READY=1");
});

leakTest("sdNotify() keeps the order of the calls", async () => {
  using manages = manager(`@${uniqueName().slice(1)}`);
  const states = Array.from({ length: 40 }, (_, n) => `STATUS=${n}`);
  const controller = new AbortController();
  const { signal } = controller;
  const sending = states.map((state) => sdNotify(state));
  const aborted = sdNotify("STATUS=aborted", { signal });
  await turns();
  assertThrows(
    () => sdNotifySync("STATUS=late", { timeout: 0 }),
    Error,
    "pending",
  );
  controller.abort();
  await assertRejects(() => aborted);
  const last = sdNotify("STATUS=last");
  const received = [];
  while (received.length <= states.length) {
    received.push(textOf((await manages.socket.receive(WAIT)).data));
  }
  assertEquals(received, [...states, "STATUS=last"]);
  await Promise.all([...sending, last]);
});

leakTest("a service notifies its manager, and waits at its end", async () => {
  using dir = scratch();
  using it = manager(dir.file("notify"));
  const script = dir.file(
    "service.ts",
    `import { sdNotify, sdNotifySync, watchdogTimeout } from "${SOCKET}";
     sdNotifySync("READY=1\\nMAINPID=" + Deno.pid);
     await sdNotify("FDSTORE=1\\nFDNAME=input", { descriptors: [0] });
     sdNotifySync("BARRIER=1");
     console.log(watchdogTimeout());`,
  );
  const WATCHDOG_USEC = "1500500";
  const running = runDeno(script, { env: { WATCHDOG_USEC } });
  const states = [];
  for (let i = 0; i < 3; i++) {
    using message = await it.socket.receive({ ...WAIT, maxDescriptors: 1 });
    const { data, descriptors, credentials } = message;
    states.push([textOf(data), descriptors.length, credentials!.pid]);
  }
  const pid = states[0]![2];
  assertEquals(states, [
    [`READY=1\nMAINPID=${pid}`, 0, pid],
    ["FDSTORE=1\nFDNAME=input", 1, pid],
    ["BARRIER=1", 1, pid],
  ]);
  const { stdout, transcript } = await running;
  assertEquals(stdout, "1500.5\n", transcript);
});

leakTest("sdNotify() adds the time to a reload", async () => {
  using dir = scratch();
  using it = manager(dir.file("notify"));
  const now = () => {
    const { tv_sec, tv_nsec } = timespec.decode(monotonicIn(0));
    return Number(tv_sec) * 1e6 + Math.floor(Number(tv_nsec) / 1000);
  };
  const before = now();
  await sdNotify("RELOADING=1\nSTATUS=x");
  const after = now();
  const text = textOf(it.socket.receiveSync().data);
  const [, usec, rest] = /^MONOTONIC_USEC=(\d+)\n([^]*)$/.exec(text)!;
  assertEquals(rest, "RELOADING=1\nSTATUS=x");
  assert(Number(usec) >= before && Number(usec) <= after);
  for (const state of ["RELOADING=1\nMONOTONIC_USEC=7", "RELOADING=0"]) {
    await sdNotify(state);
    assertEquals(textOf(it.socket.receiveSync().data), state);
  }
});

const noSystemdNotify = succeeds("systemd-notify", "--version")
  ? null
  : "no systemd-notify";

leakTest(
  "sdNotify() says what systemd-notify says",
  { needs: [noSystemdNotify] },
  async () => {
    for (const prefix of ["", "@"]) {
      using dir = scratch();
      const address = prefix === "" ? dir.file("notify") : `@${uniqueName()}`;
      using it = manager(address);
      const received = async () => {
        const states = [];
        for (let i = 0; i < 2; i++) {
          using message = await it.socket.receive({
            ...WAIT,
            maxDescriptors: 1,
          });
          states.push([textOf(message.data), message.descriptors.length]);
        }
        return states;
      };
      await using child = spawn("systemd-notify", {
        args: ["--ready", "--status=works"],
        env: { NOTIFY_SOCKET: address },
      });
      const its = await received();
      assertEquals((await child.ended()).code, 0);
      const notifying = (async () => {
        await sdNotify("READY=1\nSTATUS=works");
        await sdNotify("BARRIER=1");
      })();
      assertEquals(await received(), its);
      await notifying;
    }
  },
);

leakTest("watchdogTimeout() reads what systemd sets", () => {
  assertEquals(watchdogTimeout(), undefined);
  for (
    const [WATCHDOG_USEC, WATCHDOG_PID, expected] of [
      ["30000000", `${Deno.pid}`, 30_000],
      ["1", `${Deno.pid}`, 0.001],
      ["30000000", "1", undefined],
    ] as const
  ) {
    using _ = variables({ WATCHDOG_USEC, WATCHDOG_PID });
    assertEquals(watchdogTimeout(), expected);
    assertEquals(watchdogTimeout(), expected); // the variables stay
  }
  for (
    const [WATCHDOG_USEC, WATCHDOG_PID, kind] of [
      ["x", "1", TypeError],
      ["-1", "1", TypeError],
      ["", "1", TypeError],
      ["0", "1", RangeError],
      ["18446744073709551615", "1", RangeError], // infinity
      ["1", "x", TypeError],
      ["1", "0", RangeError],
    ] as const
  ) {
    using _ = variables({ WATCHDOG_USEC, WATCHDOG_PID });
    assertThrows(() => watchdogTimeout(), kind);
  }
});
