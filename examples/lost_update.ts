// The race in shm.c, and the lock that prevents it: two processes add 1 to a number in
// shared memory. Adding is a read and a write, and the other process may write between
// the two. This program controls the steps of each process, so the race always occurs.

import { SharedMutex } from "@linux/ipc/lock";
import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { i32, struct } from "@linux/ipc/struct";
import { TextLineStream } from "@std/streams";
import { commandLine, main } from "./_cli.ts";

const HELP = `Usage: lost_update.ts

Two processes add 1 to a number in shared memory at the same time: without a lock,
with a lock, and with a lock whose owner is killed.

Options:
  --help  show this`;

/** A process that adds 1 in two steps. */
class Adder implements AsyncDisposable {
  readonly #name: string;
  readonly #process: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;

  constructor(name: string, ...ids: number[]) {
    const path = new URL(import.meta.resolve("./_adder.ts")).pathname;
    this.#name = name;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-all", path, ...ids.map(String)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#orders = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream())
      .getReader();
  }

  /** Prints the next output of the process. */
  async says(): Promise<void> {
    const { value } = await this.#lines.read();
    if (value === undefined) throw new Error(`Process ${this.#name} failed`);
    console.log(`  ${this.#name} ${value}`);
  }

  /** Lets the process make its next step, and prints its output. */
  async step(): Promise<void> {
    await this.#orders.write(new TextEncoder().encode("go on\n"));
    await this.says();
  }

  /** Ends the process at once, like kill -9. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    console.log(`  ${this.#name} is killed`);
  }

  /** Waits for the end of the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close().catch(() => {}); // the process has ended
    await this.#lines.cancel();
    await this.#process.status;
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
