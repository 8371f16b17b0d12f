/** Two machines with C programs, bridges and a server that are killed. */
import { assertEquals, assertMatch } from "@std/assert";
import { leakTest } from "../../tests/support/leaks.ts";
import { scratch } from "../../tests/support/names.ts";
import type { Child } from "../../tests/support/process.ts";
import { rounds } from "../../tests/support/rounds.ts";
import { peerProgram } from "../../tests/interop/peers.ts";
import {
  Machine,
  NatsServer,
  noCompiler,
  noMachines,
  noServer,
  program,
} from "./support.ts";

const needs = [noServer, noMachines, noCompiler];
const KEY = "12345"; // of a machine of its own

/** Both sides of a bridge: what is started again when it was killed. */
class Line implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #args: string[];
  #child: Child | undefined;

  constructor(machine: Machine, ...args: string[]) {
    this.#machine = machine;
    this.#args = args;
  }

  async start(): Promise<void> {
    this.#child = await this.#machine.bridge(...this.#args);
  }

  /** Starts it, whether or not there is a server. */
  async kill(): Promise<void> {
    this.#child!.kill("SIGKILL");
    await this.#child!.ended();
    await this.#child![Symbol.asyncDispose]();
  }

  /** Ends it as a service manager does. Returns what it says then. */
  async stop(): Promise<string> {
    this.#child!.kill("SIGTERM");
    const { code, stderr, transcript } = await this.#child!.ended();
    assertEquals(code, 0, transcript);
    return stderr;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }
}

/** The outgoing and the incoming side. */
function lines(a: Machine, b: Machine, url: string, directory: string) {
  const common = ["--subject", "jobs", "--sysv", KEY, "--server", url];
  return [
    new Line(a, "out", ...common, "--state", `${directory}/a`),
    new Line(b, "in", ...common, "--state", `${directory}/b`),
  ] as const;
}

leakTest(
  "the sender of one machine, the receiver of another",
  { needs, limit: 60_000 },
  async () => {
    using directory = scratch();
    await using server = await NatsServer.start(directory.file("js"));
    await using here = await Machine.start();
    await using there = await Machine.start();
    const [out, into] = lines(here, there, server.url, directory.path);
    await using _out = out;
    await using _in = into;
    await Promise.all([out.start(), into.start()]);
    await using receiver = there.spawn(await peerProgram("sysv_queue_reader"));
    await using sender = here.spawn(await peerProgram("sysv_queue_writer"));
    assertEquals((await sender.ended()).stdout, "message sent\n");
    assertEquals((await receiver.ended()).stdout, "name : ghkim, age :80\n");
    assertMatch(await out.stop(), /-> jobs: 1 messages, 22 bytes/);
    assertMatch(await into.stop(), /: 1 messages, 22 bytes/);
  },
);

/** What is killed in each round. */
const VICTIMS = ["out", "in", "server", "all"] as const;

async function killAll(
  victim: (typeof VICTIMS)[number],
  out: Line,
  into: Line,
  server: NatsServer,
): Promise<void> {
  const isHit = (name: string) => victim === name || victim === "all";
  await Promise.all([
    isHit("server") && server.end(),
    isHit("out") && out.kill(),
    isHit("in") && into.kill(),
  ]);
  if (isHit("server")) await server.start();
  await Promise.all([
    isHit("out") && out.start(),
    isHit("in") && into.start(),
  ]);
}

leakTest(
  "nothing is lost, and the order is kept, when bridges and the server are killed",
  { needs, soak: "also", limit: 600_000 },
  async () => {
    const kills = rounds(4, 24);
    const count = rounds(8_000, 100_000);
    const TYPES = 3;
    using directory = scratch();
    await using server = await NatsServer.start(directory.file("js"));
    await using here = await Machine.start();
    await using there = await Machine.start();
    const [out, into] = lines(here, there, server.url, directory.path);
    await using _out = out;
    await using _in = into;
    await Promise.all([out.start(), into.start()]);
    const args = [KEY, `${count}`, `${TYPES}`];
    await using receiver = there.spawn(await program("receive_numbers"), args);
    await receiver.expect("up\n");
    await using sender = here.spawn(await program("send_numbers"), args);
    for (let i = 0; i < kills && receiver.alive; i++) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
      await killAll(VICTIMS[i % VICTIMS.length]!, out, into, server);
    }
    assertEquals((await sender.ended()).stdout, `sent ${count}\n`);
    const { stdout, transcript } = await receiver.ended();
    assertMatch(stdout, /missing 0, torn 0/, transcript);
    console.log(stdout.trim());
    await out.stop();
    await into.stop();
  },
);
