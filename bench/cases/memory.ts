// Shared and mapped memory: to get it, and to go through much of it.

import { join } from "@std/path";
import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import {
  alone,
  BARE,
  C,
  DENO,
  type Mechanism,
  OURS,
} from "../harness/cases.ts";

const PAGE = 4096;
const MUCH = 64 * 1024 * 1024;
const FILE = 1024 * 1024 * 1024;

/** A System V segment: attached, written to, detached. */
export const memoryAttach: Mechanism = {
  name: "memory-attach",
  cases: [alone("sync", PAGE, [C, OURS, BARE])],
  meet() {
    const memory = SysvSharedMemory.create(null, PAGE);
    return {
      addresses: [`${memory.id}`],
      [Symbol.dispose]() {
        memory.remove();
        memory.close();
      },
    };
  },
};

/** What is measured of a file of zeroes that has so many bytes. */
function ofFile(
  name: string,
  size: number,
  players: Parameters<typeof alone>[2],
): Mechanism {
  return {
    name,
    cases: [alone("sync", size, players)],
    meet(directory) {
      const path = join(directory, "zeroes");
      using file = Deno.openSync(path, { write: true, create: true });
      file.truncateSync(size); // takes no room on the disk
      return {
        addresses: [path],
        [Symbol.dispose]: () => Deno.removeSync(path),
      };
    },
  };
}

/** A file: opened, mapped, written to, unmapped. */
export const mapAttach: Mechanism = ofFile("map-attach", PAGE, [C, OURS]);

// "Deno" is what JavaScript has itself for the same memory.

/** A mapped file, looked through for a byte. */
export const mapScan: Mechanism = ofFile("map-scan", FILE, [C, OURS, DENO]);

/** A mapped file, added up in a loop. */
export const mapSum: Mechanism = ofFile("map-sum", FILE, [C, OURS]);

/** A mapped file, copied into other memory. */
export const mapCopy: Mechanism = ofFile("map-copy", MUCH, [C, OURS, DENO]);
