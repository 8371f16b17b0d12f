// A claim: space in a ring that is filled in place, and then committed or aborted.

import { bufferOf } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal } from "../internal.ts";
import { PADDING, RECORD, type Region } from "./region.ts";

/** Who has a claim: what it is told when the claim is committed or aborted. */
export interface ClaimOwner {
  ended(claim: RingClaim): void;
}

/** Ends a claim of a producer that is closed. For this module alone. */
export let abandon: (claim: RingClaim) => void;

/**
 * Space for one message in a ring: fill
 * {@linkcode RingClaim.prototype.bytes | RingClaim.bytes}, then commit it.
 *
 * Until then the consumer waits before it, and messages that were written later wait
 * behind it. Disposing of a claim that is not committed aborts it.
 *
 * If the thread dies first, the consumer gives the claim up: no message arrives.
 *
 * @example A message that is written in place
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedRing } from "@linux/ipc/ring";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = MemoryMap.anonymous(SharedRing.size(4096));
 * const ring = SharedRing.create(memory);
 * using producer = ring.producer();
 * using consumer = ring.consumer(); // usually in another process
 * {
 *   using claim = await producer.claim(3);
 *   claim.bytes.fill(7);
 *   claim.commit();
 * } // aborted here, if it was not committed
 * assertEquals((await consumer.read())?.data, Uint8Array.of(7, 7, 7));
 * ```
 */
export class RingClaim implements Disposable {
  readonly #region: Region;
  readonly #at: number; // of the record
  readonly #length: number; // with its header
  readonly #type: number;
  readonly #owner: ClaimOwner;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #open = true;

  /**
   * Internal: producers make it.
   *
   * @ignore
   */
  constructor(
    token: symbol,
    region: Region,
    at: number,
    length: number,
    type: number,
    owner: ClaimOwner,
  ) {
    checkInternal(token, "RingClaim", "tryClaim() of a producer");
    this.#region = region;
    this.#at = at;
    this.#length = length;
    this.#type = type;
    this.#owner = owner;
  }

  static {
    abandon = (claim) => claim.#end(PADDING);
    inspectAs(this, (claim) => ({
      type: claim.#type,
      byteLength: claim.#length - RECORD,
      open: claim.#open,
    }));
  }

  /**
   * The bytes of the message, in the memory. They are not zeroed.
   *
   * Do not write to them after the commit: they belong to the consumer then, and later to
   * another message.
   *
   * @throws {Error} If the claim is committed or aborted.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#checkOpen();
    return this.#bytes ??= new Uint8Array(
      bufferOf(this.#region.bytes),
      this.#at + RECORD,
      this.#length - RECORD,
    );
  }

  /**
   * Publishes the message, and wakes the consumer if it sleeps.
   *
   * @throws {Error} If the claim is committed or aborted.
   */
  commit(): void {
    this.#checkOpen();
    this.#end(this.#type);
  }

  /** Gives the space up: no message arrives. Does nothing after `commit()`. */
  abort(): void {
    this.#end(PADDING);
  }

  /** Aborts the claim, unless it is committed. */
  [Symbol.dispose](): void {
    this.#end(PADDING);
  }

  #checkOpen(): void {
    if (this.#open) return;
    throw new Error("Cannot use the claim: it is committed or aborted");
  }

  #end(type: number): void {
    if (!this.#open) return;
    this.#open = false;
    const { int32 } = this.#region;
    if (int32.length > 0) {
      int32[(this.#at + 4) >> 2] = type;
      Atomics.store(int32, this.#at >> 2, this.#length);
    }
    this.#owner.ended(this);
  }
}
