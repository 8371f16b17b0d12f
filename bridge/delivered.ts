// The sequence numbers of the messages that the local queue has taken last, in a file that
// is mapped into memory: what the server delivers again is recognised, also by the next
// process.

import { existsSync, renameSync, rmSync } from "node:fs";
import { File, FileLock } from "@linux/ipc/descriptor";
import { MemoryMap } from "@linux/ipc/memory-map";
import { BridgeError } from "./error.ts";

// A server that was killed has forgotten some of the last acknowledgements.
const COUNT = 1 << 16;
const STREAM = 0; // words: what stream it is, the next place, then the numbers
const NEXT = 1;
const NUMBERS = 2;
const SIZE = (NUMBERS + COUNT) * 8;

/** The messages that were delivered last. */
export class Delivered implements Disposable {
  readonly #lock: File;
  readonly #map: MemoryMap;
  readonly #words: BigUint64Array<ArrayBuffer>;
  readonly #known = new Set<number>();

  /** Opens the file, or creates it. */
  constructor(path: string) {
    this.#lock = File.openOrCreate(`${path}.lock`);
    try {
      if (FileLock.of(this.#lock).tryLock() === undefined) {
        throw new BridgeError(`Another bridge uses ${path}`);
      }
      this.#map = openMap(path);
    } catch (error) {
      this.#lock.close();
      throw error;
    }
    const { buffer, byteOffset } = this.#map.bytes;
    this.#words = new BigUint64Array(buffer, byteOffset, NUMBERS + COUNT);
    for (const number of this.#words.subarray(NUMBERS)) {
      if (number !== 0n) this.#known.add(Number(number));
    }
  }

  /** Says what stream the numbers are of. Those of another one are forgotten. */
  of(stream: bigint): void {
    if (this.#words[STREAM] === stream) return;
    this.#words.fill(0n);
    this.#words[STREAM] = stream;
    this.#known.clear();
  }

  has(number: number): boolean {
    return this.#known.has(number);
  }

  add(number: number): void {
    const at = Number(this.#words[NEXT]! % BigInt(COUNT));
    this.#known.delete(Number(this.#words[NUMBERS + at]));
    this.#words[NUMBERS + at] = BigInt(number);
    this.#words[NEXT] = BigInt(at + 1);
    this.#known.add(number);
  }

  close(): void {
    this.#map.close();
    this.#lock.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openMap(path: string): MemoryMap {
  if (existsSync(path)) {
    const map = MemoryMap.open(path);
    if (map.byteLength === SIZE) return map;
    map.close(); // damaged: nothing is lost without it, but messages may be repeated
    rmSync(path);
  }
  const unfinished = `${path}.new`;
  rmSync(unfinished, { force: true });
  const map = MemoryMap.create(unfinished, SIZE);
  renameSync(unfinished, path);
  return map;
}
