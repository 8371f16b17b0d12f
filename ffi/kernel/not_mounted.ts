// File systems that calls need, and that are not mounted in every container.

import { runtime } from "../libc/runtime/mod.ts";

const TYPES = { "/proc": "proc", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue" };

/** The error of an action that needs a file system that is not there. */
export function notMounted(
  action: string,
  directory: keyof typeof TYPES,
): Error {
  return new runtime.errors.NotSupported(
    `Cannot ${action}: ${directory} is not mounted; root mounts it with: ` +
      `mkdir -p ${directory} && mount -t ${TYPES[directory]} none ${directory}`,
  );
}
