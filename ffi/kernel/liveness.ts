// What keeps the program alive: the pending waits of objects that are ref'd.
//
// The timers of waits and their calls on the runtime's pool of threads are ref'd while
// there is such a wait, and only then.

import { runtime } from "../libc/runtime/mod.ts";

/** A timer, or a call on the pool. */
interface Handle {
  ref(): void;
  unref(): void;
}

const handles = new Set<Handle>();
let refed = 0; // pending waits of ref'd objects

function count(change: number): void {
  const before = refed;
  refed += change;
  if ((before > 0) === (refed > 0)) return;
  for (const handle of handles) refed > 0 ? handle.ref() : handle.unref();
}

function add(handle: Handle): void {
  handles.add(handle);
  if (refed === 0) handle.unref();
}

/** What is told of a wait. */
export interface WaitLiveness {
  /** Notes that a wait has begun. */
  begin(): void;
  /** Notes that a wait has ended. */
  end(): void;
}

/** Whether the pending waits of one object keep the program alive. */
export class Liveness implements WaitLiveness {
  #refed = true;
  #waits = 0;

  begin(): void {
    this.#waits++;
    if (this.#refed) count(1);
  }

  end(): void {
    this.#waits--;
    if (this.#refed) count(-1);
  }

  /** Has the waits keep the program alive. */
  ref(): void {
    if (this.#refed) return;
    this.#refed = true;
    count(this.#waits);
  }

  /** Lets the program end during the waits. */
  unref(): void {
    if (!this.#refed) return;
    this.#refed = false;
    count(-this.#waits);
  }
}

/** Of waits that always keep the program alive. */
export const alwaysRefed: Liveness = new Liveness();

/** A call on the pool that keeps the program alive only while a wait does. */
export function background<T>(call: Promise<T>): Promise<T> {
  const handle = {
    ref: () => runtime.refCall(call),
    unref: () => runtime.unrefCall(call),
  };
  add(handle);
  const forget = () => void handles.delete(handle);
  call.then(forget, forget);
  return call;
}

/**
 * `setTimeout`, keeping the program alive only while a wait does; returns how to clear
 * it.
 */
export function startTimer(callback: () => void, delay: number): () => void {
  const timer = setTimeout(() => {
    handles.delete(handle);
    callback();
  }, delay);
  const handle = {
    ref: () => runtime.refTimer(timer),
    unref: () => runtime.unrefTimer(timer),
  };
  add(handle);
  return () => {
    handles.delete(handle);
    clearTimeout(timer);
  };
}
