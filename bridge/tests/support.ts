/** A NATS server, machines that have queues of their own, and the command. */
import {
  compile,
  noCompiler as noCompilerHere,
} from "../../tests/support/c.ts";
import { unshareFlags } from "../../tests/support/namespaces.ts";
import {
  type Child,
  spawn,
  type SpawnOptions,
  succeeds,
} from "../../tests/support/process.ts";

/** Why there is no C program here, or null. */
export const noCompiler: string | null = noCompilerHere;

/** Why there is no NATS server here, or null. */
export const noServer: string | null = succeeds("nats-server", "--version")
  ? null
  : "no nats-server (on Debian: nats-server)";

const flags = unshareFlags("--ipc", "true");

/** Why no process can have queues of its own here, or null. */
export const noMachines: string | null =
  flags !== undefined && succeeds("nsenter", "--version")
    ? null
    : "no IPC namespaces";

const LISTENING = /Listening for client connections on [\d.]+:(\d+)/;

/** A NATS server on a port of the loopback interface. */
export class NatsServer implements AsyncDisposable {
  readonly #directory: string;
  readonly #args: readonly string[];
  #process: Child | undefined;
  #port = "-1"; // any, at first

  constructor(directory: string, args: readonly string[]) {
    this.#directory = directory;
    this.#args = args;
  }

  /** Starts a server with JetStream, whose files are in the directory. */
  static async start(
    directory: string,
    ...args: string[]
  ): Promise<NatsServer> {
    const server = new NatsServer(directory, args);
    await server.start();
    return server;
  }

  /** The address. */
  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** Starts it, on the same port as before. */
  async start(): Promise<void> {
    const own = ["-a", "127.0.0.1", "-p", this.#port];
    const store = ["-js", "-sd", this.#directory];
    const child = spawn("nats-server", {
      args: [...own, ...store, ...this.#args],
      limit: 600_000,
    });
    this.#process = child;
    const text = await child.expectError(LISTENING);
    this.#port = text.match(LISTENING)![1]!;
    await child.expectError("Server is ready");
  }

  /** Ends it with a signal. */
  async end(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    this.#process?.kill(signal);
    await this.#process?.ended();
    await this.#process?.[Symbol.asyncDispose]();
    this.#process = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

const MAIN = new URL("../main.ts", import.meta.url).pathname;

/** The command with its arguments, as a program and its arguments. */
export function command(...args: string[]): [string, string[]] {
  return [Deno.execPath(), [
    "run",
    "-A",
    "--quiet",
    "--no-check",
    MAIN,
    ...args,
  ]];
}

/** A machine of its own, as far as queues are concerned: an IPC namespace. */
export class Machine implements AsyncDisposable {
  readonly #holder: Child;

  private constructor(holder: Child) {
    this.#holder = holder;
  }

  /** Makes a machine without queues. */
  static async start(): Promise<Machine> {
    const holder = spawn("unshare", {
      args: [...flags!, "sh", "-c", "echo up; exec cat"],
      limit: 600_000,
    });
    await holder.expect("up\n");
    return new Machine(holder);
  }

  /** Starts a program there. */
  spawn(
    program: string,
    args: string[] = [],
    options: SpawnOptions = {},
  ): Child {
    const user = flags!.includes("--user")
      ? ["--user", "--preserve-credentials"]
      : [];
    return spawn("nsenter", {
      ...options,
      args: [
        ...["--target", `${this.#holder.pid}`, "--ipc", ...user, "--"],
        ...[program, ...args],
      ],
      limit: 600_000,
    });
  }

  /** Starts the command there, and waits until messages can flow. */
  async bridge(...args: string[]): Promise<Child> {
    const [program, all] = command(...args);
    const child = this.spawn(program, all);
    await child.expectError("connected to");
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder[Symbol.asyncDispose]();
  }
}

/** Compiles a C program of this directory. */
export function program(name: string): Promise<string> {
  const include = new URL("../../tests/interop/c", import.meta.url).pathname;
  const file = new URL(`./c/${name}.c`, import.meta.url);
  return compile(file, `-I${include}`);
}
