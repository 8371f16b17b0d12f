// Pending for what has no descriptor: System V queues and semaphores. A call that
// blocks in the kernel takes a thread of the runtime's pool, so only a few may do that
// at a time. The other waiters back off.
//
// Such a call only waits: what it took for a Worker that is terminated would be lost,
// and so it can be abandoned at any time, too. The try that follows, on the thread of
// JavaScript, takes, and tells the errors with their errno.

import type { Pending, Source } from "./attempt.ts";
import { Backoff } from "./backoff.ts";
import type { Armed } from "./cancellable.ts";
import type { Ending } from "../kernel/closing.ts";
import type { Liveness } from "../kernel/liveness.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { remaining } from "./options.ts";
import { letReturn } from "./yield.ts";

/** A call that blocks on a thread of the pool until a try may succeed. */
export interface BlockingCall {
  /** Blocks for at most that many milliseconds, or until it is interrupted. */
  block(milliseconds: number): Promise<void>;
  /**
   * Makes the call return; called again until it has returned. False where that is not
   * possible any more.
   */
  interrupt?(): boolean;
  /** The longest that it blocks, in milliseconds: where it would lose its place then. */
  readonly slice?: number;
}

// Of the 32 threads of the pool, for each thread of JavaScript.
const MAX_BLOCKED = 4;
// The longest that an abandoned call keeps its thread: at first, and when it waited long.
const SLICE = 50; // ms
const LONGEST_SLICE = 1000; // ms
const INTERRUPT_AGAIN = 5; // ms: the thread may be on its way into the call
let blocked = 0;

/** How many threads of the pool are taken on this thread. For tests. */
export function blockedCalls(): number {
  return blocked;
}

/** An object without a descriptor, as the source of an attempt. */
export class PoolSource implements Source {
  readonly subject: string;
  readonly spins = true;
  readonly #closing: Ending;
  readonly #callOf: () => BlockingCall | undefined;
  readonly #backoff: Backoff;
  #slice = SLICE;

  /** `callOf` is asked when the wait blocks; undefined where that could not be ended. */
  constructor(
    subject: string,
    closing: Ending,
    callOf: () => BlockingCall | undefined,
  ) {
    this.subject = subject;
    this.#closing = closing;
    this.#callOf = callOf;
    this.#backoff = new Backoff(subject);
  }

  get liveness(): Liveness {
    return this.#closing.liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  arm(wait: Pending): Armed {
    const call = blocked < MAX_BLOCKED ? this.#callOf() : undefined;
    if (call === undefined) return this.#pause(wait);
    const left = remaining(wait.deadline);
    const { over, abandon } = block(call, Math.min(left, this.#sliceOf(call)));
    let isOver = false;
    const unlisten = this.#closing.listen(() => {
      end().then(resolve);
    });
    over.then(resolve);
    return {
      takeBack() {
        isOver = true;
        return end();
      },
    };

    async function end(): Promise<void> {
      unlisten();
      abandon();
      if (call!.interrupt !== undefined) await over;
    }
    function resolve(): void {
      if (isOver) return;
      isOver = true;
      unlisten();
      wait.resolve();
    }
  }

  #pause(wait: Pending): Armed {
    const { takeBack } = this.#backoff.pause(() => {
      const hasEnded = wait.retry();
      if (hasEnded) unlisten();
      return hasEnded;
    });
    const unlisten = this.#closing.listen(() => {
      takeBack();
      Promise.resolve().then(() => wait.resolve());
    });
    return {
      takeBack() {
        unlisten();
        takeBack();
      },
    };
  }

  #sliceOf(call: BlockingCall): number {
    if (call.slice !== undefined) return call.slice;
    if (call.interrupt === undefined) return SLICE;
    const slice = this.#slice;
    this.#slice = Math.min(2 * slice, LONGEST_SLICE, runtime.longestBlock);
    return slice;
  }
}

/** A blocked call that can be abandoned. */
interface Blocked {
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  abandon(): void;
}

function block(call: BlockingCall, milliseconds: number): Blocked {
  const { promise, resolve } = Promise.withResolvers<void>();
  let again: ReturnType<typeof setInterval> | undefined;
  const forget = runtime.onExit(() => call.interrupt?.());
  blocked++;
  call.block(milliseconds).then(() => {
    blocked--;
    forget();
    clearInterval(again);
    resolve();
  });
  return { over: promise, abandon };

  function abandon(): void {
    if (call.interrupt === undefined || again !== undefined) return;
    again = setInterval(interrupt, INTERRUPT_AGAIN);
    interrupt();
    letReturn();
  }
  function interrupt(): void {
    if (call.interrupt!()) return;
    clearInterval(again);
    resolve(); // its outcome cannot be known in time
  }
}
