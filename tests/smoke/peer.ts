/**
 * The other process of the checks: answers one message on each mechanism that its
 * arguments name, then holds a lock until it is killed.
 */
import { argv } from "node:process";
import { PosixMessageQueue, PosixSharedMemory } from "../../mod.ts";
import { SharedMutex, SysvMessageQueue, UnixStream } from "../../mod.ts";

const WAIT = { timeout: 60_000 };
const [key, name, path] = [Number(argv[2]), argv[3]!, argv[4]!];

using memory = PosixSharedMemory.open(name);
memory.atomics.int32[0] = 42;
memory.notify(0);

using sysv = SysvMessageQueue.open(key);
sysv.sendSync(sysv.receiveSync({ ...WAIT, type: 1 }).data, { type: 2 });

using posix = PosixMessageQueue.open(name);
const { data } = await posix.receive(WAIT);
using stream = await UnixStream.connect(path, WAIT);
await stream.write(data, WAIT);

using mutex = SharedMutex.open(key);
using _guard = mutex.lockSync(WAIT);
await stream.write(Uint8Array.of(1), WAIT); // held now
await stream.read(new Uint8Array(1)); // nothing comes: the parent kills this process
