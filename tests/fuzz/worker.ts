/** A Worker that waits until it is terminated. */
import {
  PosixSemaphore,
  SharedMutex,
  SharedRwLock,
  SysvMessageQueue,
  SysvSemaphoreSet,
} from "../../mod.ts";

/** What a Worker waits for, and how many times at once. */
export interface Task {
  /** The kind of object. */
  readonly kind: string;
  /** Its name or id. */
  readonly what: string | number;
  /** How many waits. */
  readonly count: number;
}

/** Begins one wait, by the kind of object. */
const WAITS: Record<string, (what: never) => () => Promise<unknown>> = {
  PosixSemaphore: (name: string) => {
    const one = PosixSemaphore.open(name);
    return () => one.acquire();
  },
  SysvSemaphore: (id: number) => {
    const one = SysvSemaphoreSet.fromId(id).semaphore(0);
    return () => one.acquire();
  },
  SysvMessageQueue: (id: number) => {
    const one = SysvMessageQueue.fromId(id);
    return () => one.receive();
  },
  SharedMutex: (id: number) => {
    const one = SharedMutex.fromId(id);
    return () => one.lock();
  },
  SharedRwLock: (id: number) => {
    const one = SharedRwLock.fromId(id);
    return () => one.lockWrite();
  },
};

globalThis.addEventListener("message", (event) => {
  const { kind, what, count } = (event as MessageEvent<Task>).data;
  const begin = WAITS[kind]!(what as never);
  for (let i = 0; i < count; i++) begin().catch(() => {});
  const { postMessage } = globalThis as unknown as Pick<Worker, "postMessage">;
  setTimeout(() => postMessage("waiting"), 5);
});
