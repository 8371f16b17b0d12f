/** What the fuzzer does to descriptors behind the library's back. */

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  msgctl: { parameters: ["i32", "i32", "usize"], result: "i32" },
  shmctl: { parameters: ["i32", "i32", "usize"], result: "i32" },
  semctl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
});

const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const O_NONBLOCK = 0x800;
const RLIMIT_NOFILE = 7;

/** Another number of the same description; -1 if there is none. */
export function duplicate(fd: number): number {
  return libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/** Closes a number that the fuzzer owns. */
export function closeRaw(fd: number): void {
  libc.close(fd);
}

/** What a process can do that shares the description. */
export function clearNonblocking(fd: number): void {
  libc.fcntl(fd, F_SETFL, libc.fcntl(fd, F_GETFL, 0) & ~O_NONBLOCK);
}

/** Takes all numbers that are free; returns what gives them back. */
export function exhaustDescriptors(fd: number): () => void {
  const limit = new BigUint64Array(2);
  libc.getrlimit(RLIMIT_NOFILE, limit);
  const before = limit[0]!;
  const taken: number[] = [];
  // Above all numbers in use: one that is closed meanwhile can be used again.
  const used = Array.from(
    Deno.readDirSync("/proc/self/fd"),
    (entry) => Number(entry.name),
  );
  limit[0] = BigInt(Math.max(...used, 127) + 1);
  libc.setrlimit(RLIMIT_NOFILE, limit);
  for (let copy; (copy = duplicate(fd)) !== -1;) taken.push(copy);
  return () => {
    for (const copy of taken) closeRaw(copy);
    limit[0] = before;
    libc.setrlimit(RLIMIT_NOFILE, limit);
  };
}

const IPC_RMID = 0;

/** Removes a System V object, if it is there. */
export function removeSysv(kind: "msg" | "shm" | "sem", id: number): void {
  if (kind === "msg") libc.msgctl(id, IPC_RMID, 0n);
  else if (kind === "shm") libc.shmctl(id, IPC_RMID, 0n);
  else libc.semctl(id, 0, IPC_RMID);
}
