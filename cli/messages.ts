// send, receive, peek, post and wait: queues and semaphores for a shell.

import { IpcError } from "../ffi/errors.ts";
import { ipcLimits } from "../ffi/limits.ts";
import { printable } from "../ffi/inspect/text.ts";
import { PosixMessageQueue, SysvMessageQueue } from "../ffi/message_queue.ts";
import { PosixSemaphore, SysvSemaphoreSet } from "../ffi/semaphore.ts";
import { check, ENOMSG, unless } from "../ffi/libc/errno.ts";
import { IPC_NOWAIT } from "../ffi/libc/sys_ipc.ts";
import { MSG_COPY, MSG_NOERROR, sysMsg } from "../ffi/libc/sys_msg.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT, Failure } from "./failure.ts";
import { jsonOf } from "./json.ts";
import { standardOutput, writeAll } from "./output.ts";

const QUEUE = `
  QUEUE         /name of a POSIX queue; of a System V queue the key (0x3039) or the
                identifier (5)
  --timeout MS  waits so long at most; 0 does not wait. Without it: for ever`;

export const SEND_USAGE =
  `Usage: ipc send QUEUE [TEXT] [--type N | --priority N] [--timeout MS]

Sends a message: the text, or without one all of standard input.
${QUEUE}
  --type N      of System V, from 1; 1 by default
  --priority N  of POSIX, from 0; 0 by default`;

export const RECEIVE_USAGE =
  `Usage: ipc receive QUEUE [--type N] [--timeout MS] [--json]

Receives a message and writes its bytes, followed by a newline. On a terminal control
characters are escaped.
${QUEUE}
  --type N      of System V: the first message of this type; if N is negative (--type=-5)
                the one of the lowest type up to -N
  --json        type or priority, size, text and base64, as JSON`;

export const PEEK_USAGE = `Usage: ipc peek QUEUE [--index N] [--json]

Shows a message and leaves it in the queue: of System V only. A POSIX queue cannot do it.

  --index N     the position, from 0`;

const SEMAPHORE = `
  SEMAPHORE     /name of a POSIX semaphore; of a System V set the key (0x3039) or the
                identifier (5)
  --index N     the semaphore of a set, from 0`;

export const POST_USAGE = `Usage: ipc post SEMAPHORE [--index N]

Adds 1 to a semaphore: sem_post, or semop with +1.
${SEMAPHORE}`;

export const WAIT_USAGE = `Usage: ipc wait SEMAPHORE [--index N] [--timeout MS]

Waits until a semaphore is above 0, and takes 1 from it, which is not given back when this
command ends.
${SEMAPHORE}
  --timeout MS  waits so long at most; 0 does not wait. Without it: for ever`;

const MAX_TIMEOUT = 2 ** 31;
const LONG_MAX = Number.MAX_SAFE_INTEGER;

/** A name that is of POSIX, a key or an identifier. */
type Named = { name: string } | { key: number } | { id: number };

function named(line: CommandLine, word: string): Named {
  if (word.startsWith("/")) return { name: word };
  const number = Number(word);
  if (/^0x[0-9a-f]{1,8}$/i.test(word) && number > 0) return { key: number };
  if (/^\d{1,10}$/.test(word) && number <= 0x7fffffff) return { id: number };
  throw line.wrong(
    `"${printable(word)}" is neither /name, key (0x3039) nor identifier (5)`,
  );
}

/** Runs a call; what it says of the object, or of the time, becomes the exit code. */
function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof DOMException && error.name === "TimeoutError") {
      throw new Failure(EXIT.nothing, "The time is over");
    }
    if (error instanceof IpcError && /^(?:ENOENT|EIDRM)$/.test(error.code)) {
      throw new Failure(EXIT.missing, printable(error.message));
    }
    throw error;
  }
}

function timeoutOf(line: CommandLine): { timeout?: number } {
  const timeout = line.number("timeout", 0, MAX_TIMEOUT);
  return timeout === undefined ? {} : { timeout };
}

/** Refuses an option that only objects of the other family have. */
function refuse(line: CommandLine, option: string, of: string): void {
  if (line.value(option) === undefined) return;
  throw line.wrong(`--${option} is of ${of} only`);
}

function openSysvQueue(target: { key: number } | { id: number }) {
  return "key" in target
    ? SysvMessageQueue.open(target.key)
    : SysvMessageQueue.fromId(target.id);
}

/** Runs send. */
export async function send(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, SEND_USAGE, {
    values: ["type", "priority", "timeout"],
    words: ["QUEUE", "[TEXT]"],
  });
  const [word, text] = line.words;
  const target = named(line, word!);
  const type = line.integer("type", 1, LONG_MAX);
  const priority = line.integer("priority", 0, 32767);
  if ("name" in target) refuse(line, "type", "System V");
  else refuse(line, "priority", "POSIX");
  const options = timeoutOf(line);
  const data = text === undefined
    ? await new Response(Deno.stdin.readable).bytes()
    : new TextEncoder().encode(text);
  attempt(() => {
    if ("name" in target) {
      using queue = PosixMessageQueue.open(target.name, { access: "send" });
      queue.sendSync(data, { ...options, priority });
    } else {
      using queue = openSysvQueue(target);
      queue.sendSync(data, { ...options, type });
    }
  });
  return EXIT.done;
}

