// Two named semaphores, through this library.

import { PosixSemaphore } from "@linux/ipc/semaphore";
import { task } from "../task.ts";
import { playSemaphores } from "./semaphores.ts";

const [first, second] = task.addresses.map((name) => PosixSemaphore.open(name));
await playSemaphores(first!, second!);
