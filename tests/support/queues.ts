/** System V queues for tests, and children that use them. */
import { SysvMessageQueue } from "../../ffi/message_queue.ts";
import { codeArgs } from "./code.ts";
import { type Child, spawn } from "./process.ts";

const MODULE = import.meta.resolve("../../ffi/message_queue.ts");

/** A queue of this test's own, removed at its end. */
export class OwnQueue {
  readonly queue = SysvMessageQueue.create(null);

  [Symbol.dispose](): void {
    try {
      this.queue.remove();
    } catch {
      // The test removed it, or closed it.
      using again = SysvMessageQueue.list().some(({ id }) =>
          id === this.queue.id
        )
        ? SysvMessageQueue.fromId(this.queue.id)
        : undefined;
      again?.remove();
    }
    this.queue.close();
  }
}

/** The arguments of a Deno that runs code, which has the queue as `queue`. */
export function childArgs(queue: SysvMessageQueue, code: string): string[] {
  return codeArgs(`
    import { SysvMessageQueue } from "${MODULE}";
    const MODULE = "${MODULE}";
    const queue = SysvMessageQueue.fromId(${queue.id});
    ${code}`);
}

/** Runs code in a Deno of its own, which has the queue as `queue`. */
export function spawnWith(queue: SysvMessageQueue, code: string): Child {
  return spawn(Deno.execPath(), { args: childArgs(queue, code) });
}
