/**
 * The command `ipc`: what processes share on this system, in a terminal.
 *
 * ```sh
 * deno run -A jsr:@linux/ipc/cli ls
 * deno install -gA -n ipc jsr:@linux/ipc/cli # then: ipc ls
 * ```
 *
 * `ipc --help` lists the commands, and `ipc COMMAND --help` tells of one. The exit code
 * is 0 when it was done, 1 when the system refused it, 2 for a wrong command line, 3 if
 * there is no such object or process, 4 if a name is of several objects, 5 if there was
 * nothing to receive, no room or no permit in the time given, and 6 if an object stays
 * that `rm` or `clean` was to remove.
 *
 * Output that does not go to a terminal has no colours and is not cut. Names that others
 * chose are shown with their control characters escaped.
 *
 * @module
 */

import { IpcError } from "../ffi/errors.ts";
import { printable } from "../ffi/inspect/text.ts";
import { asksForHelp } from "./command_line.ts";
import { EXIT, Failure } from "./failure.ts";
import { warn, writeAll } from "./output.ts";

/** A command: what it is for, and the module that runs it, which is loaded then. */
interface Command {
  readonly summary: string;
  readonly load: () => Promise<
    {
      run: (args: readonly string[]) => number | Promise<number>;
      usage: string;
    }
  >;
}

const COMMANDS: Record<string, Command> = {
  ls: {
    summary: "List what processes share, of all kinds or of some",
    load: async () => {
      const { ls, LS_USAGE } = await import("./ls.ts");
      return { run: ls, usage: LS_USAGE };
    },
  },
  show: {
    summary: "Show all that is known of an object",
    load: async () => {
      const { show, SHOW_USAGE } = await import("./show.ts");
      return { run: show, usage: SHOW_USAGE };
    },
  },
  who: {
    summary: "List what a process holds, and with whom",
    load: async () => {
      const { who, WHO_USAGE } = await import("./who.ts");
      return { run: who, usage: WHO_USAGE };
    },
  },
  watch: {
    summary: "List it again and again, with changes marked",
    load: async () => {
      const { watch, WATCH_USAGE } = await import("./watch.ts");
      return { run: watch, usage: WATCH_USAGE };
    },
  },
  graph: {
    summary: "Draw processes and what they share: SVG, DOT or Mermaid",
    load: async () => {
      const { graph, GRAPH_USAGE } = await import("./graph.ts");
      return { run: graph, usage: GRAPH_USAGE };
    },
  },
  serve: {
    summary: "Show it live in a browser, on this machine only",
    load: async () => {
      const { serve, SERVE_USAGE } = await import("./serve.ts");
      return { run: serve, usage: SERVE_USAGE };
    },
  },
  limits: {
    summary: "List the limits, their use, and where to raise them",
    load: async () => {
      const { limits, LIMITS_USAGE } = await import("./limits.ts");
      return { run: limits, usage: LIMITS_USAGE };
    },
  },
  rm: {
    summary: "Remove objects, if they are orphaned",
    load: async () => {
      const { rm, RM_USAGE } = await import("./remove.ts");
      return { run: rm, usage: RM_USAGE };
    },
  },
  clean: {
    summary: "Remove all that is orphaned",
    load: async () => {
      const { clean, CLEAN_USAGE } = await import("./remove.ts");
      return { run: clean, usage: CLEAN_USAGE };
    },
  },
  send: {
    summary: "Send a message to a queue",
    load: async () => {
      const { send, SEND_USAGE } = await import("./messages.ts");
      return { run: send, usage: SEND_USAGE };
    },
  },
  receive: {
    summary: "Receive a message from a queue",
    load: async () => {
      const { receive, RECEIVE_USAGE } = await import("./messages.ts");
      return { run: receive, usage: RECEIVE_USAGE };
    },
  },
  peek: {
    summary: "Show a message, and leave it in its queue",
    load: async () => {
      const { peek, PEEK_USAGE } = await import("./messages.ts");
      return { run: peek, usage: PEEK_USAGE };
    },
  },
  post: {
    summary: "Add 1 to a semaphore",
    load: async () => {
      const { post, POST_USAGE } = await import("./messages.ts");
      return { run: post, usage: POST_USAGE };
    },
  },
  wait: {
    summary: "Wait for a semaphore, and take 1 from it",
    load: async () => {
      const { wait, WAIT_USAGE } = await import("./messages.ts");
      return { run: wait, usage: WAIT_USAGE };
    },
  },
};

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map(({ length }) => length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) =>
    `  ${name.padEnd(width)}  ${summary}`
  );
  return `Usage: ipc COMMAND [ARGUMENT ...]

Shows what processes share: queues, shared memory, semaphores, pipes, Unix sockets, file
locks and eventfds; who holds each of them, and whether that goes well.

${lines.join("\n")}

"ipc COMMAND --help" tells more. Exit codes: ${
    Object.entries(EXIT).map(([name, code]) => `${code} ${name}`).join(", ")
  }.`;
}

/**
 * Runs the command with these arguments, and writes to standard output and standard error.
 *
 * @param args The arguments: the name of the command first.
 * @returns The exit code.
 *
 * @example The limits of the system
 * ```ts
 * import { main } from "@linux/ipc/cli";
 *
 * const code = await main(["limits"]);
 * console.log(code); // 0
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined) throw new Failure(EXIT.usage, help());
    if (name === "--help" || name === "help") {
      writeAll(Deno.stdout, `${help()}\n`);
      return EXIT.done;
    }
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new Failure(
        EXIT.usage,
        `There is no command "${printable(name)}"\n${help()}`,
      );
    }
    const { run, usage } = await COMMANDS[name]!.load();
    if (asksForHelp(rest)) {
      writeAll(Deno.stdout, `${usage}\n`);
      return EXIT.done;
    }
    return await run(rest);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const text = error instanceof IpcError
      ? printable(error.message)
      : error.message;
    warn(text);
    return error instanceof Failure ? error.code : EXIT.failed;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
