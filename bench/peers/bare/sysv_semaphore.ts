// Two semaphores of a System V set, with nothing but libc.

import { play, ready, task } from "../task.ts";

const { semop } = Deno.dlopen("libc.so.6", {
  // int semop(int semid, struct sembuf *sops, size_t nsops)
  semop: { parameters: ["i32", "buffer", "usize"], result: "i32" },
}).symbols;
const [id, first, second] = task.addresses.map(Number);
const take = Int16Array.of(task.serves ? first! : second!, -1, 0); // struct sembuf
const give = Int16Array.of(task.serves ? second! : first!, 1, 0);
if (task.serves) ready();
play({
  send: () => void semop(id!, give, 1n),
  receive: () => void semop(id!, take, 1n),
});
