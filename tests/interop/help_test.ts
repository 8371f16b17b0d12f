import { assert, assertEquals } from "@std/assert";
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