/** A message that was received. */
interface Received {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly type?: number | bigint;
  readonly priority?: number;
}

/** The reader has gone, and the message with it. */
function lose(): void {
  throw new Failure(
    EXIT.failed,
    "Cannot write the message: the reader has gone",
  );
}

function print(message: Received, isJson: boolean): void {
  const { data, ...about } = message;
  const text = new TextDecoder().decode(data);
  const output = standardOutput(true, lose);
  if (isJson) {
    const size = data.length;
    output.print(jsonOf({ ...about, size, text, base64: data.toBase64() }));
  } else if (Deno.stdout.isTerminal()) {
    output.print(text.split("\n").map(printable).join("\n"));
  } else {
    writeAll(Deno.stdout, Uint8Array.of(...data, 0x0a), lose);
  }
}

/** Runs receive. */
export function receive(args: readonly string[]): number {
  const line = new CommandLine(args, RECEIVE_USAGE, {
    values: ["type", "timeout"],
    flags: ["json"],
    words: ["QUEUE"],
  });
  const target = named(line, line.words[0]!);
  const type = line.integer("type", -LONG_MAX, LONG_MAX);
  if ("name" in target) refuse(line, "type", "System V");
  const options = timeoutOf(line);
  const message = attempt((): Received => {
    if ("name" in target) {
      using queue = PosixMessageQueue.open(target.name, { access: "receive" });
      return queue.receiveSync(options);
    }
    using queue = openSysvQueue(target);
    return queue.receiveSync(
      type === undefined ? options : { ...options, type },
    );
  });
  print(message, line.has("json"));
  return EXIT.done;
}

/** Runs peek. */
export function peek(args: readonly string[]): number {
  const line = new CommandLine(args, PEEK_USAGE, {
    values: ["index"],
    flags: ["json"],
    words: ["QUEUE"],
  });
  const target = named(line, line.words[0]!);
  const index = line.integer("index", 0, 0x7fffffff) ?? 0;
  if ("name" in target) {
    throw new Failure(
      EXIT.failed,
      "A POSIX queue cannot show a message without giving it away",
    );
  }
  const message = attempt(() => {
    using queue = openSysvQueue(target);
    return copyOf(queue.id, index);
  });
  if (message === undefined) {
    throw new Failure(EXIT.nothing, `There is no message at ${index}`);
  }
  print(message, line.has("json"));
  return EXIT.done;
}

/** `msgrcv` with MSG_COPY: a message, by its position; undefined if there is none. */
function copyOf(id: number, index: number): Received | undefined {
  const { bytes } = SysvMessageQueue.stat({ id });
  const size = Math.max(ipcLimits().sysvMessageQueues.maxSize, bytes);
  const buffer = new Uint8Array(8 + size);
  const flags = MSG_COPY | IPC_NOWAIT | MSG_NOERROR;
  const { msgrcv } = sysMsg();
  const length = unless(
    ENOMSG,
    () => check(msgrcv(id, buffer, size, BigInt(index), flags), "msgrcv", id),
  );
  if (length === undefined) return undefined;
  const type = new DataView(buffer.buffer).getBigInt64(0, true);
  return { type, data: buffer.slice(8, 8 + length) };
}

/** Runs post. */
export function post(args: readonly string[]): number {
  const line = new CommandLine(args, POST_USAGE, {
    values: ["index"],
    words: ["SEMAPHORE"],
  });
  const [target, index] = semaphoreOf(line);
  attempt(() => {
    if ("name" in target) {
      using semaphore = PosixSemaphore.open(target.name);
      semaphore.release();
    } else {
      using set = openSet(target);
      set.semaphore(index, { undo: false }).release();
    }
  });
  return EXIT.done;
}

/** Runs wait. */
export function wait(args: readonly string[]): number {
  const line = new CommandLine(args, WAIT_USAGE, {
    values: ["index", "timeout"],
    words: ["SEMAPHORE"],
  });
  const [target, index] = semaphoreOf(line);
  const options = timeoutOf(line);
  attempt(() => {
    if ("name" in target) {
      using semaphore = PosixSemaphore.open(target.name);
      semaphore.acquireSync(options);
    } else {
      using set = openSet(target);
      set.semaphore(index, { undo: false }).acquireSync(options);
    }
  });
  return EXIT.done;
}

function semaphoreOf(line: CommandLine): [target: Named, index: number] {
  const target = named(line, line.words[0]!);
  const index = line.integer("index", 0, 65535);
  if ("name" in target) refuse(line, "index", "System V");
  return [target, index ?? 0];
}

function openSet(target: { key: number } | { id: number }) {
  return "key" in target
    ? SysvSemaphoreSet.open(target.key)
    : SysvSemaphoreSet.fromId(target.id);
}
