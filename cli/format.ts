// Values as people read them: sizes, times, permissions, users.

import { printable } from "../ffi/inspect/text.ts";

const UNITS = ["B", "K", "M", "G", "T", "P", "E"];

/** A size as lsipc(1) shows it, in powers of 1024: `4K`, `1.5M`. */
export function sizeOf(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const rounded = value >= 100
    ? Math.round(value)
    : Math.round(value * 10) / 10;
  return `${rounded}${UNITS[unit]}`;
}

const SPANS: [seconds: number, name: string][] = [
  [86400, "d"],
  [3600, "h"],
  [60, "m"],
  [1, "s"],
];

/** How long ago a moment was, in its two largest units: `3d4h`. */
export function agoOf(time: Date, now: Date): string {
  let seconds = Math.max(0, Math.round((Number(now) - Number(time)) / 1000));
  const parts: string[] = [];
  for (const [span, name] of SPANS) {
    const count = Math.floor(seconds / span);
    seconds -= count * span;
    if (count > 0) parts.push(`${count}${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join("") || "0s";
}

/** A moment in the local time zone, to a second. */
export function timeOf(time: Date): string {
  const offset = time.getTimezoneOffset() * 60_000;
  const iso = new Date(Number(time) - offset).toISOString();
  return iso.slice(0, 19).replace("T", " ");
}

/** Permission bits as ls(1) shows them: `rw-r-----`. */
export function modeOf(mode: number): string {
  return Array.from(
    { length: 9 },
    (_, bit) => (mode & (0o400 >> bit)) !== 0 ? "rwx"[bit % 3] : "-",
  ).join("");
}

let users: Map<number, string> | undefined;

/** The name of a user, or the number if there is no name. */
export function userOf(uid: number): string {
  if (users === undefined) {
    users = new Map();
    try {
      for (const line of Deno.readTextFileSync("/etc/passwd").split("\n")) {
        const [name, , id] = line.split(":");
        if (name && id) users.set(Number(id), printable(name));
      }
    } catch {
      // No such file: numbers will do.
    }
  }
  return users.get(uid) ?? String(uid);
}
