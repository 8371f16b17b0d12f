import { assert, assertEquals } from "@std/assert";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { exampleTest, runExample } from "./peers.ts";

/** Each example with what its help must name. */
const EXAMPLES: Record<string, string[]> = {
  "pipe.ts": [],
  "fifo_server.ts": ["--path"],
  "fifo_client.ts": ["--path", "--wait"],
  "message_sender.ts": ["--key"],
  "message_receiver.ts": ["--key"],
  "shm.ts": ["--key"],
  "remove_shm.ts": ["--key"],
  "memory_file.ts": ["--fd"],
  "sequence_cell.ts": ["--id"],
  "mmap.ts": ["FILE"],
  "semaphore.ts": [],
  "lost_update.ts": [],
  "demo.ts": [],
  "on_demand.ts": ["LOCK", "--idle"],
  "dbus_call.ts": ["--path"],
  "wayland_window.ts": ["--path", "--pictures"],
  "socket_server.ts": ["PATH"],
  "socket_client.ts": ["PATH"],
  "ring_producer.ts": ["--name", "--ticks", "--frames"],
  "ring_consumer.ts": ["--name", "--wait"],
};

for (const [name, words] of Object.entries(EXAMPLES)) {
  exampleTest(`${name} --help prints the usage and does nothing`, async () => {
    using dir = scratch();
    const ended = await runExample(name, ["--help"], { cwd: dir.path });
    assertEquals([ended.code, ended.stderr], [0, ""], ended.transcript);
    assert(/usage/i.test(ended.stdout), ended.transcript);
    for (const word of [name, ...words, "--help"]) {
      assert(ended.stdout.includes(word), `no ${word} in ${ended.transcript}`);
    }
    assertEquals(dir.list(), []);
  });
}

/** The options of the examples that take an integer, and those that take no value. */
const INTEGERS = ["--key", "--fd", "--id", "--idle", "--pictures", "--ticks"];
const FLAGS = ["--wait"];

/** A wrong command line, and what is said of it. */
type Wrong = readonly [args: string[], message: string];

async function expectRefused(name: string, wrong: Wrong[]): Promise<void> {
  using dir = scratch();
  for (const [args, message] of wrong) {
    const ended = await runExample(name, args, { cwd: dir.path });
    const [first, usage] = ended.stderr.split("\n");
    assertEquals([ended.code, ended.stdout], [2, ""], ended.transcript);
    assertEquals(first, message);
    assert(usage!.startsWith(`Usage: ${name}`), ended.transcript);
    assertEquals(dir.list(), []);
  }
}

for (const [name, words] of Object.entries(EXAMPLES)) {
  const own = words.filter((word) => !word.startsWith("--"));
  const given = own.map(() => "x");
  const options = words.filter((word) =>
    word.startsWith("--") && !FLAGS.includes(word)
  );
  const wrong: Wrong[] = [
    [[...given, "surplus"], 'There is an argument too many: "surplus"'],
  ];
  const integer = options.find((word) => INTEGERS.includes(word));
  if (integer !== undefined) {
    const message = `${integer} must be an integer: "abc"`;
    wrong.push([[...given, integer, "abc"], message]);
  }
  exampleTest(
    `${name} says what is wrong with its arguments`,
    () => expectRefused(name, wrong),
  );

  const missing: Wrong[] = [
    ...options.map((option): Wrong => [[option], `${option} needs a value`]),
    ...own.map((word): Wrong => [[], `${word} is missing`]),
  ];
  if (missing.length > 0) {
    leakTest(
      `${name} says what its arguments lack`,
      { soak: true },
      () => expectRefused(name, missing),
    );
  }
}
