// Many waiters, which tell a C program through a FIFO when they have been woken. The
// first address is the FIFO; the last arguments are what they wait for, whether each has an
// object of its own, and how many they are.

import { ready, task } from "../task.ts";
import { startWaits } from "./waits.ts";

const [fifo] = task.addresses as [string];
// To open it for writing only would wait for the reader.
const answers = Deno.openSync(fifo, { read: true, write: true });
const answer = new Uint8Array(1);
startWaits(() => answers.writeSync(answer));
ready();
