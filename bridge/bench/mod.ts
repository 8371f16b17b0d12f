/**
 * What a bridge costs: messages from one System V queue to another, over a NATS server on
 * this machine, beside a C program that carries them without one.
 *
 * ```sh
 * deno task bench:bridge
 * ```
 */
import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { compile } from "../../tests/support/c.ts";
import { scratch } from "../../tests/support/names.ts";
import { spawn } from "../../tests/support/process.ts";
import { command, NatsServer } from "../tests/support.ts";

const LATENCIES = 1000;
const WARM_UP = 200;

/** Microseconds from the send to the receive of single messages: median and 99th. */
async function latency(
  from: SysvMessageQueue,
  to: SysvMessageQueue,
  size: number,
) {
  const data = new Uint8Array(size);
  const times: number[] = [];
  for (let i = -WARM_UP; i < LATENCIES; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1)); // the queues are idle
    const begun = performance.now();
    from.sendSync(data);
    to.receiveSync();
    if (i >= 0) times.push((performance.now() - begun) * 1000);
  }
  times.sort((a, b) => a - b);
  return [times[LATENCIES / 2]!, times[LATENCIES * 0.99]!].map(Math.round);
}

/** Messages per second, between a sender and a receiver in C. */
async function rate(
  from: SysvMessageQueue,
  to: SysvMessageQueue,
  size: number,
  count: number,
): Promise<number> {
  const flow = await compile(new URL("./flow.c", import.meta.url));
  await using receiver = spawn(flow, {
    args: ["receive", `${to.id}`, `${count}`],
  });
  const begun = performance.now();
  await using _sender = spawn(flow, {
    args: ["send", `${from.id}`, `${count}`, `${size}`],
  });
  await receiver.expect("done");
  return Math.round(count / (performance.now() - begun) * 1000);
}

async function measure(
  name: string,
  from: SysvMessageQueue,
  to: SysvMessageQueue,
  count: number,
) {
  for (const size of [22, 1024, 8192]) {
    const [median, worst] = await latency(from, to, size);
    const all = await rate(from, to, size, count);
    console.log(
      `${name}, ${size} bytes: ${all} messages/s; latency ${median} us, 99% ${worst} us`,
    );
  }
}

using from = SysvMessageQueue.create(null);
using to = SysvMessageQueue.create(null);
try {
  const file = new URL("./relay.c", import.meta.url);
  const args = [`${from.id}`, `${to.id}`];
  {
    await using _relay = spawn(await compile(file), { args });
    await measure("relay in C", from, to, 300_000);
  }
  using directory = scratch();
  await using server = await NatsServer.start(directory.file("js"));
  // The queues are private: a bridge of the command would need keys.
  const bridges = directory.file(
    "bridges.ts",
    `import { incoming, outgoing } from "${new URL(
      "../mod.ts",
      import.meta.url,
    )}";
     import { SysvMessageQueue } from "@linux/ipc/message-queue";
     const options = { server: { servers: "${server.url}" }, state: "${directory.path}" };
     const [, from, to] = Deno.args.map(Number);
     const bridge = Deno.args[0] === "out"
       ? outgoing(SysvMessageQueue.fromId(from), "jobs", options)
       : incoming("jobs", SysvMessageQueue.fromId(to), options);
     await bridge.done;`,
  );
  const [program, [run, ...flags]] = command();
  const config = new URL("../deno.json", import.meta.url).pathname;
  const start = async (direction: string) => {
    const all = [...flags.slice(0, -1), "--config", config, bridges, direction];
    const child = spawn(program, { args: [run!, ...all, ...args] });
    await child.expectError("connected to");
    return child;
  };
  await using _out = await start("out");
  await using _in = await start("in");
  await measure("over NATS", from, to, 30_000);
} finally {
  from.remove();
  to.remove();
}
