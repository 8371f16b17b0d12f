// A System V segment, attached, written to and detached with nothing but libc.

import { play, task } from "../task.ts";

const { shmat, shmctl, shmdt } = Deno.dlopen("libc.so.6", {
  // void *shmat(int shmid, const void *shmaddr, int shmflg)
  shmat: { parameters: ["i32", "usize", "i32"], result: "pointer" },
  // int shmctl(int shmid, int op, struct shmid_ds *buf)
  shmctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  // int shmdt(const void *shmaddr)
  shmdt: { parameters: ["pointer"], result: "i32" },
}).symbols;
const IPC_STAT = 2;
const stat = new Uint8Array(112); // struct shmid_ds
const segmentSize = new BigUint64Array(stat.buffer, 48, 1);
const id = Number(task.addresses[0]);
let pointer: Deno.PointerValue;
play({
  send() {
    pointer = shmat(id, 0n, 0);
    shmctl(id, IPC_STAT, stat);
    const size = Number(segmentSize[0]);
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer!, size);
    new Uint8Array(buffer)[size - 1]!++;
  },
  receive: () => void shmdt(pointer), // and what shows it is a trap from now on
});
