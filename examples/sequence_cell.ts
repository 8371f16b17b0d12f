// A struct that one process writes while others read it. A write is not atomic, so a
// read of the memory itself may return the new bid with the old ask. A read of a
// SequenceCell returns a value as it was written, and never delays the writer.

import { SequenceCell, SysvSharedMemory } from "@linux/ipc/shared-memory";
import { f64, struct, u32 } from "@linux/ipc/struct";
import { commandLine, main } from "./_cli.ts";
import { ended, start } from "./_process.ts";

const HELP = `Usage: sequence_cell.ts [--id NUMBER]

One process writes a price again and again, two others read it.

Options:
  --id NUMBER  be a reader of the shared memory with this identifier
  --help       show this`;

const READERS = 2;
const PRICES = 100_000;
const SPREAD = 0.25;
const price = struct({ bid: f64, ask: f64, number: u32 });
const READY = SequenceCell.size(price); // after the cell: the number of readers

function reader(id: number): void {
  using memory = SysvSharedMemory.fromId(id);
  const cell = new SequenceCell(memory, 0, price);
  Atomics.add(memory.atomics.int32, READY / 4, 1);
  memory.notify(READY);
  let reads = 0;
  let torn = 0;
  for (let last = 0; last < PRICES; reads++) {
    const { bid, ask, number } = cell.readSync();
    if (number > 0 && ask !== bid + SPREAD) torn++;
    last = number;
  }
  console.log(`reader: ${torn} of ${reads} prices were torn`);
}

async function writer(): Promise<void> {
  using memory = SysvSharedMemory.create(null, READY + 4);
  memory.remove(); // destroyed when all processes have closed it
  const readers = Array.from(
    { length: READERS },
    () => ended(start(import.meta.url, ["--id", String(memory.id)])),
  );
  for (let ready = 0; ready < READERS;) {
    ready = await memory.wait(READY, ready, { timeout: 10_000 });
  }
  const cell = new SequenceCell(memory, 0, price);
  for (let number = 1; number <= PRICES; number++) {
    cell.write({ bid: number, ask: number + SPREAD, number });
  }
  for (const reader of readers) {
    if (!await reader) throw new Error("A reader failed");
  }
  console.log(`writer: ${PRICES} prices written`);
}

await main(async () => {
  const line = commandLine(HELP, { values: ["id"] });
  const id = line.integer("id");
  if (id === undefined) await writer();
  else reader(id);
});
