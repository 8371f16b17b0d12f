/** The command: its arguments, its exit codes, a configuration file. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { leakTest } from "../../tests/support/leaks.ts";
import { scratch, uniqueKey } from "../../tests/support/names.ts";
import { run, spawn, until } from "../../tests/support/process.ts";
import { planOf, start, UsageError } from "../command_line.ts";
import { command, NatsServer, noServer } from "./support.ts";

const needs = [noServer];

/** Runs the command to its end. */
function ipcNats(...args: string[]) {
  const [program, all] = command(...args);
  return run(program, { args: all });
}

leakTest("a wrong command line is told", async () => {
  using directory = scratch();
  const file = (text: string) => directory.file("wrong.json", text);
  const wrong: [RegExp, ...string[]][] = [
    [/command is out, in, or run/, "push"],
    [/no option --subjekt/, "out", "--subjekt", "a"],
    [/subject is missing/, "out", "--sysv", "1"],
    [/One queue is needed/, "out", "--subject", "a"],
    [/One queue/, "in", "--subject", "a", "--sysv", "1", "--posix", "/a"],
    [/must be a key/, "out", "--subject", "a", "--sysv", "queue"],
    [/number/, "out", "--subject", "a", "--sysv", "1", "--window", "many"],
    [/needs one value/, "out", "--subject", "a", "--subject", "b"],
    [
      /mode must be octal/,
      "out",
      "--subject",
      "a",
      "--sysv",
      "1",
      "--mode",
      "9",
    ],
    [/no such file/, "run", directory.file("missing.json")],
    [/must be a list/, "run", file("{}")],
  ];
  for (const [pattern, ...args] of wrong) {
    const { message } = assertThrows(() => {
      const { server, bridges } = planOf(args);
      for (const settings of bridges) start(settings, server, () => {});
    }, UsageError);
    assertMatch(message, pattern);
  }
  const refused = ["out", "--subject", "a.>", "--sysv", `${uniqueKey()}`];
  const { code, stderr } = await ipcNats(...refused);
  assertEquals(code, 2);
  assertMatch(stderr, /without wildcards/);
  const { stdout } = await ipcNats("--help");
  assertMatch(stdout, /^Usage: ipc-nats/);
});

leakTest("a configuration file starts several bridges", { needs }, async () => {
  using directory = scratch();
  await using server = await NatsServer.start(directory.file("js"));
  const [one, other, far] = [uniqueKey(), uniqueKey(), uniqueKey()];
  const state = directory.file("state");
  const bridge = (direction: string, subject: string, key: number) => ({
    direction,
    subject,
    sysv: `${key}`,
    state,
  });
  const config = directory.file(
    "config.json",
    JSON.stringify({
      server: { servers: server.url },
      bridges: [
        bridge("out", "one", one),
        bridge("out", "other", other),
        bridge("in", "one", far),
        bridge("in", "other", other ^ 1),
      ],
    }),
  );
  const [program, args] = command("run", config);
  await using child = spawn(program, { args });
  for (let i = 0; i < 4; i++) await child.expectError("connected to");
  using from = SysvMessageQueue.open(one);
  using to = SysvMessageQueue.open(far);
  await from.send(Uint8Array.of(1, 2, 3), { type: 9 });
  const message = await to.receive({ timeout: 20_000 });
  assertEquals(message, { type: 9, data: Uint8Array.of(1, 2, 3) });
  child.kill("SIGTERM");
  const { code, stderr, transcript } = await child.ended();
  assertEquals(code, 0, transcript);
  assertMatch(stderr, /-> one: 1 messages, 3 bytes/);
  for (const key of [one, other, far, other ^ 1]) {
    SysvMessageQueue.remove({ key });
  }
});

leakTest(
  "one that cannot go on ends all, with exit code 1",
  { needs },
  async () => {
    using directory = scratch();
    await using server = await NatsServer.start(
      directory.file("js"),
      ...["--user", "me", "--pass", "secret"],
    );
    const key = uniqueKey();
    const { code, stderr, transcript } = await ipcNats(
      ...["out", "--sysv", `${key}`, "--subject", "a", "--server", server.url],
      ...["--state", directory.path],
    );
    assertEquals(code, 1, transcript);
    assertMatch(stderr, /refuses these credentials/);
    SysvMessageQueue.remove({ key });
  },
);

leakTest("SIGTERM while there is no server", async () => {
  using directory = scratch();
  const key = uniqueKey();
  const [program, args] = command(
    ...["in", "--sysv", `${key}`, "--subject", "a"],
    ...["--server", "nats://127.0.0.1:1", "--state", directory.path],
  );
  await using child = spawn(program, { args });
  await child.expectError("trying again");
  child.kill("SIGTERM");
  const { code, transcript } = await child.ended();
  assertEquals(code, 0, transcript);
  await until(
    () => SysvMessageQueue.stat({ key }).messages === 0,
    "no message",
  );
  SysvMessageQueue.remove({ key });
});
