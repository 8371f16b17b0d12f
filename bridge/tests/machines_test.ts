/** Two machines with C programs; bridges and a server that are killed. */
import { assertEquals, assertMatch } from "@std/assert";
import { peerProgram } from "../../tests/interop/peers.ts";
import { leakTest } from "../../tests/support/leaks.ts";
import { scratch } from "../../tests/support/names.ts";
import type { Child } from "../../tests/support/process.ts";
import { rounds } from "../../tests/support/rounds.ts";
import {
  Machine,
  NatsServer,
  noCompiler,
  noMachines,
  noServer,
  program,
} from "./support.ts";

const needs = [noServer, noMachines, noCompiler];

/** A bridge of a machine, which is started again when it was killed. */
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

/** Two machines, a server between them, and both sides of a bridge. */
class Route implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  server!: NatsServer;
  here!: Machine;
  there!: Machine;
  out!: Line;
  into!: Line;

  static async start(...queue: [string, string]): Promise<Route> {
    const route = new Route();
    const stack = route.#stack;
    const directory = stack.use(scratch());
    route.server = stack.use(await NatsServer.start(directory.file("js")));
    route.here = stack.use(await Machine.start());
    route.there = stack.use(await Machine.start());
    const common = ["--subject", "jobs", ...queue];
    const line = (machine: Machine, direction: string) =>
      stack.use(
        new Line(
          machine,
          ...[direction, ...common, "--server", route.server.url],
          ...["--state", directory.file(direction)],
        ),
      );
    route.out = line(route.here, "out");
    route.into = line(route.there, "in");
    await Promise.all([route.out.start(), route.into.start()]);
    return route;
  }

  /** Kills something, or all, and starts it again. */
  async kill(victim: "out" | "in" | "server" | "all"): Promise<void> {
    const isHit = (name: string) => victim === name || victim === "all";
    await Promise.all([
      isHit("server") && this.server.end(),
      isHit("out") && this.out.kill(),
      isHit("in") && this.into.kill(),
    ]);
    if (isHit("server")) await this.server.start();
    await Promise.all([
      isHit("out") && this.out.start(),
      isHit("in") && this.into.start(),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

leakTest(
  "the sender on one machine, the receiver on another",
  { needs },
  async () => {
    await using route = await Route.start("--sysv", "12345");
    const { here, there } = route;
    await using receiver = there.spawn(await peerProgram("sysv_queue_reader"));
    await using sender = here.spawn(await peerProgram("sysv_queue_writer"));
    assertEquals((await sender.ended()).stdout, "message sent\n");
    assertEquals((await receiver.ended()).stdout, "name : ghkim, age :80\n");
    assertMatch(await route.out.stop(), /-> jobs: 1 messages, 22 bytes/);
    assertMatch(await route.into.stop(), /: 1 messages, 22 bytes/);
  },
);

const VICTIMS = ["out", "in", "server", "all"] as const;

/** Sends numbers while something is killed again and again. */
async function testKills(
  queue: [string, string],
  count: number,
  types: number,
  kills: number,
): Promise<void> {
  await using route = await Route.start(...queue);
  const { here, there } = route;
  const args = [queue[1], `${count}`, `${types}`];
  await using receiver = there.spawn(await program("receive_numbers"), args);
  await receiver.expect("up\n");
  await using sender = here.spawn(await program("send_numbers"), args);
  for (let i = 0; i < kills && receiver.alive; i++) {
    // At any moment.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
    await route.kill(VICTIMS[i % VICTIMS.length]!);
  }
  assertEquals((await sender.ended()).stdout, `sent ${count}\n`);
  const { stdout, transcript } = await receiver.ended();
  assertMatch(stdout, /missing 0, torn 0/, transcript);
  await route.out.stop();
  await route.into.stop();
}

leakTest(
  "System V: nothing is lost, and the order is kept, whatever is killed",
  { needs, soak: "also", limit: 300_000 },
  () =>
    testKills(["--sysv", "12345"], rounds(8_000, 100_000), 3, rounds(4, 24)),
);

leakTest(
  "POSIX: nothing is lost, and the order is kept, whatever is killed",
  { needs, soak: "also", limit: 300_000 },
  () =>
    testKills(["--posix", "/numbers"], rounds(4_000, 50_000), 1, rounds(4, 24)),
);

leakTest(
  "a queue at the far end that is full for a minute",
  { needs, soak: true, limit: 300_000 },
  async () => {
    await using route = await Route.start("--sysv", "12345");
    const { here, there } = route;
    const count = 20_000;
    const args = ["12345", `${count}`, "3"];
    await using sender = here.spawn(await program("send_numbers"), args);
    assertEquals((await sender.ended()).stdout, `sent ${count}\n`);
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    await using receiver = there.spawn(await program("receive_numbers"), args);
    const { stdout, transcript } = await receiver.ended();
    const all = `received ${count}, repeated 0, missing 0, torn 0`;
    assertEquals(stdout, `up\n${all}\n`, transcript);
    assertMatch(await route.into.stop(), /\d+ stalls/);
    await route.out.stop();
  },
);
