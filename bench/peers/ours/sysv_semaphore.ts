// Two semaphores of a System V set, through this library.

import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
import { task } from "../task.ts";
import { playSemaphores } from "./semaphores.ts";

const [id, ...indexes] = task.addresses.map(Number);
const set = SysvSemaphoreSet.fromId(id!);
const [first, second] = indexes.map((index) =>
  set.semaphore(index, { undo: false })
);
await playSemaphores(first!, second!);
