// Two named semaphores, with nothing but libc.

import { play, ready, task } from "../task.ts";

const { sem_open, sem_post, sem_wait } = Deno.dlopen("libpthread.so.0", {
  // sem_t *sem_open(const char *name, int oflag)
  sem_open: { parameters: ["buffer", "i32"], result: "pointer" },
  // int sem_post(sem_t *sem), and sem_wait
  sem_post: { parameters: ["pointer"], result: "i32" },
  sem_wait: { parameters: ["pointer"], result: "i32" },
}).symbols;
const [first, second] = task.addresses.map((name) =>
  sem_open(new TextEncoder().encode(`${name}\0`), 0)
);
const [mine, other] = task.serves ? [first!, second!] : [second!, first!];
if (task.serves) ready();
play({
  send: () => void sem_post(other),
  receive: () => void sem_wait(mine),
});
