// Where a bridge keeps its files: journals, and messages that are set aside.

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The directory, which is made if it is missing. */
export function stateDirectory(given: string | undefined): string {
  const directory = given ?? defaultDirectory();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/** STATE_DIRECTORY of systemd; else as the XDG specification says. */
function defaultDirectory(): string {
  const { STATE_DIRECTORY, XDG_STATE_HOME, HOME } = process.env;
  if (STATE_DIRECTORY !== undefined) return STATE_DIRECTORY.split(":")[0]!;
  if (process.getuid?.() === 0) return "/var/lib/ipc-nats";
  return join(XDG_STATE_HOME ?? join(HOME ?? ".", ".local/state"), "ipc-nats");
}

/** A name as a part of a path. */
export function fileNameOf(name: string): string {
  return name.replace(/[^\w.-]+/g, "_");
}

/** The start of the system: another one each time, and on each machine. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
