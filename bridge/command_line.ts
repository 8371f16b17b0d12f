// What the command line or a configuration file says, as the bridges to start.

import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "@std/cli";
import { PosixMessageQueue, SysvMessageQueue } from "@linux/ipc/message-queue";
import { UnixListener, UnixSeqpacket } from "@linux/ipc/socket";
import type { Bridge } from "./bridge.ts";
import type { ServerOptions } from "./connection.ts";
import { incoming } from "./incoming.ts";
import { outgoing } from "./outgoing.ts";
import { incomingRequests, outgoingRequests } from "./requests.ts";

/** A wrong command line or configuration: told without a stack. */
export class UsageError extends Error {}

/** A bridge, as it is written in a configuration file and on the command line. */
const KEYS = {
  text: [
    ...["direction", "subject", "sysv", "posix", "listen", "connect", "mode"],
    ...["state", "name", "stream", "durable"],
  ],
  number: [
    ...["maxBytes", "duplicateWindow", "maxSize", "window", "ackWait"],
    ...["type", "timeout"],
  ],
  flag: ["create", "requests"],
} as const;

type Settings =
  & { [K in (typeof KEYS.text)[number]]?: string }
  & { [K in (typeof KEYS.number)[number]]?: number }
  & { [K in (typeof KEYS.flag)[number]]?: boolean };

/** What is to be started. */
export interface Plan {
  readonly server: ServerOptions;
  readonly bridges: readonly Settings[];
}

const dashed = (name: string) =>
  name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Reads the arguments: `out`, `in`, or `run FILE`. */
export function planOf(args: readonly string[]): Plan {
  const options = [...KEYS.text.slice(1), ...KEYS.number].map(dashed);
  const values = [...options, "server", "credentials"];
  const parsed = parseArgs([...args], {
    string: [...values, "_"],
    collect: values,
    boolean: ["requests", "existing-stream", "help"],
    unknown(argument, name) {
      if (name === undefined) return true;
      throw new UsageError(`There is no option ${argument}`);
    },
  }) as Parsed;
  const [command, ...words] = parsed._;
  const server = serverOf(parsed);
  if (command === "run") {
    if (words.length !== 1) throw new UsageError("run takes one file");
    return planIn(words[0]!, server);
  }
  if (command !== "out" && command !== "in") {
    throw new UsageError("The command is out, in, or run");
  }
  if (words.length > 0) {
    throw new UsageError(`There is an argument too many: ${words[0]}`);
  }
  return { server, bridges: [settingsOf(command, parsed)] };
}

/** What parseArgs returns: options with values have a list of them. */
type Parsed = Record<string, unknown> & { _: string[] };

/** The value of an option; undefined if it is not given. */
function valueOf(parsed: Parsed, option: string): string | undefined {
  const all = parsed[option] as string[] | undefined ?? [];
  if (all.length > 1 || all[0] === "") {
    throw new UsageError(`--${option} needs one value`);
  }
  return all[0];
}

function settingsOf(direction: string, parsed: Parsed): Settings {
  const settings: Record<string, unknown> = { direction };
  for (const key of KEYS.text.slice(1)) {
    const value = valueOf(parsed, dashed(key));
    if (value !== undefined) settings[key] = value;
  }
  for (const key of KEYS.number) {
    const value = valueOf(parsed, dashed(key));
    if (value !== undefined) settings[key] = Number(value);
  }
  if (parsed["existing-stream"]) settings["create"] = false;
  if (parsed["requests"]) settings["requests"] = true;
  return checked(settings);
}

/** The server: options first, then the variables that the programs of NATS have. */
function serverOf(parsed: Parsed): ServerOptions {
  const { NATS_URL, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CREDS } =
    process.env;
  const given = parsed["server"] as string[] | undefined ?? [];
  const servers = given.length > 0 ? given : NATS_URL?.split(",");
  const credentials = valueOf(parsed, "credentials") ?? NATS_CREDS;
  return {
    servers,
    credentials,
    user: NATS_USER,
    password: NATS_PASSWORD,
    token: NATS_TOKEN,
  };
}

