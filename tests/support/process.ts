/**
 * Child processes for tests: lines that can be awaited, an overall time limit
 * whose message is the transcript, and an end that is always reaped. Nothing
 * here sleeps: what is waited for is a line, an exit or a condition.
 *
 * ```ts ignore
 * await using server = spawn("/bin/cat");
 * await server.send("hello");
 * await server.expect("hello");
 * ```
 */

import { fromFileUrl } from "@std/path";

/** The longest that a child may take in all, unless told otherwise. */
export const LIMIT = 100_000;

/** The children that run at the moment. */
export const running: Set<Child> = new Set();

/** The process ids of all children so far. */
export const spawnedPids: Set<number> = new Set();

/** How a child is started. */
export interface SpawnOptions {
  /** The arguments. */
  args?: string[];
  /** The working directory. */
  cwd?: string;
  /** More environment variables. */
  env?: Record<string, string>;
  /** The overall time limit in milliseconds. */
  limit?: number;
  /** All of the child's input: it then sees the end of the file. */
  stdin?: string | Uint8Array;
  /** The user, of whom only root has the choice. */
  uid?: number;
  /** The group. */
  gid?: number;
}

/** What became of a child. */
export interface Ended {
  /** The exit code; 128 plus the signal's number after a signal. */
  code: number;
  /** The signal that ended it. */
  signal: Deno.Signal | null;
  /** All that it printed, as text. */
  stdout: string;
  /** All that it complained of. */
  stderr: string;
  /** All that it printed, as bytes. */
  bytes: Uint8Array;
  /** What went in and out, for messages. */
  transcript: string;
}

/** What one of the child's outputs has said so far, and how far it is read. */
class Output {
  text = "";
  cursor = 0;
  done = false;
  readonly chunks: Uint8Array[] = [];
  readonly #decoder = new TextDecoder();

  push(chunk: Uint8Array): string {
    this.chunks.push(chunk);
    const text = this.#decoder.decode(chunk, { stream: true });
    this.text += text;
    return text;
  }

  get unread(): string {
    return this.text.slice(this.cursor);
  }
}

/** A running program. See {@linkcode spawn}. */
export class Child implements AsyncDisposable {
  /** The process id. */
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #title: string;
  readonly #limit: number;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
  readonly #out = new Output();
  readonly #err = new Output();
  readonly #finished: Promise<unknown>;
  #status: Deno.CommandStatus | undefined;
  #expired = false;
  #transcript = "";
  #changed = Promise.withResolvers<void>();

