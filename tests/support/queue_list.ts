/** Whether inspect() can list POSIX queues here. */
import { inspect } from "../../ffi/inspect.ts";

const { unseen } = inspect({ kinds: ["posix-queue"] });

/** Why it cannot, or null. */
export const noQueueList: string | null =
  unseen.some(({ what }) => what.startsWith("POSIX message queues"))
    ? "POSIX queues are not mounted, and may not be"
    : null;
