// A process that takes part in a run.

import { TextLineStream } from "@std/streams";
import { onProcessor } from "./affinity.ts";

const PATIENCE = 2000; // ms

/** A peer, killed at the latest when it is disposed of. */
export class Peer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stderr: Promise<string>;
  readonly #complaints: string[];

  /**
   * Starts a command, on the processor if that is not null. What it has said on
   * standard error is added to `complaints` when it is disposed of.
   */
  constructor(
    command: readonly string[],
    processor: number | null,
    complaints: string[],
  ) {
    const [program, ...args] = command;
    const options = {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    } as const;
    this.#process = onProcessor(
      processor,
      () => new Deno.Command(program!, options).spawn(),
    );
    this.#lines = this.#process.stdout
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream())
      .getReader();
    this.#stderr = this.#process.stderr.text();
    this.#complaints = complaints;
  }

  /** The next line that it says; throws if it says none. */
  async line(signal: AbortSignal): Promise<string> {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = () => reject(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener("abort", abort);
    try {
      const { value } = await Promise.race([this.#lines.read(), aborted]);
      if (value !== undefined) return value;
    } finally {
      signal.removeEventListener("abort", abort);
    }
    throw new Error("It ended without a word");
  }

  /** Ends the process, and leaves nothing of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#process.status;
    await this.#lines.cancel();
    this.#complaints.push(await this.#lastWords());
  }

  /** What it has said on standard error; not waiting for a child of its that lives on. */
  async #lastWords(): Promise<string> {
    const { promise: late, resolve } = Promise.withResolvers<string>();
    const timer = setTimeout(resolve, PATIENCE, "It has left a process behind");
    try {
      return await Promise.race([this.#stderr, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
