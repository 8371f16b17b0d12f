// Pending for any of several descriptors.

import { alwaysRefed, type WaitLiveness } from "../kernel/liveness.ts";
import type { Pending, Source } from "./attempt.ts";
import type { Armed, Settle } from "./cancellable.ts";
import { endIfIdle, type Waitable, type Waiter, watch } from "./reactor.ts";

/** A descriptor, and the events that are waited for; 0 waits for its close() alone. */
export interface Wanted extends Waitable {
  readonly events: number;
}

/** Several descriptors, as the source of an attempt. */
export class SeveralSource implements Source {
  readonly subject: string;
  readonly spins = false;
  /** The descriptors that are waited for, as the last try has found them. */
  wanted: readonly Wanted[] = [];

  constructor(subject: string) {
    this.subject = subject;
  }

  /** One descriptor that keeps the program alive is enough. */
  get liveness(): WaitLiveness {
    const all = this.wanted.map(({ liveness }) => liveness ?? alwaysRefed);
    return {
      begin: () => all.forEach((one) => one.begin()),
      end: () => all.forEach((one) => one.end()),
    };
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  arm(wait: Pending): Armed {
    const waiters: Waiter[] = [];
    let isOver = false;
    const removeAll = () => {
      isOver = true;
      for (const waiter of waiters) waiter.remove();
    };
    const settle: Settle = {
      resolve() {
        if (isOver) return;
        removeAll();
        wait.resolve();
      },
      reject(reason) {
        if (isOver) return;
        removeAll();
        wait.reject(reason);
      },
    };
    for (const one of this.wanted) {
      if (isOver) break; // the wait for one of them has failed
      waiters.push(watch(one, one.events, settle));
    }
    if (isOver) removeAll();
    return {
      takeBack() {
        removeAll();
        return endIfIdle();
      },
    };
  }
}
