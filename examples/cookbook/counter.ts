// Adds to a number in a file, under a lock of the file.

import process from "node:process";
import { File, FileLock } from "@linux/ipc/descriptor";

const [path = "./counter", times = "1000"] = process.argv.slice(2);

using file = File.openOrCreate(path);
const lock = FileLock.of(file);
for (let time = 0; time < Number(times); time++) {
  using _guard = lock.lockSync(); // lock() waits without blocking the thread
  const bytes = new Uint8Array(20);
  const size = file.pread(bytes, 0) ?? 0;
  const count = Number(new TextDecoder().decode(bytes.subarray(0, size)));
  file.pwrite(new TextEncoder().encode(`${count + 1}`), 0);
} // unlocks
console.log("TypeScript has counted");
