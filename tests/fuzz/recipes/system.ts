/** A system that has little, or others who do something to what is shared. */
import {
  Fifo,
  listenFds,
  MemoryMap,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  SharedMutex,
  SysvMessageQueue,
  SysvSemaphoreSet,
  UnixListener,
  UnixStream,
  type WaitOptions,
} from "../../../mod.ts";
import type { Fuzz } from "../fuzz.ts";
import { clearNonblocking, closeRaw, exhaustDescriptors } from "../libc.ts";

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Waits, by what ends them when nothing else does. */
const WAITS: Record<
  string,
  (fuzz: Fuzz) => [(options: WaitOptions) => Promise<unknown>, () => void]
> = {
  "SysvMessageQueue.receive": (fuzz) => {
    const one = fuzz.own(SysvMessageQueue.create(null));
    return [(options) => one.receive(options), () => one.close()];
  },
  "PosixSemaphore.acquire": (fuzz) => {
    const one = fuzz.own(PosixSemaphore.create(fuzz.newName(), 0));
    return [(options) => one.acquire(options), () => one.close()];
  },
  "SysvSemaphore.acquire": (fuzz) => {
    const set = fuzz.own(SysvSemaphoreSet.create(null, [0]));
    const one = set.semaphore(0);
    return [(options) => one.acquire(options), () => set.close()];
  },
  "SharedMutex.lock": (fuzz) => {
    const one = fuzz.own(SharedMutex.create(null));
    fuzz.own(one.lockSync());
    return [(options) => one.lock(options), () => one.close()];
  },
  "PipeReader.read": (fuzz) => {
    const { reader } = fuzz.own({ ...pipe() });
    return [
      (options) => reader.read(new Uint8Array(8), options),
      () => reader.close(),
    ];
  },
  "PosixMessageQueue.receive": (fuzz) => {
    const one = fuzz.own(
      PosixMessageQueue.create(fuzz.newName(), { maxMessages: 1, maxSize: 8 }),
    );
    return [(options) => one.receive(options), () => one.close()];
  },
  "Memory.wait": (fuzz) => {
    const one = fuzz.own(MemoryMap.anonymous(4096));
    return [(options) => one.wait(8, 0, options), () => one.close()];
  },
  "Fifo.openReader": (fuzz) => {
    const one = fuzz.own(Fifo.create(fuzz.path()));
    return [(options) => one.openReader(options), () => one.close()];
  },
};

// ms: the age at which the runtime has opened what it opens late.
const OLD_ENOUGH = 2_000;

/** Waits end also when there is no descriptor left. */
export async function fewDescriptors(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const { reader } = fuzz.own({ ...pipe() });
  const title = random.pick(Object.keys(WAITS));
  const [begin, close] = WAITS[title]!(fuzz);
  const begunBefore = random.chance(0.5);
  const how = random.pick(["timeout", "signal", "close"]);
  fuzz.log.note(`${title} ends by ${how}, without a descriptor`);
  const controller = new AbortController();
  const options: WaitOptions = how === "timeout"
    ? { timeout: 20 }
    : { signal: controller.signal };
  const before = begunBefore ? begin(options) : undefined;
  before?.catch(() => {});
  await sleep(Math.max(OLD_ENOUGH - performance.now(), 5));
  fuzz.starved = true;
  const restore = exhaustDescriptors(reader.fd);
  try {
    const wait = before ?? begin(options);
    wait.catch(() => {});
    await sleep(5);
    if (how === "signal") controller.abort();
    if (how === "close") close();
    await fuzz.ends(wait, `${title} by ${how}, without a descriptor`, 1_500);
  } finally {
    restore();
    fuzz.starved = false;
  }
}

/** Variables as a service manager would not set them. */
export function oddVariables(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const pid = random.pick([`${Deno.pid}`, "1", "", "x", "-1", "1e3"]);
  const fds = random.pick(["0", "", "-1", "1.5", "x", "99999999999", "3000"]);
  const names = random.pick([undefined, "", "a", "a:b:c", ":"]);
  Deno.env.set("LISTEN_PID", pid);
  Deno.env.set("LISTEN_FDS", fds);
  if (names !== undefined) Deno.env.set("LISTEN_FDNAMES", names);
  fuzz.call(`listenFds() of ${pid}, ${fds}, ${names}`, () => {
    listenFds();
  });
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) {
    fuzz.check(Deno.env.get(name) === undefined, `${name} is still there`);
    Deno.env.delete(name);
  }
  return Promise.resolve();
}

/** Somebody has locked the directory in which a name is to be reclaimed. */
export function lockedDirectory(fuzz: Fuzz): Promise<void> {
  const path = fuzz.path();
  const old = UnixListener.listen(path);
  closeRaw(old.detach()); // the name stays, as of a process that was killed
  using directory = Deno.openSync(path.slice(0, path.lastIndexOf("/")));
  directory.lockSync(true);
  fuzz.call("UnixListener.listen, reclaim in a locked directory", () => {
    const made = UnixListener.listen(path, { reclaim: true });
    fuzz.own(made);
  });
  return Promise.resolve();
}

/** Calls that do not wait, on a description that others have made blocking. */
export async function blockingDescription(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const [one, other] = fuzz.own(UnixStream.pair());
  const ends = fuzz.own({ ...pipe() });
  const queue = fuzz.own(
    PosixMessageQueue.create(fuzz.newName(), { maxMessages: 1, maxSize: 8 }),
  );
  const listener = fuzz.own(UnixListener.listen(null));
  const byte = () => new Uint8Array(1);
  const tries: [string, { fd: number }, () => unknown][] = [
    ["UnixStream.tryRead", one!, () => one!.tryRead(byte())],
    ["UnixStream.tryReceive", other!, () => other!.tryReceive()],
    ["PipeReader.tryRead", ends.reader, () => ends.reader.tryRead(byte())],
    ["PosixMessageQueue.tryReceive", queue, () => queue.tryReceive()],
    ["UnixListener.tryAccept", listener, () => listener.tryAccept()],
    [
      "PipeReader.read",
      ends.reader,
      () => ends.reader.read(byte(), { timeout: 10 }),
    ],
    [
      "UnixListener.accept",
      listener,
      () => listener.accept({ timeout: 10 }),
    ],
  ];
  const [title, object, attempt] = random.pick(tries);
  fuzz.call(`${title}, first`, attempt);
  clearNonblocking(object.fd);
  fuzz.call(`${title}, when O_NONBLOCK is cleared`, attempt);
  await null;
}

/** Blocking calls without a timeout, where they need not wait. */
export function plainBlocking(fuzz: Fuzz): Promise<void> {
  const queue = fuzz.own(SysvMessageQueue.create(null));
  const fifo = fuzz.own(Fifo.create(fuzz.path()));
  const { reader, writer } = fuzz.own({ ...pipe() });
  const ends = fifo.openBoth();
  fuzz.own({ ...ends });
  const data = new Uint8Array(8).fill(7);
  fuzz.call("SysvMessageQueue.sendSync", () => queue.sendSync(data));
  fuzz.call("SysvMessageQueue.receiveSync", () => {
    fuzz.check(queue.receiveSync().data[7] === 7, "a message in one piece");
  });
  fuzz.call("PipeWriter.writeSync", () => writer.writeSync(data));
  fuzz.call("PipeReader.readSync", () => reader.readSync(new Uint8Array(8)));
  fuzz.call("Fifo.openReaderSync", () => fuzz.own(fifo.openReaderSync()));
  fuzz.call("Fifo.openWriterSync", () => fuzz.own(fifo.openWriterSync()));
  return Promise.resolve();
}
