/** Ints that the processes of a test share: counters, and what to begin by. */
import { SysvSharedMemory } from "../../ffi/shared_memory.ts";

const MODULE = import.meta.resolve("../../ffi/shared_memory.ts");

/** Zeroes at first, in a segment that goes with the last who has it. */
export class Words implements Disposable {
  readonly #memory: SysvSharedMemory;
  /** The ints. */
  readonly words: Int32Array;

  constructor(count: number) {
    this.#memory = SysvSharedMemory.create(null, 4 * count);
    this.#memory.remove();
    this.words = new Int32Array(this.#memory.bytes.buffer);
  }

  /** The identifier of the segment. */
  get id(): number {
    return this.#memory.id;
  }

  /** Code that has them as `words`. */
  get code(): string {
    return `
      const { SysvSharedMemory: Shared } = await import("${MODULE}");
      const words = new Int32Array(Shared.fromId(${this.id}).bytes.buffer);
    `;
  }

  [Symbol.dispose](): void {
    this.#memory.close();
  }
}