/** Reads a configuration file. */
function planIn(path: string, server: ServerOptions): Plan {
  let plan;
  try {
    plan = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path}: ${(error as Error).message}`);
  }
  if (!Array.isArray(plan?.bridges) || plan.bridges.length === 0) {
    throw new UsageError(`${path}: "bridges" must be a list of bridges`);
  }
  const given = Object.entries(server).filter(([, value]) => value);
  return {
    server: { ...plan.server, ...Object.fromEntries(given) },
    bridges: plan.bridges.map(checked),
  };
}

/** Checks the types of the settings, and that there are no others. */
function checked(settings: Record<string, unknown>): Settings {
  const types = new Map<string, string>([
    ...KEYS.text.map((key) => [key, "string"] as const),
    ...KEYS.number.map((key) => [key, "number"] as const),
    ...KEYS.flag.map((key) => [key, "boolean"] as const),
  ]);
  for (const [key, value] of Object.entries(settings)) {
    const type = types.get(key);
    if (type === undefined) {
      throw new UsageError(`There is no setting "${key}"`);
    }
    const isRight = typeof value === type && !Number.isNaN(value);
    if (!isRight) throw new UsageError(`"${key}" must be a ${type}: ${value}`);
  }
  const { direction, subject, sysv, posix, listen, connect } = settings;
  if (direction !== "in" && direction !== "out") {
    throw new UsageError('"direction" must be "in" or "out"');
  }
  if (subject === undefined) throw new UsageError("The subject is missing");
  const queues = [sysv, posix, direction === "out" ? listen : connect];
  if (queues.filter((queue) => queue !== undefined).length !== 1) {
    const socket = direction === "out" ? "listen" : "connect";
    throw new UsageError(`One queue is needed: sysv, posix or ${socket}`);
  }
  return settings as Settings;
}

/** Starts a bridge. */
export function start(
  settings: Settings,
  server: ServerOptions,
  log: (line: string) => void,
): Bridge {
  const { direction, subject = "", requests = false } = settings;
  const { mode, sysv, posix, listen, connect } = settings;
  const queue = sysv ?? posix ?? listen ?? connect;
  const name = settings.name ?? `${direction} ${queue} ${subject}`;
  const options = { ...settings, server, log, name };
  if (requests) {
    if (sysv === undefined) {
      throw new UsageError("Requests are of System V queues only");
    }
    const open = () => openSysv(sysv, mode);
    return direction === "out"
      ? outgoingRequests(open, subject, options)
      : incomingRequests(subject, open, options);
  }
  if (direction === "out") {
    if (listen === undefined) {
      return outgoing(() => openQueue(settings), subject, options);
    }
    const permissions = modeOf(mode, 0o600);
    const open = () =>
      UnixListener.listen(listen, {
        type: "seqpacket",
        reclaim: true,
        ...(listen.startsWith("@") ? {} : { mode: permissions }),
      });
    return outgoing(open, subject, options);
  }
  return incoming(
    subject,
    () =>
      connect === undefined
        ? openQueue(settings)
        : UnixSeqpacket.connectSync(connect),
    options,
  );
}

function openQueue(
  { sysv, posix = "", mode }: Settings,
): SysvMessageQueue | PosixMessageQueue {
  return sysv === undefined
    ? PosixMessageQueue.openOrCreate(posix, { mode: modeOf(mode, 0o600) })
    : openSysv(sysv, mode);
}

/** Opens a System V queue by its key, or creates it, as the programs that use it do. */
function openSysv(text: string, mode: string | undefined): SysvMessageQueue {
  const key = Number(text);
  if (!/^(?:\d+|0x[0-9a-f]+)$/i.test(text) || key < 1 || key > 0xffffffff) {
    throw new UsageError(`sysv must be a key such as 12345 or 0x3039: ${text}`);
  }
  try {
    return SysvMessageQueue.open(key); // whatever its permissions are
  } catch {
    return SysvMessageQueue.openOrCreate(key, { mode: modeOf(mode, 0o600) });
  }
}

function modeOf(text: string | undefined, missing: number): number {
  if (text === undefined) return missing;
  if (/^0?[0-7]{3}$/.test(text)) return parseInt(text, 8);
  throw new UsageError(`mode must be octal, such as 660: ${text}`);
}
