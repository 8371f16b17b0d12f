/**
 * The command `ipc-nats`: bridges between queues of this machine and NATS JetStream.
 *
 * ```sh
 * deno run -A jsr:@linux/ipc-nats/cli out --sysv 12345 --subject jobs
 * deno run -A jsr:@linux/ipc-nats/cli in --subject jobs --sysv 12345
 * ```
 *
 * SIGTERM and SIGINT end it: what is on the way is passed on or given back. The exit code is
 * 0 then, 1 if a bridge could not go on, and 2 for a wrong command line.
 *
 * @module
 */

import { sdNotify } from "@linux/ipc/socket";
import type { Bridge } from "./bridge.ts";
import { planOf, start, UsageError } from "./command_line.ts";
import { Progress, totals } from "./progress.ts";

const USAGE = `Usage: ipc-nats out QUEUE --subject SUBJECT [OPTION ...]
       ipc-nats in --subject SUBJECT QUEUE [OPTION ...]
       ipc-nats run FILE

Passes the messages of a queue on to a subject of NATS JetStream (out), and the messages of
a subject on to a queue (in): at least once, and in their order.

QUEUE:
  --sysv KEY             a System V queue, such as 12345 or 0x3039
  --posix /NAME          a POSIX queue
  --listen PATH          out: a socket (seqpacket), to which programs connect and send
  --connect PATH         in: a socket (seqpacket), on which a program listens

  --requests             requests of a System V queue, whose replies come back
  --type N               the type of the requests; 1 by default
  --timeout MS           how long a reply may take; 30000 by default

  --server URL           nats://127.0.0.1:4222 by default, or NATS_URL; several times
  --credentials FILE     or NATS_CREDS; NATS_USER and NATS_PASSWORD, NATS_TOKEN
  --stream NAME          of a stream; else that of the subject, or ipc_SUBJECT
  --existing-stream      the stream must exist: it is not created
  --durable NAME         in: of the consumer, ipc_SUBJECT by default. Bridges with the same
                         name share the messages
  --ack-wait MS          in: when a message is delivered again; 2000 by default
  --window N             messages on the way; 64 by default
  --max-size BYTES       longer messages are set aside
  --max-bytes BYTES      of a stream that is created; 268435456 by default
  --duplicate-window MS  of a stream that is created; 120000 by default
  --mode MODE            of a queue or socket that is created; 600 by default
  --state DIRECTORY      for journals, and messages that are set aside
  --name NAME            of the journal

FILE is JSON: {"server": {...}, "bridges": [{"direction": "out", "sysv": "12345",
"subject": "jobs"}, ...]}, with the options as settings: "maxSize" for --max-size.`;

/** Runs bridges until a signal or an error ends them. Returns the exit code. */
async function run(
  bridges: readonly Bridge[],
  progress: Progress,
): Promise<number> {
  const stop = () =>
    void bridges.map((bridge) => bridge.stop().catch(() => {}));
  Deno.addSignalListener("SIGTERM", stop);
  Deno.addSignalListener("SIGINT", stop);
  progress.start(bridges);
  Promise.all(bridges.map(({ ready }) => ready))
    .then(() => sdNotify("READY=1")).catch(() => {});
  // One that cannot go on ends all, so that the service manager sees it.
  const ends = bridges.map(({ done }) =>
    done.catch((error) => {
      stop();
      throw error;
    })
  );
  const outcomes = await Promise.allSettled(ends);
  progress[Symbol.dispose]();
  for (const bridge of bridges) {
    console.error(`${bridge.name}: ${totals(bridge.counters)}`);
  }
  Deno.removeSignalListener("SIGTERM", stop);
  Deno.removeSignalListener("SIGINT", stop);
  return outcomes.some(({ status }) => status === "rejected") ? 1 : 0;
}

/**
 * Runs the command with these arguments.
 *
 * @param args The arguments.
 * @returns The exit code.
 */
export async function main(args: readonly string[]): Promise<number> {
  if (args.length === 0 || args.includes("--help")) {
    console.log(USAGE);
    return args.length === 0 ? 2 : 0;
  }
  const bridges: Bridge[] = [];
  using progress = new Progress();
  const log = (line: string) => progress.log(line);
  try {
    const { server, bridges: all } = planOf(args);
    for (const settings of all) {
      bridges.push(start(settings, server, log));
    }
    return await run(bridges, progress);
  } catch (error) {
    await Promise.all(bridges.map((bridge) => bridge.stop().catch(() => {})));
    if (!(error instanceof Error)) throw error;
    console.error(error.message);
    const isUsage = error instanceof UsageError ||
      error instanceof RangeError;
    return isUsage ? 2 : 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
