// The race in shm.ts, and the lock that prevents it: two processes add 1 to a number in
// shared memory. Adding is a read and a write, and the other process may write between
// the two. This program controls the steps of each process, so the race always occurs.

import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { SharedMutex } from "@linux/ipc/lock";
import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { i32, struct } from "@linux/ipc/struct";
import { commandLine, main } from "./_cli.ts";
import { ended, start } from "./_process.ts";

const HELP = `Usage: lost_update.ts

Two processes add 1 to a number in shared memory at the same time: without a lock,
with a lock, and with a lock whose owner is killed.

Options:
  --help  show this`;

/** A process that adds 1 in two steps. */
class Adder implements AsyncDisposable {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<boolean>;
  readonly #lines: AsyncIterator<string>;

  constructor(name: string, ...ids: number[]) {
    this.#name = name;
    this.#process = start(import.meta.resolve("./_adder.ts"), ids.map(String), {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#process.stdin!.on("error", () => {}); // the process has ended
    this.#ended = ended(this.#process);
    const lines = createInterface({ input: this.#process.stdout! });
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** Prints the next output of the process. */
  async says(): Promise<void> {
    const { value } = await this.#lines.next();
    if (value === undefined) throw new Error(`Process ${this.#name} failed`);
    console.log(`  ${this.#name} ${value}`);
  }

  /** Lets the process make its next step, and prints its output. */
  async step(): Promise<void> {
    this.#process.stdin!.write("go on\n");
    await this.says();
  }

  /** Ends the process at once, like kill -9. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
    console.log(`  ${this.#name} is killed`);
  }

  /** Waits for the end of the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin!.end();
    await this.#ended;
  }
}

await main(async () => {
  commandLine(HELP);
  using memory = SysvSharedMemory.create(null, 4);
  memory.remove(); // destroyed when all processes have closed it
  const counter = memory.view(0, struct({ num: i32 }));
  using mutex = SharedMutex.create(null);
  const ids = [memory.id, mutex.id];
  try {
    counter.num = 1;
    console.log("Without a lock:");
    {
      await using a = new Adder("A", memory.id);
      await using b = new Adder("B", memory.id);
      await a.step();
      await b.step();
      await a.step();
      await b.step();
    }
    console.log(`  the number is ${counter.num}: one update is lost`);

    counter.num = 1;
    console.log("With a lock:");
    {
      await using a = new Adder("A", ...ids);
      await using b = new Adder("B", ...ids);
      await a.step();
      await b.step();
      await a.step();
      await b.says();
      await b.step();
    }
    console.log(`  the number is ${counter.num}`);

    counter.num = 1;
    console.log("With a lock whose owner is killed:");
    {
      await using a = new Adder("A", ...ids);
      await using b = new Adder("B", ...ids);
      await a.step();
      await b.step();
      await a.kill();
      await b.says();
      await b.step();
    }
    console.log(`  the number is ${counter.num}: B knows that A added nothing`);
  } finally {
    mutex.remove();
  }
});
