// A service that systemd starts when its first client connects, and that ends by itself
// when none has come for a while. systemd listens all the time, so that no client is
// refused. A lock prevents that a second instance runs, however that was started.
//
//   [Socket]                                  [Service]
//   ListenStream=/run/on_demand               Type=notify
//                                             ExecStart=deno run -A on_demand.ts /run/lock/it

import process from "node:process";
import { File, FileLock } from "@linux/ipc/descriptor";
import { listenFds, sdNotify, UnixListener } from "@linux/ipc/socket";
import { commandLine, interrupt, main } from "./_cli.ts";

const HELP = `Usage: on_demand.ts LOCK [--idle MILLISECONDS]

Serves the clients of a socket that systemd has passed: each gets a line. Try it with
  systemd-socket-activate -l /tmp/socket deno run -A on_demand.ts /tmp/lock
  socat - UNIX-CONNECT:/tmp/socket

Arguments:
  LOCK  the path of a file that keeps other instances out

Options:
  --idle MILLISECONDS  how long to wait for another client (default: 10000)
  --help               show this`;

const IDLE = 10_000; // ms
const encoder = new TextEncoder();

/** The listener that systemd has passed. */
function passedListener(): UnixListener {
  const [passed, ...others] = listenFds();
  if (passed === undefined || others.length > 0) {
    throw new Error(
      "systemd must pass one socket: try systemd-socket-activate",
    );
  }
  return UnixListener.fromFd(passed.fd, { name: passed.name });
}

/** Serves one client after another, until none comes in time or systemd stops it. */
async function serve(listener: UnixListener, idle: number): Promise<number> {
  const signal = interrupt();
  for (let count = 1;; count++) {
    try {
      using client = await listener.accept({ timeout: idle, signal });
      await client.write(encoder.encode(`you are number ${count}\n`));
    } catch (error) {
      const isIdle = error instanceof DOMException &&
        error.name === "TimeoutError";
      if (isIdle || signal.aborted) return count - 1;
      throw error;
    }
  }
}

await main(async () => {
  const line = commandLine(HELP, { values: ["idle"], words: ["LOCK"] });
  const path = line.words[0]!;
  const idle = line.integer("idle") ?? IDLE;
  using file = File.openOrCreate(path);
  const lock = FileLock.of(file);
  using guard = lock.tryLock();
  if (guard === undefined) {
    const pids = lock.holder()?.pids.join(", ");
    throw new Error(`Another instance is running: ${pids || "it ends now"}`);
  }
  using listener = passedListener();
  await sdNotify("READY=1\nSTATUS=Waiting for clients"); // false without systemd
  const count = await serve(listener, idle);
  await sdNotify("STOPPING=1");
  console.log(`served ${count}`);
  process.exit(); // what listens for SIGTERM would keep it alive
});
