// Tests of a user, with the sanitizers of Deno's test runner: sanitizers_test.ts runs
// this file. What is awaited here has ended when the test ends, so nothing is left.
import {
  Fifo,
  MemoryMap,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  SharedMutex,
  splice,
  SysvMessageQueue,
  SysvSemaphoreSet,
  UnixListener,
  UnixStream,
  waitAny,
} from "../../mod.ts";

const BRIEF = { timeout: 5 };
const LATER = 5; // ms

/** Awaits a wait that fails. */
async function fails(wait: Promise<unknown>): Promise<void> {
  const name = await wait.then(() => "none", ({ name }) => name);
  if (
    name !== "TimeoutError" && name !== "ClosedError" && name !== "IpcError"
  ) {
    throw new Error(`unexpected end of the wait: ${name}`);
  }
}

/** Awaits a wait that `end` ends a little later. */
async function endedBy(wait: Promise<unknown>, end: () => void): Promise<void> {
  const timer = setTimeout(end, LATER);
  await fails(wait);
  clearTimeout(timer);
}

const one = new Uint8Array(1);

const tests: Record<string, () => void | Promise<void>> = {
  "the first call"() {
    using ends = pipe();
    ends.writer.writeSync(one);
    ends.reader.readSync(one);
  },
  async "a read that succeeds"() {
    using ends = pipe();
    const reading = ends.reader.read(one);
    setTimeout(() => ends.writer.writeSync(one), LATER);
    await reading;
  },
  async "a read with a timeout"() {
    using ends = pipe();
    await fails(ends.reader.read(one, BRIEF));
  },
  async "a read of a pipe that is closed"() {
    const ends = pipe();
    await endedBy(ends.reader.read(one), () => ends.close());
  },
  async "a wait for one of two, splice"() {
    using a = pipe();
    using b = pipe();
    await fails(waitAny([a.reader, b.reader], BRIEF));
    await fails(splice(a.reader, b.writer, 1, BRIEF));
  },
  async "a FIFO without a writer, a listener without a client"() {
    const directory = await Deno.makeTempDir();
    using fifo = Fifo.create(`${directory}/fifo`);
    await fails(fifo.openReader(BRIEF));
    using listener = UnixListener.listen(`${directory}/socket`);
    await fails(listener.accept(BRIEF));
    using client = await UnixStream.connect(`${directory}/socket`);
    using server = await listener.accept();
    await fails(server.read(one, BRIEF));
    await endedBy(client.read(one), () => client.close());
    fifo.unlink();
    listener.close();
    await Deno.remove(directory, { recursive: true });
  },
  async "a POSIX semaphore"() {
    const semaphore = PosixSemaphore.create(null, 0);
    PosixSemaphore.unlink(semaphore.name!);
    await fails(semaphore.acquire(BRIEF));
    await endedBy(semaphore.acquire(), () => semaphore.close());
  },
  async "a System V semaphore"() {
    const set = SysvSemaphoreSet.create(null, [0]);
    await fails(set.semaphore(0).acquire(BRIEF));
    await endedBy(set.semaphore(0).acquire(), () => set.remove());
    set.close();
  },
  async "a lock"() {
    using lock = SharedMutex.create(null);
    const guard = lock.lockSync();
    await fails(lock.lock(BRIEF));
    guard[Symbol.dispose]();
    lock.remove();
  },
  async "a POSIX queue"() {
    const queue = PosixMessageQueue.create(null);
    PosixMessageQueue.unlink(queue.name!);
    await fails(queue.receive(BRIEF));
    await endedBy(queue.receive(), () => queue.close());
  },
  async "a System V queue"() {
    const queue = SysvMessageQueue.create(null);
    await fails(queue.receive(BRIEF));
    while (queue.trySend(new Uint8Array(8000)));
    await fails(queue.send(new Uint8Array(8000), BRIEF));
    queue.remove();
  },
  async "a word in memory"() {
    const map = MemoryMap.anonymous(64);
    await fails(map.wait(0, 0, BRIEF));
    await endedBy(map.wait(0, 0), () => map.close());
  },
};

const sanitizers = { sanitizeOps: true, sanitizeResources: true };
for (const [name, fn] of Object.entries(tests)) {
  Deno.test({ name, fn, ...sanitizers });
}
for (const [name, fn] of Object.entries(tests)) { // when all is opened
  Deno.test({ name: `${name}, again`, fn, ...sanitizers });
}
