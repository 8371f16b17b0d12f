// Waiting for any of several descriptors.

import { alwaysRefed, type WaitLiveness } from "../kernel/liveness.ts";
import type { Source } from "./attempt.ts";
import { cancellable } from "./cancellable.ts";
import type { Limits } from "./options.ts";
import { endIfIdle, type Waitable, watch } from "./reactor.ts";

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

  ready(limits: Limits): Promise<boolean> {
    return cancellable(limits, ({ resolve, reject }) => {
      const takeBacks: (() => void)[] = [];
      const settle = {
        resolve() {
          takeAllBack();
          resolve();
        },
        reject(reason: unknown) {
          takeAllBack();
          reject(reason);
        },
      };
      for (const one of this.wanted) {
        takeBacks.push(watch(one, one.events, settle));
      }
      return () => {
        takeAllBack();
        return endIfIdle();
      };

      function takeAllBack(): void {
        for (const takeBack of takeBacks) takeBack();
      }
    });
  }
}
