// Runs the programs of this folder one after another, as real processes: in a directory
// and with keys of their own, so that nothing else is disturbed and nothing is left
// behind.

import type { ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { IpcError, SysvMessageQueue, SysvSharedMemory } from "@linux/ipc";
import { commandLine, main } from "./_cli.ts";
import { ended, start } from "./_process.ts";

const HELP = `Usage: demo.ts

Runs the programs of all mechanisms and shows what they print.

Options:
  --help  show this`;

const LIMIT = 30_000; // ms that one program may take
let directory = ""; // made when the command line is understood
const key = 1 + crypto.getRandomValues(new Uint32Array(1))[0]! % 0x7ffffffe;
const ran: boolean[] = [];
const running = new Set<ChildProcess>();

/** A program that is running. */
class Program {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #succeeded: Promise<boolean>;
  readonly #printed: Promise<unknown>;
  readonly #lines: string[] = [];

  /** Starts a program, which gets `input` on its standard input. */
  constructor(name: string, args: string[] = [], input = "") {
    this.#name = name;
    this.#process = start(import.meta.resolve(`./${name}`), args, {
      cwd: directory,
      stdio: "pipe",
      timeout: LIMIT,
    });
    running.add(this.#process);
    this.#succeeded = ended(this.#process);
    this.#succeeded.then(() => running.delete(this.#process));
    const { stdin, stdout, stderr } = this.#process;
    this.#printed = Promise.all([this.#print(stdout!), this.#print(stderr!)]);
    stdin!.on("error", () => {}); // the program has not read it
    stdin!.end(input);
  }

  async #print(input: Readable): Promise<void> {
    for await (const line of createInterface({ input })) {
      if (line === "") continue;
      console.log(`  ${this.#name.padEnd(19)} | ${line}`);
      this.#lines.push(line);
    }
  }

  /** Waits for the end of the program, which must have printed the text. */
  async ended(text = ""): Promise<void> {
    const success = await this.#succeeded;
    await this.#printed;
    const well = success && this.#lines.join("\n").includes(text);
    if (!well) console.log(`  ${this.#name.padEnd(19)} | FAILED`);
    ran.push(well);
  }

  /** Ends the program as Ctrl-C does, and waits for its end. */
  async interrupted(text: string): Promise<void> {
    // Not by its own kill(): Deno would say that the signal has killed it.
    process.kill(this.#process.pid!, "SIGINT");
    await this.ended(text);
  }

  /** Waits until the program has made a file, which says that it is ready. */
  async made(file: string): Promise<void> {
    let over = false;
    this.#succeeded.then(() => over = true);
    while (!over && !existsSync(join(directory, file))) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

function heading(title: string, what: string): void {
  console.log(`\n${title}\n  ${what}\n`);
}

async function showPipe(): Promise<void> {
  heading(
    "1. Pipe",
    "A parent writes, its child reads from what it inherited.",
  );
  await new Program("pipe.ts").ended("child got message : message from parent");
}

async function showFifo(): Promise<void> {
  heading(
    "2. Named pipe",
    "Two clients, one after the other, and their server.",
  );
  const server = new Program("fifo_server.ts");
  await server.made("named_pipe");
  await new Program("fifo_client.ts", ["--wait"]).ended();
  await new Program("fifo_client.ts").ended();
  await server.interrupted("recv: Send Message[2]");
}

async function showMessageQueue(): Promise<void> {
  heading(
    "3. Message queue",
    "The message waits in the kernel until it is taken.",
  );
  const args = ["--key", String(key)];
  await new Program("message_sender.ts", args).ended("message sent");
  const receiver = new Program("message_receiver.ts", args);
  await receiver.ended("name : ghkim, age :80");
}

async function showSharedMemory(): Promise<void> {
  heading(
    "4. Shared memory",
    "The number outlives each of the programs. Then memory that is sealed, and a\n" +
      "  struct of which no reader gets a half.",
  );
  const args = ["--key", String(key)];
  await new Program("shm.ts", args).ended("shared memory value :1");
  await new Program("shm.ts", args).ended("shared memory value :2");
  await new Program("remove_shm.ts", args).ended("shared memory value :3");
  await new Program("memory_file.ts").ended("child changes it: EPERM");
  await new Program("sequence_cell.ts").ended("reader: 0 of");
}

async function showMemoryMap(): Promise<void> {
  heading("5. Memory map", "A file is read, and zeroed, as memory.");
  const file = join(directory, "file");
  writeFileSync(file, "These are bytes of a file.");
  await new Program("mmap.ts", [file]).ended("These are bytes of a file.");
  const zeroes = readFileSync(file).every((byte) => byte === 0);
  console.log(
    `  the file now        | ${zeroes ? "all zeroes" : "NOT ZEROED"}`,
  );
  if (!zeroes) ran.push(false);
}

async function showSemaphore(): Promise<void> {
  heading(
    "6. Semaphore",
    "Four threads take turns, a second each. Then, what happens without a lock.",
  );
  await new Program("semaphore.ts").ended("Hello from thread 3");
  await new Program("lost_update.ts").ended("the number is 3");
}

async function showSocket(): Promise<void> {
  heading(
    "7. Socket",
    "Two clients at the same time. The server answers both.",
  );
  const server = new Program("socket_server.ts", ["socket"]);
  await server.made("socket");
  await Promise.all([
    new Program("socket_client.ts", ["socket"], "hello\nquit\n"),
    new Program("socket_client.ts", ["socket"], "안녕\nquit\n"),
  ].map((client) => client.ended("IPC SUCCESS")));
  await server.interrupted("hello");
}

async function showRing(): Promise<void> {
  heading(
    "8. Ring",
    "A million small messages through shared memory, and a camera of 1 MiB frames,\n" +
      "  60 per second: none is copied by its reader.",
  );
  const name = ["--name", `/ipc-demo-${key}`];
  const consumer = new Program("ring_consumer.ts", [...name, "--wait"]);
  await new Program("ring_producer.ts", name).ended("sent 1000000 ticks");
  await consumer.ended("1000000 ticks and 60 frames, 0 of them wrong");
}

/** Removes what programs left behind that failed. */
function cleanUp(): void {
  for (const child of running) child.kill("SIGKILL");
  rmSync(directory, { recursive: true });
  for (const Kind of [SysvMessageQueue, SysvSharedMemory]) {
    try {
      using left = Kind.open(key);
      left.remove();
    } catch (error) {
      if (!(error instanceof IpcError && error.code === "ENOENT")) throw error;
    }
  }
}

await main(async () => {
  commandLine(HELP);
  directory = mkdtempSync(join(tmpdir(), "ipc-demo-"));
  try {
    await showPipe();
    await showFifo();
    await showMessageQueue();
    await showSharedMemory();
    await showMemoryMap();
    await showSemaphore();
    await showSocket();
    await showRing();
  } finally {
    cleanUp();
  }
  const well = ran.filter((one) => one).length;
  console.log(`\n${well} of ${ran.length} programs ran`);
  if (well < ran.length) process.exit(1);
});