  constructor(command: string, options: SpawnOptions = {}) {
    const { args = [], limit = LIMIT, stdin, env = {}, ...rest } = options;
    this.#title = [command, ...args].join(" ");
    this.#limit = limit;
    this.#process = new Deno.Command(command, {
      args,
      // A locale that is not installed has shells complain on stderr.
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", LC_ALL: "C", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      ...rest,
    }).spawn();
    this.pid = this.#process.pid;
    running.add(this);
    spawnedPids.add(this.pid);
    this.#timer = setTimeout(() => {
      this.#expired = true;
      this.kill("SIGKILL");
      this.#notify();
    }, limit);
    this.#stdin = this.#process.stdin.getWriter();
    this.#stdin.closed.catch(() => {});
    this.#finished = Promise.all([
      this.#pump(this.#process.stdout, this.#out, "<"),
      this.#pump(this.#process.stderr, this.#err, "!"),
      this.#process.status.then((status) => {
        this.#status = status;
        this.#note(`= ${status.signal ?? status.code}`);
        this.#notify();
      }),
    ]);
    if (stdin !== undefined) {
      this.write(stdin).then(() => this.closeStdin(), () => {});
    }
  }

  /** All that went in (`>`) and came out (`<`, `!` for stderr) so far. */
  get transcript(): string {
    return `$ ${this.#title}\n${this.#transcript}`;
  }

  /** What came out and was not read by {@linkcode line} or {@linkcode expect}. */
  get unread(): string {
    return this.#out.unread;
  }

  /** All that came out so far. */
  get stdout(): string {
    return this.#out.text;
  }

  /** All that the child has complained of so far. */
  get stderr(): string {
    return this.#err.text;
  }

  /** Waits for the next line, and returns it without its end. */
  async line(): Promise<string> {
    const line = await this.expect(/^.*?\n/s, "a line");
    return line.slice(0, -1);
  }

  /**
   * Waits until the unread output has the text (or a match), marks it as read up
   * to there, and returns what that was. Needs no end of line: good for prompts.
   */
  expect(what: string | RegExp, name?: string): Promise<string> {
    return this.#expect(this.#out, what, name);
  }

  /** {@linkcode expect}, in what comes on stderr. */
  expectError(what: string | RegExp): Promise<string> {
    return this.#expect(this.#err, what, `${what} on stderr`);
  }

  async #expect(
    output: Output,
    what: string | RegExp,
    name = String(what),
  ): Promise<string> {
    while (true) {
      const unread = output.unread;
      const match = typeof what === "string"
        ? { index: unread.indexOf(what), length: what.length }
        : {
          index: unread.search(what),
          length: unread.match(what)?.[0].length,
        };
      if (match.index >= 0) {
        const end = match.index + match.length!;
        output.cursor += end;
        return unread.slice(0, end);
      }
      if (this.#expired) throw this.#failure(`no ${name} in time`);
      if (output.done) throw this.#failure(`ended without ${name}`);
      await this.#changed.promise;
    }
  }

  /** Writes to the child's input. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string"
      ? new TextEncoder().encode(data)
      : data;
    this.#note(`> ${typeof data === "string" ? data : `${data.length} bytes`}`);
    await this.#stdin.write(bytes);
  }

  /** Writes a line to the child's input. */
  send(line: string): Promise<void> {
    return this.write(`${line}\n`);
  }

  /** Ends the child's input. */
  async closeStdin(): Promise<void> {
    try {
      await this.#stdin.close();
    } catch {
      // Closed already, or the child has gone.
    }
  }

  /** Sends a signal; true if the child was there to get it. */
  kill(signal: Deno.Signal = "SIGTERM"): boolean {
    if (this.#status !== undefined) return false;
    this.#note(`> ${signal}`);
    try {
      this.#process.kill(signal);
      return true;
    } catch {
      return false;
    }
  }

  /** Waits for the end of the program and of its output. */
  async ended(): Promise<Ended> {
    while (
      this.#status === undefined || !this.#out.done || !this.#err.done
    ) {
      if (this.#expired && this.#status !== undefined) break;
      await this.#changed.promise;
    }
    if (this.#expired) {
      throw this.#failure(`did not end within ${this.#limit} ms`);
    }
    clearTimeout(this.#timer);
    return {
      code: this.#status.code,
      signal: this.#status.signal,
      stdout: this.#out.text,
      stderr: this.#err.text,
      bytes: concatenate(this.#out.chunks),
      transcript: this.transcript,
    };
  }

  /** True as long as the child has not been seen to end. */
  get alive(): boolean {
    return this.#status === undefined;
  }

  /** Waits until the child has this path (a FIFO, a file) open for reading. */
  async holds(path: string): Promise<void> {
    await this.until(() => opensForReading(this.pid, path), `open ${path}`);
  }

  /**
   * Waits until the child does nothing: all its threads sleep and use no
   * processor time for a while. So it waits for whatever it waits for.
   */
  async settled(): Promise<void> {
    let before = "";
    let quiet = 0;
    await this.until(() => {
      const now = activity(this.pid);
      quiet = now !== null && now === before ? quiet + 1 : 0;
      before = now ?? "";
      return quiet >= 10;
    }, "quiet moment");
  }

  /** The processor time of the child so far, in milliseconds (10 ms steps). */
  cpuTime(): number {
    const fields = statFields(`/proc/${this.pid}/stat`);
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** Waits until something holds that the child brings about while it runs. */
  async until(condition: () => boolean, name: string): Promise<void> {
    while (!condition()) {
      if (this.#expired) throw this.#failure(`no ${name} in time`);
      if (this.#status !== undefined) {
        throw this.#failure(`ended without ${name}`);
      }
      await tick();
    }
  }

  async #pump(
    stream: ReadableStream<Uint8Array>,
    output: Output,
    mark: string,
  ): Promise<void> {
    const reader = stream.getReader();
    this.#readers.push(reader);
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done) break;
        this.#note(`${mark} ${output.push(value)}`);
        this.#notify();
      }
    } finally {
      output.done = true;
      this.#notify();
    }
  }

  #note(text: string): void {
    if (this.#transcript.length > 20_000) return;
    this.#transcript += text.endsWith("\n") ? text : `${text}\n`;
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #failure(reason: string): Error {
    return new Error(`${reason}:\n${this.transcript}`);
  }

  /** Ends the child if it still runs, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.kill("SIGKILL");
    await this.#process.status;
    // A grandchild may still hold the other ends.
    for (const reader of this.#readers) await reader.cancel();
    await this.#finished;
    try {
      await this.#stdin.abort();
    } catch {
      // The child has gone with something unwritten, or it is closed.
    }
    running.delete(this);
  }
}

/** Starts a program. Use it with `await using`. */
export function spawn(command: string, options: SpawnOptions = {}): Child {
  return new Child(command, options);
}

/** Runs a program to its end; without `stdin`, its input is empty. */
export async function run(
  command: string,
  options: SpawnOptions = {},
): Promise<Ended> {
  await using child = spawn(command, { stdin: "", ...options });
  return await child.ended();
}

/** The arguments of `deno run -A --quiet` for a script of this project. */
export function denoArgs(script: URL | string, args: string[]): string[] {
  const path = typeof script === "string" ? script : fromFileUrl(script);
  return ["run", "-A", "--quiet", path, ...args];
}

/** Starts a script of this project in a Deno of its own. */
export function spawnDeno(
  script: URL | string,
  options: SpawnOptions = {},
): Child {
  return spawn(Deno.execPath(), {
    ...options,
    args: denoArgs(script, options.args ?? []),
  });
}

/** Runs a script of this project to its end. */
export function runDeno(
  script: URL | string,
  options: SpawnOptions = {},
): Promise<Ended> {
  return run(Deno.execPath(), {
    ...options,
    args: denoArgs(script, options.args ?? []),
  });
}

/** True if a command is there and succeeds, whatever it says. */
export function succeeds(command: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(command, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}

/** Waits until a condition holds; throws with its description otherwise. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limit: number = LIMIT,
): Promise<void> {
  const end = performance.now() + limit;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`${what}: not in time`);
    await tick();
  }
}

/** True if a path exists. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A part of a file, as those see it who do not map it. */
export function readAt(
  path: string,
  offset: number,
  length: number,
): Uint8Array {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, file.readSync(bytes) ?? 0);
}

/** True if a Unix socket of this path accepts connections. */
export function listening(path: string): boolean {
  const ACCEPTS_CONNECTIONS = 0x10000;
  return Deno.readTextFileSync("/proc/net/unix").split("\n").some((row) => {
    const fields = row.split(" ").filter((field) => field !== "");
    return fields.slice(7).join(" ") === path &&
      (parseInt(fields[3]!, 16) & ACCEPTS_CONNECTIONS) !== 0;
  });
}

/** Where the symbolic links of a directory in /proc lead. */
export function links(directory: string): string[] {
  const targets: string[] = [];
  for (const { name } of Deno.readDirSync(directory)) {
    try {
      targets.push(Deno.readLinkSync(`${directory}/${name}`));
    } catch {
      // Closed since the directory was listed.
    }
  }
  return targets;
}

/** True if a process can read from a path through one of its descriptors. */
function opensForReading(pid: number, path: string): boolean {
  const O_ACCMODE = 3;
  const O_WRONLY = 1;
  const O_PATH = 0o10000000;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      if (Deno.readLinkSync(`/proc/${pid}/fd/${name}`) !== path) continue;
      const flags = parseInt(
        Deno.readTextFileSync(`/proc/${pid}/fdinfo/${name}`)
          .match(/^flags:\s*(\d+)/m)?.[1] ?? "1",
        8,
      );
      if ((flags & O_PATH) === 0 && (flags & O_ACCMODE) !== O_WRONLY) {
        return true;
      }
    } catch {
      // Closed since the directory was listed.
    }
  }
  return false;
}

/** All bytes of the chunks. */
export function concatenate(chunks: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(
    chunks.reduce((sum, { length }) => sum + length, 0),
  );
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

/** The pace at which a condition without an event is looked at. */
function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

/** The processor time of all children that have ended, in milliseconds. */
export function cpuTimeOfChildren(): number {
  const fields = statFields("/proc/self/stat");
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

/** The fields of a stat file from the third on (after the command's name). */
function statFields(path: string): string[] {
  return Deno.readTextFileSync(path).replace(/^.*\) /s, "").split(" ");
}

/** Which threads there are and the time they have used; null if one is busy. */
function activity(pid: number): string | null {
  try {
    let all = "";
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      const fields = statFields(`/proc/${pid}/task/${name}/stat`);
      if (fields[0] === "R" || fields[0] === "D") return null;
      all += `${name}:${fields[11]}+${fields[12]} `;
    }
    return all;
  } catch {
    return null;
  }
}
