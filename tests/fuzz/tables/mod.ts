/** The calls of all mechanisms, by the names that a run chooses from. */
import type { Mechanism } from "../types.ts";
import { DESCRIPTOR } from "./descriptor.ts";
import { LOCK } from "./lock.ts";
import { MEMORY } from "./memory.ts";
import { PIPE } from "./pipe.ts";
import { PTHREAD } from "./pthread.ts";
import { QUEUE } from "./queue.ts";
import { RING } from "./ring.ts";
import { SEMAPHORE } from "./semaphore.ts";
import { SOCKET } from "./socket.ts";
import { STRUCT } from "./struct.ts";
import { WAIT } from "./wait.ts";

/** All mechanisms. */
export const MECHANISMS: Record<string, Mechanism> = {
  pipe: PIPE,
  queue: QUEUE,
  memory: MEMORY,
  semaphore: SEMAPHORE,
  lock: LOCK,
  pthread: PTHREAD,
  ring: RING,
  socket: SOCKET,
  descriptor: DESCRIPTOR,
  struct: STRUCT,
  wait: WAIT,
};
