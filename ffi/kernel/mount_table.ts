// The mounts that a process sees: /proc/PID/mountinfo.

import { linesAt } from "./proc_files.ts";

/** A line of mountinfo(5). */
export interface Mount {
  /** The device, in the form of {@linkcode deviceName}. */
  readonly device: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  /** The directory where it is mounted. */
  readonly directory: string;
  /** The kind of file system, such as `tmpfs`. */
  readonly type: string;
  /** The options of the file system, such as `rw,hidepid=invisible`. */
  readonly options: string;
}

/** A device as `major:minor` in hexadecimal digits, two each at least. */
export function deviceName(major: number, minor: number): string {
  const [first, second] = [major, minor].map((number) =>
    number.toString(16).padStart(2, "0")
  );
  return `${first}:${second}`;
}

/** The mounts of the process whose directory in /proc is open, by their ids. */
export function mountsOf(process: number): Map<number, Mount> {
  const mounts = new Map<number, Mount>();
  for (const line of linesAt(process, "mountinfo")) {
    const [place = "", kind = ""] = line.split(" - ");
    const [id, , device = "", root = "", directory = ""] = place.split(" ");
    const [major, minor] = device.split(":").map(Number);
    mounts.set(Number(id), {
      device: deviceName(major ?? 0, minor ?? 0),
      root: unescape(root),
      directory: unescape(directory),
      type: kind.split(" ")[0]!,
      options: kind.slice(kind.lastIndexOf(" ") + 1),
    });
  }
  return mounts;
}

/** Decodes the octal escapes of mountinfo(5), such as `\040` for a space. */
export function unescape(text: string): string {
  return text.replace(
    /\\([0-7]{3})/g,
    (_, digits) => String.fromCharCode(parseInt(digits, 8)),
  );
}
